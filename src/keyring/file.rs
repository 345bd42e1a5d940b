//! The key file: `<data-dir>/keys`, readable by its owner alone, written on the first start.
//!
//! It is TOML, so that a person can see what it is and that it wants a backup. The first key is the active one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Keyring, KeyringError, Master, decode_key, encode_key};
use crate::clock::{Clock, Timestamp};
use crate::crypto::{ExposeSecret, Key, SecretString};

/// Its name in the data directory.
pub const FILE: &str = "keys";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    key: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    created: Timestamp,
    secret: String,
}

const PREAMBLE: &str = "\
# The master keys of this Trailhouse. Back this file up and keep it secret: without it nobody can log in, stored
# secrets can't be opened and the control log can't be verified; with it, anyone who may write to the log is an
# operator. The first key is the active one; older ones are needed for what was written under them.

";

/// Takes the keys from `environment` ([`super::ENVIRONMENT`]) when that is given, else from the file at `path`. `None`
/// where there is neither.
pub fn find(path: &Path, environment: Option<&SecretString>) -> Result<Option<Keyring>, KeyringError> {
    if let Some(text) = environment.filter(|text| !text.expose_secret().is_empty()) {
        return Keyring::from_text(text).map(Some);
    }
    match path.try_exists() {
        Ok(true) => keyring(&read(path)?).map_err(malformed(path)).map(Some),
        Ok(false) => Ok(None),
        Err(cause) => Err(failed(path)(cause)),
    }
}

/// Writes a file with a fresh key, unless another process has by now, and takes the keys from it.
pub fn make(path: &Path, clock: &dyn Clock) -> Result<Keyring, KeyringError> {
    let key = vec![fresh(clock)];
    create(path, &Stored { key }).map_err(failed(path))?;
    keyring(&read(path)?).map_err(malformed(path))
}

/// Adds a fresh key to the file and makes it the active one. Instances use it from their next start; those that have
/// not started anew skip what is written under it, so where there are several, [`add`] comes first.
pub fn rotate(path: &Path, clock: &dyn Clock) -> Result<Keyring, KeyringError> {
    change(path, |keys| {
        keys.insert(0, fresh(clock));
        Ok(())
    })
}

/// Adds a fresh key to the file, last, so that instances that start from now on can read what is written under it.
pub fn add(path: &Path, clock: &dyn Clock) -> Result<Keyring, KeyringError> {
    change(path, |keys| {
        keys.push(fresh(clock));
        Ok(())
    })
}

/// Makes a key of the file the active one.
pub fn activate(path: &Path, id: &str) -> Result<Keyring, KeyringError> {
    change(path, |keys| {
        let at = keys.iter().position(|key| key.id == id);
        let at = at.ok_or_else(|| KeyringError::NoSuchKey {
            path: path.display().to_string(),
            id: id.to_owned(),
        })?;
        keys[..=at].rotate_right(1);
        Ok(())
    })
}

/// Puts a changed file in the place of the one before, at once, for the same owner.
fn change(
    path: &Path,
    change: impl FnOnce(&mut Vec<StoredKey>) -> Result<(), KeyringError>,
) -> Result<Keyring, KeyringError> {
    let mut stored = read(path)?;
    keyring(&stored).map_err(malformed(path))?;
    change(&mut stored.key)?;
    let changed = keyring(&stored).map_err(malformed(path))?;
    let replace = || {
        let owner = fs::metadata(path)?;
        let temporary = write_beside(path, &stored)?;
        // An administrator may change the file of the user that the server runs as.
        std::os::unix::fs::chown(&temporary, Some(owner.uid()), Some(owner.gid()))?;
        fs::rename(&temporary, path)?;
        sync_folder(path)
    };
    replace().map_err(failed(path))?;
    Ok(changed)
}

fn fresh(clock: &dyn Clock) -> StoredKey {
    let master = Master::new(Key::random());
    StoredKey {
        id: master.id.to_string(),
        created: clock.now(),
        secret: encode_key(&master.key),
    }
}

fn keyring(stored: &Stored) -> Result<Keyring, String> {
    let mut keys = Vec::with_capacity(stored.key.len());
    for entry in &stored.key {
        let key = decode_key(&entry.secret)
            .ok_or_else(|| format!("the secret of key {} is not base64 of 32 bytes", entry.id))?;
        // The name follows from the key, so a slip in copying the file shows here and not as a broken log.
        if *Master::new(key.clone()).id != *entry.id {
            return Err(format!(
                "the secret of key {} is damaged: it is not the one of that id",
                entry.id
            ));
        }
        keys.push(key);
    }
    Keyring::new(keys).ok_or_else(|| "it holds no key, or one twice".to_owned())
}

