//! Decides which addresses of this host say where it is: to peers on the same network, and to itself (a host whose own
//! address is what the world sees has no NAT). Refuses to know whether a peer can reach them, and whom to tell.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Candidates told at most: a host with many container bridges must not fill its peers' tables.
pub const MAX_CANDIDATES: usize = 16;

/// The host's addresses with the port of `bound`, where the socket is bound.
///
/// Unicast IPv4; unique-local and global IPv6. Never loopback, unless the socket is bound to it. A socket bound to one address offers
/// only that one, a loopback one included: who binds so wants it.
///
/// # Errors
///
/// When the system does not tell its interfaces.
pub fn candidates(bound: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    if !bound.ip().is_unspecified() {
        return Ok(vec![bound]);
    }
    let addresses = if_addrs::get_if_addrs()?;
    let all = addresses.into_iter().filter(|interface| !interface.is_loopback()).map(|interface| interface.ip());
    Ok(select(all, bound))
}

fn select(addresses: impl Iterator<Item = IpAddr>, bound: SocketAddr) -> Vec<SocketAddr> {
    let mut chosen: Vec<SocketAddr> = addresses
        .filter(|ip| is_candidate(*ip) && (bound.is_ipv6() || ip.is_ipv4()))
        .map(|ip| SocketAddr::new(ip, bound.port()))
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.truncate(MAX_CANDIDATES);
    chosen
}

fn is_candidate(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => is_unique_local(v6) || is_global(v6),
    }
}

/// fc00::/7 (RFC 4193).
fn is_unique_local(v6: Ipv6Addr) -> bool {
    let [first, ..] = v6.segments();
    first & 0xFE00 == 0xFC00
}

/// 2000::/3, what IANA has given out for global unicast.
fn is_global(v6: Ipv6Addr) -> bool {
    let [first, ..] = v6.segments();
    first & 0xE000 == 0x2000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(addresses: &[&str], bound: &str) -> Vec<String> {
        let all = addresses.iter().map(|text| text.parse().unwrap());
        select(all, bound.parse().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn own_addresses_are_told_once_and_without_loopback() {
        let all = ["8.8.8.8", "192.168.1.5", "169.254.3.4", "100.64.0.9", "127.0.0.1", "192.168.1.5", "fe80::1"];
        assert_eq!(chosen(&all, "0.0.0.0:9"), ["8.8.8.8:9", "100.64.0.9:9", "169.254.3.4:9", "192.168.1.5:9"]);
    }

    #[test]
    fn ipv6_is_offered_only_by_a_socket_that_has_it() {
        let all = ["10.0.0.1", "fd00::5", "2001:db8::7", "fe80::1", "::1"];
        assert_eq!(chosen(&all, "[::]:9"), ["10.0.0.1:9", "[2001:db8::7]:9", "[fd00::5]:9"]);
        assert_eq!(chosen(&all, "0.0.0.0:9"), ["10.0.0.1:9"]);
    }

    #[test]
    fn a_bound_address_is_the_only_candidate() {
        let bound = "127.0.0.1:77".parse().unwrap();
        assert_eq!(candidates(bound).unwrap(), [bound]);
        let many: Vec<String> = (0..100).map(|i| format!("10.0.0.{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(chosen(&many, "0.0.0.0:9").len(), MAX_CANDIDATES);
    }
}
