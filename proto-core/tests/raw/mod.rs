//! One endpoint of ours against peers that are played by hand: real keys and frames, and whatever packets a test likes. Virtual time, no delay.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "each test file uses its part of this support code"
)]

use core::net::SocketAddr;
use core::time::Duration;
use proto_core::crypto::{CryptoProvider, Identity, rust_crypto};
use proto_core::rng::Rng;
use proto_core::seq::SeqNumber;
use proto_core::tunnel::{Action, Context, Tunnel};
use proto_core::wire::frame::{AUTHENTICATED_KEY_EXCHANGE_LEN, PILA, PILS, SECURE_HEADER_LEN, TAG_LEN};
use proto_core::wire::{Address, BeaconMessage, Flags, Frame, HEADER_LEN, Header, Protocol, SocketAddress};
use proto_core::{Config, Endpoint, Event, Input, NodeId, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use std::sync::Arc;

/// Our endpoint's node and where it is.
pub const OURS: NodeId = NodeId(100);
pub const BEACON: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(198, 51, 100, 1)), 9001);

/// A datagram that our endpoint sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Timestamp,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// A peer played by hand.
pub struct Raw {
    pub node: NodeId,
    pub address: SocketAddr,
    pub identity: Identity,
    pub tunnel: Tunnel,
    rng: Rng,
    /// Pings are answered, and left out of `got`.
    pub answers_pings: bool,
    /// Takes up key exchanges and answers them.
    pub alive: bool,
    /// Reached and heard through the beacon only.
    pub relayed: bool,
    /// Packets of our endpoint.
    pub got: Vec<(Header, Vec<u8>)>,
}

#[derive(Default)]
struct Outside {
    buffer: Vec<u8>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Outside {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 8 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        for datagram in self.buffer[..transmit.len].chunks(transmit.segment.unwrap_or(transmit.len)) {
            self.sent.push((transmit.to, datagram.to_vec()));
        }
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Our endpoint and the peers around it.
pub struct World {
    pub now: Timestamp,
    pub ours: Endpoint,
    pub peers: Vec<Raw>,
    pub events: Vec<Event>,
    /// Everything our endpoint sent.
    pub log: Vec<Sent>,
    /// Our endpoint's datagrams are not delivered.
    pub mute: bool,
    outside: Outside,
}

/// The `index`th peer's address; each has an IP address of its own.
pub fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(index + 1).unwrap()], 4000))
}

/// A stream packet of `flags` and `seq`, `ack`, from port `src` to port `dst`.
pub fn stream(flags: Flags, (src_port, dst_port): (u16, u16), seq: u32, ack: u32) -> Header {
    Header {
        flags,
        protocol: Protocol::Stream,
        src: Address::backbone(NodeId(0)),
        dst: Address::backbone(OURS),
        src_port,
        dst_port,
        seq: SeqNumber(seq),
        ack: SeqNumber(ack),
        window: 512,
    }
}

/// A packet of another protocol.
pub fn packet(protocol: Protocol, flags: Flags, ports: (u16, u16)) -> Header {
    Header { protocol, window: 0, ..stream(flags, ports, 0, 0) }
}

impl World {
    /// Peers with nodes 1, 2, ...; all known by key and address, trusted or not.
    pub fn new(config: Config, trusted: &[bool]) -> Self {
        Self::with_crypto(config, trusted, rust_crypto())
    }

    pub fn with_crypto(config: Config, trusted: &[bool], crypto: &'static CryptoProvider) -> Self {
        let now = Timestamp::from_micros(1);
        let mut ours = Endpoint::new(Arc::new(config), Identity::from_seed([99; 32]), crypto, [7; 32], now);
        ours.set_node(now, OURS);
        let mut peers = Vec::new();
        for (index, trusted) in trusted.iter().enumerate() {
            let number = u8::try_from(index + 1).unwrap();
            let identity = Identity::from_seed([number; 32]);
            let node = NodeId(number.into());
            ours.add_static_peer(now, node, identity.public(), Some(address(index)), *trusted);
            peers.push(Raw {
                node,
                address: address(index),
                identity,
                tunnel: Tunnel::new(node, OURS),
                rng: Rng::new([number ^ 0x55; 32]),
                answers_pings: true,
                alive: true,
                relayed: false,
                got: Vec::new(),
            });
        }
        let outside = Outside { buffer: vec![0; 65_535], ..Outside::default() };
        Self { now, ours, peers, events: Vec::new(), log: Vec::new(), mute: false, outside }
    }

