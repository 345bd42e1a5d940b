//! Starting a child that cannot outlive us.

use std::io;
use std::process::Stdio;
use std::sync::{OnceLock, mpsc};
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Set for children that should end when their standard input does; see [`parent_gone`].
const WITH_PARENT: &str = "TRAILHOUSE_WITH_PARENT";

/// One command on its way to the thread that forks.
struct Job {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// Starts `command` in a process group of its own (so that Ctrl-C in a terminal reaches us alone and we stop the
/// engines in order), with a pipe as its standard input, killed when this process ends.
pub(super) async fn start(mut command: Command) -> io::Result<Child> {
    command
        .stdin(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .env(WITH_PARENT, "stdin");
    die_with_parent(&mut command);
    let (answer, started) = oneshot::channel();
    let job = Job {
        command,
        runtime: Handle::current(),
        answer,
    };
    let gone = || io::Error::other("the thread that starts child processes is gone");
    forker().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

/// The thread that forks. PR_SET_PDEATHSIG fires when the *thread* that forked ends, not the process, and threads
/// of an async runtime come and go; this one never returns.
fn forker() -> Option<&'static mpsc::Sender<Job>> {
    static FORKER: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    FORKER
        .get_or_init(|| {
            let (jobs, queue) = mpsc::channel::<Job>();
            let thread = thread::Builder::new().name("forker".into()).spawn(move || {
                for Job {
                    mut command,
                    runtime,
                    answer,
                } in queue
                {
                    let _inside = runtime.enter();
                    // Nobody waits for the answer any more: dropping the child kills it.
                    let _ = answer.send(command.spawn());
                }
            });
            thread.ok().map(|_| jobs)
        })
        .as_ref()
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use nix::errno::Errno;
    use nix::sys::{prctl, signal::Signal};
    use nix::unistd::getppid;

    let us = nix::unistd::getpid();
    let leash = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // We may have died between fork and prctl; then no signal will come.
        if getppid() == us {
            Ok(())
        } else {
            Err(Errno::ESRCH.into())
        }
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed; prctl and getppid are plain system
    // calls, and errors made of a system error number allocate nothing.
    unsafe { command.pre_exec(leash) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// Resolves when the process that started us is gone, in a child that was started as an engine; never in any
/// other process. This is what ends the ClickHouse child where the kernel knows no parent-death signal.
pub async fn parent_gone() {
    let (gone, ended) = oneshot::channel();
    let watched = std::env::var_os(WITH_PARENT).is_some_and(|how| how == "stdin");
    let watch = move || {
        // Nothing is ever written: reading ends when the other end closes, and that is when its process ends.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    };
    match watched.then(|| thread::Builder::new().name("parent-watch".into()).spawn(watch)) {
        Some(Ok(_)) => drop(ended.await),
        _ => std::future::pending().await,
    }
}
