//! A NAT box on two of the axes of RFC 4787: mapping and filtering.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Which destinations share one external port (RFC 4787 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// All of them.
    EndpointIndependent,
    /// None: each address and port gets its own.
    AddressAndPortDependent,
}

/// Who may send to an external port (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// Everybody, once the port exists.
    EndpointIndependent,
    /// Addresses and ports that were sent to from it.
    AddressAndPortDependent,
}

/// One box with one external address, before one or more hosts.
#[derive(Debug)]
pub struct NatBox {
    /// Its external address.
    pub external: IpAddr,
    mapping: Mapping,
    filtering: Filtering,
    /// Inside address and, when mappings depend on it, destination; to the external port.
    ports: BTreeMap<(SocketAddr, Option<SocketAddr>), u16>,
    /// External port to inside address and the destinations sent to.
    opened: BTreeMap<u16, (SocketAddr, BTreeSet<SocketAddr>)>,
    next_port: u16,
}

impl NatBox {
    /// A box without mappings.
    #[must_use]
    pub const fn new(external: IpAddr, mapping: Mapping, filtering: Filtering) -> Self {
        Self { external, mapping, filtering, ports: BTreeMap::new(), opened: BTreeMap::new(), next_port: 20_011 }
    }

    /// The source a datagram from `inside` to `to` has outside. Makes or uses a mapping.
    pub fn outbound(&mut self, inside: SocketAddr, to: SocketAddr) -> SocketAddr {
        let key = (inside, (self.mapping == Mapping::AddressAndPortDependent).then_some(to));
        let port = *self.ports.entry(key).or_insert_with(|| {
            // A stride that no prediction of neighbouring ports guesses.
            self.next_port = self.next_port.wrapping_mul(31).wrapping_add(4_177) | 0x4000;
            while self.opened.contains_key(&self.next_port) {
                self.next_port = self.next_port.wrapping_add(1) | 0x4000;
            }
            self.next_port
        });
        self.opened.entry(port).or_insert_with(|| (inside, BTreeSet::new())).1.insert(to);
        SocketAddr::new(self.external, port)
    }

    /// The inside address that a datagram to the external `port` is for, if it passes.
    #[must_use]
    pub fn inbound(&self, port: u16, from: SocketAddr) -> Option<SocketAddr> {
        let (inside, destinations) = self.opened.get(&port)?;
        let passes = self.filtering == Filtering::EndpointIndependent || destinations.contains(&from);
        passes.then_some(*inside)
    }

    /// Forgets every mapping, as a reboot does.
    pub fn reboot(&mut self) {
        self.ports.clear();
        self.opened.clear();
    }
}
