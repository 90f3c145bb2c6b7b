//! Kinds of transport address (RFC 8445 section 4), each its own type, so that none can stand for another.
//!
//! Decides what an address is (loopback, routable, on one of our links). Refuses to know whether it works or who uses it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a beacon saw: the outermost NAT's mapping of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reflexive(pub SocketAddr);

/// An address of an interface, with the port of the socket bound there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Local(pub SocketAddr);

/// A mapping the router granted on request (PCP, NAT-PMP, UPnP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mapped(pub SocketAddr);

/// Where a frame of the peer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerReflexive(pub SocketAddr);

/// The same address with an IPv4-mapped IPv6 address written as IPv4, so that one place has one name.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// How far an address reaches (RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Not a destination: unspecified, multicast, broadcast, reserved, or port 0.
    Nowhere,
    /// This host.
    Host,
    /// One link: 169.254/16, fe80::/10.
    Link,
    /// One site: RFC 1918, RFC 6598 (carrier NAT), fc00::/7.
    Site,
    /// Everywhere else, documentation ranges included: they are routed in closed networks only, and harm nobody.
    Global,
}

impl Reach {
    /// How far `address` reaches.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        match canonical(address).ip() {
            _ if address.port() == 0 => Self::Nowhere,
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [first, second, ..] = ip.octets();
        match (first, second) {
            (0 | 224.., _) => Self::Nowhere,
            (127, _) => Self::Host,
            (169, 254) => Self::Link,
            (10, _) | (192, 168) | (172, 16..=31) | (100, 64..=127) => Self::Site,
            _ => Self::Global,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        if ip.is_unspecified() || ip.is_multicast() {
            Self::Nowhere
        } else if ip.is_loopback() {
            Self::Host
        } else if ip.is_unicast_link_local() {
            Self::Link
        } else if ip.is_unique_local() {
            Self::Site
        } else {
            Self::Global
        }
    }
}

/// Both lie in one /24 (IPv4) or /64 (IPv6) network (PP-NAT-11).
#[must_use]
pub fn same_network(a: IpAddr, b: IpAddr) -> bool {
    match (a.to_canonical(), b.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits() >> 8 == b.to_bits() >> 8,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() >> 64 == b.to_bits() >> 64,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_of_every_kind() {
        for (text, reach) in [
            ("1.2.3.4:0", Reach::Nowhere),
            ("0.0.0.0:1", Reach::Nowhere),
            ("224.0.0.1:1", Reach::Nowhere),
            ("255.255.255.255:1", Reach::Nowhere),
            ("[ff02::1]:1", Reach::Nowhere),
            ("[::]:1", Reach::Nowhere),
            ("127.0.0.2:1", Reach::Host),
            ("[::1]:1", Reach::Host),
            ("[::ffff:127.0.0.1]:1", Reach::Host),
            ("169.254.1.1:1", Reach::Link),
            ("[fe80::1]:1", Reach::Link),
            ("172.31.0.1:1", Reach::Site),
            ("100.64.0.1:1", Reach::Site),
            ("[fd00::1]:1", Reach::Site),
            ("172.32.0.1:1", Reach::Global),
            ("203.0.113.9:1", Reach::Global),
            ("[2001:db8::1]:1", Reach::Global),
        ] {
            assert_eq!(Reach::of(text.parse().unwrap()), reach, "{text}");
        }
    }

    #[test]
    fn networks_are_compared_by_prefix() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(same_network(ip("192.168.1.2"), ip("192.168.1.250")));
        assert!(same_network(ip("192.168.1.2"), ip("::ffff:192.168.1.3")));
        assert!(!same_network(ip("192.168.1.2"), ip("192.168.2.2")));
        assert!(same_network(ip("2001:db8::1"), ip("2001:db8::ffff:1")));
        assert!(!same_network(ip("2001:db8::1"), ip("2001:db8:0:1::1")));
    }
}
