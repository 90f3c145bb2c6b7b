//! Decides which names, tags and addresses the registry takes (PP-REG-18).

use crate::limits::{MAX_ADDRESS_BYTES, MAX_LAN_ADDRESSES, MAX_TAGS};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Names that would be mistaken for something else.
const RESERVED: [&str; 3] = ["localhost", "backbone", "broadcast"];

/// A hostname or a network's name: a DNS label in lower case, not reserved.
pub(crate) fn is_name(text: &str) -> bool {
    //= spec/registry.md#pp-reg-18
    //# A hostname is 1 to 63 of a-z, 0-9 and hyphen, not a hyphen at either end, not localhost, backbone or broadcast.
    is_label(text, 63) && !RESERVED.contains(&text)
}

/// `tags` without leading `#` and duplicates, in the order given; `None` when one is malformed or there are too many.
pub(crate) fn tags<'a>(tags: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for tag in tags {
        let tag = tag.strip_prefix('#').unwrap_or(tag);
        if !is_label(tag, 32) {
            return None;
        }
        if !kept.iter().any(|known| known == tag) {
            kept.push(tag.to_owned());
        }
    }
    (kept.len() <= MAX_TAGS).then_some(kept)
}

fn is_label(text: &str, longest: usize) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// The endpoint to store for a node that says it listens at `claimed` and was seen at `source`: its own word where
/// that is a public address or a name, else the address it was seen at with its port. `None` for text that is neither.
pub(crate) fn endpoint(claimed: &str, source: IpAddr) -> Option<String> {
    if claimed.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    let (host, port) = claimed.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(ip) if is_public(ip) => Some(SocketAddr::new(ip.to_canonical(), port).to_string()),
        Err(_) if !host.is_empty() && host != "localhost" => is_dns_name(host).then(|| format!("{host}:{port}")),
        Ok(_) | Err(_) => Some(SocketAddr::new(source.to_canonical(), port).to_string()),
    }
}

/// The private addresses among `claimed`, at most [`MAX_LAN_ADDRESSES`]: a public one could only point at a stranger.
pub(crate) fn lan_addresses<'a>(claimed: impl Iterator<Item = &'a str>) -> Vec<String> {
    claimed
        .filter_map(|text| text.parse::<SocketAddr>().ok())
        .filter(|address| !is_public(address.ip()) && !address.ip().is_loopback() && !address.ip().is_unspecified())
        .take(MAX_LAN_ADDRESSES)
        .map(|address| address.to_string())
        .collect()
}

/// `host:port`, an address or a name, as a beacon announces itself.
pub(crate) fn is_service_address(text: &str) -> bool {
    text.len() <= MAX_ADDRESS_BYTES && endpoint(text, IpAddr::V4(Ipv4Addr::UNSPECIFIED)).is_some()
}

fn is_dns_name(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        && host.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Reachable from anywhere, as far as the address tells: not private, loopback, link-local, wildcard or multicast.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = matches!(ip.octets(), [100, second, ..] if second & 0xC0 == 64);
            let local = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared;
            let many = ip.is_multicast() || ip.is_broadcast();
            !(local || many)
        }
        IpAddr::V6(ip) => {
            let local = ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified();
            !(local || ip.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/registry.md#pp-reg-18
    //= type=test
    //# A hostname is 1 to 63 of a-z, 0-9 and hyphen, not a hyphen at either end, not localhost, backbone or broadcast.
    #[test]
    fn names_and_tags() {
        for good in ["a", "agent-a", "0", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "localhost", "backbone", "broadcast", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(tags(["#gpu", "gpu", "eu"].into_iter()), Some(vec!["gpu".to_owned(), "eu".to_owned()]));
        assert_eq!(tags(["No"].into_iter()), None);
        let eleven: Vec<String> = (0..11).map(|n| format!("t{n}")).collect();
        assert_eq!(tags(eleven.iter().map(String::as_str)), None);
    }

    #[test]
    fn a_private_claim_takes_the_source_and_a_public_one_is_kept() {
        let source = IpAddr::from([198, 51, 100, 7]);
        let stored = |claimed| endpoint(claimed, source);
        for private in ["[::1]:4000", "127.0.0.1:4000", "0.0.0.0:4000", ":4000", "192.168.1.4:4000", "100.64.0.1:4000"]
        {
            assert_eq!(stored(private).as_deref(), Some("198.51.100.7:4000"), "{private}");
        }
        assert_eq!(stored("203.0.113.9:5000").as_deref(), Some("203.0.113.9:5000"));
        assert_eq!(stored("node.example.com:5000").as_deref(), Some("node.example.com:5000"));
        for nonsense in ["", "x", "203.0.113.9", "203.0.113.9:70000", "a b:1", "300.1.1.1:1"] {
            assert_eq!(stored(nonsense), None, "{nonsense}");
        }
    }
}
