//! Where the engines are, and whether they are the ones we know.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The broker's version. What it does and does not do is measured for this one.
pub const NISSHI_VERSION: &str = "0.8.1";
/// The version of the ClickHouse library, ClickHouse 26.5.
pub const LIBCHDB_VERSION: &str = "26.5.3";

/// An engine that cannot be used: one sentence, with the command that mends it.
#[derive(Debug, thiserror::Error)]
#[error("{engine} {fault} at {}; run scripts/engines, or set TRAILHOUSE_ENGINES to where the engines are", .path.display())]
pub struct Missing {
    /// The engine in words.
    pub engine: &'static str,
    /// What is wrong: `is not installed`, `cannot be run`, …
    pub fault: String,
    /// Where it was looked for.
    pub path: PathBuf,
}

/// The folder that `scripts/engines` fills.
#[derive(Clone, Debug)]
pub struct EngineDirs {
    root: PathBuf,
}

impl EngineDirs {
    /// `configured`, else `TRAILHOUSE_ENGINES`, else `~/.cache/trailhouse/engines`.
    pub fn find(configured: Option<&Path>) -> Self {
        Self::from(configured, |name| std::env::var_os(name))
    }

    fn from(configured: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Self {
        let given = configured.map(Path::to_owned);
        let from_env = || {
            env("TRAILHOUSE_ENGINES")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
        };
        let home = || PathBuf::from(env("HOME").unwrap_or_default());
        Self {
            root: given
                .or_else(from_env)
                .unwrap_or_else(|| home().join(".cache/trailhouse/engines")),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The broker's program, once it has said its version.
    pub fn nisshi(&self) -> Result<PathBuf, Missing> {
        let path = self.root.join(format!("nisshi-{NISSHI_VERSION}/bin/nisshi"));
        let missing = |fault: String| Missing {
            engine: "the embedded broker (nisshi)",
            fault,
            path: path.clone(),
        };
        if !path.is_file() {
            return Err(missing("is not installed".into()));
        }
        let said = Command::new(&path).arg("--version").env_clear().output();
        let said = said.map_err(|error| missing(format!("cannot be run ({error})")))?;
        let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        match said.strip_prefix("nisshi ") {
            Some(NISSHI_VERSION) => Ok(path),
            _ => Err(missing(format!(
                "is not version {NISSHI_VERSION} (it says {said:?})"
            ))),
        }
    }

    /// The ClickHouse library, once it looks like a library. Only loading it, in the child, tells more.
    pub fn libchdb(&self) -> Result<PathBuf, Missing> {
        let path = self.root.join(format!("libchdb-{LIBCHDB_VERSION}/libchdb.so"));
        let missing = |fault: String| Missing {
            engine: "the embedded ClickHouse (libchdb)",
            fault,
            path: path.clone(),
        };
        if !path.is_file() {
            return Err(missing("is not installed".into()));
        }
        match first_bytes(&path) {
            Ok(magic) if is_library(magic) => Ok(path),
            Ok(_) => Err(missing("is no shared library".into())),
            Err(error) => Err(missing(format!("cannot be read ({error})"))),
        }
    }
}

fn first_bytes(path: &Path) -> std::io::Result<[u8; 4]> {
    let mut magic = [0; 4];
    std::io::Read::read_exact(&mut std::fs::File::open(path)?, &mut magic)?;
    Ok(magic)
}

/// ELF, or Mach-O of 64 bits.
fn is_library(magic: [u8; 4]) -> bool {
    &magic == b"\x7fELF" || magic == [0xcf, 0xfa, 0xed, 0xfe]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_counts_before_environment_before_home() {
        let env = |name: &str| {
            Some(OsString::from(if name == "HOME" {
                "/home/ada"
            } else {
                "/opt/engines"
            }))
        };
        let home_only = |name: &str| (name == "HOME").then(|| OsString::from("/home/ada"));
        assert_eq!(
            EngineDirs::from(Some(Path::new("/srv")), env).root(),
            Path::new("/srv")
        );
        assert_eq!(EngineDirs::from(None, env).root(), Path::new("/opt/engines"));
        assert_eq!(
            EngineDirs::from(None, home_only).root(),
            Path::new("/home/ada/.cache/trailhouse/engines")
        );
    }

    fn remedy(said: Result<PathBuf, Missing>, fault: &str) {
        let said = said.unwrap_err().to_string();
        assert!(said.contains(fault), "{said}");
        assert!(said.contains("run scripts/engines"), "{said}");
    }

    #[test]
    fn a_broker_that_cannot_be_used_is_named_with_the_remedy() {
        let root = tempfile::tempdir().unwrap();
        let dirs = EngineDirs {
            root: root.path().to_owned(),
        };
        let place = root.path().join("nisshi-0.8.1/bin/nisshi");
        remedy(dirs.nisshi(), "is not installed");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, "").unwrap();
        remedy(dirs.nisshi(), "cannot be run");
        std::fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink("/bin/echo", &place).unwrap();
        remedy(dirs.nisshi(), "is not version 0.8.1");
    }

    #[test]
    fn a_library_that_cannot_be_used_is_named_with_the_remedy() {
        let root = tempfile::tempdir().unwrap();
        let dirs = EngineDirs {
            root: root.path().to_owned(),
        };
        let place = root.path().join("libchdb-26.5.3/libchdb.so");
        remedy(dirs.libchdb(), "is not installed");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        for (content, fault) in [
            ("", "cannot be read"),
            ("<html>not found</html>", "is no shared library"),
        ] {
            std::fs::write(&place, content).unwrap();
            remedy(dirs.libchdb(), fault);
        }
        std::fs::write(&place, "\x7fELF").unwrap();
        assert_eq!(dirs.libchdb().unwrap(), place);
    }
}
