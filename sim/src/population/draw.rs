//! One host of a population: what stands before it, drawn by chance.

use super::Options;
use super::mix::{Class, Mix};
use crate::nat::{Filtering, Mapping, PortChoice, Rules};
use crate::net::Net;
use proto_core::Config;
use proto_core::rng::Rng;
use std::time::Duration;

/// Ports of one subscriber where a carrier gives blocks; RFC 7422 and carriers' papers speak of some hundreds to some thousands.
const BLOCK: u16 = 512;

/// What was drawn.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The class.
    pub class: String,
    /// One way to the core.
    pub access: Duration,
    /// The boxes before it, the outermost first.
    pub boxes: Vec<Rules>,
    /// It has a global IPv6 address, behind a firewall.
    pub ipv6: bool,
}

impl Drawn {
    /// Draws a host. The same number of draws is made whatever comes of them, so that options change what they say and nothing else.
    pub fn draw(mix: &Mix, options: &Options, rng: &mut Rng) -> Self {
        let class = pick(mix, rng.below(100));
        let mut chance = |percent: u64| rng.below(100) < percent;
        let symmetric = chance(class.symmetric.value);
        let predictable = chance(class.predictable.value);
        let open = chance(class.endpoint_independent_filtering.value) && !symmetric;
        let blocks_udp = chance(class.udp_blocked.value);
        let maps_ports = chance(class.port_map.value) && !options.like_dcutr;
        let ipv6 = chance(class.ipv6.value) && !options.like_dcutr && !blocks_udp;
        let idle = Duration::from_secs(between(class.idle_s.range, rng));
        let access = Duration::from_micros(between(mix.delays.access_ms.range.map(|millis| millis * 1000), rng));
        let filtering = if open { Filtering::EndpointIndependent } else { Filtering::AddressAndPortDependent };
        let mapping = if symmetric { Mapping::AddressAndPortDependent } else { Mapping::EndpointIndependent };
        let ports = match (symmetric && predictable, class.blocks) {
            (true, true) => PortChoice::Block(BLOCK),
            (true, false) => PortChoice::Sequential(1),
            (false, _) => PortChoice::Random,
        };
        let outermost = Rules { mapping, filtering, ports, idle, blocks_udp, maps_ports, ..Rules::default() };
        let home = Rules { ports: PortChoice::Preserve, filtering, idle, ..Rules::default() };
        let boxes = if class.double_nat { vec![outermost, home] } else { vec![outermost] };
        Self { class: class.name.clone(), access, boxes, ipv6 }
    }

    /// Puts the host on the network. Returns its place in [`Net::hosts`].
    pub fn place(&self, net: &mut Net, config: Config) -> usize {
        let mut behind = None;
        for rules in &self.boxes {
            behind = Some(net.add_box(*rules, behind));
        }
        net.add_agent_with(config, behind, self.ipv6.then_some(true))
    }

    /// No UDP passes.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.boxes.iter().any(|rules| rules.blocks_udp)
    }

    /// Its NAT in a few words, by the outermost box.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let Some(rules) = self.boxes.first() else { return "open" };
        match (rules.blocks_udp, rules.mapping, rules.filtering, rules.ports) {
            (true, ..) => "blocked",
            (_, Mapping::EndpointIndependent, Filtering::EndpointIndependent, _) => "full cone",
            (_, Mapping::EndpointIndependent, ..) => "port-restricted cone",
            (.., PortChoice::Random) => "symmetric, random",
            (.., PortChoice::Block(_)) => "symmetric, block",
            (..) => "symmetric, sequential",
        }
    }
}

fn pick(mix: &Mix, mut number: u64) -> &Class {
    for class in &mix.class {
        if number < class.share.value {
            return class;
        }
        number -= class.share.value;
    }
    &mix.class[0]
}

fn between([least, most]: [u64; 2], rng: &mut Rng) -> u64 {
    least + rng.below(most.saturating_sub(least) + 1)
}
