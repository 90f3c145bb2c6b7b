//! Streams of a raw peer: it numbers its segments itself and says what it likes.

use super::actor::{Actor, PATIENCE, Received};
use super::check::{Outcome, Stop, ensure, expected};
use super::tunnel::{self, Packet};
use proto_core::seq::SeqNumber;
use proto_core::wire::{Flags, Header, Protocol, Sack};
use std::time::{Duration, Instant};

/// Window that is told unless a check says otherwise: all there can be.
pub(super) const OPEN_WINDOW: u16 = 512;
/// The echo service.
pub(super) const ECHO: u16 = 7;

/// One stream from this side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) own_port: u16,
    pub(super) port: u16,
    /// The number of the SYN.
    pub(super) iss: SeqNumber,
    /// The number of the peer's SYN.
    pub(super) irs: SeqNumber,
    /// The next number to send.
    pub(super) next: SeqNumber,
    /// The next number expected.
    pub(super) expected: SeqNumber,
    /// The window to tell.
    pub(super) window: u16,
}

/// A segment that came in on a stream.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) at: Instant,
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
}

impl Segment {
    /// An acknowledgement without user data.
    pub(super) fn is_pure_ack(&self) -> bool {
        self.header.flags == Flags::ACK && self.data().is_empty()
    }

    /// User data; what is an exact SACK is none.
    pub(super) fn data(&self) -> &[u8] {
        let control = self.header.flags != Flags::ACK || self.sack().is_some();
        if control { &[] } else { &self.payload }
    }

    pub(super) fn sack(&self) -> Option<Sack> {
        Sack::parse_exact(&self.payload)
    }
}

impl Stream {
    /// A stream nobody knows yet, from a fresh port.
    pub(super) fn new(actor: &mut Actor, port: u16) -> Self {
        let iss = SeqNumber(u32::from_be_bytes(tunnel::random()) >> 1);
        Self {
            own_port: actor.port(),
            port,
            iss,
            irs: SeqNumber(0),
            next: iss + 1,
            expected: SeqNumber(0),
            window: OPEN_WINDOW,
        }
    }

    /// Opens a stream as a well-behaved peer does.
    pub(super) fn open(actor: &mut Actor, port: u16) -> Result<Self, Stop> {
        let mut stream = Self::new(actor, port);
        stream.shake(actor)?;
        Ok(stream)
    }

    /// The handshake, with a SYN that is repeated once in case it is lost.
    pub(super) fn shake(&mut self, actor: &mut Actor) -> Outcome {
        let mut answer = None;
        for limit in [900, 2100].map(Duration::from_millis) {
            self.syn(actor);
            answer = self.find(actor, limit, |segment| segment.header.flags.contains(Flags::SYN));
            if answer.is_some() {
                break;
            }
        }
        let answer = expected(answer, "a SYN is not answered with SYN-ACK")?;
        self.answered(&answer)?;
        self.ack(actor);
        Ok(())
    }

    pub(super) fn syn(&self, actor: &mut Actor) {
        self.send(actor, Flags::SYN, self.iss, &[]);
    }

    /// Takes a SYN-ACK over.
    pub(super) fn answered(&mut self, segment: &Segment) -> Outcome {
        let Header { flags, ack, seq, .. } = segment.header;
        ensure(flags == Flags::SYN | Flags::ACK && ack == self.iss + 1, || {
            format!("a SYN {} is answered with {flags:?} and acknowledgment {}", self.iss.0, ack.0)
        })?;
        (self.irs, self.expected) = (seq, seq + 1);
        Ok(())
    }

    /// Acknowledges what is expected, without data.
    pub(super) fn ack(&self, actor: &mut Actor) {
        self.send(actor, Flags::ACK, self.next, &[]);
    }

    /// Sends data as the next bytes of the stream.
    pub(super) fn write(&mut self, actor: &mut Actor, data: &[u8]) {
        self.send(actor, Flags::ACK, self.next, data);
        self.next = ahead(self.next, data.len());
    }

    /// Sends a segment of any kind at any place; acknowledgment and window are the stream's.
    pub(super) fn send(&self, actor: &mut Actor, flags: Flags, seq: SeqNumber, payload: &[u8]) {
        let mut header = actor.header(Protocol::Stream, flags, (self.own_port, self.port));
        header.seq = seq;
        header.window = self.window;
        if flags.contains(Flags::ACK) {
            header.ack = self.expected;
        }
        actor.send_packet(&header, payload);
    }

    /// Ends the stream at once, so that it disturbs no later check.
    pub(super) fn abandon(&self, actor: &mut Actor) {
        self.send(actor, Flags::RST, self.next, &[]);
    }

    /// The segment of this stream in a datagram.
    pub(super) fn segment(&self, received: &Received) -> Option<Segment> {
        let Packet { header, payload, .. } = received.packet()?;
        let ours =
            header.protocol == Protocol::Stream && (header.src_port, header.dst_port) == (self.port, self.own_port);
        ours.then(|| Segment { at: received.at, header: *header, payload: payload.clone() })
    }

    /// All segments of this stream since the page was turned.
    pub(super) fn seen(&self, actor: &Actor) -> Vec<Segment> {
        actor.seen().iter().filter_map(|received| self.segment(received)).collect()
    }

    /// The first segment since the page was turned that is `right`, waiting for it.
    pub(super) fn find(&self, actor: &mut Actor, limit: Duration, right: impl Fn(&Segment) -> bool) -> Option<Segment> {
        actor.find(limit, |received| self.segment(received).filter(|segment| right(segment)))
    }

    /// Whether an acknowledgement of exactly `number` comes in time, with or without data.
    pub(super) fn is_acknowledged(&self, actor: &mut Actor, number: SeqNumber, limit: Duration) -> bool {
        let right = |segment: &Segment| segment.header.flags.contains(Flags::ACK) && segment.header.ack == number;
        self.find(actor, limit, right).is_some()
    }

    /// Reads and acknowledges exactly these bytes, in order. Whatever else comes on the stream is a failure.
    pub(super) fn read(&mut self, actor: &mut Actor, wanted: &[u8]) -> Outcome {
        let mut got: Vec<u8> = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while got.len() < wanted.len() {
            let limit = deadline.saturating_duration_since(Instant::now());
            let at = self.expected;
            let next = self.find(actor, limit, |segment| segment.header.seq == at && !segment.data().is_empty());
            let Some(segment) = next else {
                return Err(Stop::Failed(format!("{} of {} bytes come back", got.len(), wanted.len())));
            };
            got.extend_from_slice(segment.data());
            self.expected = ahead(at, segment.data().len());
            self.ack(actor);
        }
        ensure(got == wanted, || "other bytes come back than were sent".to_owned())
    }
}

/// `length` bytes later.
pub(super) fn ahead(number: SeqNumber, length: usize) -> SeqNumber {
    number + u32::try_from(length).unwrap_or(u32::MAX)
}
