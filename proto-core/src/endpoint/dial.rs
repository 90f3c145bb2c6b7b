//! Dialling: from a target to a stream or to a reason, within a fixed time.

use super::inner::Endpoint;
use super::outbox::Packet;
use super::recording::Command;
use super::registry::Awaited;
use super::streams::{Owner, Stream};
use super::timers::TimerKind;
use super::{DialError, Event};
use crate::ids::{NodeId, StreamId};
use crate::limits;
use crate::registry::Request;
use crate::seq::SeqNumber;
use crate::stream::{CloseReason, Connection, Params};
use crate::time::Timestamp;
use crate::wire::{Capabilities, Header, Protocol, SocketAddress};
use bytes::Bytes;
use core::time::Duration;

/// A silent registry holds up a dial to a peer whose key is known no longer than this: a quarter of its time, and more than any answer takes.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(1);
/// A resolved endpoint is used this long without asking again (PP-DIAL-6).
//= spec/strategy.md#pp-dial-6
//# An endpoint told by the registry is used for 60 seconds without asking again.
const RESOLVE_LIFETIME: Duration = Duration::from_secs(60);

impl Endpoint {
    /// Dials. The answer is `Connected` or `DialFailed`, at the latest [`limits::DIAL_TIMEOUT`] from now.
    ///
    /// # Errors
    /// What is wrong already now; see [`DialError`].
    pub fn dial(&mut self, now: Timestamp, remote: SocketAddress) -> Result<StreamId, DialError> {
        self.record(now, || Command::Dial(remote).into());
        self.advance(now);
        let id = self.dial_as(remote, Owner::Host)?;
        self.with_peer(remote.address.node, |peer| peer.banished = false);
        self.settle();
        Ok(id)
    }

    pub(super) fn dial_as(&mut self, remote: SocketAddress, owner: Owner) -> Result<StreamId, DialError> {
        let now = self.now;
        let own = self.node.ok_or(DialError::NotRegistered)?;
        //= spec/ports.md#pp-port-4
        //# Port 0 cannot be dialled and cannot be listened on.
        if remote.port == 0 {
            return Err(DialError::InvalidTarget);
        }
        if self.streams.is_full() {
            return Err(DialError::TooManyStreams);
        }
        let node = remote.address.node;
        self.reach(node)?;
        let port = self.streams.ephemeral_port(now, remote).ok_or(DialError::TooManyStreams)?;
        let isn = self.initial_sequence();
        let connection = Connection::connect(self.stream_params(node), isn, now);
        let local = super::segment::own_address(own, remote.address);
        let id = self.streams.insert(connection, local, port, remote, owner);
        if let Some(stream) = self.streams.get_mut(id) {
            stream.dialling = true;
        }
        //= spec/strategy.md#pp-dial-3
        //# A dial ends within 4.8 seconds, with a stream or a reason.
        self.timers.set(TimerKind::Dial(id), Some(now + limits::DIAL_TIMEOUT));
        self.with_peer(node, |peer| peer.used(now));
        self.touch_stream(id);
        Ok(id)
    }

    /// Below 2^31: the reference compares SACK edges without wrap (PP-SES-4).
    pub(super) fn initial_sequence(&mut self) -> SeqNumber {
        //= spec/session.md#pp-ses-4
        //# The initial sequence number is random and below 2^31.
        SeqNumber(self.rng.next_u32() >> 1)
    }

    pub(super) fn stream_params(&self, node: NodeId) -> Params {
        let stream = &self.config.stream;
        Params {
            mss: self.path_mss(node),
            max_segment_accepted: self.options().max_segment,
            receive_buffer: stream.receive_buffer,
            send_buffer: stream.send_buffer,
            no_delay: stream.no_delay,
            idle_timeout: stream.idle_timeout,
            keepalive: stream.keepalive,
            initial_rtt: self.peers.get(&node).and_then(|peer| peer.path.rtt()),
            offer_capabilities: Some(Capabilities::RELAY_FIRST),
        }
    }

