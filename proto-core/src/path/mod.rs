//! The set of ways to one peer.
//!
//! Decides which addresses are tried when, which of them is proven, and which one carries data. Refuses to know keys, packets and
//! streams: it is told what arrived by which way and how much that proves, and asks for probes whose answers only the peer can give.
//!
//! The rules it keeps (`spec/nat.md`, `spec/strategy.md`):
//! - Only a proven way carries data. An address we chose ourselves may carry the first packets before it is proven.
//! - An address neither proven nor chosen by us is sent at most three times the bytes it sent.
//! - A proven direct way replaces the relay; among direct ways a better one must be better by a margin. The old one stays until then.
//! - A direct way that falls silent is left for the relay within 3 s, and taken back when a probe is answered.
//! - A frame from a new address moves nothing by itself: it is a reason to ask there, and to ask the old address too.

mod admit;
mod evidence;
mod ladder;
mod meet;
mod probes;
mod reason;
mod route;
mod select;
#[cfg(test)]
mod tests;
mod tried;
mod upkeep;
mod way;

use crate::limits::MAX_PATH_TASKS;
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::wire::candidate::{Reach, canonical};
use core::net::SocketAddr;
use core::time::Duration;
use evidence::{Asks, Succession};
use ladder::{Burst, Chase, Ladder};
use meet::{Quota, Search};
use probes::{Probes, Watch};
pub use reason::RelayReason;
pub use route::{OwnAddresses, PathAction, PathConfig, PeerAddresses, Proof, Route};
use std::collections::VecDeque;
pub use tried::TriedPath;
use way::{Origin, Standing, Ways};

/// The largest probe: a PILA. Nothing is tried at an address that may not be sent this much.
const PROBE_BYTES: usize = 136;
/// Ways that one PILA of our own accord takes at most.
const EXCHANGE_ROUTES: usize = 3;
/// Two attempts on one way closer together than this are one.
const ATTEMPT_SPACING: Duration = Duration::from_millis(100);
/// A proven way not heard of for this long may be gone (the shortest NAT timeout in the field), and a dial proves it again.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// A registry answer is good for this long (PP-DIAL-6).
const RESOLVE_FRESH: Duration = Duration::from_secs(60);
/// A peer without application traffic for this long is not maintained (PP-KA-6).
const IDLE_AFTER: Duration = Duration::from_secs(120);
/// Sends within this after application traffic count as such, and are watched for an answer.
const IN_USE: Duration = Duration::from_secs(1);
/// A punch command this long after our request may be the answer to it.
const PUNCH_ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// All ways to one peer.
#[derive(Debug)]
pub struct PathSet {
    config: PathConfig,
    ours: bool,
    peer_relay_only: bool,
    ways: Ways,
    selected: Option<Route>,
    unreachable: bool,
    resolved_at: Option<Timestamp>,
    punch_requested: Option<Timestamp>,
    /// The registry was last asked because the way in use was silent.
    sought: Option<Timestamp>,
    last_used: Option<Timestamp>,
    /// The last send on the chosen way.
    last_sent: Timestamp,
    ladder: Option<Ladder>,
    /// Something began to wait for the peer while the ladder was climbed.
    climb_again: bool,
    chase: Option<Chase>,
    burst: Option<Burst>,
    watch: Option<Watch>,
    succession: Option<Succession>,
    asks: Asks,
    /// Addresses learnt from the peer's own word, attempts on all that it brought about, and searches begun again.
    told: Quota,
    told_bursts: Quota,
    freed: Quota,
    search: Option<Search>,
    verdict: Option<RelayReason>,
    /// The verdict is that this side searches with another peer.
    queued: bool,
    probes: Probes,
    /// No task is in it twice, and at most [`MAX_PATH_TASKS`].
    tasks: VecDeque<Task>,
}

/// A [`PathAction`] before its nonce is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Resolve,
    RequestPunch,
    Meet,
    Escalate,
    Probe(Route),
    Keepalive(Route),
    Selected(Option<Route>),
    Lost,
    Unreachable,
}

impl PathSet {
    /// No way is known yet; nothing is sent until [`Self::want`] or something arrives.
    #[must_use]
    pub fn new(config: PathConfig, now: Timestamp) -> Self {
        Self {
            config,
            ours: false,
            peer_relay_only: false,
            ways: Ways::new(now),
            selected: None,
            unreachable: false,
            resolved_at: None,
            punch_requested: None,
            sought: None,
            last_used: None,
            last_sent: now,
            ladder: None,
            climb_again: false,
            chase: None,
            burst: None,
            watch: None,
            succession: None,
            asks: Asks::new(now),
            told: Quota::new(now),
            told_bursts: Quota::new(now),
            freed: Quota::new(now),
            search: None,
            verdict: None,
            queued: false,
            probes: Probes::default(),
            tasks: VecDeque::new(),
        }
    }

