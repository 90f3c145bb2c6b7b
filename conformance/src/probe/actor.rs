//! One raw peer: an identity, a number, a socket and everything that ever came in.
//!
//! Decides how long to wait and what a datagram is. Answers pings, as a peer that does not is soon taken for gone, and
//! nothing else by itself.

use super::check::{Outcome, Stop, expected};
use super::tunnel::{self, Packet, Tunnel};
use proto_core::NodeId;
use proto_core::crypto::{Identity, PublicKey};
use proto_core::seq::SeqNumber;
use proto_core::wire::{
    Address, AuthenticatedKeyExchange, BeaconMessage, Datagram, Flags, Frame, Header, Protocol, classify,
};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Longest wait for an answer that must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing may come, where no answer can fence the wait in.
pub(super) const SILENCE: Duration = Duration::from_millis(500);
/// How long nothing may come after a later question was answered: other threads of the peer may be slower.
const AFTERTHOUGHT: Duration = Duration::from_millis(120);
/// Datagrams kept; what comes later is not read.
const MAX_LOG: usize = 100_000;
/// Between key exchanges: a receiver takes five in a second from one address.
pub(super) const EXCHANGE_PAUSE: Duration = Duration::from_millis(300);

/// Whom all this is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) node: NodeId,
    pub(super) key: PublicKey,
    pub(super) public: bool,
}

/// What a datagram holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Exchange(AuthenticatedKeyExchange),
    Packet(Packet),
    /// Sealed, and no session opens it.
    Sealed,
    /// A beacon's message other than a delivery of the peer's frame.
    Beacon(Vec<u8>),
    Other(Vec<u8>),
}

/// A datagram that came in.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    pub(super) length: usize,
    pub(super) content: Content,
}

impl Received {
    pub(super) const fn packet(&self) -> Option<&Packet> {
        match &self.content {
            Content::Packet(packet) => Some(packet),
            Content::Exchange(_) | Content::Sealed | Content::Beacon(_) | Content::Other(_) => None,
        }
    }

    pub(super) const fn exchange(&self) -> Option<&AuthenticatedKeyExchange> {
        match &self.content {
            Content::Exchange(exchange) => Some(exchange),
            Content::Packet(_) | Content::Sealed | Content::Beacon(_) | Content::Other(_) => None,
        }
    }
}

/// A raw peer.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) identity: Identity,
    pub(super) node: NodeId,
    pub(super) address: SocketAddr,
    pub(super) tunnel: Tunnel,
    socket: UdpSocket,
    peer: Option<Peer>,
    log: Vec<Received>,
    since: usize,
    next_port: u16,
    last_exchange: Option<Instant>,
    /// Nobody listens here: the peer's SYNs are refused, as by a peer without services.
    pub(super) refuses: bool,
}

impl Actor {
    /// An actor whose socket has a route to `toward`.
    pub(super) fn new(
        name: &'static str,
        seed: [u8; 32],
        node: NodeId,
        toward: SocketAddr,
    ) -> Result<Self, std::io::Error> {
        // The operating system says which of its addresses leads there.
        let any = if toward.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let route = UdpSocket::bind(any)?;
        route.connect(toward)?;
        let socket = UdpSocket::bind(SocketAddr::new(route.local_addr()?.ip(), 0))?;
        let [high, low] = tunnel::random();
        Ok(Self {
            name,
            identity: Identity::from_seed(seed),
            node,
            address: socket.local_addr()?,
            tunnel: Tunnel::new(),
            socket,
            peer: None,
            log: Vec::new(),
            since: 0,
            next_port: 49_152 + u16::from_be_bytes([high, low]) % 8192,
            last_exchange: None,
            refuses: true,
        })
    }

    pub(super) const fn knows(&mut self, peer: Peer) {
        self.peer = Some(peer);
    }

    /// A local port not used before.
    pub(super) const fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    /// What comes from now on is the business of the next search.
    pub(super) fn turn_the_page(&mut self) {
        self.listen(Duration::ZERO);
        self.since = self.log.len();
    }

    /// Sends bytes to the peer as they are.
    pub(super) fn send(&self, bytes: &[u8]) {
        if let Some(peer) = self.peer {
            self.send_to(peer.address, bytes);
        }
    }

    pub(super) fn send_to(&self, to: SocketAddr, bytes: &[u8]) {
        // What the kernel refuses is lost, as on the way.
        let _ = self.socket.send_to(bytes, to);
    }

    /// Seals a packet and sends it.
    pub(super) fn send_packet(&mut self, header: &Header, payload: &[u8]) {
        self.send_sealed(&tunnel::packet(header, payload));
    }

