//! Two path sets in virtual time, with a network whose directions can be cut.

use crate::path::{OwnAddresses, PathAction, PathConfig, PathSet, PeerAddresses, Proof, Route};
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::wire::candidate::Reflexive;
use core::net::SocketAddr;
use core::time::Duration;

pub(super) const A: &str = "198.51.100.1:4000";
pub(super) const B: &str = "203.0.113.2:5000";

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn direct(text: &str) -> Route {
    Route::direct(at(text))
}

/// What travels: the part of a frame that paths can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Exchange,
    Ping(u64),
    Pong(u64),
    Data,
    Keepalive,
    /// The beacon's punch command (0x04).
    Command,
}

/// One end: the path set and the least of a tunnel around it.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) paths: PathSet,
    pub(super) address: SocketAddr,
    pub(super) session: bool,
    pub(super) actions: Vec<(Timestamp, PathAction)>,
    pub(super) got: Vec<(Timestamp, Route, Frame)>,
    rng: Rng,
}

impl Side {
    fn new(address: &str, seed: u8, config: PathConfig) -> Self {
        Self {
            paths: PathSet::new(config, Timestamp::ZERO),
            address: at(address),
            session: false,
            actions: Vec::new(),
            got: Vec::new(),
            rng: Rng::new([seed; 32]),
        }
    }

    pub(super) fn data_since(&self, since: Timestamp) -> Vec<(Timestamp, Route)> {
        let data = self.got.iter().filter(|&&(when, _, frame)| when >= since && frame == Frame::Data);
        data.map(|&(when, route, _)| (when, route)).collect()
    }
}

/// The two ends and what lies between them.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) a: Side,
    pub(super) b: Side,
    /// Frames from A to B's address pass, and the other way.
    pub(super) open: bool,
    pub(super) relay: bool,
    /// Both sides sit behind port-restricted cones: only who was sent to may send back. Whether A and B sent already.
    pub(super) filtering: Option<[bool; 2]>,
    pub(super) delay: Duration,
    pub(super) relay_delay: Duration,
    flying: Vec<(Timestamp, bool, Route, Frame)>,
}

impl World {
    pub(super) fn new(open: bool, relay: bool) -> Self {
        Self::with(open, PathConfig { relay_available: relay, ..PathConfig::default() })
    }

    pub(super) fn with(open: bool, config: PathConfig) -> Self {
        Self {
            now: Timestamp::from_micros(1_000_000),
            a: Side::new(A, 1, config),
            b: Side::new(B, 2, config),
            open,
            relay: config.relay_available,
            filtering: None,
            delay: ms(10),
            relay_delay: ms(25),
            flying: Vec::new(),
        }
    }

    /// A resolved B and dials it.
    pub(super) fn dial(&mut self) {
        let peer = PeerAddresses { reflexive: Some(Reflexive(self.b.address)), ..PeerAddresses::default() };
        let own = OwnAddresses { reflexive: Some(Reflexive(self.a.address)), ..OwnAddresses::default() };
        self.a.paths.resolved(self.now, &peer, &own);
        self.a.paths.want(self.now);
        self.settle();
    }

    pub(super) fn set_ours(&mut self) {
        self.a.paths.set_ours(self.now, true);
        self.b.paths.set_ours(self.now, true);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now.saturating_since(Timestamp::from_micros(1_000_000))
    }

