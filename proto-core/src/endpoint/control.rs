//! Control packets (protocol 3): ping and pong, keepalive, and the hello by which two peers of ours recognise each other. And datagrams.

use super::inner::Endpoint;
use super::outbox::Packet;
use super::peer::path_kind;
use super::recording::{Command, Entry};
use super::{DatagramError, Event, Outcome};
use crate::ids::{NodeId, RequestId};
use crate::limits;
use crate::path::Route;
use crate::seq::SeqNumber;
use crate::time::Timestamp;
use crate::tunnel::SessionId;
use crate::wire::options::OPTIONS_PORT;
use crate::wire::{Address, Capabilities, Flags, Header, Meet, Options, Protocol, SocketAddress};
use bytes::Bytes;
use core::time::Duration;

/// Source port of pings: never 0, or two peers of the reference would answer each other for ever (PP-DGRAM-8).
//= spec/datagrams.md#pp-dgram-8
//# Pings we send come from a port other than 0 and carry a nonce of 8 bytes.
pub(super) const PING_PORT: u16 = 49_152;
/// A probe not answered by then is forgotten.
const PROBE_LIFETIME: Duration = Duration::from_secs(5);
/// A hello not answered is repeated once after this.
const HELLO_AGAIN: Duration = Duration::from_millis(700);

/// A ping whose answer is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ping {
    nonce: u64,
    sent: Option<Timestamp>,
    deadline: Timestamp,
    /// Who asked, when it was the host.
    request: Option<RequestId>,
}

impl Ping {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(self.deadline)
    }

    /// Whom the host is to be told about.
    pub(super) fn request(&self) -> Option<RequestId> {
        self.request
    }
}

impl Endpoint {
    /// Sends an encrypted ping; the answer is `Completed` with `Pong`, `Timeout` or `Failed`.
    pub fn ping(&mut self, now: Timestamp, node: NodeId, timeout: Duration) -> RequestId {
        self.record(now, || Command::Ping { node, timeout }.into());
        let now = self.advance(now);
        let request = self.request_id();
        if self.reach(node).is_err() {
            let outcome = Outcome::Failed("not a peer that can be reached from here".to_owned());
            self.event(Event::Completed(request, outcome));
            return request;
        }
        self.with_peer(node, |peer| {
            peer.banished = false;
            peer.used_at = now;
        });
        let nonce = self.rng.next_u64();
        let deadline = now + timeout;
        self.expect_pong(node, Ping { nonce, sent: None, deadline, request: Some(request) });
        if let Some(packet) = self.ping_packet(node, None, None, nonce) {
            self.send_packet_or_wait(packet);
        }
        self.settle();
        request
    }

    /// Sends one datagram. `from_port` 0 takes a fresh ephemeral port; the port used is returned.
    ///
    /// # Errors
    /// See [`DatagramError`]. Delivery is not acknowledged.
    pub fn send_datagram(
        &mut self,
        now: Timestamp,
        to: SocketAddress,
        from_port: u16,
        data: &[u8],
    ) -> Result<u16, DatagramError> {
        self.record(now, || Entry::SendDatagram { to, from_port, data });
        let now = self.advance(now);
        let own = self.node.ok_or(DatagramError::NotRegistered)?;
        let node = to.address.node;
        if data.is_empty() {
            //= spec/datagrams.md#pp-dgram-2
            //# An empty datagram of protocol 2 is not sent, and dropped when received.
            return Err(DatagramError::Empty);
        }
        let most = usize::from(self.path_mss(node));
        //= spec/datagrams.md#pp-dgram-3
        //# A datagram that does not fit one segment of the path is refused to its sender.
        if data.len() > most {
            return Err(DatagramError::TooLarge(most));
        }
        self.reach(node).map_err(|_| DatagramError::InvalidTarget)?;
        let src_port =
            if from_port == 0 { self.streams.ephemeral_port(now, to).unwrap_or(PING_PORT) } else { from_port };
        let header = Header {
            flags: Flags::NONE,
            //= spec/datagrams.md#pp-dgram-1
            //# A datagram has flags, sequence, acknowledgment and window 0 and is not acknowledged.
            protocol: Protocol::Datagram,
            src: Address { network: to.address.network, node: own },
            dst: to.address,
            src_port,
            dst_port: to.port,
            seq: SeqNumber(0),
            ack: SeqNumber(0),
            window: 0,
        };
        self.with_peer(node, |peer| {
            peer.banished = false;
            peer.used(now);
        });
        let packet = Packet { node, route: None, session: None, header, payload: Bytes::copy_from_slice(data) };
        let accepted = self.send_packet_or_wait(packet);
        self.settle();
        if accepted { Ok(src_port) } else { Err(DatagramError::QueueFull) }
    }

