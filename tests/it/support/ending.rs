//! The end of a program that a story started.

use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Set where lines of code are counted: a program writes its counts when it stops, and a killed one never does.
const GENTLY: &str = "TRAILHOUSE_TEST_STOP_GENTLY";

/// Kills the program, after it was given 20 s to stop where its counts are wanted.
pub fn end(child: &mut Child) {
    if std::env::var_os(GENTLY).is_some() {
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        for _ in 0..400 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}
