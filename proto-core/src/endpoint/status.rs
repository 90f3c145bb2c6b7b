//! What an endpoint tells about itself, for lists, metrics and pages that a person reads.

use super::inner::Endpoint;
use super::peer::{Peer, path_kind};
use super::{Insecure, PathKind};
use crate::crypto::{PublicKey, Signature};
use crate::ids::{NetworkId, NodeId, StreamId};
use crate::nat::PortMapStatus;
use crate::path::{RelayReason, TriedPath};
use crate::wire::{Address, SocketAddress};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

/// One stream.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// Its number.
    pub id: StreamId,
    /// Port at this node.
    pub local_port: u16,
    /// The other end.
    pub remote: SocketAddress,
    /// Its state and counters.
    pub stats: crate::stream::Status,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its number.
    pub node: NodeId,
    /// Its hostname, when the registry or a name look-up told.
    pub hostname: Option<String>,
    /// How data reaches it now.
    pub path: Option<PathKind>,
    /// Smoothed round-trip time of the selected path.
    pub rtt: Option<Duration>,
    /// A tunnel is up, so that everything is encrypted.
    pub encrypted: bool,
    /// The tunnel is with whom the peer's identity key vouched for. So is every tunnel, but for [`super::Insecure`].
    pub authenticated: bool,
    /// Recognised as running this implementation.
    pub ours: bool,
    /// In the trust store.
    pub trusted: bool,
    /// Open streams, without those that only rest after their end.
    pub streams: usize,
    /// Why the path is the relay.
    pub relay_reason: Option<RelayReason>,
    /// The direct paths that are known, and what came of them.
    pub tried: Vec<TriedPath>,
    /// Bytes of UDP payload sent to it.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received from it.
    pub bytes_received: u64,
}

/// The endpoint at a glance.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// This node's address, once registered.
    pub address: Option<Address>,
    /// The name the registry granted.
    pub hostname: Option<String>,
    /// Networks it is in, other than the backbone.
    pub networks: Vec<NetworkId>,
    /// Anyone may reach this node.
    pub public: bool,
    /// The pipe to the registry is open.
    pub registry_connected: bool,
    /// The registry knows this node on that pipe.
    pub registered: bool,
    /// Own address as the beacon sees it.
    pub endpoint: Option<SocketAddr>,
    /// NAT behaviour in RFC 4787 words.
    pub nat: &'static str,
    /// What this means for peers, one sentence.
    pub nat_strategy: &'static str,
    /// Whether the router forwards a port to us.
    pub port_mapping: PortMapStatus,
    /// What of its security is given up by configuration.
    pub insecure: Insecure,
    /// Peers with a tunnel, or spoken to in clear.
    pub peers: usize,
    /// Of those, on a direct path.
    pub direct_peers: usize,
    /// Of those, on the relay.
    pub relayed_peers: usize,
    /// Open streams, without those that only rest after their end.
    pub streams: usize,
    /// Totals since start.
    pub totals: Totals,
    /// Dropped input by reason, sorted by name.
    pub drops: Vec<(&'static str, u64)>,
    /// Ports listened on.
    pub ports: Vec<u16>,
}

/// Totals since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// Of both, those that went through the relay: every frame to and from a peer there.
    pub bytes_relayed: u64,
    /// Datagrams sent.
    pub packets_sent: u64,
    /// Datagrams received.
    pub packets_received: u64,
}

impl Endpoint {
    /// This node's address on the backbone, once it has a number.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.node.map(Address::backbone)
    }

    /// The hostname the registry granted.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref()
    }

    /// This node's identity key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.identity.public()
    }

    /// Signs with this node's identity key, for statements outside this protocol. The message must begin with words that no
    /// protocol message begins with: a signature is good for whatever it fits.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.identity.sign(message)
    }

    /// All peers with any state, by number.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.peers.iter().map(|(node, peer)| self.peer_status(*node, peer)).collect()
    }

    /// One peer.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<PeerStatus> {
        self.peers.get(&node).map(|peer| self.peer_status(node, peer))
    }

    fn peer_status(&self, node: NodeId, peer: &Peer) -> PeerStatus {
        let path = peer.path.route().map(path_kind).filter(|_| peer.armour().is_some());
        PeerStatus {
            node,
            hostname: peer.facts.hostname.clone(),
            path,
            rtt: peer.path.rtt(),
            encrypted: peer.tunnel.is_established(),
            authenticated: peer.tunnel.is_authenticated(),
            ours: peer.ours,
            trusted: self.trusts(node),
            streams: self.streams.open_of(node),
            relay_reason: peer.path.relay_reason().filter(|_| path == Some(PathKind::Relay)),
            tried: peer.path.tried(),
            bytes_sent: peer.bytes_sent,
            bytes_received: peer.bytes_received,
        }
    }

    /// The endpoint at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        let peers: Vec<PeerStatus> =
            self.peers().into_iter().filter(|peer| peer.encrypted || peer.path.is_some()).collect();
        let relayed = peers.iter().filter(|peer| peer.path == Some(PathKind::Relay)).count();
        let nat = self.discovery.nat_type(&self.own_local());
        Status {
            address: self.address(),
            hostname: self.hostname.clone(),
            networks: self.networks.clone(),
            public: self.public,
            registry_connected: self.registry.is_connected(),
            registered: self.registry.is_registered(),
            endpoint: self.config.endpoint.or(self.discovery.reflexive().map(|endpoint| endpoint.0)),
            nat: nat.name(),
            nat_strategy: nat.strategy(),
            port_mapping: self.port_mapping(),
            insecure: self.config.insecure,
            peers: peers.len(),
            direct_peers: peers.iter().filter(|peer| matches!(peer.path, Some(PathKind::Direct(_)))).count(),
            relayed_peers: relayed,
            streams: self.streams.open(),
            totals: self.totals,
            drops: self.drops.list(),
            ports: self.open_ports(),
        }
    }
}

/// Counts of everything that was dropped, by a name fixed in the code.
#[derive(Debug, Default)]
pub(super) struct Drops(BTreeMap<&'static str, u64>);

impl Drops {
    pub(super) fn count(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }

    pub(super) fn list(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count)).collect()
    }
}