    pub(super) fn handle_control(&mut self, sender: NodeId, route: Route, header: &Header, payload: &[u8]) {
        if header.dst_port == OPTIONS_PORT {
            //= spec/datagrams.md#pp-dgram-11
            //# The hello to port 1 is not answered.
            return self.handle_hello(sender, payload);
        }
        // Never answer a control packet with ACK: two daemons would go on for ever (PP-DGRAM-6).
        //= spec/datagrams.md#pp-dgram-6
        //# A control packet with ACK is never answered.
        if header.flags.contains(Flags::ACK) {
            return self.handle_pong(sender, route, payload);
        }
        if header.dst_port != 0 {
            return self.drops.count("control_to_unknown_port");
        }
        //= spec/datagrams.md#pp-dgram-7
        //# An empty control packet from port 0 to port 0 is swallowed.
        if header.src_port == 0 && payload.is_empty() {
            return;
        }
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        //= spec/datagrams.md#pp-dgram-9
        //# At most 20 pings a second and peer are answered.
        if !peer.pongs.take(now) {
            return self.drops.count("ping_rate_limited");
        }
        //= spec/datagrams.md#pp-dgram-5
        //# A control packet to port 0 without ACK is a ping and is answered with ACK, the ports exchanged, the acknowledgment field one
        //# beyond the sequence number and the payload as it came.
        let answer = Header {
            flags: Flags::ACK,
            src: header.dst,
            dst: header.src,
            src_port: 0,
            dst_port: header.src_port,
            ack: header.seq + 1,
            window: 0,
            ..*header
        };
        let payload = Bytes::copy_from_slice(payload);
        self.send_packet(Packet { node: sender, route: Some(route), session: None, header: answer, payload });
    }

