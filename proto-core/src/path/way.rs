//! What is known about each way to the peer, and which addresses are worth remembering.
//!
//! Decides who is forgotten when the table is full and how much an unproven address may be sent. Refuses to choose between ways.

use super::route::Route;
use crate::limits::{ANTI_AMPLIFICATION_FACTOR, MAX_CANDIDATES};
use crate::time::Timestamp;
use core::time::Duration;

/// How far a way is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Never.
    Unproven,
    /// It works.
    Proven,
    /// It worked once and fell silent; only an answered probe brings it back.
    Silent,
}

/// Where we have an address from. It decides who may speak first and who is forgotten first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The relay, or the operator: never forgotten.
    Configured,
    /// The registry's answer, an interface of the peer on our network or host.
    ResolvedLocal,
    /// The registry's answer, the peer's reflexive address.
    ResolvedReflexive,
    /// A punch command we asked for.
    Punch,
    /// The peer itself, inside the tunnel.
    Told,
    /// The source of a frame (peer-reflexive).
    Heard,
}

/// Probes that a mere hint is worth: a burst, and two more for what it may have lost.
const HINT_ATTEMPTS: u8 = 6;

/// Whoever names an address again so soon after it was tried means the same attempt.
const HINT_REPEATED: Duration = Duration::from_secs(30);

/// Who named an address, once at least.
#[derive(Clone, Copy, Debug)]
struct Named {
    registry: bool,
    beacon: bool,
    peer: bool,
}

impl Named {
    const fn by(&mut self, origin: Origin) {
        match origin {
            Origin::ResolvedLocal | Origin::ResolvedReflexive => self.registry = true,
            Origin::Punch => self.beacon = true,
            Origin::Told => self.peer = true,
            Origin::Configured | Origin::Heard => {}
        }
    }
}

/// One way and its history.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) route: Route,
    pub(super) origin: Origin,
    pub(super) standing: Standing,
    /// When it was learnt.
    pub(super) added: Timestamp,
    /// The last signed frame, which proves little but is a reason to hope.
    pub(super) signed: Option<Timestamp>,
    /// The last fresh frame, or answered probe.
    pub(super) heard: Option<Timestamp>,
    /// The last answer to a probe that went this way.
    pub(super) answered: Option<Timestamp>,
    /// The last probe or key exchange of ours.
    pub(super) attempted: Option<Timestamp>,
    /// How many of them since it was named or proven last.
    attempts: u8,
    pub(super) rtt: Option<Duration>,
    named: Named,
    received: u64,
    sent: u64,
}

impl Way {
    pub(super) const fn new(route: Route, origin: Origin, now: Timestamp) -> Self {
        Self {
            route,
            origin,
            standing: Standing::Unproven,
            added: now,
            signed: None,
            heard: None,
            answered: None,
            attempted: None,
            attempts: 0,
            rtt: None,
            named: Named { registry: false, beacon: false, peer: false },
            received: 0,
            sent: 0,
        }
    }

    /// We chose this way ourselves; nobody can make us send there by sending.
    pub(super) fn is_chosen(&self) -> bool {
        self.origin != Origin::Heard
    }

    /// Somebody else named this address, was not borne out by an answer, and may have lied: it is tried no more until it is named again.
    pub(super) fn is_exhausted(&self) -> bool {
        //= spec/nat.md#pp-nat-19
        //# An address that a punch command or a peer named is sent at most six probes for it, however often it is named within 30 seconds,
        //# unless one is answered.
        let hint = matches!(self.origin, Origin::Punch | Origin::Told);
        hint && self.standing == Standing::Unproven && self.attempts >= HINT_ATTEMPTS
    }

    /// The registry or the beacon named it, and not only the peer itself.
    pub(super) const fn is_vouched(&self) -> bool {
        self.named.registry || self.named.beacon
    }

    /// The registry named it, or the beacon and the peer itself: anybody can send a punch command in the beacon's name.
    pub(super) const fn is_certain(&self) -> bool {
        self.named.registry || (self.named.beacon && self.named.peer)
    }

    pub(super) fn note_attempt(&mut self, now: Timestamp) {
        self.attempted = Some(now);
        self.attempts = self.attempts.saturating_add(1);
    }

    pub(super) fn prove(&mut self) {
        self.standing = Standing::Proven;
        self.attempts = 0;
    }

    pub(super) const fn bury(&mut self) {
        self.standing = Standing::Silent;
        self.rtt = None;
    }

    pub(super) fn is_proven(&self) -> bool {
        self.standing == Standing::Proven
    }

    /// The anti-amplification rule (RFC 9000 section 8): free once proven or chosen, else a multiple of what came from there.
    pub(super) fn may_send(&self, bytes: usize) -> bool {
        //= spec/frames.md#pp-frame-16
        //# No received datagram makes the endpoint send more than three times its bytes to an address that is neither proven nor chosen by
        //# us.
        let allowance = self.received.saturating_mul(ANTI_AMPLIFICATION_FACTOR);
        self.is_chosen() || self.standing != Standing::Unproven || self.sent.saturating_add(count(bytes)) <= allowance
    }