    /// One trusted peer with a session.
    pub fn met(config: Config) -> Self {
        let mut world = Self::new(config, &[true]);
        world.meet(0);
        world
    }

    /// `peer` exchanges keys with our endpoint, and what that brought is forgotten.
    pub fn meet(&mut self, peer: usize) {
        let frame = self.exchange(peer);
        self.datagram(self.peers[peer].address, frame);
        self.pass(Duration::from_secs(5));
        assert!(self.peers[peer].tunnel.is_established(), "no session with peer {peer}");
        self.forget();
    }

    /// Forgets what was recorded so far.
    pub fn forget(&mut self) {
        self.events.clear();
        self.log.clear();
        self.peers.iter_mut().for_each(|peer| peer.got.clear());
    }

    /// The PILA of `peer`.
    pub fn exchange(&mut self, peer: usize) -> Vec<u8> {
        let Raw { tunnel, identity, rng, .. } = &mut self.peers[peer];
        let mut frame = vec![0; AUTHENTICATED_KEY_EXCHANGE_LEN];
        let mut context = Context { crypto: rust_crypto(), identity, rng };
        tunnel.emit_exchange(&mut context, &mut frame).unwrap();
        frame
    }

    /// A sealed packet of `peer`; its source node is filled in.
    pub fn sealed(&mut self, peer: usize, header: Header, payload: &[u8]) -> Vec<u8> {
        let node = self.peers[peer].node;
        let header = Header { src: Address { node, ..header.src }, ..header };
        let mut packet = vec![0; HEADER_LEN + payload.len()];
        header.emit(payload, &mut packet).unwrap();
        self.sealed_bytes(peer, &packet)
    }

    /// These bytes, sealed as a packet of `peer`.
    pub fn sealed_bytes(&mut self, peer: usize, packet: &[u8]) -> Vec<u8> {
        let mut frame = [&[0; SECURE_HEADER_LEN][..], packet, &[0; TAG_LEN]].concat();
        self.peers[peer].tunnel.seal(self.now, &mut frame).unwrap();
        frame
    }

    /// `peer` sends a packet, and everything that follows at once happens.
    pub fn send(&mut self, peer: usize, header: Header, payload: &[u8]) {
        let frame = self.sealed(peer, header, payload);
        self.datagram(self.peers[peer].address, frame);
    }

