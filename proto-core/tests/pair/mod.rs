//! Two connections, or one and a script, over links with loss, reordering, duplication, delay and a rate, in virtual time.
#![allow(
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "each test file uses its part of this support code"
)]

pub mod script;

use core::time::Duration;
use proto_core::Timestamp;
use proto_core::rng::Rng;
use proto_core::seq::SeqNumber;
use proto_core::stream::{Connection, Flags, Params, Segment, SegmentHeader, StreamEvent};
use proto_core::wire::options::Capabilities;
use std::collections::BTreeMap;

/// Header, frame and IP bytes around a payload.
const OVERHEAD: u64 = 98;

pub fn params() -> Params {
    Params {
        mss: 1152,
        max_segment_accepted: 8832,
        receive_buffer: 8 << 20,
        send_buffer: 8 << 20,
        no_delay: false,
        idle_timeout: Duration::from_secs(120),
        keepalive: Duration::from_secs(30),
        initial_rtt: None,
        offer_capabilities: Some(Capabilities::NONE),
    }
}

pub fn reference_params() -> Params {
    Params { offer_capabilities: None, ..params() }
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 8)) as u8).collect()
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    pub flags: Flags,
    pub seq: SeqNumber,
    pub ack: SeqNumber,
    pub window: u16,
    pub payload: Vec<u8>,
}

impl Packet {
    pub fn new(header: &SegmentHeader, buffer: &[u8]) -> Self {
        Self {
            flags: header.flags,
            seq: header.seq,
            ack: header.ack,
            window: header.window,
            payload: buffer[..header.payload_len].to_vec(),
        }
    }

    pub fn of(flags: Flags, seq: u32, ack: u32, window: u16, payload: &[u8]) -> Self {
        Self { flags, seq: SeqNumber(seq), ack: SeqNumber(ack), window, payload: payload.to_vec() }
    }

    pub fn segment(&self) -> Segment<'_> {
        Segment { flags: self.flags, seq: self.seq, ack: self.ack, window: self.window, payload: &self.payload }
    }

    pub fn is(&self, flags: Flags) -> bool {
        self.flags == flags
    }
}

/// One direction. Probabilities in per mille.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub delay: Duration,
    pub loss: u64,
    pub reorder: u64,
    pub duplicate: u64,
    /// Bytes a second; zero is infinitely fast.
    pub rate: u64,
    /// Bytes that may wait for the link.
    pub queue: u64,
}

impl Link {
    pub const fn with_delay(delay: Duration) -> Self {
        Self { delay, loss: 0, reorder: 0, duplicate: 0, rate: 0, queue: u64::MAX }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Dials.
    A,
    /// Answers.
    B,
}

type Filter = Box<dyn FnMut(Side, &Packet) -> bool>;

/// Two connections and the way between them.
pub struct Pair {
    pub now: Timestamp,
    pub a: Connection,
    pub b: Option<Connection>,
    pub b_params: Params,
    pub b_isn: SeqNumber,
    pub links: [Link; 2],
    /// `false` loses the packet that this side sends.
    pub filter: Filter,
    pub events: [Vec<StreamEvent>; 2],
    pub sent: [u64; 2],
    pub log: Vec<(Side, Packet)>,
    pub keep_log: bool,
    busy_until: [Timestamp; 2],
    rng: Rng,
    air: BTreeMap<(Timestamp, u64), (Side, Packet)>,
    number: u64,
    buffer: Vec<u8>,
}

impl Pair {
    pub fn new(a: Params, b: Params, link: Link, seed: u64) -> Self {
        Self::numbered(a, b, link, seed, SeqNumber(1000), SeqNumber(77_000))
    }