    /// Seals any bytes and sends them; gives the frame, to be sent again.
    pub(super) fn send_sealed(&mut self, packet: &[u8]) -> Vec<u8> {
        let frame = self.tunnel.seal(self.node, packet);
        self.send(&frame);
        frame
    }

    /// A header from this actor to the peer.
    pub(super) fn header(&self, protocol: Protocol, flags: Flags, (from, to): (u16, u16)) -> Header {
        Header {
            flags,
            protocol,
            src: Address::backbone(self.node),
            dst: Address::backbone(self.peer.map_or(NodeId::UNASSIGNED, |peer| peer.node)),
            src_port: from,
            dst_port: to,
            seq: SeqNumber(0),
            ack: SeqNumber(0),
            window: 0,
        }
    }

    /// A ping that only its own answer matches.
    pub(super) fn ping(&mut self) -> (Header, [u8; 8]) {
        let port = self.port();
        let mut header = self.header(Protocol::Control, Flags::NONE, (port, 0));
        header.seq = SeqNumber(u32::from_be_bytes(tunnel::random()));
        (header, tunnel::random())
    }

    /// Sends a ping; true when it is answered in time.
    pub(super) fn is_answered(&mut self, limit: Duration) -> bool {
        let (header, nonce) = self.ping();
        self.send_packet(&header, &nonce);
        self.pong(&nonce, limit).is_some()
    }

    /// The answer to the ping with this nonce.
    pub(super) fn pong(&mut self, nonce: &[u8; 8], limit: Duration) -> Option<Packet> {
        self.find(limit, |received| received.packet().filter(|packet| is_pong(packet, nonce)).cloned())
    }

    /// How many answers to the ping with this nonce came.
    pub(super) fn pongs(&self, nonce: &[u8; 8]) -> usize {
        self.seen().iter().filter_map(Received::packet).filter(|packet| is_pong(packet, nonce)).count()
    }

    /// Waits until everything sent so far was certainly looked at: a later ping is answered.
    pub(super) fn fence(&mut self) -> Outcome {
        for limit in [700, 700, 1200].map(Duration::from_millis) {
            if self.is_answered(limit) {
                self.listen(AFTERTHOUGHT);
                return Ok(());
            }
        }
        Err(Stop::failed("the peer answers no ping any more"))
    }

    /// Fails with `what` when something wrong came since the page was turned, or comes before a later question is
    /// answered.
    pub(super) fn silent(&mut self, what: &str, wrong: impl Fn(&Received) -> bool) -> Outcome {
        self.fence()?;
        match self.seen().iter().find(|received| wrong(received)) {
            Some(received) => Err(Stop::Failed(format!("{what}: {}", describe(received)))),
            None => Ok(()),
        }
    }

    /// Fails with `what` when anything at all comes from there within a while.
    pub(super) fn hears_nothing(&mut self, from: SocketAddr, what: &str) -> Outcome {
        self.listen(SILENCE);
        match self.seen().iter().find(|received| received.from == from) {
            Some(received) => Err(Stop::Failed(format!("{what}: {}", describe(received)))),
            None => Ok(()),
        }
    }

    /// Sends a key exchange as it must be, with the current own key. Waits before it where the peer's rate asks for that.
    pub(super) fn send_exchange(&mut self) -> [u8; 136] {
        let public = self.tunnel.public();
        let bytes = tunnel::exchange(self.node, &self.identity, public).to_bytes();
        self.send_exchange_bytes(&bytes);
        bytes
    }

    /// Sends what looks like a key exchange, no more often than the peer must listen.
    pub(super) fn send_exchange_bytes(&mut self, bytes: &[u8]) {
        if let Some(last) = self.last_exchange {
            self.listen_until(last + EXCHANGE_PAUSE);
        }
        self.last_exchange = Some(Instant::now());
        self.send(bytes);
    }

    /// Exchanges keys, with a new own one. Fails when no rightly signed answer makes a session.
    pub(super) fn meet(&mut self) -> Result<AuthenticatedKeyExchange, Stop> {
        self.tunnel.renew();
        self.turn_the_page();
        let mut answer = None;
        // Once more, as the first may come before the peer can know the key.
        for limit in [1500, 1500, 2500].map(Duration::from_millis) {
            self.send_exchange();
            answer = self.find(limit, |received| received.exchange().copied());
            if answer.is_some() {
                break;
            }
        }
        let answer = expected(answer, "a key exchange is not answered")?;
        if self.is_answered(PATIENCE) { Ok(answer) } else { Err(Stop::failed("no ping is answered under the new key")) }
    }

