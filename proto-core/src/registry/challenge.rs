//! Decides which string each registry request signs (PP-REG-16); client and server share it.
//! Refuses to know keys, signatures and the rest of a request.
//!
//! The strings are the reference's, flaws included: they carry no time and mostly no value, so a server must not
//! take a valid signature alone as proof of intent.

use crate::ids::{NetworkId, NodeId};

/// Registration of `public_key` (base64 as sent) at `listen_addr` (as sent): the proof of possession.
#[must_use]
pub fn register(listen_addr: &str, public_key: &str) -> String {
    format!("register:{listen_addr}:{public_key}")
}

/// A node's sign of life.
#[must_use]
pub fn heartbeat(node: NodeId) -> String {
    format!("heartbeat:{node}")
}

/// `requester` wants the endpoint of `target`.
#[must_use]
pub fn resolve(requester: NodeId, target: NodeId) -> String {
    format!("resolve:{requester}:{target}")
}

/// `requester` wants the node behind a hostname; checked in strict-directory mode only, elsewhere harmless.
#[must_use]
pub fn resolve_hostname(requester: NodeId) -> String {
    format!("resolve_hostname:{requester}")
}

/// A node collects its handshake inbox.
#[must_use]
pub fn poll_handshakes(node: NodeId) -> String {
    format!("poll_handshakes:{node}")
}

/// `from` asks `to` for trust. The same string signs every message on port 444 (PP-TRUST-3).
#[must_use]
pub fn request_handshake(from: NodeId, to: NodeId) -> String {
    crate::wire::trust::signed_string(from, to)
}

/// `node` answers the request of `peer`; whether yes or no is not signed.
#[must_use]
pub fn respond_handshake(node: NodeId, peer: NodeId) -> String {
    format!("respond:{node}:{peer}")
}

/// `node` says that it trusts `peer`.
#[must_use]
pub fn report_trust(node: NodeId, peer: NodeId) -> String {
    format!("report_trust:{node}:{peer}")
}

/// `node` says that it no longer trusts `peer`.
#[must_use]
pub fn revoke_trust(node: NodeId, peer: NodeId) -> String {
    format!("revoke_trust:{node}:{peer}")
}

/// `requester` asks whether two nodes trust each other; checked in strict-directory mode only.
#[must_use]
pub fn check_trust(node: NodeId, peer: NodeId) -> String {
    format!("check_trust:{node}:{peer}")
}

/// A node becomes public or private; which is not signed.
#[must_use]
pub fn set_visibility(node: NodeId) -> String {
    format!("set_visibility:{node}")
}

/// A node claims or clears its hostname; the name is not signed.
#[must_use]
pub fn set_hostname(node: NodeId) -> String {
    format!("set_hostname:{node}")
}

/// A node sets its tags; the tags are not signed.
#[must_use]
pub fn set_tags(node: NodeId) -> String {
    format!("set_tags:{node}")
}

/// A node says whether it executes tasks (versions up to 1.9.1).
#[must_use]
pub fn set_task_exec(node: NodeId) -> String {
    format!("set_task_exec:{node}")
}

/// A node limits the life of its key; the time is not signed.
#[must_use]
pub fn set_key_expiry(node: NodeId) -> String {
    format!("set_key_expiry:{node}")
}

/// A node leaves the registry.
#[must_use]
pub fn deregister(node: NodeId) -> String {
    format!("deregister:{node}")
}

/// A node changes to `new_public_key` (base64 as sent); signed by the old key.
#[must_use]
pub fn rotate_key(node: NodeId, new_public_key: &str) -> String {
    format!("rotate:{node}:{new_public_key}")
}

/// The unbound form of [`rotate_key`] of versions before 1.9.1: whoever saw it once can rotate to any key.
#[must_use]
pub fn rotate_key_unbound(node: NodeId) -> String {
    format!("rotate:{node}")
}

/// Punching between two nodes, asked for by one of them.
#[must_use]
pub fn punch(node_a: NodeId, node_b: NodeId) -> String {
    format!("punch:{node_a}:{node_b}")
}

/// A node joins a network; the token is not signed.
#[must_use]
pub fn join_network(node: NodeId, network: NetworkId) -> String {
    format!("join_network:{node}:{network}")
}

/// A node leaves a network.
#[must_use]
pub fn leave_network(node: NodeId, network: NetworkId) -> String {
    format!("leave_network:{node}:{network}")
}

/// `inviter` invites `target` into a network.
#[must_use]
pub fn invite_to_network(inviter: NodeId, network: NetworkId, target: NodeId) -> String {
    format!("invite:{inviter}:{network}:{target}")
}

/// A node reads its invitations.
#[must_use]
pub fn poll_invites(node: NodeId) -> String {
    format!("poll_invites:{node}")
}

/// A node answers an invitation; whether yes or no is not signed.
#[must_use]
pub fn respond_invite(node: NodeId, network: NetworkId) -> String {
    format!("respond_invite:{node}:{network}")
}

/// A node reads its score (1.9.1).
#[must_use]
pub fn polo_score(node: NodeId) -> String {
    format!("get_polo_score:{node}")
}

/// `caller` asks whether `submitter` may give tasks to `receiver` (1.9.1).
#[must_use]
pub fn authorize_task_submit(caller: NodeId, submitter: NodeId, receiver: NodeId) -> String {
    format!("authorize_task_submit:{caller}:{submitter}:{receiver}")
}
