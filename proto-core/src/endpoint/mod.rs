//! One agent: public methods, and the glue between machines that do not know each other.

mod config;
mod event;
mod transmit;

use crate::crypto::{CryptoProvider, Identity};
use crate::ids::{NodeId, RequestId, StreamId};
use crate::time::Timestamp;
use crate::wire::{Address, SocketAddress};
use std::sync::Arc;

pub use config::{Config, StreamConfig};
pub use event::*;
pub use transmit::{Ecn, Sink, Transmit, TransmitBuf, drive};

/// Everything of one agent.
#[derive(Debug)]
pub struct Endpoint {}

/// Which machine a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// To be refined.
    Any,
}

/// A trust command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustCommand {
    /// Ask a peer for trust, or approve it when it already asked.
    Request {
        /** The peer. */
        node: NodeId,
        /** At most 1024 bytes. */
        justification: String,
    },
    /// Approve a waiting request.
    Approve(NodeId),
    /// Refuse a waiting request.
    Reject {
        /** The peer. */
        node: NodeId,
        /** Why. */
        reason: String,
    },
    /// Withdraw trust; its streams are closed at once.
    Revoke(NodeId),
}

#[allow(unused_variables, clippy::todo, missing_docs, reason = "skeleton")]
impl Endpoint {
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        identity: Identity,
        crypto: &'static CryptoProvider,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Self {
        todo!()
    }
    pub fn handle_input(&mut self, now: Timestamp, input: Input<'_>) {
        todo!()
    }
    pub fn handle_timeout(&mut self, now: Timestamp) {
        todo!()
    }
    pub fn poll_transmit(&mut self, now: Timestamp, out: &mut TransmitBuf<'_>) -> Option<Transmit> {
        todo!()
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, TimerKind)> {
        todo!()
    }

    // Identity and state
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        todo!()
    }
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        todo!()
    }
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        todo!()
    }
    /// Works without a registry (tests, closed networks): this node's number, and peers' numbers, keys and addresses.
    pub fn set_node(&mut self, now: Timestamp, node: NodeId) {
        todo!()
    }
    pub fn add_static_peer(
        &mut self,
        now: Timestamp,
        node: NodeId,
        key: [u8; 32],
        endpoint: Option<core::net::SocketAddr>,
        trusted: bool,
    ) {
        todo!()
    }

    // Streams
    /// Dials. The answer is `Connected` or `DialFailed` within `limits::DIAL_TIMEOUT`.
    pub fn dial(&mut self, now: Timestamp, remote: SocketAddress) -> Result<StreamId, DialError> {
        todo!()
    }
    pub fn listen(&mut self, port: u16) -> Result<(), ListenError> {
        todo!()
    }
    pub fn unlisten(&mut self, port: u16) {
        todo!()
    }
    /// The next established stream on `port`, with the peer's address and port.
    pub fn accept(&mut self, port: u16) -> Option<(StreamId, SocketAddress)> {
        todo!()
    }
    /// 0 bytes = the peer finished.
    pub fn read(&mut self, now: Timestamp, stream: StreamId, out: &mut [u8]) -> Result<usize, ReadError> {
        todo!()
    }
    pub fn write(&mut self, now: Timestamp, stream: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        todo!()
    }
    /// No more writes; what was written is delivered, then the peer sees the end. `Finished` tells when it was acknowledged.
    pub fn finish(&mut self, now: Timestamp, stream: StreamId) -> Result<(), WriteError> {
        todo!()
    }
    /// Forgets the stream at once; unless it had ended, the peer is told by RST.
    pub fn reset(&mut self, now: Timestamp, stream: StreamId) {
        todo!()
    }
    pub fn set_no_delay(&mut self, stream: StreamId, on: bool) {
        todo!()
    }
    /// Local port, remote, statistics.
    #[must_use]
    pub fn stream_status(&self, stream: StreamId) -> Option<StreamStatus> {
        todo!()
    }
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        todo!()
    }

    // Datagrams and ping
    /// `from_port` 0 = a fresh ephemeral one. Returns the source port used.
    pub fn send_datagram(
        &mut self,
        now: Timestamp,
        to: SocketAddress,
        from_port: u16,
        data: &[u8],
    ) -> Result<u16, DatagramError> {
        todo!()
    }
    /// `Completed(id, Pong | Timeout | Failed)` within `timeout`.
    pub fn ping(&mut self, now: Timestamp, node: NodeId, timeout: core::time::Duration) -> RequestId {
        todo!()
    }

    // Control plane: every answer is a `Completed(id, ..)`
    /// Any signed request of control-plane section 1.4, e.g. `set_hostname`; `type` and own fields filled by name.
    pub fn registry_request(&mut self, now: Timestamp, request: crate::registry::Request) -> RequestId {
        todo!()
    }
    pub fn trust(&mut self, now: Timestamp, command: TrustCommand) -> RequestId {
        todo!()
    }
    #[must_use]
    pub fn trust_snapshot(&self) -> crate::trust::Snapshot {
        todo!()
    }
    /// Loads what an earlier run saved. Call before the first input.
    pub fn restore_trust(&mut self, snapshot: crate::trust::Snapshot) {
        todo!()
    }
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        todo!()
    }
    #[must_use]
    pub fn status(&self) -> Status {
        todo!()
    }
}

/// One stream, for lists.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "skeleton")]
pub struct StreamStatus {
    pub id: StreamId,
    pub local_port: u16,
    pub remote: SocketAddress,
    /// RFC 9293 state names in lower case with underscores, e.g. `established`.
    pub state: &'static str,
    pub congestion_window: u64,
    pub ssthresh: u64,
    pub in_flight: u64,
    pub srtt: core::time::Duration,
    pub rttvar: core::time::Duration,
    pub unacknowledged_segments: usize,
    pub reorder_bytes: usize,
    pub peer_window: u64,
    pub receive_window: u64,
    pub in_recovery: bool,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub segments_sent: u64,
    pub segments_received: u64,
    pub retransmits: u64,
    pub fast_retransmits: u64,
    pub sack_received: u64,
    pub sack_sent: u64,
    pub duplicate_acks: u64,
}

/// One peer, for lists.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "skeleton")]
pub struct PeerStatus {
    pub node: NodeId,
    pub hostname: Option<String>,
    pub path: Option<PathKind>,
    pub rtt: Option<core::time::Duration>,
    pub encrypted: bool,
    /// Recognised as running this implementation.
    pub ours: bool,
    pub trusted: bool,
    pub streams: usize,
    /// Why the path is the relay, for a person.
    pub relay_reason: Option<&'static str>,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

/// The endpoint at a glance.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "skeleton")]
pub struct Status {
    pub address: Option<Address>,
    pub hostname: Option<String>,
    pub public: bool,
    pub registry_connected: bool,
    pub registered: bool,
    /// Observed by the beacon.
    pub endpoint: Option<core::net::SocketAddr>,
    /// `unknown`, `none`, `endpoint-independent`, `symmetric`, ...
    pub nat: &'static str,
    /// What this means for peers, one sentence for a person.
    pub nat_strategy: &'static str,
    pub peers: usize,
    pub direct_peers: usize,
    pub relayed_peers: usize,
    pub streams: usize,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Counted drops by reason, sorted by name.
    pub drops: Vec<(&'static str, u64)>,
    pub ports: Vec<u16>,
}