    /// Reads until something `wanted` came since the page was turned, or the time is over.
    pub(super) fn find<T>(&mut self, limit: Duration, mut wanted: impl FnMut(&Received) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut position = self.since;
        loop {
            while let Some(received) = self.log.get(position) {
                position += 1;
                if let Some(found) = wanted(received) {
                    return Some(found);
                }
            }
            if !self.receive(deadline) {
                return None;
            }
        }
    }

    /// Reads for so long.
    pub(super) fn listen(&mut self, span: Duration) {
        self.listen_until(Instant::now() + span);
    }

    pub(super) fn listen_until(&mut self, deadline: Instant) {
        while self.receive(deadline) {}
    }

    /// What came since the page was turned.
    pub(super) fn seen(&self) -> &[Received] {
        self.log.get(self.since..).unwrap_or_default()
    }

    /// What came ever.
    pub(super) fn log(&self) -> &[Received] {
        &self.log
    }

    /// Reads one datagram; false when none came in time. With a deadline that is over, only what waits already.
    fn receive(&mut self, deadline: Instant) -> bool {
        if self.log.len() >= MAX_LOG {
            return false;
        }
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut buffer = [0; 65_535];
        let _ = self.socket.set_read_timeout(Some(left));
        let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return false };
        let received = self.understand(from, buffer.get(..length).unwrap_or_default());
        self.answer(&received);
        self.log.push(received);
        true
    }

    fn understand(&mut self, from: SocketAddr, bytes: &[u8]) -> Received {
        let mut frame = bytes;
        if let (Datagram::Beacon(_), Ok(BeaconMessage::RelayDeliver { sender, frame: inner })) =
            (classify(bytes), BeaconMessage::parse(bytes))
            && self.peer.is_some_and(|peer| peer.node == sender)
        {
            frame = inner;
        }
        let content = match (classify(frame), Frame::parse(frame)) {
            (Datagram::Beacon(_), _) => Content::Beacon(frame.to_vec()),
            (Datagram::Frame(_), Ok(Frame::AuthenticatedKeyExchange(exchange))) => {
                if self.peer.is_some_and(|peer| tunnel::is_signed_by(&exchange, &peer.key)) {
                    self.tunnel.heard(exchange.exchange_public);
                }
                Content::Exchange(exchange)
            }
            (Datagram::Frame(_), Ok(Frame::Secure(secure))) => {
                self.tunnel.open(&secure).map_or(Content::Sealed, Content::Packet)
            }
            (Datagram::Frame(_) | Datagram::Empty, _) => Content::Other(frame.to_vec()),
        };
        Received { at: Instant::now(), from, length: frame.len(), content }
    }

    /// A ping of the peer is answered, as the peer may hold the path for dead otherwise; and so is a SYN, for the same reason.
    fn answer(&mut self, received: &Received) {
        let Some(packet) = received.packet() else { return };
        let asked = packet.header;
        if self.refuses && asked.protocol == Protocol::Stream && asked.flags == Flags::SYN {
            let mut header = self.header(Protocol::Stream, Flags::RST, (asked.dst_port, asked.src_port));
            header.ack = asked.seq + 1;
            self.send_packet(&header, &[]);
        }
        let ping = asked.protocol == Protocol::Control && asked.dst_port == 0 && !asked.flags.contains(Flags::ACK);
        if ping && !(asked.src_port == 0 && packet.payload.is_empty()) {
            let mut header = self.header(Protocol::Control, Flags::ACK, (0, asked.src_port));
            (header.seq, header.ack) = (asked.seq, asked.seq + 1);
            let payload = packet.payload.clone();
            self.send_packet(&header, &payload);
        }
    }
}

fn is_pong(packet: &Packet, nonce: &[u8; 8]) -> bool {
    packet.header.protocol == Protocol::Control && packet.header.flags.contains(Flags::ACK) && packet.payload == nonce
}

/// A datagram in words.
pub(super) fn describe(received: &Received) -> String {
    match &received.content {
        Content::Exchange(_) => "a PILA comes".to_owned(),
        Content::Sealed => "a sealed frame comes that no key opens".to_owned(),
        Content::Packet(Packet { header, payload, .. }) => format!(
            "{:?} {:?} {}->{} seq {} ack {} window {} with {} bytes comes",
            header.protocol,
            header.flags,
            header.src_port,
            header.dst_port,
            header.seq.0,
            header.ack.0,
            header.window,
            payload.len()
        ),
        Content::Beacon(bytes) => format!("beacon message {bytes:02X?} comes"),
        Content::Other(bytes) => format!("{} bytes {:02X?}.. come", bytes.len(), bytes.get(..4).unwrap_or(bytes)),
    }
}
