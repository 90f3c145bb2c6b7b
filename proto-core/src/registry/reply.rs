//! Decides what a registry reply says (PP-REG-4). Refuses to act on it.
//!
//! Keys that are not known are ignored, so are values of the wrong type in optional keys; numbers that cannot be
//! what they claim make the whole reply invalid. A registry is not trusted to be well-behaved: lists are cut.

use crate::crypto::PublicKey;
use crate::ids::{NetworkId, NodeId};
use crate::limits::{
    MAX_ANSWERS_PER_POLL, MAX_HANDSHAKES_PER_POLL, MAX_HOSTNAME, MAX_LAN_ADDRESSES, MAX_NETWORKS_PER_NODE,
};
use core::net::SocketAddr;
use serde_json::Value;

/// The error of a failed request, in the registry's words. A reply without a type is a failure too.
#[must_use]
pub fn refusal(reply: &Value) -> Option<&str> {
    match text(reply, "error") {
        Some("") | None if text(reply, "type").is_some() => None,
        Some("") | None => Some("the reply has no type"),
        error => error,
    }
}

/// The registry's time of day, Unix seconds: told with a refusal of a request whose envelope is out of time.
pub(super) fn told_time(reply: &Value) -> Option<u64> {
    reply.get("time").and_then(Value::as_u64)
}

/// Answer to `register`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The number this key has.
    pub node: NodeId,
    /// The hostname it holds.
    pub hostname: Option<String>,
    /// Why the wanted hostname was refused.
    pub hostname_error: Option<String>,
    /// The endpoint the registry stored.
    pub observed: Option<SocketAddr>,
}

impl Registered {
    /// Reads the reply; `None` when there is no usable node number.
    #[must_use]
    pub fn parse(reply: &Value) -> Option<Self> {
        Some(Self {
            node: node(reply, "node_id")?,
            hostname: hostname(reply),
            hostname_error: owned(reply, "hostname_error"),
            observed: reply.get("observed_addr").and_then(socket),
        })
    }
}

/// Answer to `lookup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The node.
    pub node: NodeId,
    /// Its address, as text.
    pub address: String,
    /// Its Ed25519 key; `None` for nodes registered without one.
    pub public_key: Option<PublicKey>,
    /// Everyone may reach it.
    pub public: bool,
    /// Networks it is in, the backbone included.
    pub networks: Vec<NetworkId>,
    /// Its hostname.
    pub hostname: Option<String>,
    /// Its program name and version, as it told the registry.
    pub version: Option<String>,
    /// It is reached through the relay only.
    pub relay_only: bool,
}

impl Lookup {
    /// Reads the reply; `None` when there is no usable node number.
    #[must_use]
    pub fn parse(reply: &Value) -> Option<Self> {
        let networks = list(reply, "networks").filter_map(Value::as_u64).filter_map(|id| u16::try_from(id).ok());
        Some(Self {
            node: node(reply, "node_id")?,
            address: owned(reply, "address").unwrap_or_default(),
            public_key: text(reply, "public_key").and_then(|key| key.parse().ok()),
            public: flag(reply, "public"),
            networks: networks.map(NetworkId).take(MAX_NETWORKS_PER_NODE).collect(),
            hostname: hostname(reply),
            version: owned(reply, "version"),
            relay_only: flag(reply, "relay_only"),
        })
    }
}

/// Answer to `resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The node.
    pub node: NodeId,
    /// Its endpoint; the beacon's when [`Resolved::relay_only`]. `None` when it is not an IP address and port.
    pub real_addr: Option<SocketAddr>,
    /// Its addresses within its own network.
    pub lan_addrs: Vec<SocketAddr>,
    /// It is reached through the relay only.
    pub relay_only: bool,
}

impl Resolved {
    /// Reads the reply; `None` when there is no usable node number.
    #[must_use]
    pub fn parse(reply: &Value) -> Option<Self> {
        Some(Self {
            node: node(reply, "node_id")?,
            real_addr: reply.get("real_addr").and_then(socket),
            lan_addrs: list(reply, "lan_addrs").filter_map(socket).take(MAX_LAN_ADDRESSES).collect(),
            relay_only: flag(reply, "relay_only"),
        })
    }
}

/// Answer to `resolve_hostname`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostnameReply {
    /// The node that holds the name.
    pub node: NodeId,
    /// The name.
    pub hostname: String,
    /// Everyone may reach it.
    pub public: bool,
}

impl HostnameReply {
    /// Reads the reply; `None` when there is no usable node number.
    #[must_use]
    pub fn parse(reply: &Value) -> Option<Self> {
        Some(Self {
            node: node(reply, "node_id")?,
            hostname: hostname(reply).unwrap_or_default(),
            public: flag(reply, "public"),
        })
    }
}

/// Answer to `poll_handshakes`: what waited in this node's inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    /// Nodes that ask for trust.
    pub requests: Vec<HandshakeRequest>,
    /// Answers to what this node asked.
    pub responses: Vec<HandshakeResponse>,
}

/// A relayed request for trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeRequest {
    /// Who asks, as the registry says.
    pub from: NodeId,
    /// What it says; untrusted text of any length up to a message.
    pub justification: String,
}

/// A relayed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeResponse {
    /// Who answers, as the registry says.
    pub from: NodeId,
    /// Yes or no.
    pub accept: bool,
}

impl Handshakes {
    /// Reads the reply; entries without a usable node number are left out.
    #[must_use]
    pub fn parse(reply: &Value) -> Self {
        let request = |entry: &Value| {
            let justification = owned(entry, "justification").unwrap_or_default();
            Some(HandshakeRequest { from: node(entry, "from_node_id")?, justification })
        };
        let response = |entry: &Value| {
            Some(HandshakeResponse { from: node(entry, "from_node_id")?, accept: flag(entry, "accept") })
        };
        Self {
            requests: list(reply, "requests").filter_map(request).take(MAX_HANDSHAKES_PER_POLL).collect(),
            responses: list(reply, "responses").filter_map(response).take(MAX_ANSWERS_PER_POLL).collect(),
        }
    }

    /// Nothing waited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.responses.is_empty()
    }
}

/// A node number of a reply: neither unassigned nor beyond 32 bits.
fn node(reply: &Value, name: &str) -> Option<NodeId> {
    let number = reply.get(name)?.as_u64().and_then(|id| u32::try_from(id).ok())?;
    Some(NodeId(number)).filter(|node| *node != NodeId::UNASSIGNED && *node != NodeId::BROADCAST)
}

fn text<'a>(reply: &'a Value, name: &str) -> Option<&'a str> {
    reply.get(name)?.as_str()
}

fn owned(reply: &Value, name: &str) -> Option<String> {
    text(reply, name).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// A name that can be one: it is kept for each peer, and shown on terminals.
fn hostname(reply: &Value) -> Option<String> {
    owned(reply, "hostname").filter(|name| name.len() <= MAX_HOSTNAME && !name.chars().any(char::is_control))
}

fn flag(reply: &Value, name: &str) -> bool {
    reply.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn list<'a>(reply: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    reply.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn socket(value: &Value) -> Option<SocketAddr> {
    value.as_str()?.parse().ok()
}
