//! How the beacons see our socket, kept current (PP-NAT-1 to PP-NAT-6).
//!
//! Decides when to ask which beacon address and when an answer means that our endpoint moved. Refuses to know the registry
//! and the peers: whoever owns it tells both.
//!
//! The primary is asked with our node number, which also keeps its entry for us fresh. All others are asked as node 0: behind a
//! symmetric NAT they see another mapping, and must not replace the one the primary relays to.

use super::classify::{NatType, Observation};
use crate::ids::NodeId;
use crate::limits::MAX_BEACONS;
use crate::time::Timestamp;
use crate::wire::candidate::{Local, Reach, Reflexive, canonical};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

/// Offsets of the first tries. Three, as the sheet has it, but fast: a lost datagram must not cost a second at start.
const TRIES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1000)];
/// After the first try: no answer until then means no beacon, and everybody waiting for our endpoint is told so.
//= spec/nat.md#pp-nat-4
//# A silent beacon is told to the host within 2 seconds and asked on.
const SILENT_AFTER: Duration = Duration::from_millis(1900);
/// Interval of refreshing the primary; the shortest UDP mapping timeout in the field is 30 s.
//= spec/nat.md#pp-nat-3
//# The primary beacon is asked again every 25 seconds.
const REFRESH: Duration = Duration::from_secs(25);
/// Interval of asking the other addresses; a NAT's kind changes with the network only.
const RECLASSIFY: Duration = Duration::from_secs(300);
/// An answer later than this after the question is nobody's.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What discovery wants sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryAction {
    /// Send 0x01 with `node` to `beacon`.
    SendDiscover {
        /// The beacon address.
        beacon: SocketAddr,
        /// Our number toward the primary once known, else 0.
        node: NodeId,
    },
}

/// What discovery found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryEvent {
    /// The first round ended: our endpoint as the primary sees it, `None` when it is silent. Told again when a silent beacon answers at last.
    Discovered(Option<Reflexive>),
    /// Our endpoint moved, confirmed by a second answer.
    EndpointChanged {
        /// Before.
        old: Reflexive,
        /// Now.
        new: Reflexive,
    },
}

/// One beacon address.
#[derive(Debug)]
struct Beacon {
    address: SocketAddr,
    seen: Option<Reflexive>,
    /// Another endpoint was seen once; a second answer must confirm it.
    doubted: Option<Reflexive>,
    asked: Option<Timestamp>,
    /// Questions since the last answer.
    unanswered: usize,
    next: Timestamp,
}

/// Discovery of one socket's endpoint.
#[derive(Debug)]
pub struct Discovery {
    /// The first is the primary.
    beacons: Vec<Beacon>,
    node: NodeId,
    /// The primary may have forgotten us.
    doubted: bool,
    /// When the first round is over; `None` once the outcome was told.
    verdict: Option<Timestamp>,
    actions: VecDeque<DiscoveryAction>,
    events: VecDeque<DiscoveryEvent>,
}

impl Discovery {
    /// Starts asking at once. At most [`MAX_BEACONS`] distinct addresses are used; without any, `Discovered(None)` is told at once.
    #[must_use]
    pub fn new(now: Timestamp, beacons: &[SocketAddr]) -> Self {
        let mut new = Self {
            beacons: Vec::new(),
            node: NodeId::UNASSIGNED,
            doubted: false,
            verdict: Some(now),
            actions: VecDeque::new(),
            events: VecDeque::new(),
        };
        for &address in beacons {
            let known = new.beacons.iter().any(|b| b.address == canonical(address));
            if !known && new.beacons.len() < MAX_BEACONS {
                new.beacons.push(Beacon::new(canonical(address), now));
            }
        }
        if !new.beacons.is_empty() {
            new.verdict = Some(now + SILENT_AFTER);
        }
        new.handle_timeout(now);
        new
    }

    /// The rendezvous was away: a primary that started anew knows nobody, and relays for nobody.
    pub fn doubt_primary(&mut self) {
        self.doubted = true;
    }

    /// Our number is known, or known again: the primary is told at once, so that it can find us.
    pub fn set_node(&mut self, now: Timestamp, node: NodeId) {
        if core::mem::take(&mut self.doubted) || self.node != node {
            self.node = node;
            self.refresh(now);
        }
    }

    /// The network changed or the host woke: asks everybody again. What was known stays until an answer says otherwise.
    pub fn network_changed(&mut self, now: Timestamp) {
        for beacon in &mut self.beacons {
            beacon.restart(now);
        }
        self.handle_timeout(now);
    }

