//! A NAT box on the axes of RFC 4787, and a stateful firewall for IPv6. Boxes stand behind boxes; the network leads datagrams through them.

mod firewall;
mod rules;

pub use firewall::Firewall;
pub use rules::{Filtering, Mapping, PortChoice, Rules};

use proto_core::Timestamp;
use proto_core::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The lowest port a box gives away.
const FIRST_PORT: u16 = 1024;
/// Expired state is swept this often; what expired counts as gone at once.
const SWEEP: Duration = Duration::from_secs(1);

/// The flows that share an external port.
#[derive(Debug)]
struct Entry {
    inside: SocketAddr,
    /// The destination as far as the mapping depends on it.
    key: SocketAddr,
    created: Timestamp,
    used: Timestamp,
    /// Remote addresses sent to, and when they were last used.
    remotes: BTreeMap<SocketAddr, Timestamp>,
}

/// One box with one external address, before one or more hosts or boxes.
#[derive(Debug)]
pub struct NatBox {
    /// Its external address.
    pub external: IpAddr,
    /// How it behaves. A change counts from the next datagram on.
    pub rules: Rules,
    /// The box it is behind, by its place in [`crate::Net::boxes`].
    pub behind: Option<usize>,
    ports: BTreeMap<(SocketAddr, SocketAddr), u16>,
    entries: BTreeMap<u16, Entry>,
    /// Forwarded ports.
    forwarded: BTreeMap<u16, SocketAddr>,
    /// Who sent to a forwarded port: answers leave from there.
    answered: BTreeSet<(u16, SocketAddr)>,
    /// First port of each inside address's block.
    blocks: BTreeMap<IpAddr, u16>,
    next_port: u16,
    swept: Timestamp,
    rng: Rng,
}

impl NatBox {
    /// A box without mappings, on the open network.
    #[must_use]
    pub fn new(external: IpAddr, mapping: Mapping, filtering: Filtering) -> Self {
        Self::with_rules(external, Rules::new(mapping, filtering))
    }

    /// A box without mappings, on the open network. Its choices follow from its address.
    #[must_use]
    pub fn with_rules(external: IpAddr, rules: Rules) -> Self {
        let mut seed = [0; 32];
        match external {
            IpAddr::V4(ip) => seed[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => seed[..16].copy_from_slice(&ip.octets()),
        }
        Self::seeded(external, rules, seed)
    }

    /// The same, with choices that follow from `seed`.
    #[must_use]
    pub fn seeded(external: IpAddr, rules: Rules, seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            external,
            rules,
            behind: None,
            ports: BTreeMap::new(),
            entries: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            answered: BTreeSet::new(),
            blocks: BTreeMap::new(),
            next_port: FIRST_PORT + narrow(rng.below(60_000)),
            swept: Timestamp::ZERO,
            rng,
        }
    }

    /// The source a datagram from `inside` to `to` has outside; `None` when it does not pass. Makes or uses a mapping.
    pub fn outbound(&mut self, now: Timestamp, inside: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        if self.rules.blocks_udp {
            return None;
        }
        self.sweep(now);
        // A box with one mapping for all destinations has the forwarded one (RFC 6887 section 11); any other one uses it for answers.
        if let Some(port) = self.forwarded_port(inside)
            && (self.rules.is_cone() || self.answered.contains(&(port, to)))
        {
            return Some(SocketAddr::new(self.external, port));
        }
        if self.is_full() && !self.knows_flow(now, inside, to) {
            return None;
        }
        let port = self.mapping_for(now, inside, self.key(to))?;
        let entry = self.entries.get_mut(&port)?;
        entry.used = now;
        entry.remotes.insert(to, now);
        Some(SocketAddr::new(self.external, port))
    }

