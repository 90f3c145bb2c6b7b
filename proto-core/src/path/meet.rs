//! What a peer of ours tells inside the tunnel about where it is, and the search for a way through a symmetric NAT.
//!
//! Decides which told addresses are tried, and whereto the frames of a search may go. Refuses to know which ports are tried when.

use super::admit::is_admissible;
use super::ladder::Burst;
use super::way::{Origin, Standing};
use super::{OwnAddresses, PathSet, PeerAddresses, RelayReason, Route};
use crate::ids::SocketId;
use crate::limits::{MAX_CANDIDATES, SPRAY_INTERVAL, SPRAY_SOCKETS, SPRAY_TIME};
use crate::time::Timestamp;
use crate::wire::candidate::{Local, canonical};
use crate::wire::meet::Candidate;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Frames one side of a search may send to addresses of which it knows the IP address only.
const SEARCH_FRAMES: u128 = 2 * SPRAY_SOCKETS as u128 + SPRAY_TIME.as_millis() / SPRAY_INTERVAL.as_millis();

/// Addresses taken from a peer's own word within this long: as many as are remembered, however often it changes its mind.
const TOLD_WINDOW: Duration = Duration::from_secs(30);

/// Times within this long that the peer's word has all addresses tried for two seconds: more than one round of both sides' attempts.
const BURST_WINDOW: Duration = Duration::from_secs(120);
const BURSTS: usize = 20;
/// Times within this long that a peer that refused a search has one begun again by offering a meeting: it may be busy with others.
const FREE_WINDOW: Duration = Duration::from_secs(600);
const FREE_OFFERS: usize = 8;

/// What a peer brought about since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    since: Timestamp,
    count: usize,
}

impl Quota {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { since: now, count: 0 }
    }

    /// Once more, unless that was `most` times within `window`.
    fn take(&mut self, now: Timestamp, window: Duration, most: usize) -> bool {
        if now.saturating_since(self.since) >= window {
            *self = Self::new(now);
        }
        let granted = self.count < most;
        self.count += usize::from(granted);
        granted
    }
}

/// A search under way: its frames may go to any port of one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    ip: IpAddr,
    left: u128,
}

impl Search {
    pub(super) fn allows(&self, route: Route) -> bool {
        self.left > 0 && matches!(route, Route::Direct { address, .. } if address.ip() == self.ip)
    }

    pub(super) const fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

impl PathSet {
    /// The peer says where it is, and tries our addresses about `after` from now: ours are tried at the same time.
    pub fn told(&mut self, now: Timestamp, addresses: &[Candidate], own: &OwnAddresses<'_>, after: Duration) {
        if !self.direct_allowed() {
            return;
        }
        let local: Vec<Local> = addresses.iter().filter_map(|candidate| local_of(*candidate)).collect();
        let reflexive = addresses.iter().find_map(|candidate| reflexive_of(*candidate));
        let peer = PeerAddresses { reflexive, local: &local, relay_only: false };
        for candidate in addresses {
            let (address, is_local) = match *candidate {
                Candidate::Local(Local(address)) => (canonical(address), true),
                Candidate::Reflexive(reflexive) => (canonical(reflexive.0), false),
                Candidate::Mapped(mapped) => (canonical(mapped.0), false),
            };
            if is_admissible(address, is_local, &peer, own) && self.may_learn(now, address) {
                self.ways.learn(now, Route::direct(address), Origin::Told, self.selected);
            }
        }
        if !self.works_directly() && self.told_bursts.take(now, BURST_WINDOW, BURSTS) {
            self.burst = Some(Burst::new(now + after));
            self.handle_timeout(now);
        }
    }

    /// Each new address on a peer's word is worth some probes: it may not name ever new ones.
    fn may_learn(&mut self, now: Timestamp, address: SocketAddr) -> bool {
        if self.ways.find(Route::direct(address)).is_some() {
            return true;
        }
        self.told.take(now, TOLD_WINDOW, MAX_CANDIDATES)
    }

    /// The registry or the beacon, and not only the peer itself, said that the peer is at this IP address.
    #[must_use]
    pub fn vouches(&self, ip: IpAddr) -> bool {
        self.ways
            .direct()
            .any(|w| w.is_vouched() && matches!(w.route, Route::Direct { address, .. } if address.ip() == ip))
    }

