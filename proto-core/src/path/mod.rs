//! The set of ways to one peer.
//!
//! Decides which addresses are tried when, which of them is proven, and which one carries data. Refuses to know keys, packets and
//! streams: it is told what arrived by which way and how much that proves, and asks for probes whose answers only the peer can give.
//!
//! The rules it keeps (data-plane sections 4.7, 8 and 10; `design/nat.md`):
//! - Only a proven way carries data. An address we chose ourselves may carry the first packets before it is proven.
//! - An address neither proven nor chosen by us is sent at most three times the bytes it sent.
//! - A proven direct way replaces the relay; among direct ways a better one must be better by a margin. The old one stays until then.
//! - A direct way that falls silent is left for the relay within 3 s, and taken back when a probe is answered.

mod route;

use crate::rng::Rng;
use crate::time::Timestamp;
use core::net::SocketAddr;
use core::time::Duration;
pub use route::{OwnAddresses, PathAction, PathConfig, PeerAddresses, Proof, Route};

/// All ways to one peer.
#[derive(Debug)]
pub struct PathSet {}

#[allow(clippy::todo, unused_variables, reason = "signatures first")]
impl PathSet {
    /// No way is known yet; nothing is sent until [`Self::want`] or something arrives.
    #[must_use]
    pub fn new(config: PathConfig, now: Timestamp) -> Self {
        todo!()
    }
    /// The registry's answer. Addresses that cannot be reached from where we are are left out.
    pub fn resolved(&mut self, now: Timestamp, peer: &PeerAddresses<'_>, own: &OwnAddresses<'_>) {
        todo!()
    }
    /// An address the operator configured; taken as it is, loopback included.
    pub fn add_static(&mut self, now: Timestamp, address: SocketAddr) {
        todo!()
    }
    /// The peer is known to be one of ours: the relay may carry data at once, and pings are answered.
    pub fn set_ours(&mut self, now: Timestamp, ours: bool) {
        todo!()
    }
    /// Something waits for the peer (a dial, a ping, a key exchange): climbs the ladder unless a proven way works. Idempotent while climbing.
    pub fn want(&mut self, now: Timestamp) {
        todo!()
    }
    /// Application traffic (streams, datagrams) in either direction. A peer without any for 2 minutes is not maintained.
    pub fn used(&mut self, now: Timestamp) {
        todo!()
    }
    /// Our own endpoint changed: proves the chosen way again at once.
    pub fn own_endpoint_changed(&mut self, now: Timestamp) {
        todo!()
    }
    /// Up to 3 ways that a PILA of our own accord takes now. (An answer to a PILA goes where that came from, after [`Self::handle_frame`].)
    /// A way that [`PathAction::Probe`] reached for within the last 100 ms is left out.
    pub fn exchange_routes(&mut self, now: Timestamp) -> Vec<Route> {
        todo!()
    }
    /// Where data goes now.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        todo!()
    }
    /// A frame of `bytes` (the whole datagram) that names this peer as its sender.
    pub fn handle_frame(&mut self, now: Timestamp, from: Route, bytes: usize, proof: Proof) {
        todo!()
    }
    /// A pong. `false` when the nonce is of no probe of this set. Call [`Self::handle_frame`] for the frame as well, before.
    pub fn handle_probe_answer(&mut self, now: Timestamp, nonce: u64) -> bool {
        todo!()
    }
    /// We asked for a punch within the last seconds; an incoming punch command (0x04) may be meant for this peer.
    #[must_use]
    pub fn expects_punch(&self, now: Timestamp) -> bool {
        todo!()
    }
    /// This address, any port, is known as one of the peer's.
    #[must_use]
    pub fn knows(&self, address: SocketAddr) -> bool {
        todo!()
    }
    /// The beacon named `target` as the peer's endpoint, and the punch policy of `nat` accepted it. Asks for PILPs and a probe.
    pub fn punch_command(&mut self, now: Timestamp, target: SocketAddr) {
        todo!()
    }
    /// Whether a frame of `bytes` may go this way now.
    #[must_use]
    pub fn may_send(&self, route: Route, bytes: usize) -> bool {
        todo!()
    }
    /// A frame of `bytes` went this way.
    pub fn sent(&mut self, now: Timestamp, route: Route, bytes: usize) {
        todo!()
    }
    /// The next thing to do. Probes draw their nonce from `rng`.
    pub fn poll_action(&mut self, now: Timestamp, rng: &mut Rng) -> Option<PathAction> {
        todo!()
    }
    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        todo!()
    }
    /// Consumes or moves every deadline up to `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        todo!()
    }
    /// For a person: why this peer is relayed.
    #[must_use]
    pub fn relay_reason(&self) -> Option<&'static str> {
        todo!()
    }
    /// Smoothed round-trip time of the chosen way.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        todo!()
    }
    /// The last ladder ended without a sign of life and nothing was heard since.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        todo!()
    }
}
