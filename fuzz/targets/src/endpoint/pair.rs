//! Two real endpoints that trust each other, and a network that loses, repeats, reorders and alters datagrams.

use super::drain;
use crate::script::Script;
use core::time::Duration;
use proto_core::crypto::{Identity, rust_crypto};
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Endpoint, Input, NodeId, SocketId, StreamId, Timestamp};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

const PORT: u16 = 1000;
const MOST_STEPS: usize = 300;
const MOST_IN_FLIGHT: usize = 256;
const MOST_WRITTEN: usize = 256 * 1024;

struct Side {
    endpoint: Endpoint,
    at: SocketAddr,
    /// What it sent that has not arrived.
    air: VecDeque<Vec<u8>>,
    stream: Option<StreamId>,
    /// The model: what was written here, and how much of that the other side read.
    written: usize,
    read_by_peer: usize,
    finished: bool,
}

struct World {
    sides: [Side; 2],
    now: Timestamp,
    buffer: Vec<u8>,
}

/// What one application reads is a prefix of what the other wrote, whatever happens in between.
pub fn endpoint_real(data: &[u8]) {
    let now = Timestamp::from_micros(1_000_000);
    let mut script = Script::new(data);
    let seed = script.u8();
    let sides = [0_u8, 1].map(|index| {
        let (own, peer) = (index + 1, 2 - index);
        let identity = Identity::from_seed([own; 32]);
        let mut endpoint = Endpoint::new(Arc::new(Config::default()), identity, rust_crypto(), [seed ^ own; 32], now);
        endpoint.set_node(now, NodeId(u32::from(own)));
        let key = Identity::from_seed([peer; 32]).public();
        endpoint.add_static_peer(now, NodeId(u32::from(peer)), key, Some(place(peer)), true);
        let _ = endpoint.listen(PORT);
        let air = VecDeque::new();
        Side { endpoint, at: place(own), air, stream: None, written: 0, read_by_peer: 0, finished: false }
    });
    let mut world = World { sides, now, buffer: Vec::new() };
    let to = SocketAddress::new(Address::backbone(NodeId(2)), PORT);
    world.sides[0].stream = world.sides[0].endpoint.dial(now, to).ok();
    world.drain();
    for _ in 0..MOST_STEPS {
        if script.is_over() {
            return;
        }
        world.step(&mut script);
        world.drain();
    }
}

fn place(octet: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, octet], 4000))
}

impl World {
    fn step(&mut self, script: &mut Script<'_>) {
        let operation = script.u8();
        let index = usize::from(operation >> 7);
        match operation & 0x0F {
            0..=2 => self.write(index, usize::from(script.u16()) & 0x3FFF),
            3 | 4 => self.read(index),
            5..=8 => {
                for _ in 0..=operation >> 4 & 7 {
                    if let Some(bytes) = self.sides[index].air.pop_front() {
                        self.deliver(index, bytes);
                    }
                }
            }
            9 => {
                if let Some(bytes) = self.sides[index].air.pop_back() {
                    self.deliver(index, bytes);
                }
            }
            10 => drop(self.sides[index].air.pop_front()),
            11 => {
                let Some(mut bytes) = self.sides[index].air.front().cloned() else { return };
                let (at, change) = (usize::from(script.u16()) % bytes.len(), script.u8());
                bytes[at] ^= change;
                self.deliver(index, bytes);
            }
            12 if operation & 0x70 == 0x70 => {
                let side = &mut self.sides[index];
                if let Some(id) = side.stream {
                    side.finished |= side.endpoint.finish(self.now, id).is_ok();
                }
            }
            13 => {
                let bytes = script.chunk().to_vec();
                self.deliver(index, bytes);
            }
            _ => self.pass(Duration::from_millis(1 << (script.u8() & 13))),
        }
    }

    fn write(&mut self, index: usize, len: usize) {
        let side = &mut self.sides[index];
        let Some(id) = side.stream else { return };
        let len = len.min(MOST_WRITTEN - side.written);
        let bytes: Vec<u8> = (side.written..side.written + len).map(|at| pattern(index, at)).collect();
        side.written += side.endpoint.write(self.now, id, &bytes).unwrap_or(0);
    }

    fn read(&mut self, index: usize) {
        let side = &mut self.sides[index];
        if side.stream.is_none() {
            side.stream = side.endpoint.accept(PORT).map(|(id, _)| id);
        }
        let Some(id) = side.stream else { return };
        let mut out = vec![0; 8000];
        let Ok(taken) = side.endpoint.read(self.now, id, &mut out) else { return };
        let own_end = side.finished;
        let peer = &mut self.sides[1 - index];
        assert!(peer.read_by_peer + taken <= peer.written, "more was read than was written");
        for (at, byte) in (peer.read_by_peer..).zip(&out[..taken]) {
            assert_eq!(*byte, pattern(1 - index, at), "byte {at}");
        }
        peer.read_by_peer += taken;
        if taken == 0 && !own_end {
            assert!(peer.finished && peer.read_by_peer == peer.written, "the end was told too early");
        }
    }

    fn deliver(&mut self, from: usize, mut bytes: Vec<u8>) {
        let at = self.sides[from].at;
        let input = Input::Datagram { via: SocketId(0), from: at, to: None, ecn: None, data: &mut bytes };
        self.sides[1 - from].endpoint.handle_input(self.now, input);
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        for side in &mut self.sides {
            side.endpoint.handle_timeout(self.now);
        }
    }

    fn drain(&mut self) {
        for index in 0..2 {
            let peer = self.sides[1 - index].at;
            let side = &mut self.sides[index];
            let (outside, _) = drain(&mut side.endpoint, self.now, &mut self.buffer);
            let arriving = outside.sent.into_iter().filter(|(to, _)| *to == peer).map(|(_, bytes)| bytes);
            side.air.extend(arriving);
            side.air.truncate(MOST_IN_FLIGHT);
        }
    }
}

fn pattern(index: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ index) as u8
}
