//! Networks as ranges of what the column `ip` holds: all addresses as IPv6, and `::` where an event has none.

use std::net::Ipv6Addr;

use ipnet::IpNet;

use crate::store::row::address;

/// The first and the last value of an address in the network; `None`: of no address. `::`, the unspecified address, is
/// in no network, since the column can't tell it from none: what lies before `::1` begins there, and may be empty.
pub(super) fn ends(network: Option<&IpNet>) -> (Ipv6Addr, Ipv6Addr) {
    match network {
        None => (Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
        Some(network) => (
            address(Some(network.network())).max(Ipv6Addr::LOCALHOST),
            address(Some(network.broadcast())),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_in_no_network() {
        let of = |text: &str| ends(Some(&text.parse().unwrap()));
        let at = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        assert_eq!(ends(None), (at("::"), at("::")));
        assert_eq!(of("::/0").0, at("::1"));
        assert_eq!(of("::/127"), (at("::1"), at("::1")));
        let (first, last) = of("::/128");
        assert!(first > last);
        assert_eq!(of("0.0.0.0/32"), (at("::ffff:0.0.0.0"), at("::ffff:0.0.0.0")));
    }
}
