//! Decides what a person may write to name a peer: an address, a node number or a hostname.
//! Refuses to know whether such a peer exists.

use core::fmt;
use core::str::FromStr;
use proto_core::ids::NodeId;
use proto_core::wire::Address;

/// Characters of a hostname at most (RFC 1123 label).
const MAX_HOSTNAME: usize = 63;

/// A peer, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `0:0000.0000.000B`.
    Address(Address),
    /// `11`.
    Node(NodeId),
    /// `agent-b`.
    Hostname(String),
}

/// A text that is neither an address nor a number nor a hostname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError;

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a peer is an address (0:0000.0000.000B), a node number (11) or a hostname (1 to 63 letters a-z, digits and hyphens)",
        )
    }
}

impl core::error::Error for TargetError {}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(|number| Self::Node(NodeId(number))).map_err(|_| TargetError);
        }
        let name = text.to_ascii_lowercase();
        if is_hostname(&name) { Ok(Self::Hostname(name)) } else { Err(TargetError) }
    }
}

fn is_hostname(name: &str) -> bool {
    (1..=MAX_HOSTNAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Node(node) => node.fmt(f),
            Self::Hostname(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_name_a_peer() {
        assert_eq!("0:0000.0000.000B".parse(), Ok(Target::Address(Address::backbone(NodeId(11)))));
        assert_eq!("11".parse(), Ok(Target::Node(NodeId(11))));
        assert_eq!("Agent-B".parse(), Ok(Target::Hostname("agent-b".to_owned())));
        assert_eq!("agent-b".parse::<Target>().map(|target| target.to_string()), Ok("agent-b".to_owned()));
    }

    #[test]
    fn other_texts_name_nobody() {
        let long = "a".repeat(64);
        for text in ["", "-a", "a-", "a b", "0:0001.0000.000B", "4294967296", "a.b", &long] {
            assert_eq!(text.parse::<Target>(), Err(TargetError), "{text}");
        }
    }
}
