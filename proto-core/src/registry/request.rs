//! Decides how each request of ours is written and signed (PP-REG-16).
//! Refuses to know when it is sent and what its answer means.

use super::challenge;
use super::envelope::{self, Stamp};
use crate::crypto::{Identity, PublicKey};
use crate::ids::{NetworkId, NodeId};
use core::net::SocketAddr;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What an agent asks its registry. This node's number, the type and the signature are added by [`Request::to_json`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Become known, or tell a new endpoint. Same key, same node number.
    Register(Registration),
    /// Key, networks and hostname of a node.
    Lookup(NodeId),
    /// Endpoint of a node this one may reach.
    Resolve(NodeId),
    /// The node behind a hostname.
    ResolveHostname(String),
    /// Sign of life.
    Heartbeat,
    /// Leave.
    Deregister,
    /// Ask the registry to coordinate punching between this node and another.
    Punch(NodeId),
    /// Become public (`true`) or private.
    SetVisibility(bool),
    /// Claim a hostname; empty clears it.
    SetHostname(String),
    /// Replace this node's tags.
    SetTags(Vec<String>),
    /// Change to a new Ed25519 key; signed by the old one.
    RotateKey {
        /// The new public key.
        new_public_key: PublicKey,
    },
    /// This node trusts another.
    ReportTrust(NodeId),
    /// This node no longer trusts another.
    RevokeTrust(NodeId),
    /// Do this node and another trust each other, in the registry's view?
    CheckTrust(NodeId),
    /// Ask a node for trust, through its inbox.
    RequestHandshake {
        /// Who is asked.
        to: NodeId,
        /// Why, at most 1024 bytes.
        justification: String,
    },
    /// Collect what waits in this node's inbox.
    PollHandshakes,
    /// Answer a request for trust, through the asking node's inbox.
    RespondHandshake {
        /// Who asked.
        peer: NodeId,
        /// The answer.
        accept: bool,
    },
    /// All beacons.
    BeaconList,
    /// All networks.
    ListNetworks,
    /// Members of a network.
    ListNodes(NetworkId),
    /// Join a network.
    JoinNetwork {
        /// Which.
        network: NetworkId,
        /// Its token, empty when it is open.
        token: String,
    },
    /// Leave a network.
    LeaveNetwork(NetworkId),
    /// Invite a node into a network.
    InviteToNetwork {
        /// Which.
        network: NetworkId,
        /// Whom.
        target: NodeId,
    },
    /// Read this node's invitations.
    PollInvites,
    /// Answer an invitation.
    RespondInvite {
        /// Into which network.
        network: NetworkId,
        /// The answer.
        accept: bool,
    },
    /// Limits of a network.
    NetworkPolicy(NetworkId),
    /// Age and rotations of a node's key.
    KeyInfo(NodeId),
    /// Any other message, sent as it is and not signed.
    Raw(Value),
}

/// What a node tells about itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The endpoint others shall reach it at.
    pub listen_addr: SocketAddr,
    /// Addresses within its own network, told to peers behind the same public address.
    pub lan_addrs: Vec<SocketAddr>,
    /// The hostname to claim.
    pub hostname: Option<String>,
    /// The owner's e-mail.
    pub owner: Option<String>,
    /// Program name and version.
    pub version: String,
    /// The endpoint shall not be told to anyone.
    pub relay_only: bool,
}

impl Request {
    /// The message of the node `own`, signed with its `identity` where the registry wants it; with an [`envelope`] when
    /// there is a `stamp` for it.
    #[must_use]
    pub fn to_json(&self, own: NodeId, identity: &Identity, stamp: Option<Stamp>) -> Value {
        if let Self::Raw(message) = self {
            return message.clone();
        }
        let (mut message, challenge) = self.fields(own, identity);
        if let Some(fields) = message.as_object_mut() {
            fields.insert("type".into(), self.name().into());
            if let Some(challenge) = challenge {
                let signature = BASE64.encode(&identity.sign(challenge.as_bytes()));
                fields.insert("signature".into(), signature.into());
                if let Some(stamp) = stamp {
                    envelope::seal(fields, stamp, identity);
                }
            }
        }
        message
    }

