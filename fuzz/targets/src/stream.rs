//! Two connections and a network in the fuzzer's hands, against a model that is two byte vectors.

use crate::script::Script;
use core::time::Duration;
use proto_core::Timestamp;
use proto_core::seq::SeqNumber;
use proto_core::stream::{CloseReason, Connection, Flags, Params, Segment, StreamEvent};
use proto_core::wire::options::Capabilities;
use std::collections::VecDeque;

/// Bytes one side writes in a run at most, and segments one direction holds.
const MOST_WRITTEN: usize = 48 * 1024;
const MOST_IN_FLIGHT: usize = 128;
/// Segments a connection may send without anything happening to it.
const MOST_AT_ONCE: usize = 4096;
/// Steps of a sane network after which everything must have arrived.
const STEPS_TO_SETTLE: usize = 3000;

#[derive(Clone)]
struct Packet {
    flags: Flags,
    seq: SeqNumber,
    ack: SeqNumber,
    window: u16,
    payload: Vec<u8>,
}

impl Packet {
    fn segment(&self) -> Segment<'_> {
        Segment { flags: self.flags, seq: self.seq, ack: self.ack, window: self.window, payload: &self.payload }
    }
}

#[derive(Default)]
struct Side {
    connection: Option<Connection>,
    /// The model: what was written here, and how much of it the other side has read.
    written: Vec<u8>,
    read_by_peer: usize,
    /// On the way from here.
    air: VecDeque<Packet>,
    finished: bool,
    /// Reset, or reading given up: nothing is owed to this side any more.
    left: bool,
}

struct World {
    sides: [Side; 2],
    answering: Params,
    answering_isn: SeqNumber,
    now: Timestamp,
    /// Segments were made up: only safety is asked for.
    hostile: bool,
    buffer: Vec<u8>,
}

fn params(script: &mut Script<'_>) -> Params {
    Params {
        mss: 64 + (script.u16() & 0x0FFF),
        max_segment_accepted: 64 + script.u16() % 9000,
        receive_buffer: 8192 << (script.u8() & 3),
        send_buffer: 1024 << (script.u8() & 7),
        no_delay: script.u8() & 1 == 1,
        idle_timeout: Duration::from_secs(120),
        keepalive: Duration::from_secs(30),
        initial_rtt: None,
        offer_capabilities: (script.u8() & 1 == 0).then_some(Capabilities::NONE),
    }
}

/// What is read is a prefix of what was written; the end is told when all was read; and once the network is sane again everything arrives.
pub fn stream_ops(data: &[u8]) {
    let mut script = Script::new(data);
    let now = Timestamp::from_micros(1_000_000);
    let dialling = params(&mut script);
    let answering = params(&mut script);
    let dialler = Connection::connect(dialling, SeqNumber(script.u32()), now);
    let mut world = World {
        sides: [Side { connection: Some(dialler), ..Side::default() }, Side::default()],
        answering,
        answering_isn: SeqNumber(script.u32()),
        now,
        hostile: false,
        buffer: vec![0; 65_535],
    };
    world.pump();
    while !script.is_over() {
        world.step(&mut script);
        world.pump();
    }
    if !world.hostile {
        world.settle();
    }
}

impl World {
    fn step(&mut self, script: &mut Script<'_>) {
        let operation = script.u8();
        let index = usize::from(operation >> 7);
        let now = self.now;
        match operation & 0x1F {
            0..=4 => self.write(index, usize::from(script.u16()) & 0x1FFF),
            5..=8 => self.read(index, usize::from(script.u16()) & 0x1FFF),
            9..=16 => {
                let at = usize::from(operation >> 5 & 3);
                if let Some(packet) = self.sides[index].air.remove(at) {
                    self.deliver(index, &packet);
                }
            }
            17 => drop(self.sides[index].air.pop_front()),
            18 => drop(self.sides[index].air.pop_back()),
            19 => {
                if let Some(packet) = self.sides[index].air.front().cloned() {
                    self.deliver(index, &packet);
                }
            }
            20..=24 => self.pass(Duration::from_millis(1 << (script.u8() & 15))),
            25 => self.finish(index),
            26 => self.with(index, |connection| connection.set_path(64 + script.u16() % 9000, None)),
            27 => self.with(index, |connection| connection.set_no_delay(operation & 0x20 != 0)),
            28 if operation & 0x60 == 0x60 => {
                self.sides[index].left = true;
                self.with(index, Connection::reset);
            }
            29 if operation & 0x60 == 0x60 => {
                self.sides[index].left = true;
                self.with(index, Connection::stop_reading);
            }
            30 if operation & 0x60 == 0x60 => self.make_up(index, script),
            _ => self.with(index, |connection| connection.handle_timeout(now)),
        }
    }

    fn with(&mut self, index: usize, act: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.sides[index].connection.as_mut() {
            act(connection);
        }
    }

    fn write(&mut self, index: usize, len: usize) {
        let side = &mut self.sides[index];
        let Some(connection) = side.connection.as_mut() else { return };
        let room = MOST_WRITTEN.saturating_sub(side.written.len());
        let from = side.written.len();
        let bytes: Vec<u8> = (from..from + len.min(room)).map(|i| pattern(index, i)).collect();
        if let Ok(taken) = connection.write(self.now, &bytes) {
            assert!(!side.finished || taken == 0, "written after the end");
            side.written.extend_from_slice(&bytes[..taken]);
        }
    }

