//! Who is at the other end of a request: the caller's address, also where proxies stand between.
//!
//! A proxy says in `X-Forwarded-For` whom it speaks for, and so may anybody else: only what comes from the networks in
//! `web.trusted_proxies` is believed. This is the one place that decides it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, header};
use ipnet::IpNet;
use serde::Deserialize;

use super::{ApiError, AppState};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What they leave who pass a request on.
const PASSED_ON: [HeaderName; 4] = [
    FORWARDED_FOR,
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
];

/// Where trusted proxies are: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network
            .map(Self)
            .map_err(|_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
    }
}

/// The other end of the connection, which may be a proxy. Put into every request by [`super::server`].
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address, as far as trusted proxies tell it.
    pub address: IpAddr,
    /// Somebody says to have passed it on.
    forwarded: bool,
}

impl Client {
    /// The last address in `X-Forwarded-For` that no trusted proxy has: each proxy adds whom it heard from, so what
    /// stands before that one is only what the caller says of itself.
    fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let trusts = |address: &IpAddr| trusted.iter().any(|Network(network)| network.contains(address));
        let mut address = peer.to_canonical();
        // Several headers of this name are one list.
        let lists = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
        while trusts(&address) {
            // Where a hop is missing or is no address, the proxy that should have told is all that is known.
            let Some(hop) = hops.next().and_then(hop) else {
                break;
            };
            address = hop;
        }
        Self {
            address,
            forwarded: PASSED_ON.iter().any(|name| headers.contains_key(name)),
        }
    }

    /// Whether it is on this machine. Never so where a proxy, trusted or not, has passed the request on: the proxy may
    /// well be on this machine, and the caller anywhere.
    pub fn is_loopback(&self) -> bool {
        !self.forwarded && self.address.is_loopback()
    }

    /// Who sent `request`; `None` where the server did not say.
    pub fn of_request(state: &AppState, request: &Request) -> Option<Self> {
        Self::found(state, request.extensions(), request.headers())
    }

    fn found(state: &AppState, extensions: &Extensions, headers: &HeaderMap) -> Option<Self> {
        let Peer(peer) = extensions.get()?;
        Some(Self::of(peer.ip(), headers, &state.config.trusted_proxies))
    }
}

impl FromRequestParts<AppState> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Self::found(state, &parts.extensions, &parts.headers)
            .ok_or_else(|| ApiError::forbidden("The caller's address is not known."))
    }
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    address
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded_for: &[&'static str]) -> Client {
        let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"]
            .map(|network| Network::try_from(network.to_owned()).unwrap());
        let mut headers = HeaderMap::new();
        for list in forwarded_for {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(list));
        }
        Client::of(peer.parse().unwrap(), &headers, &trusted)
    }

    fn address(peer: &str, forwarded_for: &[&'static str]) -> String {
        client(peer, forwarded_for).address.to_string()
    }

    #[test]
    fn what_is_no_network_is_named() {
        let error = Network::try_from("proxy".to_owned()).unwrap_err();
        assert!(error.contains("\"proxy\" is neither"), "{error}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_the_caller_says_of_itself_does_not_count() {
        assert_eq!(address("10.0.0.1", &["127.0.0.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            address("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.9.9.9"]),
            "198.51.100.1"
        );
        assert_eq!(
            address("10.0.0.1", &["1.1.1.1", "198.51.100.1", "10.9.9.9"]),
            "198.51.100.1"
        );
    }

    #[test]
    fn what_is_no_address_ends_the_way_back() {
        assert_eq!(address("10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.1, , 10.0.0.2"]), "10.0.0.2");
        assert_eq!(address("10.0.0.1", &["10.0.0.7, 10.0.0.2"]), "10.0.0.7");
    }

    #[test]
    fn addresses_may_have_ports_and_brackets() {
        for (text, is) in [
            ("198.51.100.1:1234", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(address("fd00::1", &[text]), is, "{text}");
        }
    }

    #[test]
    fn what_was_passed_on_is_never_from_this_machine() {
        assert!(client("127.0.0.1", &[]).is_loopback());
        assert!(client("::ffff:127.0.0.1", &[]).is_loopback());
        assert!(!client("127.0.0.1", &["127.0.0.1"]).is_loopback());
        assert!(!client("127.0.0.1", &[""]).is_loopback());
        // `::1` is not among the trusted, and what it passes on is not its own all the same.
        assert!(!client("::1", &["198.51.100.1"]).is_loopback());
        for name in ["forwarded", "x-real-ip", "via"] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("127.0.0.1"));
            let passed_on = Client::of(IpAddr::from([127, 0, 0, 1]), &headers, &[]);
            assert!(!passed_on.is_loopback(), "{name}");
        }
    }
}