    /// The registry's answer. Addresses that cannot be reached from where we are are left out.
    pub fn resolved(&mut self, now: Timestamp, peer: &PeerAddresses<'_>, own: &OwnAddresses<'_>) {
        self.resolved_at = Some(now);
        self.peer_relay_only = peer.relay_only;
        if !self.direct_allowed() {
            return self.forbid_direct(now);
        }
        let current = admit::admissible(peer, own);
        self.ways.forget(|way| {
            let from_registry = matches!(way.origin, Origin::ResolvedLocal | Origin::ResolvedReflexive);
            from_registry && way.standing == Standing::Unproven && !current.iter().any(|&(route, _)| route == way.route)
        });
        for &(route, origin) in &current {
            let known = self.ways.find(route).is_some();
            let learnt = self.ways.learn(now, route, origin, self.selected).is_some();
            if learnt && !known && (self.ladder.is_some() || self.chase.is_some() || self.in_doubt()) {
                self.attempt(now, route);
            }
        }
        if let Some(ladder) = self.ladder.as_mut().filter(|_| current.is_empty()) {
            ladder.relay_at_once(now);
            self.handle_timeout(now);
        }
    }

    /// The registry does not tell where the peer is: with no address of it there is no reason to wait with the relay.
    pub fn unresolved(&mut self, now: Timestamp) {
        let nowhere = self.ways.direct().next().is_none();
        if let Some(ladder) = self.ladder.as_mut().filter(|_| nowhere) {
            ladder.relay_at_once(now);
            self.handle_timeout(now);
        }
    }

    fn forbid_direct(&mut self, now: Timestamp) {
        self.ways.forget(|_| true);
        self.chase = None;
        self.burst = None;
        self.watch = None;
        if self.selected.is_some_and(Route::is_direct) {
            self.assume_relay();
            self.reselect(now);
        }
        if let Some(ladder) = &mut self.ladder {
            ladder.relay_at_once(now);
            self.handle_timeout(now);
        }
    }

    /// An address the operator configured; taken as it is, loopback included, and never forgotten.
    pub fn add_static(&mut self, now: Timestamp, address: SocketAddr) {
        let route = Route::direct(canonical(address));
        let learnt = self.ways.learn(now, route, Origin::Configured, self.selected).is_some();
        if learnt && self.ladder.is_some() && self.direct_allowed() {
            self.attempt(now, route);
        }
    }

    /// The peer is known to be one of ours: the relay may carry data at once, and direct ways are sought eagerly.
    pub fn set_ours(&mut self, now: Timestamp, ours: bool) {
        let news = ours && !self.ours;
        self.ours = ours;
        if !news {
            return;
        }
        if let Some(ladder) = &mut self.ladder {
            ladder.relay_at_once(now);
        }
        if self.chase.is_some() {
            self.chase = Some(Chase::eager(now, true));
        }
        self.handle_timeout(now);
    }

    /// Something waits for the peer (a dial, a ping, a key exchange): climbs the ladder unless a proven way works. Idempotent while climbing.
    pub fn want(&mut self, now: Timestamp) {
        self.used(now);
        self.unreachable = false;
        if self.ladder.is_some() || self.works_now(now) {
            return;
        }
        // Whatever worked long ago is proven again first: data must not go from one dead way to the next.
        let stale = |w: &&mut way::Way| w.is_proven() && !w.heard_within(now, STALE_AFTER);
        self.ways.direct_mut().filter(stale).for_each(|w| w.standing = Standing::Silent);
        if let Some(selected) = self.selected.and_then(|route| self.ways.find_mut(route)) {
            selected.standing = Standing::Silent;
        }
        let old_answer = self.resolved_at.is_none_or(|at| now.saturating_since(at) >= RESOLVE_FRESH);
        if old_answer {
            self.task(Task::Resolve);
        }
        self.start_climb(now);
        self.handle_timeout(now);
    }

    fn start_climb(&mut self, now: Timestamp) {
        //= spec/strategy.md#pp-dial-8
        //# A peer of ours is relayed at once and moved to a direct path when that is proven.
        let relay_first = self.ours || !self.direct_allowed() || self.selected == Some(Route::Relay);
        self.ladder = Some(Ladder::new(now, self.config.relay_available, relay_first));
        self.climb_again = false;
    }

    /// Something else begins to wait for the peer: a climb under way that fails is followed by a whole one.
    pub const fn want_anew(&mut self) {
        self.climb_again = self.ladder.is_some();
    }

    /// Application traffic (streams, datagrams) in either direction; call it before [`Self::sent`]. A peer without any for 2 minutes is not maintained.
    pub fn used(&mut self, now: Timestamp) {
        self.last_used = Some(now);
        self.asks.refill(now);
        if self.selected == Some(Route::Relay) && self.chase.is_none() {
            self.start_chase(now);
        }
    }

