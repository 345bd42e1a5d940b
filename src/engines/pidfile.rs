//! Which process was ours, so that a start can end what a crash left behind, and nothing else.
//!
//! A pid alone says little: numbers are used again. The file therefore also holds the moment the process started,
//! as the system tells it, and a process counts as ours only when both agree. Nothing is ever ended by its name.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a left-over process has to end softly, and again to be gone after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(20);

/// Notes that `pid` is ours.
pub(super) fn write(file: &Path, pid: u32) -> io::Result<()> {
    let born = born(pid).unwrap_or_default();
    let draft = file.with_extension("pid.new");
    fs::write(&draft, format!("{pid}\n{born}\n"))?;
    fs::rename(&draft, file)
}

/// Forgets it, once it has ended.
pub(super) fn remove(file: &Path) {
    // A file that stays is found to name no living process of ours by the next start.
    let _ = fs::remove_file(file);
}

/// Ends the process that the file names, if it lives and is the one that was meant.
pub(super) async fn end_leftover(file: &Path) {
    let Some((pid, born)) = read(file) else { return };
    if lives(pid, &born) {
        tracing::warn!(pid, file = %file.display(), "ending an engine that the last run left behind");
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            // It may have ended in between, which is what we want.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
            if gone_within(PATIENCE, pid, &born).await {
                break;
            }
        }
    }
    remove(file);
}

async fn gone_within(patience: Duration, pid: u32, born: &str) -> bool {
    let wait = async {
        while lives(pid, born) {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(patience, wait).await.is_ok()
}

fn read(file: &Path) -> Option<(u32, String)> {
    let text = fs::read_to_string(file).ok()?;
    let (pid, born) = text.trim().split_once('\n')?;
    Some((pid.parse().ok().filter(|pid| *pid > 1)?, born.to_owned()))
}

fn lives(pid: u32, as_born: &str) -> bool {
    !as_born.is_empty() && born(pid).is_some_and(|born| born == as_born)
}

/// When a living process started, in the system's words; `None` for one that is gone or only waits to be reaped.
#[cfg(target_os = "linux")]
fn born(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may hold spaces and brackets itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // Field 22 of the whole line: clock ticks since boot; the boot's id makes it unique across boots.
    let ticks = fields.nth(18)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (!matches!(state, "Z" | "X")).then(|| format!("{} {ticks}", boot.trim()))
}

#[cfg(not(target_os = "linux"))]
fn born(pid: u32) -> Option<String> {
    let ps = std::process::Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&ps.stdout).trim().to_owned();
    let (state, born) = text.split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| born.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> std::process::Child {
        std::process::Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[tokio::test]
    async fn a_leftover_is_ended_and_the_file_goes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("broker.pid");
        let mut child = sleeper();
        write(&file, child.id()).unwrap();
        end_leftover(&file).await;
        assert!(!file.exists());
        assert!(!child.wait().unwrap().success());
    }

    #[tokio::test]
    async fn another_process_with_the_same_number_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("broker.pid");
        let mut child = sleeper();
        for birth in ["some other time", ""] {
            fs::write(&file, format!("{}\n{birth}\n", child.id())).unwrap();
            end_leftover(&file).await;
            assert!(child.try_wait().unwrap().is_none(), "killed a stranger");
            assert!(!file.exists() || birth.is_empty());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn rubbish_in_the_file_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("broker.pid");
        for text in ["", "x", "1\nx", "0\nx", "-5\nx", "99999999999\nx"] {
            fs::write(&file, text).unwrap();
            end_leftover(&file).await;
        }
        end_leftover(&dir.path().join("no such file")).await;
    }
}