    /// A search may follow, which goes only where the peer is vouched for: whoever never dialled it asks the registry and the beacon now.
    pub fn seek_vouchers(&mut self, now: Timestamp, told: &[Candidate]) {
        let reflexive = told.iter().find_map(|candidate| reflexive_of(*candidate));
        if reflexive.is_some_and(|told| !self.vouches(canonical(told.0).ip())) && !self.works_directly() {
            self.ask_where(now);
        }
    }

    /// The peer's address as a beacon sees it, if the registry told it, or the beacon and the peer itself: the newest.
    #[must_use]
    pub fn beacon_view(&self) -> Option<SocketAddr> {
        let certain = self.ways.direct().filter(|w| w.is_certain() && w.origin != Origin::ResolvedLocal);
        certain.max_by_key(|w| w.added).and_then(|w| match w.route {
            Route::Direct { address, .. } => Some(address),
            Route::Relay => None,
        })
    }

    /// Frames may go to any port of `ip` from any socket, up to a bound, until [`Self::end_search`].
    pub fn begin_search(&mut self, now: Timestamp, ip: IpAddr) {
        self.search = Some(Search { ip, left: SEARCH_FRAMES });
        self.asks = super::Asks::new(now);
    }

    /// The search is over, however it ended.
    pub fn end_search(&mut self) {
        self.search = None;
    }

    /// What stands in the way of a direct path, as far as whoever knows both sides' NATs can tell; `None` takes it back.
    pub fn judge(&mut self, reason: Option<RelayReason>) {
        self.verdict = reason;
        self.queued = reason == Some(RelayReason::SprayingBusy);
    }

    /// The peer searches with somebody else, or not again yet: it says when it is free, so that asking it at every chance is of no use.
    pub fn search_was_refused(&mut self) {
        self.verdict = Some(RelayReason::SprayingBusy);
        self.queued = false;
    }

    /// This side's search with another peer has ended: one that had to wait for it need not wait for the next attempts.
    pub fn own_search_is_over(&mut self, now: Timestamp) {
        if self.queued {
            self.search_is_free(now);
        }
    }

    /// The peer meets again, or this side does: a search that either refused may be possible now.
    pub fn search_is_free(&mut self, now: Timestamp) {
        let waits = self.verdict == Some(RelayReason::SprayingBusy) && self.selected == Some(Route::Relay);
        // One that refuses whatever it brought about is asked with the next round of attempts only.
        if waits && (self.queued || self.freed.take(now, FREE_WINDOW, FREE_OFFERS)) {
            self.judge(None);
            self.own_addresses_changed(now);
        }
    }

    /// Data takes a proven direct way.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.works_directly()
    }

    /// A way through this socket works or did.
    #[must_use]
    pub fn needs_socket(&self, socket: SocketId) -> bool {
        let through = |route| matches!(route, Route::Direct { socket: own, .. } if own == socket);
        self.selected.is_some_and(through)
            || self.ways.direct().any(|w| through(w.route) && w.standing != Standing::Unproven)
    }

    /// These sockets are closed: no way leads through them any more.
    pub fn forget_sockets(&mut self, closed: &[SocketId]) {
        self.ways.forget(|w| matches!(w.route, Route::Direct { socket, .. } if closed.contains(&socket)));
    }

    /// Round-trip time through the relay, if it was measured.
    #[must_use]
    pub fn relay_rtt(&self) -> Option<Duration> {
        self.ways.relay().rtt
    }

    /// Our own addresses changed: the peer is told, and tries them.
    pub fn own_addresses_changed(&mut self, now: Timestamp) {
        if self.selected == Some(Route::Relay) && self.is_active(now) {
            self.start_chase(now);
            self.handle_timeout(now);
        }
    }
}

const fn local_of(candidate: Candidate) -> Option<Local> {
    match candidate {
        Candidate::Local(local) => Some(local),
        Candidate::Reflexive(_) | Candidate::Mapped(_) => None,
    }
}

const fn reflexive_of(candidate: Candidate) -> Option<crate::wire::candidate::Reflexive> {
    match candidate {
        Candidate::Reflexive(reflexive) => Some(reflexive),
        Candidate::Local(_) | Candidate::Mapped(_) => None,
    }
}
