//! How many key exchanges are looked at before anything about them is proven, and how many of their signatures are checked.
//!
//! Decides by where they come from: sources anybody can make up share one budget, and a peer's own address has another, so that a flood
//! from made-up addresses costs a bounded time and does not keep a peer from exchanging keys. Refuses to know what an exchange says.

use crate::ids::NodeId;
use crate::limits;
use crate::path::Route;
use crate::rate::RateLimiter;
use crate::time::Timestamp;
use core::net::IpAddr;

/// Where an unauthenticated key exchange came from, as far as that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Direct(IpAddr),
    Relayed(NodeId),
}

/// What sources anybody can make up are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Direct,
    Relayed,
}

/// The budgets of one endpoint.
#[derive(Debug)]
pub(super) struct Admission {
    sources: RateLimiter<Source>,
    own_addresses: RateLimiter<NodeId>,
    elsewhere: RateLimiter<Lane>,
    all: RateLimiter<()>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            //= spec/rate-limits.md#pp-rate-4
            //# Key exchanges are limited to 5 a second for each source address, and for each node that is relayed, before any signature is
            //# checked.
            sources: a_second(limits::KEY_EXCHANGE_RATE_PER_SOURCE, limits::RATE_LIMITED_SOURCES),
            own_addresses: a_second(limits::SIGNATURE_CHECKS_PER_PEER, limits::MAX_PEERS),
            elsewhere: a_second(limits::SIGNATURE_CHECKS_ELSEWHERE, 2),
            all: a_second(limits::SIGNATURE_CHECKS, 1),
        }
    }
}

impl Admission {
    /// Sources remembered.
    pub(super) fn sources(&self) -> usize {
        self.sources.sources()
    }

    /// An exchange from anywhere is looked at.
    pub(super) fn allows_source(&mut self, now: Timestamp, route: Route, sender: NodeId) -> bool {
        let source = match route {
            Route::Direct { address, .. } => Source::Direct(address.ip()),
            Route::Relay => Source::Relayed(sender),
        };
        self.sources.allow(now, &source)
    }

    /// An exchange from the own address of `peer` is looked at, whoever else is behind that address.
    pub(super) fn allows_own_address(&mut self, now: Timestamp, peer: NodeId) -> bool {
        self.own_addresses.allow(now, &peer)
    }

    /// A signature is checked.
    pub(super) fn allows_check(&mut self, now: Timestamp, route: Route, from_own_address: bool) -> bool {
        let lane = if route.is_direct() { Lane::Direct } else { Lane::Relayed };
        (from_own_address || self.elsewhere.allow(now, &lane)) && self.all.allow(now, &())
    }
}

/// So many in a second, and so many at once.
fn a_second<K: Ord + Clone>(rate: u32, capacity: usize) -> RateLimiter<K> {
    RateLimiter::new(rate, rate, capacity)
}
