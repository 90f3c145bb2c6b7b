//! When to try what: three timetables, and nothing about addresses.
//!
//! [`Ladder`] is climbed once per dial and ends. [`Chase`] looks for a direct way while the relay carries data. [`Burst`] follows a
//! punch command. They say that something is due; who is tried is decided elsewhere.

use crate::time::Timestamp;
use core::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Offsets of the direct sends. Data-plane section 10 has 0, 1, 3 s and then again 0, 1, 3 s through the relay, 12 s in all; a dial must tell its
/// failure within 5 s ([`crate::limits::DIAL_TIMEOUT`]), so these are the newest reference's offsets, with three sends each way kept.
//= spec/strategy.md#pp-dial-1
//# A dial tries a peer directly three times before the relay, unless the peer is ours, asks to be relayed, or has no direct address.
const DIRECT: [Duration; 3] = [ms(0), ms(250), ms(750)];
/// Offsets of the sends through the relay, from the start of the relay phase.
//= spec/strategy.md#pp-dial-2
//# After the direct attempts a dial tries three times through the relay, without being asked.
const RELAY: [Duration; 3] = [ms(0), ms(750), ms(1750)];
/// Start of the relay phase toward a peer not known to be ours: the April reference sends everything through the relay for ever after the
/// first relayed frame (PP-RELAY-20), so a direct answer gets this long.
//= spec/relay.md#pp-relay-20
//# A peer of the published implementations is not sent anything through the relay during the first 1.5 seconds of a dial that has a
//# direct address.
const RELAY_AFTER: Duration = ms(1500);
/// End of the ladder: 1.25 s for an answer to the last send, and 0.3 s left to the dial for telling.
const EXHAUSTED: Duration = ms(4500);

/// One step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Try every address; the number counts from 0.
    Direct(usize),
    /// Try the relay; the number counts from 0.
    Relay(usize),
    /// No sign of life.
    Exhausted,
}

/// The ladder of one dial.
#[derive(Debug)]
pub(super) struct Ladder {
    started: Timestamp,
    /// `None`: there is no relay, and its offsets are used for more direct sends.
    relay_from: Option<Timestamp>,
    direct_done: usize,
    relay_done: usize,
}

impl Ladder {
    /// `relay`: whether there is one; `relay_first`: it may be used at once.
    pub(super) fn new(now: Timestamp, relay: bool, relay_first: bool) -> Self {
        let wait = if relay_first { Duration::ZERO } else { RELAY_AFTER };
        Self { started: now, relay_from: relay.then_some(now + wait), direct_done: 0, relay_done: 0 }
    }

    /// There is no reason to wait with the relay any longer.
    pub(super) fn relay_at_once(&mut self, now: Timestamp) {
        self.relay_from = self.relay_from.map(|from| from.min(now));
    }

    /// The relay phase has begun.
    pub(super) fn in_relay_phase(&self, now: Timestamp) -> bool {
        self.relay_from.is_some_and(|from| from <= now)
    }

    pub(super) fn next(&self) -> Timestamp {
        self.upcoming().0
    }

    /// The next step that is due, once.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Step> {
        let (at, step) = self.upcoming();
        if at > now {
            return None;
        }
        match step {
            Step::Direct(_) => self.direct_done += 1,
            Step::Relay(_) => self.relay_done += 1,
            Step::Exhausted => {}
        }
        Some(step)
    }

    fn upcoming(&self) -> (Timestamp, Step) {
        let direct = self.direct_offset().map(|after| (self.started + after, Step::Direct(self.direct_done)));
        let relay = self.relay_from.zip(RELAY.get(self.relay_done));
        let relay = relay.map(|(from, &after)| (from + after, Step::Relay(self.relay_done)));
        let end = (self.started + EXHAUSTED, Step::Exhausted);
        [direct, relay].into_iter().flatten().fold(end, |first, other| if other.0 < first.0 { other } else { first })
    }

    fn direct_offset(&self) -> Option<Duration> {
        //= spec/strategy.md#pp-dial-5
        //# Without a beacon a dial is direct only, and tries at 0, 0.25, 0.75, 1.5, 2.25 and 3.25 seconds.
        let more = || RELAY.get(self.direct_done.checked_sub(DIRECT.len())?).map(|&after| RELAY_AFTER + after);
        DIRECT.get(self.direct_done).copied().or_else(|| if self.relay_from.is_none() { more() } else { None })
    }
}