    /// A discover reply (0x02). Whether it was taken: it must come from a beacon address that was asked within 5 s.
    pub fn handle_reply(&mut self, now: Timestamp, from: SocketAddr, observed: SocketAddr) -> bool {
        let (from, observed) = (canonical(from), canonical(observed));
        if Reach::of(observed) == Reach::Nowhere {
            return false;
        }
        let Some(index) = self.beacons.iter().position(|b| b.address == from) else { return false };
        let Some(beacon) = self.beacons.get_mut(index) else { return false };
        //= spec/nat.md#pp-nat-2
        //# A discover reply counts only from a configured beacon that was asked within 5 seconds.
        if beacon.asked.is_none_or(|at| now.saturating_since(at) > ANSWER_WITHIN) {
            return false;
        }
        let change = beacon.answered(now, Reflexive(observed), if index == 0 { REFRESH } else { RECLASSIFY });
        if index == 0 {
            self.primary_answered(now, change);
        } else if change == Change::Doubtful {
            self.handle_timeout(now);
        }
        true
    }

    fn primary_answered(&mut self, now: Timestamp, change: Change) {
        match change {
            Change::None => {}
            Change::Doubtful => self.handle_timeout(now),
            Change::First(new) => {
                self.verdict = None;
                //= spec/nat.md#pp-nat-1
                //# The own endpoint is learnt from the beacon's reply to a discover message.
                self.events.push_back(DiscoveryEvent::Discovered(Some(new)));
            }
            Change::Moved { old, new } => {
                self.events.push_back(DiscoveryEvent::EndpointChanged { old, new });
                for other in self.beacons.iter_mut().skip(1) {
                    other.seen = None;
                    other.restart(now);
                }
                self.handle_timeout(now);
            }
        }
    }

    /// Our endpoint as the primary last saw it. It outlives a beacon that fell silent.
    #[must_use]
    pub fn reflexive(&self) -> Option<Reflexive> {
        self.beacons.first().and_then(|b| b.seen)
    }

    /// The NAT before this socket. `own`: the host's addresses with this socket's port.
    #[must_use]
    pub fn nat_type(&self, own: &[Local]) -> NatType {
        let seen = |b: &Beacon| b.seen.map(|seen| Observation { beacon: b.address, seen });
        NatType::classify(&self.beacons.iter().filter_map(seen).collect::<Vec<_>>(), own)
    }

    /// The next datagram to send.
    pub fn poll_action(&mut self) -> Option<DiscoveryAction> {
        self.actions.pop_front()
    }

    /// The next finding.
    pub fn poll_event(&mut self) -> Option<DiscoveryEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.beacons.iter().map(|b| b.next).chain(self.verdict).min()
    }

    /// Asks who is due, and tells the outcome of a first round without an answer.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for (index, beacon) in self.beacons.iter_mut().enumerate() {
            if beacon.next > now {
                continue;
            }
            let (node, refresh) = if index == 0 { (self.node, REFRESH) } else { (NodeId::UNASSIGNED, RECLASSIFY) };
            beacon.ask(now, refresh);
            let question = DiscoveryAction::SendDiscover { beacon: beacon.address, node };
            if !self.actions.contains(&question) {
                self.actions.push_back(question);
            }
        }
        if self.verdict.is_some_and(|at| at <= now) {
            self.verdict = None;
            self.events.push_back(DiscoveryEvent::Discovered(None));
        }
    }

    fn refresh(&mut self, now: Timestamp) {
        if let Some(primary) = self.beacons.first_mut() {
            primary.restart(now);
        }
        self.handle_timeout(now);
    }
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    First(Reflexive),
    Doubtful,
    Moved { old: Reflexive, new: Reflexive },
}

impl Beacon {
    const fn new(address: SocketAddr, now: Timestamp) -> Self {
        Self { address, seen: None, doubted: None, asked: None, unanswered: 0, next: now }
    }

    fn restart(&mut self, now: Timestamp) {
        self.unanswered = 0;
        self.next = now;
    }

    /// Notes a question and plans the next: the fast tries, then doubling from 2 s up to the refresh interval.
    fn ask(&mut self, now: Timestamp, refresh: Duration) {
        let this_offset = TRIES.get(self.unanswered).copied();
        let next_offset = TRIES.get(self.unanswered + 1).copied();
        let wait = match (this_offset, next_offset) {
            (Some(this), Some(next)) => next.saturating_sub(this),
            _ => {
                let doublings = u32::try_from(self.unanswered + 1 - TRIES.len()).unwrap_or(u32::MAX).min(8);
                Duration::from_secs(2).saturating_mul(1 << doublings).min(refresh)
            }
        };
        self.asked = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
        self.next = now + wait;
    }

    /// A first sight counts at once. A different one is asked again, so that a late answer from before a move cannot move us back.
    fn answered(&mut self, now: Timestamp, seen: Reflexive, refresh: Duration) -> Change {
        self.unanswered = 0;
        self.next = now + refresh;
        let doubted = self.doubted.take();
        match self.seen {
            Some(old) if old == seen => Change::None,
            //= spec/nat.md#pp-nat-5
            //# A changed endpoint counts when a second answer confirms it.
            Some(old) if doubted == Some(seen) => {
                self.seen = Some(seen);
                Change::Moved { old, new: seen }
            }
            Some(_) => {
                self.doubted = Some(seen);
                self.next = now;
                Change::Doubtful
            }
            None => {
                self.seen = Some(seen);
                Change::First(seen)
            }
        }
    }
}
