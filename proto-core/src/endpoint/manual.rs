//! Peers told by the host instead of a registry: for closed networks, tests and simulations.

use super::inner::Endpoint;
use super::recording::Command;
use crate::crypto::PublicKey;
use crate::ids::NodeId;
use crate::time::Timestamp;
use core::net::SocketAddr;

impl Endpoint {
    /// This node's number, when no registry gives one.
    pub fn set_node(&mut self, now: Timestamp, node: NodeId) {
        self.record(now, || Command::SetNode(node).into());
        self.advance(now);
        self.take_node(node);
        self.settle();
    }

    /// A peer by its number, identity key and, unless only the relay leads there, its address. Call [`Self::set_node`] first.
    pub fn add_static_peer(
        &mut self,
        now: Timestamp,
        node: NodeId,
        key: PublicKey,
        endpoint: Option<SocketAddr>,
        trusted: bool,
    ) {
        self.add_told_peer(now, node, Some(key), endpoint, trusted);
    }

    pub(super) fn add_told_peer(
        &mut self,
        now: Timestamp,
        node: NodeId,
        key: Option<PublicKey>,
        endpoint: Option<SocketAddr>,
        trusted: bool,
    ) {
        self.record(now, || Command::AddPeer { node, key, endpoint, trusted }.into());
        let now = self.advance(now);
        if self.ensure_peer(node).is_some() {
            self.with_peer(node, |peer| {
                peer.key = key;
                peer.facts.known = true;
                peer.is_static = true;
                peer.trusted_by_host = trusted;
                if let Some(endpoint) = endpoint {
                    peer.path.add_static(now, endpoint);
                }
            });
        }
        self.settle();
    }

    /// Trusts a static peer or not. Withdrawing closes its streams at once.
    pub fn set_trusted_by_host(&mut self, now: Timestamp, node: NodeId, trusted: bool) {
        self.record(now, || Command::TrustByHost { node, trusted }.into());
        self.advance(now);
        self.with_peer(node, |peer| {
            peer.trusted_by_host = trusted;
            peer.banished = false;
        });
        if !trusted {
            self.close_streams(node);
        }
        self.settle();
    }
}