    fn read(&mut self, index: usize, len: usize) {
        let (now, hostile) = (self.now, self.hostile);
        let mut out = vec![0; len];
        let Some(connection) = self.sides[index].connection.as_mut() else { return };
        let Ok(taken) = connection.read(now, &mut out) else { return };
        let reason = connection.close_reason();
        let own_end = self.sides[index].finished || self.sides[index].left;
        let peer = &mut self.sides[1 - index];
        if hostile {
            return;
        }
        let expected = peer.written.get(peer.read_by_peer..peer.read_by_peer + taken);
        assert_eq!(Some(&out[..taken]), expected, "bytes {} and on", peer.read_by_peer);
        peer.read_by_peer += taken;
        if taken == 0 && len > 0 && !own_end {
            // Silence for the idle timeout ends with FIN as well.
            let ended = peer.connection.as_ref().and_then(Connection::close_reason) == Some(CloseReason::IdleTimeout);
            assert!(peer.finished || ended, "the end was told, and the peer did not say so: {reason:?}");
            assert_eq!(
                peer.read_by_peer,
                peer.written.len(),
                "the end was told before everything was read: {reason:?}"
            );
        }
    }

    fn finish(&mut self, index: usize) {
        let now = self.now;
        let side = &mut self.sides[index];
        if let Some(connection) = side.connection.as_mut()
            && connection.finish(now).is_ok()
        {
            side.finished = true;
        }
    }

    fn deliver(&mut self, from: usize, packet: &Packet) {
        let to = &mut self.sides[1 - from];
        match to.connection.as_mut() {
            Some(connection) => connection.handle_segment(self.now, &packet.segment()),
            None if packet.flags == Flags::SYN => {
                let connection = Connection::accept(self.answering, self.answering_isn, self.now, &packet.segment());
                to.connection = Some(connection);
            }
            None => {}
        }
    }

    /// A segment nobody sent, near what is expected.
    fn make_up(&mut self, index: usize, script: &mut Script<'_>) {
        self.hostile = true;
        let near =
            self.sides[index].air.front().map_or((SeqNumber(0), SeqNumber(0)), |packet| (packet.seq, packet.ack));
        let packet = Packet {
            flags: Flags::from_bits_truncate(script.u8()),
            seq: near.0 + u32::from(script.u16()).wrapping_sub(0x8000),
            ack: near.1 + u32::from(script.u16()).wrapping_sub(0x8000),
            window: script.u16(),
            payload: script.chunk().to_vec(),
        };
        self.deliver(index, &packet);
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        let now = self.now;
        for side in &mut self.sides {
            let Some(connection) = side.connection.as_mut() else { continue };
            connection.handle_timeout(now);
            assert!(connection.poll_timeout().is_none_or(|(at, _)| at > now), "a due timer was not moved");
        }
    }

    /// Takes what the connections send and tell.
    fn pump(&mut self) {
        for index in 0..2 {
            let mut sent = 0;
            while let Some(connection) = self.sides[index].connection.as_mut() {
                let Some(header) = connection.poll_segment(self.now, &mut self.buffer) else { break };
                sent += 1;
                assert!(sent < MOST_AT_ONCE, "endless sending");
                let payload = self.buffer[..header.payload_len].to_vec();
                let packet =
                    Packet { flags: header.flags, seq: header.seq, ack: header.ack, window: header.window, payload };
                if self.sides[index].air.len() < MOST_IN_FLIGHT {
                    self.sides[index].air.push_back(packet);
                }
            }
            self.listen(index);
        }
    }

    fn listen(&mut self, index: usize) {
        for _ in 0..8 {
            let Some(event) = self.sides[index].connection.as_mut().and_then(Connection::poll_event) else { return };
            if event == StreamEvent::Finished && !self.hostile && self.sides[index].finished {
                let received = self.sides[1 - index].connection.as_ref().map_or(0, |peer| peer.status().bytes_received);
                assert_eq!(received, self.sides[index].written.len() as u64, "finished before all had arrived");
            }
        }
        panic!("endless events");
    }

    /// From now on nothing is lost and both sides read.
    fn settle(&mut self) {
        for _ in 0..STEPS_TO_SETTLE {
            for index in 0..2 {
                while let Some(packet) = self.sides[index].air.pop_front() {
                    self.deliver(index, &packet);
                }
            }
            self.read(0, 65_535);
            self.read(1, 65_535);
            self.pump();
            if self.is_settled() {
                return;
            }
            if self.sides.iter().all(|side| side.air.is_empty()) {
                let timers = self.sides.iter().filter_map(|side| side.connection.as_ref()?.poll_timeout());
                let next = timers.map(|(at, _)| at).min();
                let Some(next) = next else { break };
                self.pass(next.saturating_since(self.now).max(Duration::from_micros(1)));
                self.pump();
            }
        }
        assert!(
            self.is_settled(),
            "a sane network does not help: {:?}",
            self.sides.each_ref().map(|side| {
                (side.connection.as_ref().map(Connection::status), side.written.len(), side.read_by_peer)
            })
        );
    }

    /// Everything arrived, or a side had a reason to end.
    fn is_settled(&self) -> bool {
        self.sides.iter().any(|side| side.left)
            || self
                .sides
                .iter()
                .flat_map(|side| side.connection.as_ref())
                .any(|connection| connection.close_reason().is_some_and(|reason| reason != CloseReason::Finished))
            || self.sides.iter().any(|side| side.finished)
                && self
                    .sides
                    .iter()
                    .all(|side| side.connection.as_ref().is_none_or(|connection| connection.close_reason().is_some()))
            || self.sides.iter().all(|side| side.read_by_peer == side.written.len() && !side.finished)
    }
}

fn pattern(index: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ index) as u8
}
