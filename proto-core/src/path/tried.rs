//! The direct ways to a peer as a person reads them: which addresses, where from, and what came of each.

use super::way::{Origin, Standing, Way};
use super::{PathSet, Route};
use core::net::SocketAddr;
use core::time::Duration;

/// One direct way and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriedPath {
    /// The peer's address.
    pub address: SocketAddr,
    /// Where it is known from, in words of RFC 8445 where it has one.
    pub kind: &'static str,
    /// What came of it.
    pub outcome: &'static str,
    /// Smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
}

impl PathSet {
    /// All direct ways that are known, at most [`crate::limits::MAX_CANDIDATES`].
    #[must_use]
    pub fn tried(&self) -> Vec<TriedPath> {
        self.ways.direct().filter_map(tried).collect()
    }
}

fn tried(way: &Way) -> Option<TriedPath> {
    let Route::Direct { address, .. } = way.route else { return None };
    let kind = match way.origin {
        Origin::Configured => "configured",
        Origin::ResolvedLocal => "host",
        Origin::ResolvedReflexive => "server-reflexive",
        Origin::Punch => "punch command",
        Origin::Told => "told by the peer",
        Origin::Heard => "peer-reflexive",
    };
    let outcome = match way.standing {
        Standing::Proven => "works",
        Standing::Silent => "fell silent",
        Standing::Unproven if way.attempted.is_some() => "no answer",
        Standing::Unproven => "not tried",
    };
    Some(TriedPath { address, kind, outcome, rtt: way.rtt })
}
