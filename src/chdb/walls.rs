//! Landlock: where the kernel has it, the engine's threads can open nothing but its own directories and the few
//! system files it reads. Only threads made after [`raise`] are inside; the front's own, which read the passwords,
//! stay outside.

use super::engine::Boot;

/// Restricts this thread and all that it will start. A kernel without Landlock is reported, not refused.
#[cfg(target_os = "linux")]
pub(super) fn raise(boot: &Boot) {
    match restrict(boot) {
        Ok(true) => tracing::info!("the engine is confined to its data by Landlock"),
        Ok(false) => tracing::warn!(
            "this kernel has no Landlock: the operator's file() and similar functions reach all files of this user"
        ),
        Err(error) => tracing::warn!(%error, "Landlock could not be set up"),
    }
}

#[cfg(target_os = "linux")]
fn restrict(boot: &Boot) -> Result<bool, landlock::RulesetError> {
    use landlock::{
        ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
    };
    let abi = ABI::V3;
    let read = [
        "/proc",
        "/sys",
        "/usr/share/zoneinfo",
        "/usr/lib",
        "/lib",
        "/lib64",
        "/etc/localtime",
        "/etc/timezone",
        "/etc/hosts",
        "/etc/host.conf",
        "/etc/nsswitch.conf",
        "/etc/resolv.conf",
        "/etc/ssl/certs",
        "/dev/urandom",
        "/dev/random",
    ];
    let configuration = boot.configuration.parent();
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(configuration, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(mapped_files(), AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(
            ["/dev/null"],
            AccessFs::ReadFile | AccessFs::WriteFile,
        ))?
        .add_rules(path_beneath_rules(
            [&boot.store, &boot.spool],
            AccessFs::from_all(abi),
        ))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The program and the libraries that are loaded. The engine reads their symbols at its first exception, inside a
/// callback of the C library through which an exception of its own can't pass: a file that it may not open there
/// ends the process.
#[cfg(target_os = "linux")]
fn mapped_files() -> Vec<std::path::PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<_> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].into()))
        .collect();
    files.dedup();
    files
}

/// Nothing of the kind is there.
#[cfg(not(target_os = "linux"))]
pub(super) fn raise(_: &Boot) {
    tracing::warn!("the engine is not confined: Landlock is a thing of Linux");
}
