//! Decides what is durable and under which key a store keeps it. Refuses to know stores.

use super::keys::{SecretHash, as_hash, as_text};
use proto_core::crypto::PublicKey;
use proto_core::{NetworkId, NodeId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One durable fact as it is now. Each says the whole of what stands under its [`Change::key`], so the last one of a
/// key wins, and [`super::Registry::restore`] rebuilds the state from them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A node and all that is durable about it.
    Node(NodeRecord),
    /// `from` trusts `to`, or no longer does. Two such halves make a pair.
    Trust {
        /// Who trusts.
        from: u32,
        /// Who is trusted.
        to: u32,
        /// Whether it holds.
        holds: bool,
    },
    /// A network without its members.
    Network(NetworkRecord),
    /// A network is gone; its id is never given again.
    NetworkRemoved(u16),
    /// A node is in a network, with this role, or no longer is.
    Member {
        /// The network.
        network: u16,
        /// The node.
        node: u32,
        /// Its role; `None` when it left.
        role: Option<Role>,
        /// What the network's owner calls it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
    },
    /// Something waits in a node's inbox, or was collected.
    Mail {
        /// Whose inbox.
        to: u32,
        /// From whom.
        from: u32,
        /// A request or an answer; `None` with its kind in `answer` means collected.
        letter: Option<Letter>,
        /// Which of the two boxes.
        answer: bool,
    },
    /// The next network id to give. That of nodes follows from the nodes, which are never removed.
    NextNetwork(u32),
}

/// What is durable about a node. Endpoints and liveness are not (architecture section 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id, never given to another key unless it rotates.
    pub id: u32,
    /// Its key.
    #[serde(with = "as_text")]
    pub public_key: PublicKey,
    /// Its unique name.
    pub hostname: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Anybody may resolve it.
    pub public: bool,
    /// It says that it executes tasks (versions up to 1.9.1).
    pub task_exec: bool,
    /// E-mail of whoever runs it. Never a means of identification.
    pub owner: Option<String>,
    /// Program version, as told.
    pub version: Option<String>,
    /// It once registered with a signature, so unsigned registrations are refused from then on.
    pub signed: bool,
    /// It once signed with an envelope, so signatures without one are refused from then on.
    #[serde(default)]
    pub enveloped: bool,
    /// It said goodbye; its id waits for its key to come back.
    pub deregistered: bool,
    /// When the first key was registered, Unix seconds.
    pub key_created: u64,
    /// When the key last changed, Unix seconds.
    pub key_rotated: Option<u64>,
    /// How often the key changed.
    pub rotations: u32,
}

/// What is durable about a network, besides its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Its id.
    pub id: u16,
    /// Its unique name.
    pub name: String,
    /// Who may join.
    pub join_rule: JoinRule,
    /// What must be shown to join by token. Older versions kept the token itself, which is read as well.
    #[serde(with = "as_hash")]
    pub token: Option<SecretHash>,
    /// What serves for this network as the administrator's token does for all.
    #[serde(with = "as_hash", default)]
    pub admin_token: Option<SecretHash>,
    /// How members choose their peers; means nothing to the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Value>,
    /// Whom members admit; means nothing to the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr_policy: Option<Value>,
    /// When it was created, Unix seconds.
    pub created: u64,
}

/// Who may join a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinRule {
    /// Anybody.
    Open,
    /// Whoever shows the token.
    Token,
}

/// A member's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Created it.
    Owner,
    /// Joined it.
    Member,
}

/// A relayed handshake message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Why trust is asked for; empty in an answer.
    pub justification: String,
    /// The answer; meaningless in a request.
    pub accept: bool,
    /// When it came, Unix seconds.
    pub timestamp: u64,
}

impl Change {
    /// The key a store keeps this fact under.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Node(node) => format!("node/{}", node.id),
            Self::Trust { from, to, .. } => format!("trust/{from}/{to}"),
            Self::Network(NetworkRecord { id, .. }) | Self::NetworkRemoved(id) => format!("network/{id}"),
            Self::Member { network, node, .. } => format!("member/{network}/{node}"),
            Self::Mail { to, from, answer: false, .. } => format!("request/{to}/{from}"),
            Self::Mail { to, from, answer: true, .. } => format!("answer/{to}/{from}"),
            Self::NextNetwork(_) => "next_network".to_owned(),
        }
    }

    /// What a store keeps under [`Change::key`]; `None` removes it.
    #[must_use]
    pub fn value(&self) -> Option<Vec<u8>> {
        let removed = match self {
            Self::Trust { holds, .. } => !holds,
            Self::NetworkRemoved(_) => true,
            Self::Member { role, .. } => role.is_none(),
            Self::Mail { letter, .. } => letter.is_none(),
            Self::Node(_) | Self::Network(_) | Self::NextNetwork(_) => false,
        };
        if removed { None } else { serde_json::to_vec(self).ok() }
    }

    /// The fact in a stored value, `None` if it is not one.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    pub(super) const fn trust(from: NodeId, to: NodeId, holds: bool) -> Self {
        Self::Trust { from: from.0, to: to.0, holds }
    }

    pub(super) const fn member(network: NetworkId, node: NodeId, role: Option<Role>) -> Self {
        Self::tagged_member(network, node, role, Vec::new())
    }

    pub(super) const fn tagged_member(network: NetworkId, node: NodeId, role: Option<Role>, tags: Vec<String>) -> Self {
        Self::Member { network: network.0, node: node.0, role, tags }
    }

    pub(super) const fn request(to: NodeId, from: NodeId, letter: Option<Letter>) -> Self {
        Self::Mail { to: to.0, from: from.0, letter, answer: false }
    }

    pub(super) const fn answer(to: NodeId, from: NodeId, letter: Option<Letter>) -> Self {
        Self::Mail { to: to.0, from: from.0, letter, answer: true }
    }
}
