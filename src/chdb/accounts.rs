//! The two users of the door. Their passwords are made at the first start, each in a file that only this user can
//! read, and compared in constant time.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::exception::Exception;
use super::request::header;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// `default`: may do everything.
    Operator,
    /// `readonly`: may run one SELECT at a time, inside the fence.
    Reader,
}

/// Digests of the passwords.
pub(super) struct Accounts {
    operator: [u8; 32],
    reader: [u8; 32],
}

impl Accounts {
    pub(super) fn new(operator: &SecretString, reader: &SecretString) -> Self {
        Self {
            operator: digest(operator.expose_secret()),
            reader: digest(reader.expose_secret()),
        }
    }

    /// Finds the user by the headers `X-ClickHouse-User` and `-Key`, by basic authentication, or by `user` and
    /// `password` in the URL, the first of them that is there.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        parameters: &[(String, String)],
    ) -> Result<User, Exception> {
        let (name, password) = credentials(headers, parameters).ok_or_else(refused)?;
        let given = digest(&password);
        let operator = given.ct_eq(&self.operator).into();
        let reader = given.ct_eq(&self.reader).into();
        match name.as_str() {
            "default" if operator => Ok(User::Operator),
            "readonly" if reader => Ok(User::Reader),
            _ => Err(refused()),
        }
    }
}

fn refused() -> Exception {
    let text = "Authentication failed: password is incorrect, or there is no user with such name. The users are \
                default and readonly; their passwords are in files beside the data";
    Exception::new(516, "AUTHENTICATION_FAILED", text)
}

fn digest(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

fn credentials(headers: &HeaderMap, parameters: &[(String, String)]) -> Option<(String, String)> {
    let parameter = |name| {
        parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let or_default = |name: Option<String>| {
        name.filter(|name| !name.is_empty())
            .unwrap_or("default".to_owned())
    };
    let user = header(headers, "x-clickhouse-user").map(str::to_owned);
    let key = header(headers, "x-clickhouse-key").map(str::to_owned);
    if user.is_some() || key.is_some() {
        return Some((or_default(user), key.unwrap_or_default()));
    }
    if headers.contains_key(AUTHORIZATION) {
        let (scheme, encoded) = header(headers, "authorization")?.split_once(' ')?;
        let decoded = STANDARD
            .decode(encoded.trim())
            .ok()
            .filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let (user, password) = String::from_utf8(decoded).ok()?.split_once(':').map(own)?;
        return Some((or_default(Some(user)), password));
    }
    Some((
        or_default(parameter("user")),
        parameter("password").unwrap_or_default(),
    ))
}

fn own((user, password): (&str, &str)) -> (String, String) {
    (user.to_owned(), password.to_owned())
}

/// Reads the password in `path`, or makes one there, mode 0600.
pub(super) fn password_file(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(4096).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return new_password(path),
        Err(error) => return Err(error),
    };
    match text.trim() {
        "" => Err(io::Error::other(
            "the file is empty: remove it, and a password is made at the next start",
        )),
        password => Ok(password.into()),
    }
}

/// Written beside and then renamed, so that a crash leaves no empty file.
fn new_password(path: &Path) -> io::Result<SecretString> {
    let password = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    writeln!(file, "{password}")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok(password.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn accounts() -> Accounts {
        Accounts::new(&"one".into(), &"two".into())
    }

    fn by_headers(pairs: &[(&'static str, &str)]) -> Result<User, i32> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        accounts()
            .authenticate(&headers, &[])
            .map_err(|exception| exception.code)
    }

    #[test]
    fn each_way_in_needs_the_right_password() {
        assert_eq!(
            by_headers(&[("x-clickhouse-user", "default"), ("x-clickhouse-key", "one")]),
            Ok(User::Operator)
        );
        assert_eq!(
            by_headers(&[("x-clickhouse-user", "readonly"), ("x-clickhouse-key", "two")]),
            Ok(User::Reader)
        );
        assert_eq!(by_headers(&[("x-clickhouse-key", "one")]), Ok(User::Operator));
        assert_eq!(
            by_headers(&[("authorization", "Basic ZGVmYXVsdDpvbmU=")]),
            Ok(User::Operator)
        );
        for wrong in [
            &[("x-clickhouse-user", "readonly"), ("x-clickhouse-key", "one")][..],
            &[("x-clickhouse-user", "default")],
            &[("authorization", "Basic ZGVmYXVsdDp0d28=")],
            &[("authorization", "Bearer one")],
            &[],
        ] {
            assert_eq!(by_headers(wrong), Err(516), "{wrong:?}");
        }
        let url = [
            ("user".to_owned(), "readonly".to_owned()),
            ("password".to_owned(), "two".to_owned()),
        ];
        assert_eq!(accounts().authenticate(&HeaderMap::new(), &url), Ok(User::Reader));
    }

    #[test]
    fn a_password_is_made_once_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let first = password_file(&path).unwrap();
        assert_eq!(first.expose_secret().len(), 32);
        assert_eq!(
            password_file(&path).unwrap().expose_secret(),
            first.expose_secret()
        );
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