    /// A sends data every 50 ms for `span`, B answers each; everything due happens in order.
    pub(super) fn talk(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.send_data(true);
            self.run(ms(50));
        }
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let flight = self.flying.iter().map(|f| f.0).min();
            let timers = [self.a.paths.poll_timeout(), self.b.paths.poll_timeout()];
            let Some(next) = timers.into_iter().flatten().chain(flight).min().filter(|&at| at <= end) else { break };
            self.now = self.now.max(next);
            self.deliver_due();
            for side in [&mut self.a, &mut self.b] {
                side.paths.handle_timeout(self.now);
                assert!(side.paths.poll_timeout().is_none_or(|t| t > self.now), "a past deadline is repeated");
            }
            self.settle();
        }
        self.now = end;
    }

    fn deliver_due(&mut self) {
        self.flying.sort_by_key(|f| f.0);
        while self.flying.first().is_some_and(|f| f.0 <= self.now) {
            let (_, to_b, route, frame) = self.flying.remove(0);
            self.deliver(to_b, route, frame);
        }
    }

    fn deliver(&mut self, to_b: bool, from: Route, frame: Frame) {
        let now = self.now;
        let (own, peer) = (self.a.address, self.b.address);
        let side = if to_b { &mut self.b } else { &mut self.a };
        side.got.push((now, from, frame));
        if frame == Frame::Command {
            self.note_sent(to_b);
            let side = if to_b { &mut self.b } else { &mut self.a };
            return side.paths.punch_command(now, if to_b { own } else { peer });
        }
        if frame == Frame::Exchange {
            side.paths.handle_frame(now, from, 136, Proof::Signed);
            let answer = !core::mem::replace(&mut side.session, true);
            return if answer {
                self.send(to_b, from, Frame::Exchange)
            };
        }
        if !side.session {
            return;
        }
        side.paths.handle_frame(now, from, 100, Proof::Fresh);
        match frame {
            Frame::Ping(nonce) => self.send(to_b, from, Frame::Pong(nonce)),
            Frame::Pong(nonce) => drop(side.paths.handle_probe_answer(now, nonce)),
            Frame::Data => side.paths.used(now),
            Frame::Keepalive | Frame::Exchange | Frame::Command => {}
        }
        if frame == Frame::Data && to_b {
            self.send_data(false);
        }
    }

    pub(super) fn send_data(&mut self, from_a: bool) {
        let side = if from_a { &mut self.a } else { &mut self.b };
        side.paths.used(self.now);
        if let Some(route) = side.paths.route().filter(|_| side.session) {
            self.send(!from_a, route, Frame::Data);
        }
        self.settle();
    }

    fn send(&mut self, from_b: bool, route: Route, frame: Frame) {
        let side = if from_b { &mut self.b } else { &mut self.a };
        let bytes = if frame == Frame::Exchange { 136 } else { 100 };
        if !side.paths.may_send(route, bytes) {
            return;
        }
        side.paths.sent(self.now, route, bytes);
        let (own, peer) = if from_b { (self.b.address, self.a.address) } else { (self.a.address, self.b.address) };
        let (passes, delay, arrives) = match route {
            Route::Direct { address, .. } => {
                self.note_sent(from_b);
                let admitted = self.filtering.is_none_or(|sent| sent[usize::from(!from_b)]);
                (self.open && admitted && address == peer, self.delay, Route::direct(own))
            }
            Route::Relay => (self.relay, self.relay_delay, Route::Relay),
        };
        if passes {
            self.flying.push((self.now + delay, !from_b, arrives, frame));
        }
    }

    fn note_sent(&mut self, from_b: bool) {
        if let Some(sent) = &mut self.filtering {
            sent[usize::from(from_b)] = true;
        }
    }

    /// Carries out what both sides ask for.
    pub(super) fn settle(&mut self) {
        for is_b in [false, true] {
            loop {
                let side = if is_b { &mut self.b } else { &mut self.a };
                let Some(action) = side.paths.poll_action(self.now, &mut side.rng) else { break };
                side.actions.push((self.now, action));
                match action {
                    PathAction::Probe { route, nonce } => {
                        let frame = if side.session { Frame::Ping(nonce) } else { Frame::Exchange };
                        self.send(is_b, route, frame);
                    }
                    PathAction::Keepalive { route } => self.send(is_b, route, Frame::Keepalive),
                    PathAction::RequestPunch if self.relay => {
                        let arrival = self.now + self.relay_delay;
                        self.flying.extend([true, false].map(|to_b| (arrival, to_b, Route::Relay, Frame::Command)));
                    }
                    PathAction::Resolve
                    | PathAction::Meet
                    | PathAction::Escalate
                    | PathAction::RequestPunch
                    | PathAction::Selected(_)
                    | PathAction::Lost
                    | PathAction::Unreachable => {}
                }
            }
        }
    }
}