    /// The message type; the type of a successful reply is this and `_ok`. Empty for [`Request::Raw`] without one.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Register(_) => "register",
            Self::Lookup(_) => "lookup",
            Self::Resolve(_) => "resolve",
            Self::ResolveHostname(_) => "resolve_hostname",
            Self::Heartbeat => "heartbeat",
            Self::Deregister => "deregister",
            Self::Punch(_) => "punch",
            Self::SetVisibility(_) => "set_visibility",
            Self::SetHostname(_) => "set_hostname",
            Self::SetTags(_) => "set_tags",
            Self::RotateKey { .. } => "rotate_key",
            Self::ReportTrust(_) => "report_trust",
            Self::RevokeTrust(_) => "revoke_trust",
            Self::CheckTrust(_) => "check_trust",
            Self::RequestHandshake { .. } => "request_handshake",
            Self::PollHandshakes => "poll_handshakes",
            Self::RespondHandshake { .. } => "respond_handshake",
            Self::BeaconList => "beacon_list",
            Self::ListNetworks => "list_networks",
            Self::ListNodes(_) => "list_nodes",
            Self::JoinNetwork { .. } => "join_network",
            Self::LeaveNetwork(_) => "leave_network",
            Self::InviteToNetwork { .. } => "invite_to_network",
            Self::PollInvites => "poll_invites",
            Self::RespondInvite { .. } => "respond_invite",
            Self::NetworkPolicy(_) => "get_network_policy",
            Self::KeyInfo(_) => "get_key_info",
            Self::Raw(message) => message.get("type").and_then(Value::as_str).unwrap_or(""),
        }
    }

    /// Sending it twice has the effect of sending it once, so it may be repeated after a lost connection.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        !matches!(self, Self::RotateKey { .. } | Self::Raw(_))
    }

    fn fields(&self, own: NodeId, identity: &Identity) -> Unsigned {
        let me = own.0;
        match self {
            Self::Register(registration) => register(registration, identity),
            Self::Lookup(node) | Self::KeyInfo(node) => unsigned(json!({"node_id": node.0})),
            Self::Resolve(node) => {
                signed(json!({"node_id": node.0, "requester_id": me}), challenge::resolve(own, *node))
            }
            Self::ResolveHostname(hostname) => {
                signed(json!({"hostname": hostname, "requester_id": me}), challenge::resolve_hostname(own))
            }
            Self::Heartbeat => signed(json!({"node_id": me}), challenge::heartbeat(own)),
            Self::Deregister => signed(json!({"node_id": me}), challenge::deregister(own)),
            Self::Punch(peer) => {
                signed(json!({"requester_id": me, "node_a": me, "node_b": peer.0}), challenge::punch(own, *peer))
            }
            Self::SetVisibility(public) => {
                signed(json!({"node_id": me, "public": public}), challenge::set_visibility(own))
            }
            Self::SetHostname(hostname) => {
                signed(json!({"node_id": me, "hostname": hostname}), challenge::set_hostname(own))
            }
            Self::SetTags(tags) => signed(json!({"node_id": me, "tags": tags}), challenge::set_tags(own)),
            Self::RotateKey { new_public_key } => {
                let key = new_public_key.to_string();
                signed(json!({"node_id": me, "new_public_key": key}), challenge::rotate_key(own, &key))
            }
            Self::ReportTrust(peer) => with_peer(me, *peer, Some(challenge::report_trust(own, *peer))),
            Self::RevokeTrust(peer) => with_peer(me, *peer, Some(challenge::revoke_trust(own, *peer))),
            Self::CheckTrust(peer) => with_peer(me, *peer, None),
            Self::RequestHandshake { to, justification } => signed(
                json!({"from_node_id": me, "to_node_id": to.0, "justification": justification}),
                challenge::request_handshake(own, *to),
            ),
            Self::PollHandshakes => signed(json!({"node_id": me}), challenge::poll_handshakes(own)),
            Self::RespondHandshake { peer, accept } => signed(
                json!({"node_id": me, "peer_id": peer.0, "accept": accept}),
                challenge::respond_handshake(own, *peer),
            ),
            Self::BeaconList | Self::ListNetworks => unsigned(json!({})),
            Self::ListNodes(network) | Self::NetworkPolicy(network) => unsigned(json!({"network_id": network.0})),
            Self::JoinNetwork { network, token } => signed(
                json!({"node_id": me, "network_id": network.0, "token": token, "inviter_id": 0}),
                challenge::join_network(own, *network),
            ),
            Self::LeaveNetwork(network) => {
                signed(json!({"node_id": me, "network_id": network.0}), challenge::leave_network(own, *network))
            }
            Self::InviteToNetwork { network, target } => signed(
                json!({"inviter_id": me, "network_id": network.0, "target_node_id": target.0}),
                challenge::invite_to_network(own, *network, *target),
            ),
            Self::PollInvites => signed(json!({"node_id": me}), challenge::poll_invites(own)),
            Self::RespondInvite { network, accept } => signed(
                json!({"node_id": me, "network_id": network.0, "accept": accept}),
                challenge::respond_invite(own, *network),
            ),
            Self::Raw(message) => unsigned(message.clone()),
        }
    }
}

/// A message without type and signature, and the string to sign.
type Unsigned = (Value, Option<String>);

fn signed(fields: Value, challenge: String) -> Unsigned {
    (fields, Some(challenge))
}

fn unsigned(fields: Value) -> Unsigned {
    (fields, None)
}

fn with_peer(me: u32, peer: NodeId, challenge: Option<String>) -> Unsigned {
    (json!({"node_id": me, "peer_id": peer.0}), challenge)
}

fn register(registration: &Registration, identity: &Identity) -> Unsigned {
    let listen_addr = registration.listen_addr.to_string();
    let public_key = identity.public().to_string();
    let challenge = challenge::register(&listen_addr, &public_key);
    let mut message = json!({"listen_addr": listen_addr, "public_key": public_key, "version": registration.version});
    if let Some(fields) = message.as_object_mut() {
        if !registration.lan_addrs.is_empty() {
            let addresses: Vec<String> = registration.lan_addrs.iter().map(SocketAddr::to_string).collect();
            fields.insert("lan_addrs".into(), addresses.into());
        }
        if let Some(hostname) = &registration.hostname {
            fields.insert("hostname".into(), hostname.as_str().into());
        }
        if let Some(owner) = &registration.owner {
            fields.insert("owner".into(), owner.as_str().into());
        }
        if registration.relay_only {
            fields.insert("relay_only".into(), true.into());
        }
    }
    (message, Some(challenge))
}