/// Offsets of the first attempts to replace the relay.
const CHASE: [Duration; 7] = [ms(0), ms(200), ms(500), ms(1000), ms(2000), ms(4000), ms(8000)];
/// The first of these attempts after which more is called for than trying what is known: 2 s.
const ESCALATES_AT: usize = 4;
/// Interval of further attempts toward a peer not known to be ours (PP-DIAL-7).
//= spec/strategy.md#pp-dial-7
//# A relayed peer not known to be ours is tried directly again every 30 seconds while there is traffic.
const CHASE_INTERVAL: Duration = Duration::from_secs(30);
/// Pause before the attempts on a peer of ours are repeated; it doubles.
//= spec/strategy.md#pp-dial-10
//# A relayed peer of ours is tried directly again when the network changes, and 1 minute after the first attempts, doubling up to 1 hour,
//# while there is traffic.
const RETRY: Duration = Duration::from_secs(60);
/// The longest such pause.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// The search for a direct way while relayed.
#[derive(Debug)]
pub(super) struct Chase {
    started: Timestamp,
    next: Timestamp,
    done: usize,
    /// Times that all attempts were in vain.
    rounds: u32,
    ours: bool,
}

impl Chase {
    /// Begins with a burst, because there is reason to believe that a direct way exists.
    pub(super) const fn eager(now: Timestamp, ours: bool) -> Self {
        Self { started: now, next: now, done: 0, rounds: 0, ours }
    }

    /// Begins after one interval: a reference peer just failed the ladder's direct sends.
    pub(super) fn patient(now: Timestamp) -> Self {
        Self { started: now, next: now + CHASE_INTERVAL, done: CHASE.len(), rounds: 0, ours: false }
    }

    pub(super) const fn next(&self) -> Timestamp {
        self.next
    }

    /// The first attempts are over.
    pub(super) const fn gave_up_hurrying(&self) -> bool {
        self.done >= CHASE.len() || self.rounds > 0
    }

    /// An attempt is due; `true` when more is called for besides.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<bool> {
        if self.next > now {
            return None;
        }
        let before = self.done;
        self.done += 1;
        while CHASE.get(self.done).is_some_and(|&after| self.started + after <= now) {
            self.done += 1;
        }
        let escalates = self.ours && (before..self.done).contains(&ESCALATES_AT);
        self.next = match CHASE.get(self.done) {
            Some(&after) => self.started + after,
            None if self.ours => self.next_round(now),
            None => now + CHASE_INTERVAL,
        };
        Some(escalates)
    }

    fn next_round(&mut self, now: Timestamp) -> Timestamp {
        self.started = now + RETRY.saturating_mul(1 << self.rounds.min(6)).min(LONGEST_RETRY);
        self.rounds = self.rounds.saturating_add(1);
        self.done = 0;
        self.started
    }
}

/// Offsets of the probes after a punch command: the other side got its command at about the same time, and the first probe of one side
/// always finds the other's NAT still closed.
//= spec/nat.md#pp-nat-21
//# Two peers of ours tell each other their addresses inside the tunnel and try them at the same time, the side that was asked after half
//# the round-trip time through the relay, for up to 2 seconds.
const BURST: [Duration; 5] = [ms(0), ms(200), ms(500), ms(1000), ms(1700)];

/// The probes after a punch command, or an agreement with the peer.
#[derive(Debug)]
pub(super) struct Burst {
    started: Timestamp,
    done: usize,
}

impl Burst {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { started: now, done: 0 }
    }

    /// `None` when it is over.
    pub(super) fn next(&self) -> Option<Timestamp> {
        BURST.get(self.done).map(|&after| self.started + after)
    }

    pub(super) fn take_due(&mut self, now: Timestamp) -> bool {
        let due = self.next().is_some_and(|at| at <= now);
        while self.next().is_some_and(|at| at <= now) {
            self.done += 1;
        }
        due
    }
}