    /// Sets everything in motion that a packet to `node` needs: its key, where it is, a session, a path.
    pub(super) fn reach(&mut self, node: NodeId) -> Result<(), DialError> {
        let own = self.node.ok_or(DialError::NotRegistered)?;
        //= spec/addressing.md#pp-addr-8
        //# Node 0 means unassigned and is never dialled.
        //= spec/addressing.md#pp-addr-9
        //# The node 0xFFFFFFFF means all members of a network and never appears as the destination of a packet we send.
        //= spec/addressing.md#pp-addr-10
        //# Nodes 1, 2 and 3 are treated like any other node in routing.
        if node == own || node == NodeId::UNASSIGNED || node == NodeId::BROADCAST {
            return Err(DialError::InvalidTarget);
        }
        let now = self.now;
        let peer = self.ensure_peer(node).ok_or(DialError::TooManyStreams)?;
        // A dial shortly before an attempt gives up has all of another one before it.
        peer.path.want_anew();
        peer.tunnel.want_anew();
        let connected = peer.is_connected();
        let fresh = peer.is_static || peer.resolved_at.is_some_and(|at| at + RESOLVE_LIFETIME > now);
        let unknown = !peer.facts.known;
        if connected {
            // A path not heard of for long is tried together with the others again.
            self.with_peer(node, |peer| peer.path.want(now));
            return Ok(());
        }
        if unknown {
            self.look_up(node);
        }
        if fresh {
            self.start_exchange(node);
        } else {
            self.resolve_peer(node);
        }
        Ok(())
    }

    /// Asks the registry where `node` is; without a registry what is known must do.
    pub(super) fn resolve_peer(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.resolving {
            return;
        }
        let told_by_host = peer.is_static;
        let asked = !told_by_host && self.ask_registry(Request::Resolve(node), Awaited::PeerEndpoint(node));
        let patience = Some(self.now + RESOLVE_PATIENCE).filter(|_| asked && self.known_key(node).is_some());
        self.with_peer(node, |peer| {
            peer.resolving = asked;
            peer.resolve_by = patience;
        });
        // While there is no registry, what is known from earlier and the relay may do.
        if !asked || !self.registry.is_registered() {
            self.start_exchange_unresolved(node);
        }
    }

    /// The relay needs no address: whoever of ours the registry tells us of is sent our key there, while it is asked where the peer is.
    //= spec/strategy.md#pp-dial-11
    //# Keys are exchanged with a peer of ours through the relay while the registry is asked where it is.
    pub(super) fn exchange_while_resolving(&mut self, node: NodeId) {
        if self.peers.get(&node).is_some_and(|peer| peer.resolving) && !self.config.beacons.is_empty() {
            self.exchange_keys(node);
        }
    }

    /// The registry is connected and silent: whose key is known is sought where it was, and through the relay.
    pub(super) fn go_on_unresolved(&mut self, node: NodeId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.resolve_by.take_if(|at| *at <= now).is_some() && peer.resolving {
            self.start_exchange_unresolved(node);
        }
    }

    /// As [`Self::start_exchange`], when nobody tells where `node` is.
    pub(super) fn start_exchange_unresolved(&mut self, node: NodeId) {
        let now = self.now;
        self.start_exchange(node);
        self.with_peer(node, |peer| peer.path.unresolved(now));
    }

    /// A stream has something to say, and a dial that failed gave up every way to its peer. Whether there is something to settle.
    pub(super) fn seek_way(&mut self, id: StreamId) -> bool {
        let in_use =
            |stream: &&Stream| !stream.dialling && !stream.released && stream.connection.close_reason().is_none();
        let Some(node) = self.streams.get(id).filter(in_use).map(Stream::peer) else { return false };
        let lost = self.peers.get(&node).is_some_and(|peer| peer.path.route().is_none());
        if lost {
            self.start_exchange(node);
        }
        lost
    }

    /// Ends every dial to `node` that has no session to go on with, and forgets the packets that waited for one.
    pub(super) fn fail_dials(&mut self, node: NodeId, error: DialError) {
        if self.peers.get(&node).is_some_and(|peer| peer.armour().is_some()) {
            return;
        }
        for id in self.streams.of_peer(node).to_vec() {
            if self.streams.get(id).is_some_and(|stream| stream.dialling) {
                self.fail_dial(id, error);
            }
        }
        self.forget_waiting(node);
    }