    fn handle_pong(&mut self, sender: NodeId, route: Route, payload: &[u8]) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        let Some(nonce) = payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)) else { return };
        //= spec/datagrams.md#pp-dgram-10
        //# A pong counts only when its nonce is that of a ping whose answer is awaited, and once.
        let Some(at) = peer.pings.iter().position(|ping| ping.nonce == nonce) else {
            return self.drops.count("pong_unexpected");
        };
        let Some(ping) = peer.pings.remove(at) else { return };
        peer.path.handle_probe_answer(now, nonce);
        self.dirty.insert(sender);
        if let (Some(request), Some(sent)) = (ping.request, ping.sent) {
            let outcome = Outcome::Pong { rtt: now.saturating_since(sent), path: path_kind(route) };
            self.event(Event::Completed(request, outcome));
        }
    }

    pub(super) fn expire_pings(&mut self, node: NodeId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let mut expired = Vec::new();
        peer.pings.retain(|ping| {
            if ping.deadline <= now {
                expired.extend(ping.request);
            }
            ping.deadline > now
        });
        for request in expired {
            self.event(Event::Completed(request, Outcome::Timeout));
        }
    }

    /// An encrypted ping over exactly `route`: its answer proves the path.
    pub(super) fn probe_path(&mut self, node: NodeId, route: Route, nonce: u64) {
        self.probe(node, Some(route), None, nonce);
    }

    /// A ping under exactly one key: any fresh answer proves it.
    pub(super) fn probe_session(&mut self, node: NodeId, session: SessionId) {
        let nonce = self.rng.next_u64();
        let route = self.peers.get(&node).and_then(|peer| {
            // Whoever replays an old key exchange from elsewhere must not draw the question to the working key there.
            let in_use = peer.path.route().filter(|_| peer.tunnel.sending() == Some(session));
            in_use.or(peer.last_route)
        });
        self.probe(node, route, Some(session), nonce);
    }

    fn probe(&mut self, node: NodeId, route: Option<Route>, session: Option<SessionId>, nonce: u64) {
        let now = self.now;
        self.expect_pong(node, Ping { nonce, sent: Some(now), deadline: now + PROBE_LIFETIME, request: None });
        if let Some(packet) = self.ping_packet(node, route, session, nonce) {
            self.send_packet(packet);
        }
    }

    fn expect_pong(&mut self, node: NodeId, ping: Ping) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let mut forgotten = None;
        if peer.pings.len() >= limits::PINGS_PER_PEER {
            forgotten = peer.pings.pop_front().and_then(|ping| ping.request);
        }
        peer.pings.push_back(ping);
        self.dirty.insert(node);
        if let Some(request) = forgotten {
            self.event(Event::Completed(request, Outcome::Timeout));
        }
    }

    fn ping_packet(
        &self,
        node: NodeId,
        route: Option<Route>,
        session: Option<SessionId>,
        nonce: u64,
    ) -> Option<Packet> {
        let header = self.control_header(node, PING_PORT, 0)?;
        Some(Packet { node, route, session, header, payload: Bytes::copy_from_slice(&nonce.to_be_bytes()) })
    }

    /// Empty, port 0 to port 0: keeps the NAT mapping (PP-KA-6).
    pub(super) fn send_keepalive(&mut self, node: NodeId, route: Route) {
        if let Some(header) = self.control_header(node, 0, 0) {
            self.send_packet(Packet { node, route: Some(route), session: None, header, payload: Bytes::new() });
        }
    }

    pub(super) fn control_header(&self, node: NodeId, src_port: u16, dst_port: u16) -> Option<Header> {
        Some(Header {
            flags: Flags::NONE,
            protocol: Protocol::Control,
            src: Address::backbone(self.node?),
            dst: Address::backbone(node),
            src_port,
            dst_port,
            seq: SeqNumber(0),
            ack: SeqNumber(0),
            window: 0,
        })
    }

    /// What this endpoint offers to peers of ours.
    pub(super) fn options(&self) -> Options {
        Options {
            capabilities: Capabilities::RELAY_FIRST | Capabilities::MEETS,
            max_segment: self.config.stream.loopback_mss.max(self.config.stream.mss),
            window_shift: 0,
        }
    }

    /// Tells a peer that we are ours; a reference peer does not see it.
    pub(super) fn say_hello(&mut self, node: NodeId) {
        let again = self.now + HELLO_AGAIN;
        self.hello(node);
        self.with_peer(node, |peer| peer.hello_again = Some(again));
    }

    pub(super) fn hello(&mut self, node: NodeId) {
        let payload = Bytes::copy_from_slice(&self.options().to_bytes());
        if let Some(header) = self.control_header(node, PING_PORT, OPTIONS_PORT) {
            self.send_packet(Packet { node, route: None, session: None, header, payload });
        }
    }

    pub(super) fn is_ours(&mut self, node: NodeId) {
        let now = self.now;
        self.with_peer(node, |peer| {
            peer.ours = true;
            peer.path.set_ours(now, true);
        });
    }

    fn handle_hello(&mut self, sender: NodeId, payload: &[u8]) {
        if let Some(options) = Options::parse(payload) {
            self.is_ours(sender);
            if options.capabilities.contains(Capabilities::MEETS) {
                self.can_meet(sender);
            }
        } else if let Some(meet) = Meet::parse(payload) {
            self.handle_meet(sender, &meet);
        }
    }

    /// Queues `packet`, at its peer when there is no session yet. `false` when that queue is full.
    fn send_packet_or_wait(&mut self, packet: Packet) -> bool {
        let Some(peer) = self.peers.get(&packet.node) else { return false };
        if peer.is_connected() {
            self.send_packet_now(packet);
            return true;
        }
        let waiting = peer.pending.len();
        //= spec/exchange.md#pp-kex-25
        //# At most 64 packets wait for a session of one peer, and for sessions of at most 256 peers.
        let room = waiting < limits::PENDING_PER_PEER
            && (waiting > 0
                || self.peers.values().filter(|peer| !peer.pending.is_empty()).count() < limits::PENDING_PEERS);
        if let Some(peer) = self.peers.get_mut(&packet.node).filter(|_| room) {
            peer.pending.push_back(packet);
        } else {
            self.drops.count("pending_packets_full");
        }
        room
    }

    /// Queues a packet; a ping's clock starts now.
    pub(super) fn send_packet_now(&mut self, packet: Packet) {
        let now = self.now;
        if packet.header.protocol == Protocol::Control
            && let Some(nonce) = packet.payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
            && let Some(peer) = self.peers.get_mut(&packet.node)
        {
            for ping in peer.pings.iter_mut().filter(|ping| ping.nonce == nonce) {
                ping.sent = Some(now);
            }
        }
        self.send_packet(packet);
    }
}
