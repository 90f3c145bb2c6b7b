//! What a registry remembers about one connection: where it comes from and who has proved to be behind it.

use super::state::Presence;
use core::net::{IpAddr, SocketAddr};
use proto_core::NodeId;

/// One TCP or TLS connection, as the registry sees it. The host keeps it as long as the connection.
#[derive(Debug)]
pub struct Session {
    id: u64,
    source: IpAddr,
    encrypted: bool,
    beacon: Option<SocketAddr>,
    identity: Option<NodeId>,
    pub(super) held: Option<(NodeId, Presence)>,
}

impl Session {
    /// A connection from `source`. `id` must not be given twice by one host.
    #[must_use]
    pub fn new(id: u64, source: IpAddr) -> Self {
        Self { id, source: source.to_canonical(), encrypted: false, beacon: None, identity: None, held: None }
    }

    /// Tells where this client reaches the beacon: given out as the endpoint of nodes that want to be relayed.
    #[must_use]
    pub const fn with_beacon(mut self, beacon: Option<SocketAddr>) -> Self {
        self.beacon = beacon;
        self
    }

    /// Tells that nobody between client and host can read along: TLS.
    #[must_use]
    pub const fn with_encryption(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// A secret may come this way: over TLS, or from the host itself.
    pub(super) const fn keeps_secrets(&self) -> bool {
        self.encrypted || self.source.is_loopback()
    }

    /// The host's number for this connection.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Where it comes from.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// Where this client reaches the beacon, if the host knows.
    #[must_use]
    pub const fn beacon(&self) -> Option<SocketAddr> {
        self.beacon
    }

    /// The node whose signature was last verified on this connection.
    #[must_use]
    pub const fn identity(&self) -> Option<NodeId> {
        self.identity
    }

    pub(super) const fn prove(&mut self, node: NodeId) {
        self.identity = Some(node);
    }
}
