//! The HTTP door: translates requests into calls of the modules below, and what they say into answers.
//!
//! [`routes::table`] lists every route with what it asks of its caller; the router is built from that list alone, so
//! no route can forget to ask. A request passes the layers of [`middleware`] (request id and metrics), then the route's
//! access check, then there must be room for its body ([`body`]), then its handler. Every failure is a problem+json
//! ([`error`]). In front of it all, [`server`] takes connections, [`tls`] has the certificate, and
//! [`client`] knows who is asking.

pub mod answer;
mod aside;
pub mod body;
pub mod budget;
pub mod client;
pub mod cors;
mod counted;
pub mod doc;
pub mod error;
pub mod extract;
mod given;
pub mod middleware;
pub mod object;
pub mod occasion;
pub mod openapi;
mod patient;
pub mod revising;
pub mod routes;
pub mod server;
pub mod state;
pub mod tls;
pub mod trace;

use std::net::SocketAddr;

use axum::Router;
use confique::Config as Confique;

pub use answer::Json;
pub use error::ApiError;
pub use state::{AppState, Health, Pulse, Services};

/// The section `web` of the configuration.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// Where to listen for HTTP. Port 0 takes a free one.
    #[config(default = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// HTTPS by this server itself.
    #[config(nested)]
    pub tls: tls::Config,
    /// Browsers on pages of other origins.
    #[config(nested)]
    pub cors: cors::Config,
    /// A proxy in front of this server terminates TLS: needed to listen beyond loopback without a certificate.
    #[config(default = false)]
    pub behind_proxy: bool,
    /// Proxies whose `X-Forwarded-For` says who the caller is, as networks or addresses: `["10.0.0.0/8", "::1"]`.
    /// Nobody else's is believed.
    #[config(default = [])]
    pub trusted_proxies: Vec<client::Network>,
    /// How many connections there may be at once; further ones wait until one ends. A process may have only so many
    /// files open as well (`ulimit -n`).
    #[config(default = 10000)]
    pub connections_max: usize,
    /// Whether whoever comes from this machine may read `/metrics`. Unset: yes, unless `behind_proxy` is set, for a
    /// proxy on this machine that adds neither `X-Forwarded-For`, `Forwarded`, `X-Real-IP` nor `Via` would open them to
    /// everybody.
    pub metrics_on_loopback: Option<bool>,
    /// The largest body of a caller with a credential, as it is sent and unpacked, in bytes.
    #[config(default = 10485760)]
    pub body_bytes_max: usize,
    /// Seconds that `?wait=indexed` waits before it answers 202.
    #[config(default = 10)]
    pub wait_indexed_seconds: u64,
    /// Whether reads, logins and changes of control state are recorded as events. Turned off only to measure what it
    /// costs: what is not recorded can't be made up later.
    #[config(default = true)]
    pub record_reads: bool,
    /// How many bytes of such records may wait on this instance's disk while the log is away; beyond them, reads are
    /// refused.
    #[config(default = 67108864)]
    pub reads_spool_bytes: u64,
}

impl Config {
    /// A sentence when this server can't be reached as it is meant to be, or by mistake without encryption.
    pub fn problem(&self) -> Option<String> {
        let encrypted = match self.tls.files() {
            Err(error) => return Some(error.to_string()),
            Ok(files) => files.is_some(),
        };
        if let Some(problem) = self.cors.problem() {
            return Some(problem);
        }
        (!self.listen.ip().is_loopback() && !encrypted && !self.behind_proxy).then(|| {
            format!(
                "web.listen is {}, which others can reach, and nothing encrypts it: set web.tls.cert and web.tls.key, or put a TLS proxy in front and say --behind-proxy, or listen on 127.0.0.1",
                self.listen
            )
        })
    }

    /// A sentence when this server works, and what it knows of its callers does not.
    pub fn warning(&self) -> Option<&'static str> {
        (self.behind_proxy && self.trusted_proxies.is_empty()).then_some(
            "web.behind_proxy is set and web.trusted_proxies names no proxy: all callers have the proxy's address, so one who guesses passwords keeps the others out",
        )
    }
}

/// The whole HTTP service.
pub fn router(state: AppState) -> Router {
    middleware::around(routes::router(&state), &state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_nobody_names_is_warned_of() {
        let mut config = Config::builder().load().unwrap();
        assert_eq!(config.warning(), None);
        config.behind_proxy = true;
        assert!(config.warning().unwrap().contains("web.trusted_proxies"));
        config.trusted_proxies = vec!["10.0.0.0/8".to_owned().try_into().unwrap()];
        assert_eq!(config.warning(), None);
    }

    #[test]
    fn listening_to_the_world_in_the_clear_must_be_meant() {
        let mut config = Config::builder().load().unwrap();
        assert_eq!(config.problem(), None);
        config.listen = "0.0.0.0:80".parse().unwrap();
        assert!(config.problem().unwrap().contains("--behind-proxy"));
        config.behind_proxy = true;
        assert_eq!(config.problem(), None);
        config.behind_proxy = false;
        config.tls.cert = Some("cert.pem".into());
        assert!(config.problem().unwrap().contains("web.tls.key is not"));
        config.tls.key = Some("key.pem".into());
        assert_eq!(config.problem(), None);
    }
}
