//! What arrives, how much it proves, and what follows for the choice.
//!
//! Replayed, forwarded and forged frames come through here; the rule against them is that only an answered probe lets a new address
//! take data away from a way that works.

use super::way::{Origin, Standing};
use super::{PathSet, Proof, Route, Task, canonical_route, select};
use crate::time::Timestamp;
use core::time::Duration;

/// Fresh frames from a way that is not proven make us ask there at most this often.
const ASK_SPACING: Duration = Duration::from_millis(200);
/// A replayable PILA makes us ask at its source at most this often.
const SIGNED_SPACING: Duration = Duration::from_secs(1);
/// The way in use gets at least this long to answer, before another one that answered takes over.
const LAST_WORD: Duration = Duration::from_millis(200);

/// Questions at addresses that only frames told of, at once. A peer's two interfaces in two families, and a rebinding.
const ASKS: u8 = 6;
/// One more of them after this long, while the peer is used.
const ASKS_REFILL: Duration = Duration::from_secs(5);

/// What is left of the questions at addresses that only frames told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    left: u8,
    refilled: Timestamp,
}

impl Asks {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { left: ASKS, refilled: now }
    }

    pub(super) fn refill(&mut self, now: Timestamp) {
        if self.left < ASKS && now.saturating_since(self.refilled) >= ASKS_REFILL {
            self.left += 1;
            self.refilled = now;
        }
    }

    const fn take(&mut self) -> bool {
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

/// Another direct way was proven while one is in use: the one in use was asked and loses its place when it does not answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Succession {
    in_use: Route,
    challenger: Route,
    asked: Timestamp,
    pub(super) at: Timestamp,
}

impl PathSet {
    /// A frame of `bytes` (the whole datagram) that names this peer as its sender.
    pub fn handle_frame(&mut self, now: Timestamp, from: Route, bytes: usize, proof: Proof) {
        let from = canonical_route(from);
        let impossible = from == Route::Relay && !self.config.relay_available;
        if impossible || (proof == Proof::Unproven && self.ladder.is_none() && self.ways.find(from).is_none()) {
            return;
        }
        if from.is_direct() && !self.direct_allowed() {
            // It cannot be answered directly, but it shows that the peer is there.
            return if proof >= Proof::Signed {
                self.ways.relay_mut().signed = Some(now)
            };
        }
        let keep = self.selected;
        let Some(way) = self.ways.learn(now, from, Origin::Heard, keep) else { return };
        way.note_received(bytes);
        match proof {
            Proof::Unproven => {}
            Proof::Signed => self.handle_signed(now, from),
            Proof::Fresh => self.handle_fresh(now, from),
        }
    }

    fn handle_signed(&mut self, now: Timestamp, from: Route) {
        self.unreachable = false;
        let Some(way) = self.ways.find_mut(from) else { return };
        let recent = way.signed.is_some_and(|at| now.saturating_since(at) < SIGNED_SPACING);
        way.signed = Some(way.signed.filter(|_| recent).unwrap_or(now));
        if !recent && !way.is_proven() {
            self.ask(now, from);
        }
    }

    /// Probes `route` because of what came from there.
    ///
    //= spec/nat.md#pp-nat-20
    //# Frames from ever new addresses make an idle endpoint ask at no more than six of them.
    /// An address that only the frames of others told of is asked out of a small budget: two symmetric NATs show each question of one
    /// side at yet another address, and asking there would go on for ever.
    fn ask(&mut self, now: Timestamp, route: Route) {
        let told = self.ways.find(route).is_some_and(|w| !w.is_chosen() && w.standing == Standing::Unproven);
        if !told || self.asks.take() {
            self.probe(now, route);
        }
    }

    fn handle_fresh(&mut self, now: Timestamp, from: Route) {
        self.unreachable = false;
        let Some(way) = self.ways.find_mut(from) else { return };
        way.heard = Some(now);
        let unasked = way.rtt.is_none();
        let accepted = match way.standing {
            Standing::Proven => true,
            // Somebody may have carried the frame here, so it must not take data away from a way that works, nor draw it to a dead end.
            //= spec/nat.md#pp-nat-13
            //# A frame from a new address moves no data; it is a reason to ask there, and only the answer makes it a path.
            Standing::Unproven => way.is_chosen(),
            Standing::Silent => from == Route::Relay,
        };
        if !accepted {
            if !way.attempted_within(now, ASK_SPACING) {
                self.ask(now, from);
            }
            return;
        }
        let newly = !way.is_proven();
        way.prove();
        if newly && unasked {
            self.probe(now, from);
        }
        self.proven(now, from, newly);
    }