    pub(super) fn note_sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(count(bytes));
    }

    pub(super) fn note_received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(count(bytes));
    }

    /// Smooths the round-trip time as RFC 6298 does.
    pub(super) fn note_rtt(&mut self, sample: Duration) {
        self.rtt = Some(self.rtt.map_or(sample, |old| (old * 7 + sample) / 8));
    }

    /// Something was heard at most `span` ago.
    pub(super) fn heard_within(&self, now: Timestamp, span: Duration) -> bool {
        self.heard.is_some_and(|at| now.saturating_since(at) <= span)
    }

    /// It was tried at most `span` ago.
    pub(super) fn attempted_within(&self, now: Timestamp, span: Duration) -> bool {
        self.attempted.is_some_and(|at| now.saturating_since(at) < span)
    }

    /// What is forgotten first when there is no room: guesses before choices, choices before what is proven.
    fn worth(&self) -> u8 {
        match (self.standing, self.origin) {
            (Standing::Proven, _) | (_, Origin::Configured) => 3,
            // A search finds many at once: when the peer has moved, they must not stand in the way of where it is now.
            (Standing::Unproven | Standing::Silent, Origin::Heard) => 0,
            (Standing::Silent, _) => 2,
            (Standing::Unproven, Origin::Punch | Origin::Told) if self.is_exhausted() => 0,
            (Standing::Unproven, Origin::ResolvedLocal | Origin::ResolvedReflexive | Origin::Punch | Origin::Told) => 1,
        }
    }
}

/// The relay and up to [`MAX_CANDIDATES`] addresses.
#[derive(Debug)]
pub(super) struct Ways {
    relay: Way,
    direct: Vec<Way>,
}

impl Ways {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { relay: Way::new(Route::Relay, Origin::Configured, now), direct: Vec::new() }
    }

    pub(super) const fn relay(&self) -> &Way {
        &self.relay
    }

    pub(super) const fn relay_mut(&mut self) -> &mut Way {
        &mut self.relay
    }

    pub(super) fn direct(&self) -> impl Iterator<Item = &Way> {
        self.direct.iter()
    }

    pub(super) fn direct_mut(&mut self) -> impl Iterator<Item = &mut Way> {
        self.direct.iter_mut()
    }

    pub(super) fn find(&self, route: Route) -> Option<&Way> {
        if route == Route::Relay { Some(&self.relay) } else { self.direct.iter().find(|w| w.route == route) }
    }

    pub(super) fn find_mut(&mut self, route: Route) -> Option<&mut Way> {
        if route == Route::Relay { Some(&mut self.relay) } else { self.direct.iter_mut().find(|w| w.route == route) }
    }

    /// Finds or remembers an address. `None` when all that are known are worth more. An address known by hearsay becomes a chosen
    /// one when `origin` says so, and a hint becomes the registry's word, never the other way.
    pub(super) fn learn(
        &mut self,
        now: Timestamp,
        route: Route,
        origin: Origin,
        keep: Option<Route>,
    ) -> Option<&mut Way> {
        if self.find(route).is_none() {
            if self.direct.len() >= MAX_CANDIDATES && !self.make_room(origin, keep) {
                return None;
            }
            self.direct.push(Way::new(route, origin, now));
        }
        let way = self.find_mut(route)?;
        let hint = matches!(way.origin, Origin::Punch | Origin::Told);
        let resolved = matches!(origin, Origin::ResolvedLocal | Origin::ResolvedReflexive);
        if (origin != Origin::Heard && way.origin == Origin::Heard) || (resolved && hint) {
            way.origin = origin;
        }
        // Believed again, but not before that can mean something new: a dial has the beacon name one address many times.
        if matches!(origin, Origin::Punch | Origin::Told) && !way.attempted_within(now, HINT_REPEATED) {
            way.attempts = 0;
        }
        way.named.by(origin);
        Some(way)
    }

    fn make_room(&mut self, newcomer: Origin, keep: Option<Route>) -> bool {
        let worthless = |w: &&Way| Some(w.route) != keep;
        let Some(least) = self.direct.iter().filter(worthless).min_by_key(|w| (w.worth(), w.added)) else {
            return false;
        };
        if newcomer == Origin::Heard && least.worth() > 0 {
            return false;
        }
        let route = least.route;
        self.forget(|w| w.route == route);
        true
    }

    /// The peer that signed did not follow it up.
    pub(super) fn forget_hope(&mut self) {
        self.relay.signed = None;
        self.direct_mut().for_each(|w| w.signed = None);
    }

    pub(super) fn forget(&mut self, mut unwanted: impl FnMut(&Way) -> bool) {
        self.direct.retain(|w| !unwanted(w));
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