    pub(super) fn peer_unreachable(&mut self, node: NodeId) {
        self.fail_dials(node, self.why_unreachable(node));
        self.forget_waiting(node);
    }

    fn why_unreachable(&self, node: NodeId) -> DialError {
        let asking = self.looking_up.contains(&node) || self.peers.get(&node).is_some_and(|peer| peer.resolving);
        if asking { DialError::RegistryUnavailable } else { DialError::Unreachable }
    }

    pub(super) fn dial_timed_out(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(id) else { return };
        if !stream.dialling {
            return self.trust_message_timed_out(id);
        }
        let node = stream.peer();
        let began = self.now - limits::DIAL_TIMEOUT;
        let heard = self.peers.get(&node).is_some_and(|peer| peer.heard_at.is_some_and(|at| at >= began));
        //= spec/strategy.md#pp-dial-4
        //# A dial tells apart: unknown or untrusted, no registry, wrong identity, unreachable, no answer on the port, refused.
        let error = if heard { DialError::Timeout } else { self.why_unreachable(node) };
        self.fail_dial(id, error);
    }

    pub(super) fn fail_dial(&mut self, id: StreamId, error: DialError) {
        let Some(mut stream) = self.drop_stream(id) else { return };
        self.tell_reset(&mut stream);
        match stream.owner {
            Owner::Host => self.event(Event::DialFailed(id, error)),
            Owner::TrustSender { kind, .. } => self.trust_delivery_failed(stream.remote.address.node, kind),
            Owner::Echo(_) | Owner::TrustReceiver { .. } => {}
        }
    }

    /// Whoever may have answered the SYN of a dial that is given up hears that it is over: to the reference it is established by then.
    fn tell_reset(&mut self, stream: &mut Stream) {
        if !stream.connection.owes_reset() {
            return;
        }
        let Some(segment) = stream.connection.poll_segment(self.now, &mut []) else { return };
        let header = stream.header(&segment);
        self.send_packet(Packet { node: stream.peer(), route: None, session: None, header, payload: Bytes::new() });
    }

    /// Removes a stream from every table, without a word to the peer.
    pub(super) fn drop_stream(&mut self, id: StreamId) -> Option<Stream> {
        self.timers.set(TimerKind::Dial(id), None);
        self.timers.set(TimerKind::Stream(id), None);
        let stream = self.streams.remove(self.now, id)?;
        if stream.unaccepted {
            self.forget_accept(stream.local_port, id, stream.peer());
        }
        self.dirty.insert(stream.peer());
        Some(stream)
    }

    /// The April reference answers a SYN to a network address from its backbone address (PP-SES-29).
    pub(super) fn find_answered_from_backbone(&mut self, header: &Header) -> Option<StreamId> {
        use crate::wire::Flags;
        if header.protocol != Protocol::Stream
            || !header.flags.contains(Flags::SYN | Flags::ACK)
            || header.src.network != crate::ids::NetworkId::BACKBONE
        {
            return None;
        }
        let node = header.src.node;
        let id = self.streams.of_peer(node).iter().copied().find(|id| {
            self.streams.get(*id).is_some_and(|stream| {
                stream.dialling && stream.local_port == header.dst_port && stream.remote.port == header.src_port
            })
        })?;
        //= spec/session.md#pp-ses-29
        //# A SYN-ACK from the backbone address of a peer dialled in another network is taken.
        self.streams.rename_remote(id, SocketAddress::new(header.src, header.src_port));
        Some(id)
    }
}

/// A dial that ended before it was established, in a dialler's words.
pub(super) fn dial_error(reason: CloseReason) -> DialError {
    match reason {
        CloseReason::Reset => DialError::Refused,
        CloseReason::Revoked => DialError::UnknownOrUntrusted,
        CloseReason::Finished
        | CloseReason::Local
        | CloseReason::RetransmissionLimit
        | CloseReason::IdleTimeout
        | CloseReason::Truncated
        | CloseReason::Unsent => DialError::Timeout,
    }
}