    /// The inside address that a datagram to the external `port` is for, if it passes.
    pub fn inbound(&mut self, now: Timestamp, port: u16, from: SocketAddr) -> Option<SocketAddr> {
        if self.rules.blocks_udp {
            return None;
        }
        if let Some(&inside) = self.forwarded.get(&port) {
            self.answered.insert((port, from));
            return Some(inside);
        }
        let rules = self.rules;
        let entry = self.entries.get_mut(&port).filter(|entry| entry.lives(now, &rules))?;
        let live = |at: &Timestamp| now.saturating_since(*at) < rules.idle;
        let passes = match rules.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => {
                let mut remotes = entry.remotes.iter();
                remotes.any(|(remote, at)| remote.ip() == from.ip() && live(at))
            }
            Filtering::AddressAndPortDependent => entry.remotes.get(&from).is_some_and(live),
        };
        if passes && rules.inbound_refreshes {
            entry.used = now;
            if let Some(at) = entry.remotes.get_mut(&from) {
                *at = now;
            }
        }
        passes.then_some(entry.inside)
    }

    /// Forwards a port to `inside` on request, by preference `wanted`; `None` when the box does not do that.
    pub fn map_port(&mut self, wanted: u16, inside: SocketAddr) -> Option<SocketAddr> {
        if !self.rules.maps_ports {
            return None;
        }
        let port = self.forwarded_port(inside).or_else(|| self.free_from(wanted))?;
        self.forwarded.insert(port, inside);
        Some(SocketAddr::new(self.external, port))
    }

    /// Ends the forwarding to `inside`.
    pub fn unmap_port(&mut self, inside: SocketAddr) {
        self.forwarded.retain(|_, host| *host != inside);
    }

    fn forwarded_port(&self, inside: SocketAddr) -> Option<u16> {
        self.forwarded.iter().find(|(_, host)| **host == inside).map(|(port, _)| *port)
    }

    /// Forgets everything, as a reboot does.
    pub fn reboot(&mut self) {
        self.ports.clear();
        self.entries.clear();
        self.forwarded.clear();
        self.answered.clear();
        self.blocks.clear();
    }

    /// Mappings that live at `now`, forwarded ports not counted.
    #[must_use]
    pub fn mapping_count(&self, now: Timestamp) -> usize {
        self.entries.values().filter(|entry| entry.lives(now, &self.rules)).count()
    }

    fn key(&self, to: SocketAddr) -> SocketAddr {
        match self.rules.mapping {
            Mapping::EndpointIndependent => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Mapping::AddressDependent => SocketAddr::new(to.ip(), 0),
            Mapping::AddressAndPortDependent => to,
        }
    }

    fn mapping_for(&mut self, now: Timestamp, inside: SocketAddr, key: SocketAddr) -> Option<u16> {
        if let Some(&port) = self.ports.get(&(inside, key)) {
            if self.entries.get(&port).is_some_and(|entry| entry.lives(now, &self.rules)) {
                return Some(port);
            }
            self.forget(port);
        }
        let port = self.choose(inside)?;
        self.ports.insert((inside, key), port);
        self.entries.insert(port, Entry { inside, key, created: now, used: now, remotes: BTreeMap::new() });
        Some(port)
    }

    fn choose(&mut self, inside: SocketAddr) -> Option<u16> {
        match self.rules.ports {
            PortChoice::Preserve => self.free_from(inside.port()),
            PortChoice::Sequential(step) => {
                let port = self.free_from(self.next_port)?;
                self.next_port = port.checked_add(step).unwrap_or(FIRST_PORT);
                Some(port)
            }
            PortChoice::Random => {
                let start = FIRST_PORT + narrow(self.rng.below(u64::from(u16::MAX - FIRST_PORT) + 1));
                self.free_from(start)
            }
            PortChoice::Block(size) => {
                let first = self.block_of(inside.ip(), size);
                let start = narrow(self.rng.below(u64::from(size)));
                (0..size).map(|offset| first + (start + offset) % size).find(|port| self.is_free(*port))
            }
        }
    }

    fn block_of(&mut self, inside: IpAddr, size: u16) -> u16 {
        if let Some(&first) = self.blocks.get(&inside) {
            return first;
        }
        let count = u64::from((u16::MAX - FIRST_PORT) / size);
        let taken: BTreeSet<u16> = self.blocks.values().copied().collect();
        let start = self.rng.below(count);
        let mut free = (0..count).map(|offset| FIRST_PORT + narrow((start + offset) % count) * size);
        // More hosts than blocks share them; their ports differ all the same.
        let first = free.find(|first| !taken.contains(first)).unwrap_or(FIRST_PORT);
        self.blocks.insert(inside, first);
        first
    }

    fn is_free(&self, port: u16) -> bool {
        port >= FIRST_PORT && !self.entries.contains_key(&port) && !self.forwarded.contains_key(&port)
    }

    fn free_from(&self, start: u16) -> Option<u16> {
        (start..=u16::MAX).chain(FIRST_PORT..start).find(|port| self.is_free(*port))
    }

    fn is_full(&self) -> bool {
        // A box with so many is never full in a simulation, and counting them all would be the dearest part of a run.
        self.rules.flows < usize::from(u16::MAX)
            && self.entries.values().map(|entry| entry.remotes.len()).sum::<usize>() >= self.rules.flows
    }

    fn knows_flow(&self, now: Timestamp, inside: SocketAddr, to: SocketAddr) -> bool {
        let entry = self.ports.get(&(inside, self.key(to))).and_then(|port| self.entries.get(port));
        let used = entry.filter(|entry| entry.lives(now, &self.rules)).and_then(|entry| entry.remotes.get(&to));
        used.is_some_and(|at| now.saturating_since(*at) < self.rules.idle)
    }

    fn forget(&mut self, port: u16) {
        if let Some(entry) = self.entries.remove(&port) {
            self.ports.remove(&(entry.inside, entry.key));
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        if now.saturating_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let rules = self.rules;
        let dead: Vec<u16> =
            self.entries.iter().filter(|(_, entry)| !entry.lives(now, &rules)).map(|(port, _)| *port).collect();
        for port in dead {
            self.forget(port);
        }
        for entry in self.entries.values_mut() {
            entry.remotes.retain(|_, at| now.saturating_since(*at) < rules.idle);
        }
    }
}

impl Entry {
    fn lives(&self, now: Timestamp, rules: &Rules) -> bool {
        now.saturating_since(self.used) < rules.idle
            && rules.lifetime.is_none_or(|most| now.saturating_since(self.created) < most)
    }
}

/// A number below 65,536 by construction.
fn narrow(number: u64) -> u16 {
    u16::try_from(number).expect("a port")
}
