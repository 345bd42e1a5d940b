//! Children that end with this process, however it ends.
//!
//! The kernel kills a child when the *thread* that forked it ends, and threads of tests come and go: so one thread
//! that lasts forks them all. What must be tidied at an orderly end is handed to [`at_exit`], because statics are
//! never dropped.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, mpsc};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a child that the kernel kills with us.
pub fn spawn(mut command: Command) -> Child {
    static FORKER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    // SAFETY: prctl is a plain system call, which is all that is allowed between fork and exec.
    unsafe { command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(Into::into)) };
    let (answer, started) = mpsc::channel();
    forker.lock().unwrap().send((command, answer)).unwrap();
    started.recv().unwrap().expect("a child")
}

static TIDY: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Has `tidy` called when the test run ends by itself.
pub fn at_exit(tidy: fn()) {
    extern "C" fn all() {
        for tidy in TIDY
            .lock()
            .map(|mut all| std::mem::take(&mut *all))
            .unwrap_or_default()
        {
            tidy();
        }
    }
    let mut all_of_them = TIDY.lock().unwrap();
    if all_of_them.is_empty() {
        // SAFETY: the function is `extern "C"`, takes nothing, and does not unwind: what it calls kills and removes.
        unsafe { nix::libc::atexit(all) };
    }
    all_of_them.push(tidy);
}