    /// A pong. `false` when the nonce is of no probe of this set. Call [`Self::handle_frame`] for its frame as well, before.
    ///
    /// The way is the one the probe took, wherever the answer came from: a reference peer may answer through the relay.
    pub fn handle_probe_answer(&mut self, now: Timestamp, nonce: u64) -> bool {
        let Some((route, rtt)) = self.probes.answered(now, nonce) else { return false };
        self.unreachable = false;
        if let Some(way) = self.ways.find_mut(route) {
            way.note_rtt(rtt);
            way.heard = Some(now);
            way.answered = Some(now);
            let newly = !way.is_proven();
            way.prove();
            if self.selected == Some(route) {
                self.watch = None;
            }
            self.proven(now, route, newly);
        }
        true
    }

    /// The peer acknowledged data: what leaves by the chosen way arrives.
    pub fn delivered(&mut self) {
        self.watch = None;
    }

    /// `route` just showed that it works; `newly` when it did not count as working before.
    fn proven(&mut self, now: Timestamp, route: Route, newly: bool) {
        if self.selected == Some(route) {
            self.ladder = None;
            return;
        }
        if !self.works_directly() {
            // Others may count as working that were not heard of for a while.
            return if route.is_direct() { self.select(now, Some(route)) } else { self.reselect(now) };
        }
        let in_use = self.selected.and_then(|r| self.ways.find(r));
        let challenger = self.ways.find(route).filter(|w| w.route.is_direct());
        let (Some(in_use), Some(challenger)) = (in_use, challenger) else { return };
        if select::clearly_faster(challenger, in_use) {
            return self.select(now, Some(route));
        }
        if newly && self.succession.is_none() {
            let patience = LAST_WORD.max(in_use.rtt.unwrap_or_default() * 3);
            let in_use = in_use.route;
            self.succession = Some(Succession { in_use, challenger: route, asked: now, at: now + patience });
            self.probe(now, in_use);
        }
    }

    /// The way in use was asked when another was proven; without a word from it the other takes over.
    pub(super) fn settle_succession(&mut self, now: Timestamp) {
        let Some(due) = self.succession.filter(|s| s.at <= now) else { return };
        self.succession = None;
        let silent = self.ways.find(due.in_use).is_none_or(|w| w.heard.is_none_or(|at| at < due.asked));
        if silent && self.selected == Some(due.in_use) {
            self.bury(due.in_use);
            let challenger = self.ways.find(due.challenger).filter(|w| w.is_proven()).map(|w| w.route);
            match challenger {
                Some(route) => self.select(now, Some(route)),
                None => self.reselect(now),
            }
        }
    }

    pub(super) fn bury(&mut self, route: Route) {
        if let Some(way) = self.ways.find_mut(route) {
            way.bury();
        }
    }

    /// Nobody was heard through the relay yet, but there is nothing better: it is our own beacon, and the frames are sealed.
    pub(super) fn assume_relay(&mut self) {
        if self.config.relay_available {
            self.ways.relay_mut().standing = Standing::Proven;
        }
    }

    /// Takes the best proven way; keeps what it has when there is none.
    pub(super) fn reselect(&mut self, now: Timestamp) {
        let best = select::best(&self.ways);
        if best.is_some() && best != self.selected {
            self.select(now, best);
        }
    }

    pub(super) fn select(&mut self, now: Timestamp, route: Option<Route>) {
        let left = self.selected.filter(|old| old.is_direct()).and_then(|old| self.ways.find(old));
        let lost = left.is_some_and(|way| way.standing == Standing::Silent) && route.is_some_and(Route::is_direct);
        self.selected = route;
        self.watch = None;
        self.ladder = None;
        self.succession = None;
        self.last_sent = now;
        self.tasks.retain(|task| !matches!(task, Task::Selected(_)));
        self.tasks.push_back(Task::Selected(route));
        if lost {
            self.task(Task::Lost);
        }
        match route {
            Some(Route::Relay) => self.start_chase(now),
            Some(Route::Direct { .. }) | None => {
                self.chase = None;
                self.burst = None;
                self.judge(None);
            }
        }
    }
}
