//! HTTPS: the certificate and its key, from files that may change while the server runs.
//!
//! The files are read again and again, because those who renew certificates put new ones in place and tell nobody. A
//! pair that can't be used is reported once and changes nothing: the one before goes on serving.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use confique::Config as Confique;
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use tokio_util::sync::CancellationToken;

use crate::crypto;

/// How often the files are looked at. Certificates are renewed days before they expire; this is for people who wait.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The section `web.tls` of the configuration.
#[derive(Clone, Debug, Default, Confique)]
pub struct Config {
    /// The server's certificate in PEM, followed by those between it and its root. With it and `key`, the server
    /// speaks HTTPS and nothing else. Both files are read again when they change.
    pub cert: Option<PathBuf>,
    /// The certificate's private key in PEM, without a password.
    pub key: Option<PathBuf>,
}

impl Config {
    /// The files, where HTTPS is wanted.
    pub fn files(&self) -> Result<Option<Files>, TlsError> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(Files {
                cert: cert.clone(),
                key: key.clone(),
            })),
            (Some(_), None) => Err(TlsError::Half {
                given: CERT,
                missing: KEY,
            }),
            (None, Some(_)) => Err(TlsError::Half {
                given: KEY,
                missing: CERT,
            }),
        }
    }
}

const CERT: &str = "web.tls.cert";
const KEY: &str = "web.tls.key";

/// Why there is no HTTPS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the two is not set.
    #[error("{given} is set and {missing} is not: HTTPS needs both")]
    Half {
        /// The setting that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A file can't be read.
    #[error("{setting}: {} can't be read: {cause}", .path.display())]
    Unreadable {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file holds something else.
    #[error("{setting}: {} holds no {wanted} in PEM", .path.display())]
    NotPem {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// Two files that don't belong together.
    #[error("web.tls.key: {} is not the key of the certificate in {}", .key.display(), .cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate or key that can't be used all the same.
    #[error("web.tls: the certificate in {} and the key in {} can't be used: {cause}", .cert.display(), .key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library said.
        cause: rustls::Error,
    },
}

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What the two files hold.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(&self) -> Result<Pair, TlsError> {
        Ok(Pair {
            cert: read(CERT, &self.cert)?,
            key: read(KEY, &self.key)?,
        })
    }

    fn server_config(&self, pair: &Pair) -> Result<Arc<ServerConfig>, TlsError> {
        let not_pem = |setting, path: &Path, wanted| TlsError::NotPem {
            setting,
            path: path.to_owned(),
            wanted,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pair.cert)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or_else(|| not_pem(CERT, &self.cert, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&pair.key)
            .map_err(|_| not_pem(KEY, &self.key, "private key without a password"))?;
        // The provider is named, so that it does not matter which one the process has as its default.
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map(|mut config| {
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                Arc::new(config)
            })
            .map_err(|cause| self.refused(cause))
    }

    fn refused(&self, cause: rustls::Error) -> TlsError {
        let (cert, key) = (self.cert.clone(), self.key.clone());
        match cause {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { cert, key }
            }
            cause => TlsError::Unusable { cert, key, cause },
        }
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Unreadable {
        setting,
        path: path.to_owned(),
        cause,
    })
}

/// What connections are greeted with, always the newest that works.
pub type Offered = watch::Receiver<Arc<ServerConfig>>;

/// The certificate that is served, and the files it came from.
pub struct Certificates {
    files: Files,
    /// Tells one state of the files from another; their contents are not kept.
    seen: [u8; 32],
    offered: watch::Sender<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads the files for the first time: here what is wrong with them is an error.
    pub fn open(files: Files) -> Result<Self, TlsError> {
        let pair = files.read()?;
        let offered = watch::Sender::new(files.server_config(&pair)?);
        let seen = fingerprint(&Ok(pair));
        Ok(Self { files, seen, offered })
    }

    /// What is served from now on.
    pub fn offered(&self) -> Offered {
        self.offered.subscribe()
    }

