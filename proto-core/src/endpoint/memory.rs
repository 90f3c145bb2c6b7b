//! What an endpoint holds, table by table, and the most it may hold with as many peers and streams as it has.
//!
//! Counts only. The bounds are those of [`crate::limits`]: a table beyond its own is a defect, and whoever runs an endpoint can see it.

use super::inner::Endpoint;
use super::peer::Peer;
use crate::limits;
use crate::stream::Connection;

/// One table, queue or buffer of an endpoint, or all of one kind together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What it is, in words.
    pub name: &'static str,
    /// Entries in it; bytes where the name says so.
    pub held: usize,
    /// At most so many, with as many peers and streams as there are.
    pub bound: usize,
}

impl Holding {
    const fn new(name: &'static str, held: usize, bound: usize) -> Self {
        Self { name, held, bound }
    }
}

/// Timers of each peer and of each stream, and those that an endpoint has once.
const TIMERS: (usize, usize, usize) = (3, 2, 6);

impl Endpoint {
    /// Everything that can grow because of what arrives or is asked for.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        [self.own_holdings(), self.peer_holdings(), self.stream_holdings()].concat()
    }

    fn own_holdings(&self) -> Vec<Holding> {
        let [trusted, pending, asked, revoked, messages, untold] = self.trust.held();
        let timers = TIMERS.0 * self.peers.len() + TIMERS.1 * self.streams.len() + TIMERS.2;
        vec![
            Holding::new("peers", self.peers.len(), limits::MAX_PEERS),
            Holding::new("streams", self.streams.len(), limits::MAX_STREAMS),
            Holding::new("timers", self.timers.len(), timers),
            Holding::new("packets to send", self.outbox.len(), limits::OUTBOX_PACKETS + 1),
            Holding::new("events", self.events.len(), limits::MAX_EVENTS),
            Holding::new("bytes of datagrams", self.datagram_bytes, limits::DATAGRAM_QUEUE_BYTES),
            Holding::new("key exchanges of strangers", self.strangers.len(), limits::PENDING_EXCHANGES),
            Holding::new("paused look-ups", self.lookups_paused.len(), limits::RATE_LIMITED_SOURCES),
            Holding::new("look-ups", self.looking_up.len(), limits::MAX_REGISTRY_REQUESTS + 1),
            Holding::new("questions to the registry", self.awaited.len(), limits::MAX_REGISTRY_REQUESTS + 1),
            Holding::new("sources of key exchanges", self.admission.sources(), limits::RATE_LIMITED_SOURCES),
            Holding::new("sources of SYNs", self.syn_rate.sources(), limits::RATE_LIMITED_SOURCES),
            Holding::new("further sockets", self.extra_sockets.len(), limits::MAX_EXTRA_SOCKETS),
            Holding::new("requests for sockets", self.opening.len(), limits::MAX_OPENINGS),
            Holding::new("mapped ports", self.mapped.len(), limits::MAX_MAPPINGS),
            Holding::new("resting searches", self.search_rests.len(), limits::MAX_SPRAY_PAUSES),
            Holding::new("trusted nodes", trusted, limits::MAX_TRUSTED),
            Holding::new("requests for trust", pending, limits::MAX_PENDING_TRUST),
            Holding::new("own requests for trust", asked, limits::MAX_OUTGOING_TRUST),
            Holding::new("revoked nodes", revoked, limits::MAX_TRUSTED),
            Holding::new("news of trust for the registry", untold, limits::MAX_TRUSTED),
            Holding::new("trust messages seen", messages, limits::TRUST_REPLAY_WINDOW),
        ]
    }

    fn peer_holdings(&self) -> Vec<Holding> {
        let peers = self.peers.len();
        let sum = |of: fn(&Peer) -> usize| self.peers.values().map(of).sum();
        let prefixes = limits::SESSIONS_PER_PEER * (limits::REPLAY_LIVE_PREFIXES + limits::REPLAY_RETIRED_PREFIXES);
        vec![
            Holding::new("waiting packets", sum(|peer| peer.pending.len()), peers * limits::PENDING_PER_PEER),
            Holding::new("pings", sum(|peer| peer.pings.len()), peers * limits::PINGS_PER_PEER),
            Holding::new("paths", sum(|peer| peer.path.held().0), peers * limits::MAX_CANDIDATES),
            Holding::new("probes", sum(|peer| peer.path.held().1), peers * limits::MAX_PROBES),
            Holding::new("sessions", sum(|peer| peer.tunnel.held().0), peers * limits::SESSIONS_PER_PEER),
            Holding::new("nonce prefixes", sum(|peer| peer.tunnel.held().1), peers * prefixes),
            Holding::new("spent keys", sum(|peer| peer.tunnel.held().2), peers * limits::SPENT_KEYS_PER_PEER),
        ]
    }

    fn stream_holdings(&self) -> Vec<Holding> {
        let streams = self.streams.len();
        let config = &self.config.stream;
        let (write, read) =
            (config.send_buffer.max(limits::SERVICE_BUFFER), config.receive_buffer.max(limits::SERVICE_BUFFER));
        let reserve = usize::try_from(limits::STREAM_RECEIVE_RESERVE).unwrap_or(usize::MAX);
        // A receive buffer grows by doubling.
        let each = write.saturating_add(read.saturating_add(reserve).next_power_of_two());
        let sum = |of: fn(&Connection) -> usize| self.streams.iter().map(|(_, stream)| of(&stream.connection)).sum();
        vec![
            Holding::new("bytes of streams", sum(Connection::buffered), streams.saturating_mul(each)),
            Holding::new("holes in streams", sum(Connection::holes), streams * limits::STREAM_REORDER_RANGES),
            Holding::new("resting ports", self.streams.resting(), limits::MAX_RESTING_TUPLES),
        ]
    }
}
