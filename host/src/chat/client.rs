//! Who a request is from, as far as fairness goes: whoever has the key, or without keys whoever has the address.
//! What one client takes of the server is set against what the others have.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// One of those between whom the server is shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The name of the key that was used.
    Key(Arc<str>),
    /// Where a request without a key came from; of IPv6 the network of 64 bits, because one host has all of it.
    Address(IpAddr),
    /// The server's own work.
    Host,
}

impl Client {
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_of_ipv6_is_one_client_and_one_address_of_ipv4() {
        let at = |address: &str| Client::at(address.parse().expect("an address"));
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }
}