    pub fn numbered(a: Params, b: Params, link: Link, seed: u64, a_isn: SeqNumber, b_isn: SeqNumber) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now,
            a: Connection::connect(a, a_isn, now),
            b: None,
            b_params: b,
            b_isn,
            links: [link; 2],
            filter: Box::new(|_, _| true),
            events: [Vec::new(), Vec::new()],
            sent: [0; 2],
            log: Vec::new(),
            keep_log: false,
            busy_until: [now; 2],
            rng: Rng::new(bytes),
            air: BTreeMap::new(),
            number: 0,
            buffer: vec![0; 65_535],
        }
    }

    /// A pair whose handshake is done.
    pub fn connected(a: Params, b: Params, link: Link, seed: u64) -> Self {
        let mut pair = Self::new(a, b, link, seed);
        pair.run(Duration::from_secs(60), |pair| pair.is_connected());
        assert!(pair.is_connected(), "handshake");
        pair
    }

    pub fn is_connected(&self) -> bool {
        let up = |connection: &Connection| connection.state_name() == "established";
        up(&self.a) && self.b.as_ref().is_some_and(up)
    }

    pub fn b(&mut self) -> &mut Connection {
        let Some(b) = self.b.as_mut() else { panic!("no SYN arrived") };
        b
    }

    /// Steps until `done` or `span` is over; `done` may also read and write.
    pub fn run(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + span;
        loop {
            self.pump();
            if done(self) {
                self.pump();
                return true;
            }
            self.pump();
            if !self.step(end) {
                return done(self);
            }
        }
    }

    pub fn idle(&mut self, span: Duration) {
        self.run(span, |_| false);
    }

    /// Sends what there is to send and collects events.
    pub fn pump(&mut self) {
        for side in [Side::A, Side::B] {
            let mut rounds = 0;
            loop {
                let (connection, index) = match side {
                    Side::A => (Some(&mut self.a), 0),
                    Side::B => (self.b.as_mut(), 1),
                };
                let Some(connection) = connection else { break };
                while let Some(event) = connection.poll_event() {
                    self.events[index].push(event);
                }
                let Some(header) = connection.poll_segment(self.now, &mut self.buffer) else { break };
                let packet = Packet::new(&header, &self.buffer);
                self.send(side, packet);
                rounds += 1;
                assert!(rounds < 100_000, "endless sending of {side:?}");
            }
        }
    }

    fn send(&mut self, side: Side, packet: Packet) {
        let index = side as usize;
        self.sent[index] += 1;
        if self.keep_log {
            self.log.push((side, packet.clone()));
        }
        let link = self.links[index];
        if !(self.filter)(side, &packet) || self.rng.below(1000) < link.loss {
            return;
        }
        let size = packet.payload.len() as u64 + OVERHEAD;
        let start = self.busy_until[index].max(self.now);
        let mut arrival = start;
        if link.rate > 0 {
            let waiting = start.saturating_since(self.now).as_micros() as u64 * link.rate / 1_000_000;
            if waiting + size > link.queue {
                return;
            }
            arrival = start + Duration::from_nanos(size * 1_000_000_000 / link.rate);
            self.busy_until[index] = arrival;
        }
        arrival = arrival + link.delay;
        if self.rng.below(1000) < link.reorder {
            arrival = arrival + Duration::from_micros(self.rng.below(link.delay.as_micros() as u64 / 2 + 2000));
        }
        if self.rng.below(1000) < link.duplicate {
            let later = arrival + Duration::from_micros(self.rng.below(3000));
            self.put(later, side, packet.clone());
        }
        self.put(arrival, side, packet);
    }

    fn put(&mut self, at: Timestamp, from: Side, packet: Packet) {
        self.number += 1;
        self.air.insert((at, self.number), (from, packet));
    }

    /// Goes to the next thing that happens; `false` when nothing does before `end`.
    fn step(&mut self, end: Timestamp) -> bool {
        let timers = [Some(&self.a), self.b.as_ref()].into_iter().flatten().filter_map(Connection::poll_timeout);
        let arrival = self.air.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = timers.map(|(at, _)| at).chain(arrival).min().filter(|at| *at <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (from, packet) = entry.remove();
            self.deliver(from, &packet);
        }
        for connection in [Some(&mut self.a), self.b.as_mut()].into_iter().flatten() {
            connection.handle_timeout(self.now);
            let late = connection.poll_timeout().is_some_and(|(at, _)| at <= self.now);
            assert!(!late, "a due timer was not consumed");
        }
        true
    }

    fn deliver(&mut self, from: Side, packet: &Packet) {
        match (from, self.b.as_mut()) {
            (Side::B, _) => self.a.handle_segment(self.now, &packet.segment()),
            (Side::A, Some(b)) => b.handle_segment(self.now, &packet.segment()),
            (Side::A, None) if packet.is(Flags::SYN) => {
                self.b = Some(Connection::accept(self.b_params, self.b_isn, self.now, &packet.segment()));
            }
            (Side::A, None) => {}
        }
    }

    /// Moves `data` from A to B, B reading at once; gives what B got.
    pub fn transfer(&mut self, data: &[u8], span: Duration) -> Vec<u8> {
        let (mut written, mut got, mut chunk) = (0, Vec::with_capacity(data.len()), vec![0; 256 * 1024]);
        self.run(span, |pair| {
            while let Ok(n) = pair.a.write(pair.now, &data[written..]) {
                if n == 0 {
                    break;
                }
                written += n;
            }
            let now = pair.now;
            if let Some(b) = pair.b.as_mut() {
                while let Ok(n) = b.read(now, &mut chunk) {
                    got.extend_from_slice(&chunk[..n]);
                    if n == 0 {
                        break;
                    }
                }
            }
            got.len() >= data.len()
        });
        got
    }
}
