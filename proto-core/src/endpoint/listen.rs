//! Listening: which SYN becomes a stream, which gets RST, and which gets silence (PP-SES-5, PP-SES-12, PP-RATE-3).

use super::inner::Endpoint;
use super::outbox::Packet;
use super::recording::{Command, Entry};
use super::service::Echo;
use super::streams::{Owner, decrease};
use super::{Event, ListenError};
use crate::ids::{NodeId, StreamId};
use crate::limits;
use crate::rate::RateLimiter;
use crate::seq::SeqNumber;
use crate::stream::{Connection, Segment};
use crate::time::Timestamp;
use crate::wire::{Flags, Header, SocketAddress};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// The echo service.
const ECHO_PORT: u16 = 7;
/// Trust handshakes.
pub(super) const TRUST_PORT: u16 = 444;

/// A port of the host.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// Established and not accepted yet.
    queue: VecDeque<StreamId>,
    /// Streams not accepted yet, established or about to be, by peer.
    unaccepted: BTreeMap<NodeId, usize>,
}

pub(super) fn rate_limiter() -> RateLimiter<NodeId> {
    RateLimiter::new(limits::SYN_RATE_PER_SOURCE, limits::SYN_BURST_PER_SOURCE, limits::RATE_LIMITED_SOURCES)
}

pub(super) fn global_rate_limiter() -> RateLimiter<()> {
    RateLimiter::new(limits::SYN_RATE_GLOBAL, limits::SYN_RATE_GLOBAL, 1)
}

impl Endpoint {
    /// Accepts streams on `port` from now on.
    ///
    /// # Errors
    /// The port is in use, or it is one this endpoint serves itself (0, 1, 444, and 7 unless echo is off).
    pub fn listen(&mut self, port: u16) -> Result<(), ListenError> {
        self.record(self.now, || Command::Listen(port).into());
        //= spec/ports.md#pp-port-7
        //# A port that the endpoint serves itself cannot be listened on by the host.
        //= spec/ports.md#pp-port-12
        //# A host can listen on every port from 2 to 65535 that the endpoint does not serve itself, whether well-known (below 1024), registered
        //# (1024 to 49151) or ephemeral.
        //= spec/ports.md#pp-port-13
        //# Port 1, control, cannot be listened on.
        if port <= 1 || self.serves_itself(port) {
            return Err(ListenError::Reserved);
        }
        if self.listeners.contains_key(&port) {
            return Err(ListenError::InUse);
        }
        self.listeners.insert(port, Listener::default());
        Ok(())
    }