    /// Our own endpoint changed: asks for a punch and proves every direct way again.
    pub fn own_endpoint_changed(&mut self, now: Timestamp) {
        if self.selected.is_none() || !self.is_active(now) {
            return;
        }
        self.request_punch(now);
        self.attempt_all_direct(now);
        if self.selected == Some(Route::Relay) {
            self.start_chase(now);
        } else if self.watch.is_none() {
            self.watch = Some(Watch::new(now));
        }
    }

    /// Up to 3 ways that a PILA of our own accord takes now. (An answer to a PILA goes where that came from, after [`Self::handle_frame`].)
    /// Without a session a way that [`PathAction::Probe`] reached for within the last 100 ms is left out: it got a PILA then.
    pub fn exchange_routes(&mut self, now: Timestamp, has_session: bool) -> Vec<Route> {
        let mut routes = self.exchange_candidates(now);
        let spacing = if has_session { Duration::ZERO } else { ATTEMPT_SPACING };
        routes.retain(|&route| {
            let spent = |w: &way::Way| w.attempted_within(now, spacing) || w.is_exhausted();
            !self.ways.find(route).is_some_and(spent) && self.may_send(route, PROBE_BYTES)
        });
        routes.truncate(EXCHANGE_ROUTES);
        for &route in &routes {
            self.note_attempt(now, route);
        }
        routes
    }

    fn exchange_candidates(&self, now: Timestamp) -> Vec<Route> {
        if let Some(route) = self.selected.filter(|_| self.ladder.is_none()) {
            // A peer that was started again elsewhere has no keys of ours: what is told to the old place only does not reach it.
            let mut others: Vec<_> = self.ways.direct().filter(|w| w.is_chosen() && w.route != route).collect();
            others.retain(|_| self.in_doubt());
            others.sort_by_key(|w| core::cmp::Reverse(w.added));
            return core::iter::once(route).chain(others.into_iter().map(|w| w.route)).collect();
        }
        let relay_phase = self.ladder.as_ref().is_some_and(|l| l.in_relay_phase(now));
        let mut direct: Vec<_> =
            self.ways.direct().filter(|w| w.is_chosen() || w.signed.is_some() || w.is_proven()).collect();
        // Who answered last comes first; the order of learning decides among the rest.
        direct.sort_by_key(|w| core::cmp::Reverse(w.signed));
        let direct = direct.into_iter().map(|w| w.route);
        match (relay_phase, self.ours) {
            (true, true) => core::iter::once(Route::Relay).chain(direct).collect(),
            (true, false) => vec![Route::Relay],
            (false, _) => {
                let mut routes: Vec<_> = direct.collect();
                let relay_first = self.ours || routes.is_empty() || self.ways.relay().signed.is_some();
                let relay = self.ladder.is_none() && relay_first;
                routes.extend(relay.then_some(Route::Relay));
                routes
            }
        }
    }

