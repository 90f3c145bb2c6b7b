//! What kind of NAT stands before one socket (RFC 4787 section 4).
//!
//! Decides from what several beacon addresses saw of the same socket. Refuses to guess: with one observation the mapping is unknown,
//! and filtering stays unknown always, because that needs an answer from an address never contacted.

use crate::wire::candidate::{Local, Reach, Reflexive, canonical};
use core::net::SocketAddr;

/// What one beacon address saw of our socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The beacon address that was asked.
    pub beacon: SocketAddr,
    /// What it saw.
    pub seen: Reflexive,
}

/// Which external port a symmetric NAT takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Each new destination gets the last port plus this step. Needs three observations.
    Sequential(i32),
    /// No rule seen.
    Unpredictable,
}

/// The NAT before one socket, as far as observations prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NatType {
    /// Too few observations.
    #[default]
    Unknown,
    /// The beacon sees our own address.
    None,
    /// One mapping for all destinations ("cone").
    EndpointIndependent,
    /// Another mapping for each destination.
    Symmetric(Mapping),
}

/// Port steps up to this size count as sequential; larger ones repeat by chance too easily.
const LARGEST_STEP: i32 = 16;

impl NatType {
    /// Judges `observations` of one socket, oldest mapping first, given the host's own addresses with that socket's port.
    #[must_use]
    pub fn classify(observations: &[Observation], own: &[Local]) -> Self {
        let Some(first) = observations.first() else { return Self::Unknown };
        let ours = |seen: SocketAddr| Reach::of(seen) == Reach::Host || own.iter().any(|l| canonical(l.0) == seen);
        if observations.iter().all(|o| ours(canonical(o.seen.0))) {
            return Self::None;
        }
        let one_mapping = observations.iter().all(|o| o.seen == first.seen);
        //= spec/nat.md#pp-nat-9
        //# A NAT is called symmetric only when two beacon addresses saw different mappings, and unknown with one observation.
        match (observations.len(), one_mapping) {
            (1, _) => Self::Unknown,
            (_, true) => Self::EndpointIndependent,
            (_, false) => Self::Symmetric(port_rule(observations)),
        }
    }

    /// One word for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::EndpointIndependent => "endpoint-independent",
            Self::Symmetric(_) => "symmetric",
        }
    }

    /// Words for a person.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Unknown => "not known yet",
            Self::None => "no NAT",
            Self::EndpointIndependent => "endpoint-independent mapping (cone)",
            Self::Symmetric(Mapping::Sequential(_)) => {
                "symmetric (address- and port-dependent mapping, sequential ports)"
            }
            Self::Symmetric(Mapping::Unpredictable) => "symmetric (address- and port-dependent mapping)",
        }
    }

    /// What it means for reaching peers, one sentence.
    #[must_use]
    pub const fn strategy(self) -> &'static str {
        match self {
            Self::Unknown => "Two beacon addresses must answer before this can be said; direct paths are tried anyway.",
            Self::None => "Peers connect straight to this host unless a firewall drops what it did not ask for.",
            Self::EndpointIndependent => "Hole punching through the beacon gives direct paths to most peers.",
            Self::Symmetric(_) => {
                "Direct paths work to peers that are public or filter loosely; all others are reached through the relay."
            }
        }
    }
}

fn port_rule(observations: &[Observation]) -> Mapping {
    let same_host = observations.windows(2).all(|pair| match pair {
        [a, b] => a.seen.0.ip() == b.seen.0.ip(),
        _ => false,
    });
    let mut steps = observations.windows(2).filter_map(|pair| match pair {
        [a, b] => Some(i32::from(b.seen.0.port()) - i32::from(a.seen.0.port())),
        _ => None,
    });
    match (steps.next(), steps.next()) {
        (Some(step), Some(next))
            if same_host && step == next && steps.all(|s| s == step) && step.abs() <= LARGEST_STEP =>
        {
            Mapping::Sequential(step)
        }
        _ => Mapping::Unpredictable,
    }
}