fn read(path: &Path) -> Result<Stored, KeyringError> {
    let mode = fs::metadata(path).map_err(failed(path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyringError::Permissions {
            path: path.display().to_string(),
            mode,
        });
    }
    let text = fs::read_to_string(path).map_err(failed(path))?;
    // The parser's own message quotes the line, which may hold a key.
    toml::from_str(&text)
        .map_err(|_| malformed(path)("it is not TOML of `[[key]]` with id, created and secret".into()))
}

/// Puts the whole file in place at once, unless there is one by now. Another process that starts at the same time sees
/// the whole file or none.
fn create(path: &Path, stored: &Stored) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = write_beside(path, stored)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => sync_folder(path),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(cause),
    }
}

fn write_beside(path: &Path, stored: &Stored) -> io::Result<PathBuf> {
    let temporary = path.with_extension(format!("new-{}", crate::crypto::token::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let text = toml::to_string(stored).map_err(io::Error::other)?;
    file.write_all(PREAMBLE.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(temporary)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> KeyringError {
    move |cause| KeyringError::File {
        path: path.display().to_string(),
        cause,
    }
}

fn malformed(path: &Path) -> impl Fn(String) -> KeyringError {
    move |reason| KeyringError::Malformed {
        place: path.display().to_string(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;

    fn clock() -> FixedClock {
        FixedClock::at(Timestamp::from_millis(1_700_000_000_000))
    }

    #[test]
    fn a_file_is_made_once_for_its_owner_alone_and_looking_for_it_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/keys");
        assert!(find(&path, None).unwrap().is_none() && !path.exists());
        let made = make(&path, &clock()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for again in [
            find(&path, None).unwrap().unwrap(),
            make(&path, &clock()).unwrap(),
        ] {
            assert_eq!(again.active(), made.active());
        }
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        make(&path, &clock()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = find(&path, None).unwrap_err().to_string();
        assert!(
            error.contains("mode 640") && error.contains("chmod 600"),
            "{error}"
        );
    }

    #[test]
    fn rotation_adds_a_key_in_front() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let old = make(&path, &clock()).unwrap();
        let new = rotate(&path, &clock()).unwrap();
        assert_ne!(new.active(), old.active());
        assert_eq!(new.ids().nth(1), Some(old.active()));
        let read = find(&path, None).unwrap().unwrap();
        assert_eq!(read.ids().collect::<Vec<_>>(), new.ids().collect::<Vec<_>>());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_added_key_waits_until_it_is_activated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let old = make(&path, &clock()).unwrap();
        let added = add(&path, &clock()).unwrap();
        assert_eq!(added.active(), old.active());
        let new = added.ids().nth(1).unwrap();
        let third = add(&path, &clock()).unwrap();
        let third = third.ids().nth(2).unwrap();
        let activated = activate(&path, new).unwrap();
        assert_eq!(activated.ids().collect::<Vec<_>>(), [new, old.active(), third]);
        let read = find(&path, None).unwrap().unwrap();
        assert_eq!(read.active(), new);
        let error = activate(&path, "nothing").unwrap_err().to_string();
        assert!(error.contains("no key nothing"), "{error}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn a_damaged_file_is_refused_without_showing_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        make(&path, &clock()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let secret = text
            .lines()
            .find_map(|line| line.strip_prefix("secret = "))
            .unwrap()
            .trim_matches('"')
            .to_owned();
        let other = encode_key(&Key::random());
        for broken in [
            text.replace(&secret, &other),
            text.replace(&secret, "abc"),
            text.replace("id =", "name ="),
            String::new(),
        ] {
            fs::write(&path, &broken).unwrap();
            let error = find(&path, None).unwrap_err().to_string();
            assert!(!error.contains(&secret) && !error.contains(&other), "{error}");
        }
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let text = SecretString::from(encode_key(&Key::from_bytes([9; 32])));
        make(&path, &clock()).unwrap();
        let found = find(&path, Some(&text)).unwrap().unwrap();
        assert_eq!(found.active(), Keyring::from_text(&text).unwrap().active());
        assert!(find(&path, Some(&"abc".to_owned().into())).is_err());
    }
}
