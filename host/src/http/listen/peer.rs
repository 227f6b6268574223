//! Whoever is at the other end of a connection, as the handler of a request sees it.
//! Invariant: addresses that one host can have at will are one peer.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::activity::Activity;

/// The other end of a request's connection.
pub(in crate::http) struct Peer {
    /// Where it is.
    pub(in crate::http) network: IpAddr,
    pub(super) activity: Arc<Activity>,
    /// Names the request among those of its connection.
    pub(super) request: u64,
}

impl Peer {
    /// Says that the request is being worked on: its connection is not closed to make room for another one.
    pub(in crate::http) fn let_in(&self) {
        self.activity.let_in(self.request);
    }
}

/// What counts as one peer: an address of IPv4, or a network of 64 bits of IPv6, because one host has all of it.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_of_ipv6_is_one_peer_and_one_address_of_ipv4() {
        let of = |address: &str| network(address.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
