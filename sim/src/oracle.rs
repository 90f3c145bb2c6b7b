//! The best path two hosts can have, judged from the boxes between them alone: the ceiling that endpoints are measured against.
//!
//! Knows everything about boxes and nothing about endpoints. It assumes that hosts learn each other's interfaces, mapped ports and what a
//! beacon sees, and nothing else.

use crate::nat::{Filtering, PortChoice};
use crate::net::Net;

/// By what a direct path comes about, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// The two share a network behind one box.
    Lan,
    /// Both have a global IPv6 address.
    Ipv6,
    /// Punching toward the addresses that beacons see, and answering where the punch came from.
    Punch,
    /// A router forwards a port.
    PortMap,
    /// Guessing the next port of a symmetric NAT that takes them by a rule.
    Prediction,
    /// Guessing ports by the hundred.
    Spray,
}

impl Rung {
    /// All of them, cheapest first.
    pub const ALL: [Self; 6] = [Self::Lan, Self::Ipv6, Self::Punch, Self::PortMap, Self::Prediction, Self::Spray];

    /// One word for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Ipv6 => "ipv6",
            Self::Punch => "punch",
            Self::PortMap => "port_map",
            Self::Prediction => "prediction",
            Self::Spray => "spray",
        }
    }
}

/// The best that is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A direct path, by this rung at the cheapest.
    Direct(Rung),
    /// Through the beacon only.
    Relay,
    /// No datagram of one of them gets anywhere.
    Nothing,
}

/// All boxes before one host, as one.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// What a beacon sees is what everybody sees.
    cone: bool,
    filtering: Filtering,
    /// Ports follow a rule.
    predictable: bool,
    /// A forwarded port is reachable from everywhere.
    mapped: bool,
    blocked: bool,
}

/// The best path between two hosts of `net`.
#[must_use]
pub fn verdict(net: &Net, a: usize, b: usize) -> Verdict {
    let cheapest = Rung::ALL.into_iter().find(|rung| possible(net, a, b, *rung));
    let blocked = side(net, a).blocked || side(net, b).blocked;
    cheapest.map_or(if blocked { Verdict::Nothing } else { Verdict::Relay }, Verdict::Direct)
}

/// Whether two hosts of `net` can have a direct path by `rung`, whatever else they can have.
#[must_use]
pub fn possible(net: &Net, a: usize, b: usize, rung: Rung) -> bool {
    let (chains, sides) = ((net.chain(a), net.chain(b)), (side(net, a), side(net, b)));
    let (one, other) = sides;
    // One is in the network that the other one's boxes stand in.
    let in_network_of = |inner: &[usize], outer: &[usize]| !outer.is_empty() && inner.ends_with(outer);
    match rung {
        Rung::Lan => in_network_of(&chains.0, &chains.1) || in_network_of(&chains.1, &chains.0),
        Rung::Ipv6 => net.hosts[a].ipv6.is_some() && net.hosts[b].ipv6.is_some(),
        _ if one.blocked || other.blocked || !outermost_turns_back(net, &chains.0, &chains.1) => false,
        Rung::Punch => one.punches(other) || other.punches(one),
        Rung::PortMap => one.mapped || other.mapped,
        Rung::Prediction => {
            (one.cone && !other.cone && other.predictable) || (other.cone && !one.cone && one.predictable)
        }
        Rung::Spray => one.cone != other.cone,
    }
}

/// Where both are behind one box, it must lead datagrams for its external address back inside.
fn outermost_turns_back(net: &Net, a: &[usize], b: &[usize]) -> bool {
    let nearest_common = a.iter().find(|index| b.contains(index));
    nearest_common.is_none_or(|index| net.boxes[*index].rules.hairpin)
}

fn side(net: &Net, host: usize) -> Side {
    let chain = net.chain(host);
    let rules = || chain.iter().map(|index| net.boxes[*index].rules);
    let ports = rules().map(|rules| rules.ports).rfind(|ports| *ports != PortChoice::Preserve);
    Side {
        cone: rules().all(|rules| rules.is_cone()),
        filtering: rules().map(|rules| rules.filtering).max().unwrap_or(Filtering::EndpointIndependent),
        // Preserving boxes take the next free port for each further mapping of one socket.
        predictable: !matches!(ports, Some(PortChoice::Random)),
        mapped: chain.len() == 1 && rules().all(|rules| rules.maps_ports),
        blocked: rules().any(|rules| rules.blocks_udp),
    }
}

impl Side {
    /// Whether `self` gets a datagram to where a beacon sees `other`, and hears the answer.
    fn punches(self, other: Self) -> bool {
        let enters = match other.filtering {
            Filtering::EndpointIndependent => true,
            // The other side sent to our address, from the mapping we know, if it has only one.
            Filtering::AddressDependent => other.cone,
            Filtering::AddressAndPortDependent => other.cone && self.cone,
        };
        // An answer from another port than we sent to passes only filters that do not look at ports.
        let answered = other.cone || self.filtering != Filtering::AddressAndPortDependent;
        enters && answered
    }
}
