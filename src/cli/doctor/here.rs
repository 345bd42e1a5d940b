//! This machine: the configuration, files and who may read them, the disk, the engines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;

use super::Finding;
use crate::config::Config;
use crate::engines::{EngineDirs, LIBCHDB_VERSION, Missing, NISSHI_VERSION, disk_free_percent};
use crate::keyring::{self, Keyring};
use crate::limit::disk::{FREE_FOR_EVENTS, FREE_IS_FEW};
use crate::web::tls::Certificates;

/// The file, where there is one, and who may read the secrets in it.
pub(super) fn configuration(config: &Config, file: Option<&Path>) -> Finding {
    let check = "configuration";
    if let Some(problem) = config.problem() {
        return Finding::problem(check, problem, "`trailhouse serve` refuses to start like this");
    }
    let files = config.web.tls.files();
    if let Err(error) = files.and_then(|files| files.map(Certificates::open).transpose()) {
        let remedy =
            "a running server keeps the certificate it has; `trailhouse serve` refuses to start like this";
        return Finding::problem(check, error.to_string(), remedy);
    }
    let secret = config.log.sasl_password.is_some() || config.clickhouse.password.is_some();
    match file {
        None => Finding::ok(check, "no file; defaults and environment"),
        Some(file) if secret && others_may(file) => Finding::warning(
            check,
            format!("{} may hold passwords and others may read it", file.display()),
            format!("chmod 600 {}", file.display()),
        ),
        Some(file) => Finding::ok(check, file.display().to_string()),
    }
}

/// What a proxy in front hides.
pub(super) fn in_front(config: &Config) -> Option<Finding> {
    let remedy = "name the proxies' networks in web.trusted_proxies, and let them send X-Forwarded-For";
    let warning = config.web.warning()?;
    Some(Finding::warning("in front", warning, remedy))
}

/// The data directory, and room on its disk.
pub(super) fn data_dir(config: &Config) -> Vec<Finding> {
    let dir = &config.data_dir;
    let shown = dir.display();
    if !dir.is_dir() {
        let remedy = "`trailhouse serve` makes it; --data-dir names another";
        return vec![Finding::warning(
            "data directory",
            format!("{shown} is not there"),
            remedy,
        )];
    }
    let access = match others_may(dir) {
        true => Finding::warning(
            "data directory",
            format!("others may look into {shown}"),
            format!("chmod 700 {shown}"),
        ),
        false => Finding::ok("data directory", shown.to_string()),
    };
    let remedy = "make room in the file system of the data directory";
    let disk = match disk_free_percent(dir) {
        Err(error) => Finding::warning("disk", format!("its free space is not known: {error}"), remedy),
        Ok(free) if free < FREE_FOR_EVENTS => Finding::problem(
            "disk",
            format!("{free:.1} % is free; under {FREE_FOR_EVENTS} % nothing is taken"),
            remedy,
        ),
        Ok(free) if free < FREE_IS_FEW => Finding::warning("disk", format!("{free:.1} % is free"), remedy),
        Ok(free) => Finding::ok("disk", format!("{free:.0} % is free")),
    };
    vec![access, disk]
}

/// The master keys; read, never made.
pub(super) fn keys(config: &Config) -> (Option<Keyring>, Finding) {
    let check = "master keys";
    let path = config.data_dir.join(keyring::FILE);
    let environment = std::env::var(keyring::ENVIRONMENT)
        .ok()
        .filter(|text| !text.is_empty())
        .map(SecretString::from);
    let place = match &environment {
        Some(_) => keyring::ENVIRONMENT.to_owned(),
        None => path.display().to_string(),
    };
    match keyring::find(&path, environment.as_ref()) {
        Err(error) => (
            None,
            Finding::problem(check, error.to_string(), "bring the file back from its backup"),
        ),
        Ok(None) => {
            let remedy =
                "the first `trailhouse serve` makes it; if there was one, bring it back from its backup";
            (
                None,
                Finding::warning(check, format!("{place} is not there"), remedy),
            )
        }
        Ok(_) if environment.is_none() && others_may(&path) => {
            let remedy =
                format!("chmod 600 {place}; then think about who read it: with it, one can become operator");
            (
                None,
                Finding::problem(check, format!("others may read {place}"), remedy),
            )
        }
        Ok(Some(keyring)) => {
            let ids: Vec<_> = keyring.ids().collect();
            let detail = format!("{place}: {} ({} is active)", ids.join(", "), keyring.active());
            (Some(keyring), Finding::ok(check, detail))
        }
    }
}

/// The embedded engines, where they are used.
pub(super) fn engines(config: &Config) -> Vec<Finding> {
    let dirs = EngineDirs::find(config.engines.dir.as_deref());
    let found = |version: String, engine: Result<_, Missing>| match engine {
        Ok(_) => Finding::ok("engine", version),
        Err(missing) => Finding::problem("engine", missing.to_string(), "scripts/engines brings it"),
    };
    let broker = config
        .log
        .brokers
        .is_empty()
        .then(|| found(format!("nisshi {NISSHI_VERSION}"), dirs.nisshi()));
    let clickhouse = config
        .clickhouse
        .url
        .is_none()
        .then(|| found(format!("libchdb {LIBCHDB_VERSION}"), dirs.libchdb()));
    broker.into_iter().chain(clickhouse).collect()
}

fn others_may(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;
    use crate::cli::doctor::Health;
    use crate::clock::SystemClock;

    fn config(dir: &Path) -> Config {
        let table = format!("data_dir = {:?}", dir.display().to_string())
            .parse::<Table>()
            .unwrap();
        Config::load(None, [], table).unwrap()
    }

    #[test]
    fn looking_for_keys_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        assert_eq!(keys(&config).1.health, Health::Warning);
        assert!(!dir.path().join("keys").exists());
        keyring::make(&dir.path().join("keys"), &SystemClock).unwrap();
        let (keyring, finding) = keys(&config);
        assert!(keyring.is_some() && finding.health == Health::Ok, "{finding}");
    }

    #[test]
    fn a_key_file_that_others_may_read_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        keyring::make(&path, &SystemClock).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(keys(&config(dir.path())).1.health, Health::Problem);
    }

    #[test]
    fn a_data_directory_is_private() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(data_dir(&config(dir.path()))[0].health, Health::Warning);
        assert_eq!(
            data_dir(&config(&dir.path().join("none")))[0].health,
            Health::Warning
        );
    }
}
