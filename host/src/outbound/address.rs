//! Which addresses a plugin may reach. Refused is all that is not an ordinary address of the internet, and every form in which an IPv6
//! address carries an IPv4 one, so that no spelling of a refused address passes. `private` allows networks of the operator's own, and
//! nothing else; a metadata service, which hands out credentials to whoever asks, has to be named as an address. All IPv4 addresses of the
//! local link are taken for one: clouds have several there, and new ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of the internet.
    Public,
    /// Of this machine or of the operator's networks: allowed with `private`.
    Private(&'static str),
    /// The metadata service of a cloud: allowed with `private` and if the grant names this very address.
    Metadata,
    /// Never allowed.
    Unusable(&'static str),
}

/// Where clouds hand out credentials. Those outside of private networks are here, those inside must not pass for private.
const METADATA_V4: [Ipv4Addr; 2] = [
    // Alibaba.
    Ipv4Addr::new(100, 100, 100, 200),
    // Azure's WireServer, in public space.
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 5] = [
    // AWS, and its EKS.
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023),
    // Google.
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
    // Scaleway.
    Ipv6Addr::new(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042),
    // OpenStack.
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

pub(super) fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

/// The registry of special-purpose addresses (RFC 6890 and its updates).
fn kind_v4(address: Ipv4Addr) -> Kind {
    if METADATA_V4.contains(&address) {
        return Kind::Metadata;
    }
    match address.octets() {
        [0, ..] => Kind::Unusable("of this network"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private("private"),
        [100, 64..=127, ..] => Kind::Private("of a carrier's NAT"),
        [127, ..] => Kind::Private("loopback"),
        // AWS, Azure, Google, Oracle, Tencent and others.
        [169, 254, ..] => Kind::Metadata,
        [192, 0, 0, _] => Kind::Unusable("for protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Unusable("for documentation"),
        [192, 88, 99, _] => Kind::Unusable("of a 6to4 relay"),
        [198, 18..=19, ..] => Kind::Private("for benchmarks"),
        [224..=239, ..] => Kind::Unusable("multicast"),
        [240..=255, ..] => Kind::Unusable("reserved"),
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if METADATA_V6.contains(&address) {
        return Kind::Metadata;
    }
    if let Some((inner, what)) = embedded(address) {
        // It may lead wherever the address inside does; that that one is public does not make it ordinary.
        return match kind_v4(inner) {
            Kind::Public => Kind::Private(what),
            kind => kind,
        };
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Unusable("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Private("loopback"),
        [0xfc00..=0xfdff, ..] => Kind::Private("unique local"),
        [0xfe80..=0xfebf, ..] => Kind::Private("link-local"),
        [0xfec0..=0xfeff, ..] => Kind::Private("site-local"),
        [0xff00..=0xffff, ..] => Kind::Unusable("multicast"),
        [0x2001, 0..=0x01ff, ..] => Kind::Unusable("for protocols"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Unusable("for documentation"),
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Unusable("reserved"),
    }
}

/// The IPv4 address inside, and what the form is called.
fn embedded(address: Ipv6Addr) -> Option<(Ipv4Addr, &'static str)> {
    let joined = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // `::` and `::1` are of this form too, and mean something else.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, a, b] => Some((joined(a, b), "an IPv4 address in IPv6")),
        [0, 0, 0, 0, 0, 0xffff, a, b] => Some((joined(a, b), "an IPv4 address in IPv6")),
        [0, 0, 0, 0, 0xffff, 0, a, b] => Some((joined(a, b), "an IPv4 address in IPv6")),
        // The network's own prefix of NAT64 may put it elsewhere; with the whole /48 refused, the last 32 bits are as good as any.
        [0x0064, 0xff9b, 0, 0, 0, 0, a, b] | [0x0064, 0xff9b, 1, _, _, _, a, b] => Some((joined(a, b), "of a NAT64")),
        [0x2002, a, b, ..] => Some((joined(a, b), "of 6to4")),
        // The client's address is the last, with its bits turned over; the server's stands before it.
        [0x2001, 0, .., a, b] => Some((joined(!a, !b), "of Teredo")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn all(kind: fn(Kind) -> bool, addresses: &[&str]) {
        for text in addresses {
            let address = text.parse().unwrap_or_else(|_| panic!("{text}"));
            let found = super::kind(address);
            assert!(kind(found), "{text} is {found:?}");
        }
    }

    #[test]
    fn ordinary_addresses_of_the_internet_are_public() {
        let addresses = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "3ffe::1",
            "3fff:1000::1",
        ];
        all(|kind| kind == Kind::Public, &addresses);
    }

    #[test]
    fn addresses_of_this_machine_and_of_private_networks_need_the_operator_to_allow_them() {
        let addresses = [
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.0",
            "127.0.0.1",
            "127.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "::1",
            "fc00::",
            "fc00::1",
            "fdff:ffff::1",
            "fd00:ec2::253",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
        ];
        all(|kind| matches!(kind, Kind::Private(_)), &addresses);
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_is_never_public() {
        let public_inside = [
            "::8.8.8.8",
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "64:ff9b:1:ffff:1:2:808:808",
            "2002:808:808::1",
            "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
        ];
        all(|kind| matches!(kind, Kind::Private(_)), &public_inside);
        let private_inside = [
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::192.168.0.1",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:4136:e378:8000:63bf:80ff:fffe",
        ];
        all(|kind| matches!(kind, Kind::Private(_)), &private_inside);
    }

    #[test]
    fn metadata_services_are_known_in_every_form() {
        let addresses = [
            "169.254.0.0",
            "169.254.0.23",
            "169.254.169.254",
            "169.254.169.253",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.255.255",
            "::ffff:169.254.0.23",
            "64:ff9b::169.254.42.42",
            "2002:a9fe:2a2a::",
            "fd00:42::42",
            "fe80::a9fe:a9fe",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "2001:0:4136:e378:8000:63bf:5601:5601",
            "::ffff:0:169.254.169.254",
            "::ffff:100.100.100.200",
            "::ffff:168.63.129.16",
        ];
        all(|kind| kind == Kind::Metadata, &addresses);
    }

    #[test]
    fn what_no_server_has_is_never_allowed() {
        let addresses = [
            "0.0.0.0",
            "0.0.0.1",
            "0.255.255.255",
            "192.0.0.0",
            "192.0.0.8",
            "192.0.0.170",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::2",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
            "::ffff:255.255.255.255",
            "64:ff9b::0.0.0.0",
            "100::1",
            "100:0:0:1::1",
            "1::1",
            "2001:1::1",
            "2001:2::1",
            "2001:3::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:e000:1::",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fe00::1",
            "ff02::1",
            "ff0e::1",
            "ffff::1",
        ];
        all(|kind| matches!(kind, Kind::Unusable(_)), &addresses);
    }
}
