//! What is due: the ladder's steps, the search for a direct way, the watch over silence, and keepalives.

use super::ladder::{Chase, Step};
use super::probes::Alarm;
use super::way::Standing;
use super::{ATTEMPT_SPACING, IDLE_AFTER, PROBE_BYTES, PathSet, Route, Task};
use crate::time::Timestamp;
use core::time::Duration;

/// Beacons answer one punch request a second and source (PP-RATE-9). The ladder, whose steps are few, does not wait for it.
const PUNCH_SPACING: Duration = Duration::from_millis(900);

/// A peer that is silent again and again is looked for at the registry at most this often.
const SEEK_SPACING: Duration = Duration::from_secs(10);

/// A signed answer this old belongs to this climb of the ladder.
const ANSWERED_LATELY: Duration = Duration::from_secs(2);

impl PathSet {
    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        [
            self.ladder.as_ref().map(super::Ladder::next),
            self.chase.as_ref().map(Chase::next),
            self.burst.as_ref().and_then(super::Burst::next),
            self.watch.as_ref().and_then(super::Watch::next),
            self.succession.map(|s| s.at),
            self.keepalive_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Consumes or moves every deadline up to `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.climb(now);
        self.settle_succession(now);
        self.heed_silence(now);
        if let Some(escalates) = self.chase.as_mut().and_then(|c| c.take_due(now)) {
            self.chase_step(now, escalates);
        }
        if self.burst.as_mut().is_some_and(|b| b.take_due(now)) {
            self.attempt_all_direct(now);
        }
        if self.keepalive_due().is_some_and(|at| at <= now) {
            self.keep_alive(now);
        }
    }

    fn climb(&mut self, now: Timestamp) {
        while let Some(step) = self.ladder.as_mut().and_then(|l| l.take_due(now)) {
            match step {
                Step::Direct(number) => self.climb_directly(now, number),
                // Who answered directly with a signature earns one more direct send, before the relay may spoil it (PP-RELAY-20).
                Step::Relay(0) if !self.ours && self.answered_directly(now) => self.attempt_all_direct(now),
                Step::Relay(_) => self.attempt(now, Route::Relay),
                Step::Exhausted => self.give_up(now),
            }
        }
    }

    fn climb_directly(&mut self, now: Timestamp, number: usize) {
        if !self.direct_allowed() {
            return;
        }
        // A neighbour needs no punch (PP-NAT-10); if it is silent the next step asks for one.
        //= spec/nat.md#pp-nat-10
        //# Hole punching is asked for at the beacon before and with the direct sends of a dial, unless the peer is a neighbour.
        if number > 0 || !self.has_neighbour() {
            self.punch_now(now);
        }
        self.attempt_all_direct(now);
    }

    fn has_neighbour(&self) -> bool {
        use super::way::Origin;
        self.ways
            .direct()
            .any(|w| matches!(w.origin, Origin::ResolvedLocal | Origin::Configured) || w.route.is_loopback())
    }

    fn answered_directly(&self, now: Timestamp) -> bool {
        let lately = |at: Timestamp| now.saturating_since(at) <= ANSWERED_LATELY;
        self.direct_allowed() && self.ways.direct().any(|w| w.is_chosen() && w.signed.is_some_and(lately))
    }

    fn give_up(&mut self, now: Timestamp) {
        if self.climb_again {
            return self.start_climb(now);
        }
        self.ladder = None;
        self.unreachable = true;
        self.ways.forget_hope();
        if self.selected.is_some() {
            self.select(now, None);
        }
        self.task(Task::Unreachable);
    }

    fn chase_step(&mut self, now: Timestamp, escalates: bool) {
        let pointless = !self.direct_allowed() || !self.is_active(now) || self.works_directly();
        if pointless {
            self.chase = None;
            return;
        }
        self.request_punch(now);
        if self.ours {
            self.task(Task::Meet);
        }
        self.attempt_all_direct(now);
        if escalates {
            self.task(Task::Escalate);
        }
    }

    /// Seeks a direct way while relayed: eagerly where one is likely.
    pub(super) fn start_chase(&mut self, now: Timestamp) {
        if self.direct_allowed() {
            let worked_before = self.ways.direct().any(|w| w.standing != Standing::Unproven);
            self.chase =
                Some(if self.ours || worked_before { Chase::eager(now, self.ours) } else { Chase::patient(now) });
        }
    }

    fn heed_silence(&mut self, now: Timestamp) {
        let Some(watch) = &mut self.watch else { return };
        let (Some(alarm), since) = (watch.take_due(now), watch.since()) else { return };
        let Some(route) = self.selected else { return };
        match alarm {
            Alarm::Ask => {
                self.probe(now, route);
                if self.in_doubt() {
                    self.ask_where(now);
                }
            }
            Alarm::AskAll => self.attempt_all_direct(now),
            Alarm::Dead => self.abandon(now, route, since),
        }
    }

    /// The peer may be somewhere else: those who know are asked while the way in use may still answer.
    //= spec/nat.md#pp-nat-25
    //# When a direct path answers not even a probe, the beacon and the registry are asked after 1.45 seconds where the peer is, and the
    //# addresses that they name are tried.
    pub(super) fn ask_where(&mut self, now: Timestamp) {
        self.request_punch(now);
        if self.sought.is_none_or(|at| now.saturating_since(at) >= SEEK_SPACING) {
            self.sought = Some(now);
            self.task(Task::Resolve);
        }
    }

    /// The way in use did not answer a probe either.
    pub(super) fn in_doubt(&self) -> bool {
        self.watch.as_ref().is_some_and(super::Watch::asked_in_vain)
    }

    /// The way in use is dead. Without another one it stays in use, and is asked as eagerly as a lost one.
    fn abandon(&mut self, now: Timestamp, route: Route, since: Timestamp) {
        self.watch = None;
        // All were asked: a peer that died is silent on each, and must not be waited for on one after the other.
        //= spec/nat.md#pp-nat-24
        //# With a path that is left for its silence, every other direct path is left that was asked meanwhile and did not answer.
        let unanswered = |w: &&super::way::Way| w.is_proven() && w.answered.is_none_or(|at| at < since);
        for silent in self.ways.direct().filter(unanswered).map(|w| w.route).collect::<Vec<_>>() {
            self.bury(silent);
        }
        self.bury(route);
        self.assume_relay();
        self.reselect(now);
        if self.selected == Some(route) && self.chase.is_none() {
            self.start_chase(now);
        }
    }

    /// Keepalives are for direct ways only; the beacon hears from us anyway.
    fn keepalive_due(&self) -> Option<Timestamp> {
        //= spec/keepalive.md#pp-ka-6
        //# A direct path without a send for 15 seconds, or for half the time that the NAT was seen to keep an unused mapping, gets a packet that
        //# keeps it, while the peer was used within 2 minutes.
        let last_used = self.last_used.filter(|_| self.selected.is_some_and(Route::is_direct))?;
        Some(self.last_sent + self.config.keepalive).filter(|&at| at < last_used + IDLE_AFTER)
    }

    /// The NAT keeps mappings for longer, or less long, than was thought.
    pub fn set_keepalive(&mut self, interval: Duration) {
        self.config.keepalive = interval;
    }

    /// A peer of ours gets a ping, so that one datagram keeps the mapping and proves the way.
    fn keep_alive(&mut self, now: Timestamp) {
        self.last_sent = now;
        match self.selected {
            Some(route) if self.ours => self.probe(now, route),
            Some(route) => self.task(Task::Keepalive(route)),
            None => {}
        }
    }

    pub(super) fn request_punch(&mut self, now: Timestamp) {
        if self.punch_requested.is_none_or(|at| now.saturating_since(at) >= PUNCH_SPACING) {
            self.punch_now(now);
        }
    }

    fn punch_now(&mut self, now: Timestamp) {
        if self.config.relay_available {
            self.punch_requested = Some(now);
            self.task(Task::RequestPunch);
        }
    }

    pub(super) fn attempt_all_direct(&mut self, now: Timestamp) {
        let routes: Vec<_> = self.ways.direct().map(|w| w.route).collect();
        for route in routes {
            self.attempt(now, route);
        }
    }

    /// Probes `route` unless that was just done.
    pub(super) fn attempt(&mut self, now: Timestamp, route: Route) {
        if self.ways.find(route).is_some_and(|w| !w.attempted_within(now, ATTEMPT_SPACING) && !w.is_exhausted()) {
            self.probe(now, route);
        }
    }

    /// Probes `route` if it may be sent that much.
    pub(super) fn probe(&mut self, now: Timestamp, route: Route) {
        if self.may_send(route, PROBE_BYTES) {
            self.note_attempt(now, route);
            self.task(Task::Probe(route));
        }
    }

    pub(super) fn note_attempt(&mut self, now: Timestamp, route: Route) {
        if let Some(way) = self.ways.find_mut(route) {
            way.note_attempt(now);
        }
    }
}