    /// A datagram arrives at our endpoint.
    pub fn datagram(&mut self, from: SocketAddr, mut data: Vec<u8>) {
        let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data: &mut data };
        self.ours.handle_input(self.now, input);
        self.pump();
    }

    /// The beacon delivers `frame` as coming from `sender`.
    pub fn relayed(&mut self, sender: NodeId, frame: &[u8]) {
        let message = BeaconMessage::RelayDeliver { sender, frame }.to_vec().unwrap();
        self.datagram(BEACON, message);
    }

    /// A command to our endpoint.
    pub fn act<T>(&mut self, command: impl FnOnce(&mut Endpoint, Timestamp) -> T) -> T {
        let result = command(&mut self.ours, self.now);
        self.pump();
        result
    }

    /// Carries out everything that happens without time passing; gives when our endpoint wants to go on.
    pub fn pump(&mut self) {
        for _ in 0..1000 {
            drive(&mut self.ours, self.now, &mut self.outside);
            self.events.append(&mut self.outside.events);
            let sent = core::mem::take(&mut self.outside.sent);
            for (to, bytes) in &sent {
                self.log.push(Sent { at: self.now, to: *to, bytes: bytes.clone() });
                if !self.mute {
                    self.deliver(*to, bytes);
                }
            }
            let answered = (0..self.peers.len()).filter(|peer| self.peer_acts(*peer)).count();
            if sent.is_empty() && answered == 0 {
                return;
            }
        }
        panic!("no end of it");
    }

    fn deliver(&mut self, to: SocketAddr, bytes: &[u8]) {
        let key = Identity::from_seed([99; 32]).public();
        let relayed = to == BEACON && bytes.first() == Some(&5);
        let bytes = if relayed { &bytes[9..] } else { bytes };
        let is_meant = |peer: &&mut Raw| peer.relayed == relayed && (relayed || peer.address == to);
        let Some(raw) = self.peers.iter_mut().filter(|peer| peer.alive).find(is_meant) else { return };
        if bytes.starts_with(&PILA) {
            let Ok(Frame::AuthenticatedKeyExchange(exchange)) = Frame::parse(bytes) else { panic!("not a PILA") };
            let mut context = Context { crypto: rust_crypto(), identity: &raw.identity, rng: &mut raw.rng };
            raw.tunnel.handle_exchange(self.now, &exchange, &key, &mut context).unwrap();
        } else if bytes.starts_with(&PILS) {
            let mut frame = bytes.to_vec();
            let Ok(opened) = raw.tunnel.open(self.now, &mut frame) else { return };
            raw.got.push((opened.header, opened.payload.to_vec()));
        }
    }

    /// What `peer` does on its own: keys and pongs. `false` when nothing.
    fn peer_acts(&mut self, peer: usize) -> bool {
        let mut frames = Vec::new();
        while let Some(action) = self.peers[peer].tunnel.poll_action(self.now) {
            match action {
                Action::SendExchange | Action::ReplyExchange => frames.push(self.exchange(peer)),
                // A fresh frame under the key is all that is asked for.
                Action::Probe(_) => frames.push(self.sealed(peer, packet(Protocol::Control, Flags::NONE, (0, 0)), b"")),
                Action::Established | Action::Switched | Action::Failed => {}
            }
        }
        if self.peers[peer].answers_pings {
            let is_ping = |header: &Header| {
                header.protocol == Protocol::Control && header.flags == Flags::NONE && header.dst_port == 0
            };
            let got = core::mem::take(&mut self.peers[peer].got);
            let (pings, rest): (Vec<_>, Vec<_>) = got.into_iter().partition(|(header, _)| is_ping(header));
            self.peers[peer].got = rest;
            for (header, nonce) in pings.into_iter().filter(|(_, nonce)| !nonce.is_empty()) {
                let pong = packet(Protocol::Control, Flags::ACK, (0, header.src_port));
                frames.push(self.sealed(peer, Header { ack: header.seq + 1, ..pong }, &nonce));
            }
        }
        let any = !frames.is_empty();
        for frame in frames {
            let Raw { node, address, relayed, .. } = self.peers[peer];
            let wrapped = || BeaconMessage::RelayDeliver { sender: node, frame: &frame }.to_vec().unwrap();
            let (from, mut data) = if relayed { (BEACON, wrapped()) } else { (address, frame) };
            let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data: &mut data };
            self.ours.handle_input(self.now, input);
        }
        any
    }

    /// Lets `span` pass.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        self.pump();
        loop {
            let tunnels = self.peers.iter().filter_map(|peer| peer.tunnel.poll_timeout()).map(|(at, _)| at);
            let next = tunnels.chain(self.ours.poll_timeout().map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            self.ours.handle_timeout(self.now);
            for peer in &mut self.peers {
                peer.tunnel.handle_timeout(self.now);
            }
            self.pump();
        }
        self.now = end;
    }

    /// Packets that `peer` got, which are forgotten.
    pub fn take(&mut self, peer: usize) -> Vec<(Header, Vec<u8>)> {
        core::mem::take(&mut self.peers[peer].got)
    }

    /// Their flags.
    pub fn take_flags(&mut self, peer: usize) -> Vec<Flags> {
        self.take(peer).iter().map(|(header, _)| header.flags).collect()
    }

    /// `peer` dials port `to` of our endpoint from port `from`, with ISN 0; gives our ISN when the answer was a SYN-ACK.
    pub fn dial_in(&mut self, peer: usize, from: u16, to: u16) -> Option<u32> {
        self.send(peer, stream(Flags::SYN, (from, to), 0, 0), b"");
        let (answer, _) = self.take(peer).into_iter().find(|(header, _)| header.dst_port == from)?;
        if !answer.flags.contains(Flags::SYN | Flags::ACK) {
            return None;
        }
        self.send(peer, stream(Flags::ACK, (from, to), 1, answer.seq.0.wrapping_add(1)), b"");
        self.take(peer);
        Some(answer.seq.0)
    }

    /// How often `reason` was the reason to drop something.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.ours.status().drops.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count)
    }

    pub fn saw(&self, event: &Event) -> bool {
        self.events.contains(event)
    }
}

/// Port `port` of `peer`, counted from 0.
pub fn target(peer: u32, port: u16) -> SocketAddress {
    SocketAddress::new(Address::backbone(NodeId(peer + 1)), port)
}