    /// Looks after the files until `stop`.
    pub async fn follow(mut self, stop: CancellationToken) {
        let pause = || stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY));
        while pause().await.is_some() {
            match self.look_again() {
                None => {}
                Some(Ok(())) => tracing::info!(cert = %self.files.cert.display(), "a new certificate serves"),
                Some(Err(error)) => {
                    tracing::warn!(%error, "the new certificate can't serve, and the one before stays");
                }
            }
        }
    }

    /// `None` while the files are as they were when they were last looked at.
    fn look_again(&mut self) -> Option<Result<(), TlsError>> {
        let read = self.files.read();
        let seen = fingerprint(&read);
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        let config = read.and_then(|pair| self.files.server_config(&pair));
        Some(config.map(|config| {
            self.offered.send_replace(config);
        }))
    }
}

fn fingerprint(read: &Result<Pair, TlsError>) -> [u8; 32] {
    match read {
        Ok(pair) => crypto::sha256(&[crypto::sha256(&pair.cert), crypto::sha256(&pair.key)].concat()),
        Err(error) => crypto::sha256(error.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with a certificate and its key.
    fn files() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let made = pair();
        fs::write(&files.cert, made.cert).unwrap();
        fs::write(&files.key, made.key).unwrap();
        (folder, files)
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Pair {
            cert: made.cert.pem().into(),
            key: made.signing_key.serialize_pem().into(),
        }
    }

    fn refusal(files: &Files) -> String {
        Certificates::open(files.clone()).err().unwrap().to_string()
    }

    #[test]
    fn one_of_the_two_is_none() {
        let (_folder, files) = files();
        let half = Config {
            cert: Some(files.cert),
            key: None,
        };
        let error = half.files().unwrap_err().to_string();
        assert_eq!(
            error,
            "web.tls.cert is set and web.tls.key is not: HTTPS needs both"
        );
        assert!(Config::default().files().unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_with_the_files_is_named() {
        let (_folder, files) = files();
        let (cert, key) = (fs::read(&files.cert).unwrap(), fs::read(&files.key).unwrap());
        fs::write(&files.key, pair().key).unwrap();
        assert!(
            refusal(&files).contains("is not the key of the certificate"),
            "{}",
            refusal(&files)
        );
        fs::write(&files.key, &cert).unwrap();
        assert!(
            refusal(&files).contains("key.pem holds no private key"),
            "{}",
            refusal(&files)
        );
        fs::remove_file(&files.key).unwrap();
        let missing = refusal(&files);
        assert!(
            missing.starts_with("web.tls.key: ") && missing.contains("key.pem can't be read"),
            "{missing}"
        );
        fs::write(&files.key, &key).unwrap();
        fs::write(&files.cert, "-----BEGIN nothing").unwrap();
        assert!(
            refusal(&files).contains("cert.pem holds no certificate"),
            "{}",
            refusal(&files)
        );
    }

    #[test]
    fn a_new_pair_serves_and_a_broken_one_is_reported_once_and_changes_nothing() {
        let (_folder, files) = files();
        let mut certificates = Certificates::open(files.clone()).unwrap();
        let mut offered = certificates.offered();
        assert!(certificates.look_again().is_none(), "nothing has changed");

        let new = pair();
        fs::write(&files.cert, &new.cert).unwrap();
        let broken = certificates.look_again().unwrap();
        assert!(matches!(broken, Err(TlsError::Mismatch { .. })), "{broken:?}");
        assert!(certificates.look_again().is_none(), "it was reported");
        assert!(!offered.has_changed().unwrap());

        fs::write(&files.key, &new.key).unwrap();
        assert!(matches!(certificates.look_again(), Some(Ok(()))));
        assert!(offered.has_changed().unwrap());

        offered.mark_unchanged();
        fs::remove_file(&files.cert).unwrap();
        assert!(matches!(
            certificates.look_again(),
            Some(Err(TlsError::Unreadable { .. }))
        ));
        assert!(certificates.look_again().is_none() && !offered.has_changed().unwrap());
    }
}