    /// Stops accepting on `port`; streams not accepted yet are reset, accepted ones go on.
    pub fn unlisten(&mut self, now: Timestamp, port: u16) {
        self.record(now, || Command::Unlisten(port).into());
        self.advance(now);
        if self.listeners.remove(&port).is_some() {
            let waiting: Vec<StreamId> = self
                .streams
                .iter()
                .filter(|(_, stream)| stream.unaccepted && stream.local_port == port)
                .map(|(id, _)| id)
                .collect();
            for id in waiting {
                self.reset_stream(id);
                // One that rests ends later, and would be taken off what waits for another listener by then.
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.unaccepted = false;
                }
            }
        }
        self.settle();
    }

    /// The next established stream on `port`, with the peer's address and port.
    pub fn accept(&mut self, port: u16) -> Option<(StreamId, SocketAddress)> {
        self.record(self.now, || Entry::Accept(port));
        let listener = self.listeners.get_mut(&port)?;
        while let Some(id) = listener.queue.pop_front() {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.unaccepted = false;
                decrease(&mut listener.unaccepted, stream.peer());
                return Some((id, stream.remote));
            }
        }
        None
    }

    /// Ports somebody listens on, the endpoint's own included.
    pub(super) fn open_ports(&self) -> Vec<u16> {
        let own = [(self.config.echo, ECHO_PORT), (true, TRUST_PORT)];
        let mut ports: Vec<u16> = own.iter().filter(|(on, _)| *on).map(|(_, port)| *port).collect();
        ports.extend(self.listeners.keys());
        ports.sort_unstable();
        ports
    }

    fn serves_itself(&self, port: u16) -> bool {
        port == TRUST_PORT || port == ECHO_PORT && self.config.echo
    }

    /// Whether `node` may know that this node exists, on `port`.
    pub(super) fn admits(&self, node: NodeId, port: u16) -> bool {
        let by_identity = || (port == TRUST_PORT && self.trust.is_expected(node)) || self.shares_network(node);
        //= spec/privacy.md#pp-priv-7
        //# A public node admits everybody.
        self.public || self.trusts(node) || !self.is_insecure(node) && by_identity()
    }

    pub(super) fn handle_syn(&mut self, node: NodeId, header: &Header, syn: &Segment<'_>) {
        let (now, port) = (self.now, header.dst_port);
        //= spec/privacy.md#pp-priv-2
        //# A SYN from a node that is neither trusted, expected nor in a common network gets no answer from a private node.
        if !self.admits(node, port) {
            return self.drops.count("syn_from_stranger");
        }
        let trusted = self.trusts(node);
        //= spec/rate-limits.md#pp-rate-1
        //# SYNs of nodes that are not trusted are limited to 100 a second together.
        //= spec/rate-limits.md#pp-rate-2
        //# SYNs of one node that is not trusted are limited to 10 a second, 64 at once.
        //= spec/rate-limits.md#pp-rate-3
        //# A SYN beyond the rate gets no answer.
        let within_rate = trusted || self.syn_rate.allow(now, &node) && self.syn_rate_global.allow(now, &());
        if !within_rate {
            return self.drops.count("syn_rate_limited");
        }
        if !self.has_room(node, port, trusted) {
            //= spec/session.md#pp-ses-12
            //# A SYN to a port nobody listens on is answered with RST, if its sender is admitted.
            return self.refuse(node, header);
        }
        let owner = match port {
            ECHO_PORT if self.config.echo => Owner::Echo(Echo::default()),
            //= spec/ports.md#pp-port-6
            //# Port 444 takes trust messages.
            TRUST_PORT => Owner::TrustReceiver { message: Vec::new(), tries: 0 },
            _ => Owner::Host,
        };
        let isn = self.initial_sequence();
        let mut params = self.stream_params(node);
        if !matches!(owner, Owner::Host) {
            params.send_buffer = params.send_buffer.min(limits::SERVICE_BUFFER);
            params.receive_buffer = params.receive_buffer.min(limits::SERVICE_BUFFER);
        }
        let connection = Connection::accept(params, isn, now, syn);
        let host = matches!(owner, Owner::Host);
        let is_trust = matches!(owner, Owner::TrustReceiver { .. });
        let remote = SocketAddress::new(header.src, header.src_port);
        //= spec/session.md#pp-ses-28
        //# As responder the source address is the destination of the SYN.
        let id = self.streams.insert(connection, header.dst, port, remote, owner);
        if host {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.unaccepted = true;
            }
            if let Some(listener) = self.listeners.get_mut(&port) {
                *listener.unaccepted.entry(node).or_default() += 1;
            }
        }
        if is_trust {
            self.limit_trust_message(id);
        }
        self.with_peer(node, |peer| peer.used(now));
        self.touch_stream(id);
    }

    //= spec/rate-limits.md#pp-rate-5
    //# A peer holds at most 1024 streams of a port and never more than are still free there
    //= spec/rate-limits.md#pp-rate-6
    //# At most 64 streams of strangers wait to be accepted on a port; another SYN is answered with RST.
    fn has_room(&self, node: NodeId, port: u16, trusted: bool) -> bool {
        let strangers_wait = |listener: &Listener| {
            listener.unaccepted.iter().filter(|(peer, _)| !self.trusts(**peer)).map(|(_, count)| count).sum::<usize>()
        };
        let takes = |listener: &Listener| trusted || strangers_wait(listener) < limits::ACCEPT_BACKLOG;
        let listens = self.serves_itself(port) || self.listeners.get(&port).is_some_and(takes);
        listens && self.has_share(node, port, trusted)
    }

    /// Nobody holds more than is still free for others, of the port's streams as of all.
    fn has_share(&self, node: NodeId, port: u16, trusted: bool) -> bool {
        let most = if trusted { limits::MAX_STREAMS } else { limits::STREAMS_PER_STRANGER };
        let free = limits::MAX_STREAMS.saturating_sub(self.streams.len());
        let free_here = limits::MAX_STREAMS_PER_PORT.saturating_sub(self.streams.on_port(port));
        self.streams.of_peer(node).len() < most.min(free)
            && self.streams.share_of_port(port, node) < limits::STREAMS_PER_PEER_AND_PORT.min(free_here)
    }

    /// RST: nothing listens there, or no room. Only those who are admitted learn it.
    fn refuse(&mut self, node: NodeId, syn: &Header) {
        let listens = self.listeners.contains_key(&syn.dst_port);
        self.drops.count(if listens { "accept_queue_full" } else { "syn_refused" });
        self.send_reset(node, syn);
    }

    /// RST in answer to `packet`. The acknowledgement names a SYN; nobody reads it in any other state.
    pub(super) fn send_reset(&mut self, node: NodeId, packet: &Header) {
        let header = Header {
            flags: Flags::RST,
            src: packet.dst,
            dst: packet.src,
            src_port: packet.dst_port,
            dst_port: packet.src_port,
            seq: SeqNumber(0),
            ack: packet.seq + 1,
            window: 0,
            ..*packet
        };
        self.send_packet(Packet { node, route: None, session: None, header, payload: Bytes::new() });
    }

    /// The handshake of an incoming stream is complete.
    pub(super) fn incoming_established(&mut self, id: StreamId, port: u16) {
        if let Some(listener) = self.listeners.get_mut(&port) {
            listener.queue.push_back(id);
            self.event(Event::Incoming(port));
        } else {
            self.reset_stream(id);
        }
    }

    /// A stream that nobody accepted is gone.
    pub(super) fn forget_accept(&mut self, port: u16, id: StreamId, node: NodeId) {
        if let Some(listener) = self.listeners.get_mut(&port) {
            decrease(&mut listener.unaccepted, node);
            listener.queue.retain(|queued| *queued != id);
        }
    }
}
