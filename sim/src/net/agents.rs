//! Who is on the network: hosts with or without a rendezvous, behind boxes or not.

use super::host::{FIREWALL_IDLE, FIRST_PORT};
use super::{Host, Link, Net};
use crate::nat::{Firewall, NatBox, Rules};
use crate::rendezvous::Rendezvous;
use proto_core::crypto::{Identity, rust_crypto};
use proto_core::rng::Rng;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Endpoint, Input, NodeId, SocketId, Timestamp};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Node numbers are the index plus one; keys and addresses follow from it.
pub fn node(index: usize) -> NodeId {
    NodeId(u32::try_from(index + 1).unwrap())
}

/// The identity of a host.
#[must_use]
pub fn identity(index: usize) -> Identity {
    Identity::from_seed([u8::try_from(index + 1).unwrap(); 32])
}

/// A port of a host, by the number it has without a rendezvous.
#[must_use]
pub fn target(index: usize, port: u16) -> SocketAddress {
    SocketAddress::new(Address::backbone(node(index)), port)
}

/// The address of a host on the open network.
#[must_use]
pub fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(index + 1).unwrap()], FIRST_PORT))
}

/// A host's address inside of the box it is behind.
fn inside_address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, u8::try_from(index + 1).unwrap(), 2], FIRST_PORT))
}

/// An endpoint that knows all others without a rendezvous.
pub(super) fn start(
    index: usize,
    count: usize,
    config: Config,
    trusts: bool,
    seed: [u8; 32],
    now: Timestamp,
) -> Endpoint {
    let mut endpoint = Endpoint::new(Arc::new(config), identity(index), rust_crypto(), seed, now);
    endpoint.set_node(now, node(index));
    for other in (0..count).filter(|other| *other != index) {
        endpoint.add_static_peer(now, node(other), identity(other).public(), Some(address(other)), trusts);
    }
    endpoint
}

impl Net {
    /// `count` endpoints that know and trust each other.
    pub fn trusting(seed: u8, count: usize, link: Link) -> Self {
        Self::new(seed, link, (0..count).map(|_| (Config::default(), true)).collect())
    }

    /// One endpoint per entry: its configuration, and whether it trusts all others.
    pub fn new(seed: u8, link: Link, configs: Vec<(Config, bool)>) -> Self {
        Self::known([seed; 32], link, configs)
    }

    /// The same from a whole seed.
    pub fn known(seed: [u8; 32], link: Link, configs: Vec<(Config, bool)>) -> Self {
        let mut rng = Rng::new(seed);
        let mut net = Self::empty(link, rng.fork());
        let count = configs.len();
        for (index, (config, trusts)) in configs.into_iter().enumerate() {
            let endpoint = start(index, count, config.clone(), trusts, rng.bytes(), net.now);
            net.hosts.push(Host::new(endpoint, config, address(index), None));
        }
        net
    }

    /// No host yet, and a rendezvous whose beacon has two ports.
    #[must_use]
    pub fn with_rendezvous(seed: u8, link: Link) -> Self {
        Self::meeting([seed; 32], link)
    }

    /// The same from a whole seed.
    #[must_use]
    pub fn meeting(seed: [u8; 32], link: Link) -> Self {
        let mut net = Self::known(seed, link, Vec::new());
        let beacons = [9001, 9002].map(|port| SocketAddr::from(([198, 51, 100, 1], port)));
        net.rendezvous = Some(Rendezvous::new(beacons.to_vec()));
        net
    }

    /// A box with these rules behind `behind` or on the open network, at an address of its own. Returns its place in [`Self::boxes`].
    pub fn add_box(&mut self, rules: Rules, behind: Option<usize>) -> usize {
        let index = self.boxes.len();
        let number = u8::try_from(index + 1).unwrap();
        let external = match behind {
            None => Ipv4Addr::new(203, 0, 113, number),
            Some(_) => Ipv4Addr::new(100, 64, number, 2),
        };
        let mut nat = NatBox::seeded(IpAddr::V4(external), rules, self.rng.bytes());
        nat.behind = behind;
        self.boxes.push(nat);
        index
    }

    /// An agent that finds the others through the rendezvous, behind the box `behind` or on the open network.
    pub fn add_agent(&mut self, hostname: &str, behind: Option<usize>) -> usize {
        self.add_agent_with(Config { hostname: Some(hostname.to_owned()), ..Config::default() }, behind, None)
    }

    /// An agent with a configuration of its own, whose registry and beacons are filled in; `ipv6`: it has a global IPv6 address as well,
    /// behind a stateful firewall if `Some(true)`.
    pub fn add_agent_with(&mut self, config: Config, behind: Option<usize>, ipv6: Option<bool>) -> usize {
        let index = self.hosts.len();
        let beacons = self.rendezvous.as_ref().map(|server| server.beacons.clone()).unwrap_or_default();
        let config = Config { registry: true, beacons, ..config };
        let address = if behind.is_some() { inside_address(index) } else { address(index) };
        let seed = self.rng.bytes();
        let endpoint = Endpoint::new(Arc::new(config.clone()), identity(index), self.crypto, seed, self.now);
        let mut host = Host::new(endpoint, config, address, behind);
        if let Some(firewall) = ipv6 {
            let number = u16::try_from(index + 1).unwrap();
            host.ipv6 = Some(Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 1));
            host.firewall = firewall.then(|| Firewall::new(FIREWALL_IDLE));
        }
        self.hosts.push(host);
        self.introduce(index);
        index
    }

    /// A new endpoint hears the clock and its addresses, and says its first words.
    pub(super) fn introduce(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let (now, wall, locals) = (host.clock(self.now), host.wall(self.now), host.local_addresses());
        host.endpoint.handle_input(now, Input::WallClock(wall));
        host.endpoint.handle_input(now, Input::LocalAddresses(&locals));
        self.drain(index);
    }

    /// Forgets every socket but the first of a host whose process ended.
    pub(super) fn close_sockets(&mut self, index: usize) {
        self.hosts[index].sockets.retain(|id, _| *id == SocketId(0));
    }
}