    /// Where data goes now: the chosen way, or before any is chosen the one on which a signed answer came, if we chose that ourselves.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        //= spec/nat.md#pp-nat-12
        //# Only a proven path carries data, except for the first packets to an address we chose ourselves.
        self.selected.or_else(|| self.tentative())
    }

    fn tentative(&self) -> Option<Route> {
        let hopeful = |w: &&way::Way| w.is_chosen() && w.signed.is_some();
        let direct = self.ways.direct().filter(hopeful).max_by_key(|w| w.signed).filter(|_| self.direct_allowed());
        direct.or_else(|| Some(self.ways.relay()).filter(hopeful)).map(|w| w.route)
    }

    /// We asked for a punch within the last seconds; an incoming punch command (0x04) may be meant for this peer.
    #[must_use]
    pub fn expects_punch(&self, now: Timestamp) -> bool {
        self.punch_requested.is_some_and(|at| now.saturating_since(at) <= PUNCH_ANSWER_WITHIN)
    }

    /// This address, any port, is known as one of the peer's.
    #[must_use]
    pub fn knows(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.ways.direct().any(|w| matches!(w.route, Route::Direct { address, .. } if address.ip() == ip))
    }

    /// We chose this address ourselves, or it proved to be the peer's.
    #[must_use]
    pub fn is_own_address(&self, route: Route) -> bool {
        let way = self.ways.find(canonical_route(route)).filter(|w| w.route.is_direct());
        way.is_some_and(|w| w.is_chosen() || w.standing != Standing::Unproven)
    }

    /// The beacon named `target` as the other side's endpoint, and the punch policy of `nat` accepted it. The command does not say which peer it is
    /// about: one that neither knows the address nor asked for a punch ignores it. Sending the PILPs is the caller's part, whoever is meant.
    pub fn punch_command(&mut self, now: Timestamp, target: SocketAddr) {
        let route = Route::direct(canonical(target));
        let asked = self.expects_punch(now) && Reach::of(target) != Reach::Nowhere;
        if !self.direct_allowed() || !(asked || self.knows(target)) {
            return;
        }
        let origin = if asked { Origin::Punch } else { Origin::Heard };
        let Some(way) = self.ways.learn(now, route, origin, self.selected) else { return };
        let untried = way.attempted.is_none();
        if self.ladder.is_none() && !self.works_directly() {
            self.burst = Some(Burst::new(now));
            self.handle_timeout(now);
        } else if untried && (self.ladder.is_some() || self.in_doubt()) {
            // The next steps of the ladder, or of the watch, try it again.
            self.attempt(now, route);
        }
    }

    /// The peer can be asked in another manner from now on: every direct way is tried again, some times within a second.
    pub fn hurry(&mut self, now: Timestamp) {
        self.burst = Some(Burst::new(now));
        self.handle_timeout(now);
    }

    /// Whether a frame of `bytes` may go this way now.
    #[must_use]
    pub fn may_send(&self, route: Route, bytes: usize) -> bool {
        match route {
            Route::Relay => self.config.relay_available,
            Route::Direct { .. } if !self.direct_allowed() => false,
            Route::Direct { .. } => match self.ways.find(route) {
                Some(way) if way.may_send(bytes) => true,
                Some(_) | None => self.search.is_some_and(|search| search.allows(route)),
            },
        }
    }

    /// A frame of `bytes` went this way.
    pub fn sent(&mut self, now: Timestamp, route: Route, bytes: usize) {
        if let Some(way) = self.ways.find_mut(route) {
            way.note_sent(bytes);
        } else if let Some(search) = &mut self.search {
            search.spend();
        }
        if self.selected != Some(route) {
            return;
        }
        self.last_sent = now;
        // Answers to the peer's probes are no reason to expect an answer: two idle sides would watch each other for ever.
        let in_use = self.last_used.is_some_and(|at| now.saturating_since(at) <= IN_USE);
        if route.is_direct() && in_use && self.watch.is_none() {
            self.watch = Some(Watch::new(now));
        }
    }

    /// The next thing to do. Probes draw their nonce from `rng`.
    pub fn poll_action(&mut self, now: Timestamp, rng: &mut Rng) -> Option<PathAction> {
        while let Some(task) = self.tasks.pop_front() {
            return Some(match task {
                Task::Resolve => PathAction::Resolve,
                Task::RequestPunch => PathAction::RequestPunch,
                Task::Meet => PathAction::Meet,
                Task::Escalate => PathAction::Escalate,
                Task::Probe(route) if !self.may_send(route, PROBE_BYTES) => continue,
                Task::Probe(route) => {
                    let nonce = rng.next_u64();
                    self.probes.note(now, nonce, route);
                    PathAction::Probe { route, nonce }
                }
                Task::Keepalive(route) => PathAction::Keepalive { route },
                Task::Selected(route) => PathAction::Selected(route),
                Task::Lost => PathAction::Lost,
                Task::Unreachable => PathAction::Unreachable,
            });
        }
        None
    }

    /// Addresses remembered, and probes whose answer is awaited.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.ways.direct().count(), self.probes.len())
    }

    /// Smoothed round-trip time of the chosen way.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.selected.and_then(|route| self.ways.find(route)).and_then(|way| way.rtt)
    }

    /// The last ladder ended without a sign of life and nothing was heard since.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    //= spec/strategy.md#pp-dial-9
    //# A node that is configured for the relay only, or whose peer is, sends nothing directly.
    fn direct_allowed(&self) -> bool {
        !self.config.relay_only && !self.peer_relay_only
    }

    /// The chosen way is proven, and was heard of recently enough to dial on it without asking.
    fn works_now(&self, now: Timestamp) -> bool {
        let way = self.selected.and_then(|route| self.ways.find(route));
        way.is_some_and(|w| w.is_proven() && w.heard_within(now, STALE_AFTER))
    }

    fn works_directly(&self) -> bool {
        let way = self.selected.filter(|r| r.is_direct()).and_then(|route| self.ways.find(route));
        way.is_some_and(way::Way::is_proven)
    }

    fn is_active(&self, now: Timestamp) -> bool {
        self.last_used.is_some_and(|at| now.saturating_since(at) < IDLE_AFTER)
    }

    fn task(&mut self, task: Task) {
        if !self.tasks.contains(&task) && self.tasks.len() < MAX_PATH_TASKS {
            self.tasks.push_back(task);
        }
    }
}

/// The same place under its one name.
fn canonical_route(route: Route) -> Route {
    match route {
        Route::Direct { socket, address } => Route::Direct { socket, address: canonical(address) },
        Route::Relay => Route::Relay,
    }
}
