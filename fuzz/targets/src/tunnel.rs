//! Two tunnels with real keys and a network that loses, repeats, reorders and alters frames.

use crate::script::Script;
use core::time::Duration;
use proto_core::crypto::{Identity, rust_crypto};
use proto_core::rng::Rng;
use proto_core::tunnel::{Action, Context, Tunnel};
use proto_core::wire::frame::{PILS_OVERHEAD, SECURE_HEADER_LEN, TAG_LEN};
use proto_core::wire::{Address, Flags, Frame, HEADER_LEN, Header, Protocol};
use proto_core::{NodeId, Timestamp};
use std::collections::BTreeSet;

/// Key agreements are what a run spends its time with.
const MOST_STEPS: usize = 200;
const MOST_FRAMES: usize = 64;
const PAYLOAD: usize = 4;

struct End {
    tunnel: Tunnel,
    identity: Identity,
    rng: Rng,
    node: NodeId,
}

impl End {
    fn new(side: u8, incarnation: u8) -> Self {
        let (node, peer) = (NodeId(u32::from(side) + 1), NodeId(2 - u32::from(side)));
        let mut seed = [side; 32];
        seed[1] = incarnation;
        Self {
            tunnel: Tunnel::new(node, peer),
            identity: Identity::from_seed([side + 1; 32]),
            rng: Rng::new(seed),
            node,
        }
    }

    fn context(&mut self) -> (&mut Tunnel, Context<'_>) {
        (&mut self.tunnel, Context { crypto: rust_crypto(), identity: &self.identity, rng: &mut self.rng })
    }
}

struct World {
    ends: [End; 2],
    now: Timestamp,
    /// The receiver's side and the frame.
    wire: Vec<(usize, Vec<u8>)>,
    sent: u32,
    opened: BTreeSet<u32>,
}

/// Each packet is opened at most once, as it was sealed, by whom it was for; no due timer stays.
pub fn tunnel_machine(data: &[u8]) {
    let mut world = World {
        ends: [End::new(0, 0), End::new(1, 0)],
        now: Timestamp::from_micros(1_000_000),
        wire: Vec::new(),
        sent: 0,
        opened: BTreeSet::new(),
    };
    let mut script = Script::new(data);
    for step in 0..MOST_STEPS {
        if script.is_over() {
            return;
        }
        world.step(step, &mut script);
        world.drain();
    }
}

impl World {
    fn step(&mut self, step: usize, script: &mut Script<'_>) {
        let operation = script.u8();
        let side = usize::from(operation >> 7);
        let index = usize::from(script.u8());
        let picked = (!self.wire.is_empty()).then(|| index % self.wire.len().max(1));
        match operation & 0x0F {
            0 => {
                let now = self.now;
                let (tunnel, mut context) = self.ends[side].context();
                tunnel.start_exchange(now, &mut context);
            }
            1 => self.ends[side] = End::new(side as u8, step as u8 + 1),
            2 => self.ends[side].tunnel.nudge(self.now),
            3..=5 => self.seal(side),
            6..=9 => {
                if let Some((to, frame)) = picked.map(|picked| self.wire.remove(picked)) {
                    self.deliver(to, frame, false);
                }
            }
            10 => {
                if let Some((to, frame)) = picked.map(|picked| self.wire[picked].clone()) {
                    self.deliver(to, frame, false);
                }
            }
            11 => {
                if let Some((to, mut frame)) = picked.map(|picked| self.wire[picked].clone()) {
                    let (at, change) = (usize::from(script.u8()) % frame.len(), script.u8());
                    frame[at] ^= change;
                    self.deliver(to, frame, change != 0);
                }
            }
            12 => drop(picked.map(|picked| self.wire.remove(picked))),
            13 => self.deliver(side, script.chunk().to_vec(), true),
            _ => self.pass(Duration::from_millis(u64::from(script.u8()) * u64::from(script.u8()))),
        }
    }

    fn seal(&mut self, side: usize) {
        let (node, peer) = (self.ends[side].node, self.ends[1 - side].node);
        let header = Header {
            flags: Flags::NONE,
            protocol: Protocol::Datagram,
            src: Address::backbone(node),
            dst: Address::backbone(peer),
            src_port: 1,
            dst_port: 1,
            seq: Default::default(),
            ack: Default::default(),
            window: 0,
        };
        let mut frame = vec![0; PILS_OVERHEAD + HEADER_LEN + PAYLOAD];
        let end = frame.len() - TAG_LEN;
        header.emit(&self.sent.to_be_bytes(), &mut frame[SECURE_HEADER_LEN..end]).unwrap();
        if self.ends[side].tunnel.seal(self.now, &mut frame).is_ok() {
            self.sent += 1;
            self.put(1 - side, frame);
        }
    }

    fn put(&mut self, to: usize, frame: Vec<u8>) {
        if self.wire.len() < MOST_FRAMES {
            self.wire.push((to, frame));
        }
    }

    fn deliver(&mut self, to: usize, mut frame: Vec<u8>, altered: bool) {
        let (now, key) = (self.now, self.ends[1 - to].identity.public());
        match Frame::parse(&frame) {
            Ok(Frame::AuthenticatedKeyExchange(exchange)) => {
                let (tunnel, mut context) = self.ends[to].context();
                let accepted = tunnel.handle_exchange(now, &exchange, &key, &mut context);
                // Bytes behind the frame may be altered at will.
                assert!(!altered || accepted.is_err() || frame.len() > exchange.to_bytes().len());
            }
            Ok(Frame::Secure(_)) => {
                if let Ok(opened) = self.ends[to].tunnel.open(now, &mut frame) {
                    let number = u32::from_be_bytes(opened.payload.try_into().unwrap());
                    assert!(!altered, "an altered frame was opened");
                    assert!(number < self.sent && self.opened.insert(number), "packet {number} was opened twice");
                }
            }
            _ => {}
        }
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        for end in &mut self.ends {
            let mut last = None;
            while let Some(due) = end.tunnel.poll_timeout().filter(|(at, _)| *at <= self.now) {
                assert!(last < Some(due.0), "a due timer was not moved: {due:?}");
                last = Some(due.0);
                end.tunnel.handle_timeout(self.now);
            }
        }
    }

    /// Does what the tunnels want; an exchange goes onto the wire.
    fn drain(&mut self) {
        let now = self.now;
        for side in 0..2 {
            for _ in 0..64 {
                let Some(action) = self.ends[side].tunnel.poll_action(now) else { break };
                match action {
                    Action::SendExchange | Action::ReplyExchange => {
                        let mut frame = vec![0; 200];
                        let (tunnel, mut context) = self.ends[side].context();
                        let len = tunnel.emit_exchange(&mut context, &mut frame).unwrap();
                        frame.truncate(len);
                        self.put(1 - side, frame);
                    }
                    Action::Probe(_) => self.seal(side),
                    Action::Established | Action::Switched | Action::Failed => {}
                }
            }
            assert_eq!(self.ends[side].tunnel.poll_action(now), None, "endless actions");
        }
    }
}
