//! Other beacons: whom they serve, and telling them whom this one serves. Believes configured addresses only.

use super::Outgoing;
use crate::limits::{GOSSIP_INTERVAL, GOSSIP_LIFETIME, MAX_GOSSIP_NODES, MAX_PEER_BEACONS};
use core::net::SocketAddr;
use proto_core::wire::beacon::{BeaconMessage, NodeList};
use proto_core::{NodeId, Timestamp};
use std::collections::BTreeSet;

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    nodes: BTreeSet<NodeId>,
    heard: Timestamp,
}

/// The configured peers and what each said last.
#[derive(Debug)]
pub(super) struct PeerBeacons {
    peers: Vec<Peer>,
    next_gossip: Timestamp,
}

impl PeerBeacons {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let peer = |address: &SocketAddr| Peer { address: *address, nodes: BTreeSet::new(), heard: Timestamp::ZERO };
        Self { peers: addresses.iter().take(MAX_PEER_BEACONS).map(peer).collect(), next_gossip: Timestamp::ZERO }
    }

    pub(super) fn contains(&self, source: SocketAddr) -> bool {
        self.peers.iter().any(|peer| peer.address == source)
    }

    /// Takes `nodes` as all that the peer at `source` serves; `None` when that is no peer.
    pub(super) fn learn(&mut self, source: SocketAddr, nodes: NodeList<'_>, now: Timestamp) -> Option<()> {
        //= spec/relay.md#pp-relay-10
        //# Gossip is believed only from configured peer beacons.
        let peer = self.peers.iter_mut().find(|peer| peer.address == source)?;
        peer.nodes = nodes.iter().take(MAX_GOSSIP_NODES).collect();
        peer.heard = now;
        Some(())
    }

    /// The peer that said lately that it serves `node`.
    pub(super) fn serving(&self, node: NodeId, now: Timestamp) -> Option<SocketAddr> {
        let fresh = |peer: &&Peer| now.saturating_since(peer.heard) < GOSSIP_LIFETIME && peer.nodes.contains(&node);
        self.peers.iter().find(fresh).map(|peer| peer.address)
    }

    /// Tells every peer the first [`MAX_GOSSIP_NODES`] of `nodes`, at most once in [`GOSSIP_INTERVAL`].
    pub(super) fn gossip<I: Iterator<Item = NodeId>>(
        &mut self,
        now: Timestamp,
        beacon: u32,
        nodes: impl FnOnce() -> I,
        send: &mut impl FnMut(Outgoing<'_>),
    ) {
        if self.peers.is_empty() || now < self.next_gossip {
            return;
        }
        self.next_gossip = now + GOSSIP_INTERVAL;
        let nodes: Vec<NodeId> = nodes().take(MAX_GOSSIP_NODES).collect();
        let message = BeaconMessage::Sync { beacon, nodes: NodeList::new(&nodes) };
        let Ok(bytes) = message.to_vec() else { return };
        for peer in &self.peers {
            send(Outgoing { socket: 0, to: peer.address, bytes: &bytes });
        }
    }

    pub(super) const fn next_gossip(&self) -> Timestamp {
        if self.peers.is_empty() { Timestamp::FAR_FUTURE } else { self.next_gossip }
    }
}
