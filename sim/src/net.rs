//! Endpoints, boxes and the rendezvous on one event heap. Links delay, lose, reorder and duplicate; nothing else happens on its own.

use crate::nat::NatBox;
use crate::rendezvous::{Rendezvous, wall};
use proto_core::crypto::{Identity, rust_crypto};
use proto_core::rng::Rng;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Endpoint, Event, Input, NodeId, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the network does to each datagram. Probabilities in percent.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// From one end to the other.
    pub delay: Duration,
    /// Added at random, at most this.
    pub jitter: Duration,
    /// Datagrams lost.
    pub loss: u64,
    /// Datagrams held back by half the delay.
    pub reorder: u64,
    /// Datagrams that arrive twice.
    pub duplicate: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay: Duration::from_millis(5), jitter: Duration::ZERO, loss: 0, reorder: 0, duplicate: 0 }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    RegistryOpen { host: usize },
    ToRegistry { host: usize, pipe: u64, bytes: Vec<u8> },
    FromRegistry { host: usize, pipe: u64, bytes: Vec<u8> },
    RegistryLost { host: usize, pipe: u64 },
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: Timestamp,
    order: u64,
    what: Arrival,
}

/// One endpoint and what it told.
#[derive(Debug)]
pub struct Host {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its own address, behind its box if it has one.
    pub address: SocketAddr,
    /// Everything it told, in order.
    pub events: Vec<Event>,
    /// Datagrams it sent.
    pub sent: u64,
    /// The box it is behind, by its place in [`Net::boxes`].
    pub behind: Option<usize>,
    /// Which registry connection is the present one.
    pipe: u64,
}

struct Collect {
    buffer: Vec<u8>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    told: Vec<Event>,
}

impl Sink for Collect {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 16 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        let bytes = &self.buffer[..transmit.len];
        for datagram in bytes.chunks(transmit.segment.unwrap_or(transmit.len)) {
            self.sent.push((transmit.to, datagram.to_vec()));
        }
    }

    fn event(&mut self, event: Event) {
        self.told.push(event);
    }
}

/// A datagram as it was put on the wire, outside of any box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: Vec<u8>,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    /// The time.
    pub now: Timestamp,
    /// What the network does to each datagram.
    pub link: Link,
    /// All hosts.
    pub hosts: Vec<Host>,
    /// All NAT boxes.
    pub boxes: Vec<NatBox>,
    /// The rendezvous, if there is one.
    pub rendezvous: Option<Rendezvous>,
    /// Addresses whose datagrams are lost both ways.
    pub cut: Vec<SocketAddr>,
    /// Every datagram ever sent, in order, when switched on.
    pub log: Option<Vec<Sent>>,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    by_address: BTreeMap<SocketAddr, usize>,
    rng: Rng,
    order: u64,
}

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
    SocketAddr::from(([192, 0, 2, u8::try_from(index + 1).unwrap()], 4000))
}

fn start(index: usize, count: usize, config: Config, trusts: bool, seed: [u8; 32], now: Timestamp) -> Endpoint {
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
        let mut rng = Rng::new([seed; 32]);
        let mut net = Self {
            now: Timestamp::from_micros(1_000_000),
            link,
            hosts: Vec::new(),
            boxes: Vec::new(),
            rendezvous: None,
            cut: Vec::new(),
            log: None,
            in_flight: BinaryHeap::new(),
            by_address: BTreeMap::new(),
            rng: rng.fork(),
            order: 0,
        };
        let count = configs.len();
        for (index, (config, trusts)) in configs.into_iter().enumerate() {
            let endpoint = start(index, count, config, trusts, rng.bytes(), net.now);
            net.add_host(endpoint, address(index), None);
        }
        net
    }

    /// No host yet, and a rendezvous whose beacon has two ports.
    #[must_use]
    pub fn with_rendezvous(seed: u8, link: Link) -> Self {
        let mut net = Self::new(seed, link, Vec::new());
        let beacons = [9001, 9002].map(|port| SocketAddr::from(([198, 51, 100, 1], port)));
        net.rendezvous = Some(Rendezvous::new(beacons.to_vec()));
        net
    }

    /// An agent that finds the others through the rendezvous, behind the box `behind` or on the open network.
    pub fn add_agent(&mut self, hostname: &str, behind: Option<usize>) -> usize {
        let index = self.hosts.len();
        let beacons = self.rendezvous.as_ref().map(|server| server.beacons.clone()).unwrap_or_default();
        let config = Config { registry: true, beacons, hostname: Some(hostname.to_owned()), ..Config::default() };
        let seed = self.rng.bytes();
        let mut endpoint = Endpoint::new(Arc::new(config), identity(index), rust_crypto(), seed, self.now);
        endpoint.handle_input(self.now, Input::WallClock(wall(self.now)));
        let octet = u8::try_from(index + 1).unwrap();
        let address = match behind {
            Some(_) => SocketAddr::from(([10, 0, octet, 2], 4000)),
            None => address(index),
        };
        endpoint.handle_input(self.now, Input::LocalAddresses(&[address]));
        self.add_host(endpoint, address, behind);
        self.drain(index);
        index
    }

    fn add_host(&mut self, endpoint: Endpoint, address: SocketAddr, behind: Option<usize>) {
        self.by_address.insert(address, self.hosts.len());
        self.hosts.push(Host { endpoint, address, events: Vec::new(), sent: 0, behind, pipe: 0 });
    }

    /// A host's process ends without a word and another one takes its place, with the same identity.
    pub fn restart(&mut self, index: usize, config: Config, seed: u8) {
        let count = self.hosts.len();
        self.hosts[index].endpoint = start(index, count, config, true, [seed; 32], self.now);
        self.hosts[index].events.clear();
    }

    /// Runs a command on a host, then drains it.
    pub fn act<T>(&mut self, host: usize, command: impl FnOnce(&mut Endpoint, Timestamp) -> T) -> T {
        let result = command(&mut self.hosts[host].endpoint, self.now);
        self.drain(host);
        result
    }

    fn drain(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let mut sink = Collect { buffer: vec![0; 65_536], sent: Vec::new(), told: Vec::new() };
        drive(&mut host.endpoint, self.now, &mut sink);
        let (sent, from, told) = (sink.sent, host.address, sink.told);
        host.sent += sent.len() as u64;
        for event in told {
            self.carry(index, &event);
            self.hosts[index].events.push(event);
        }
        for (to, bytes) in sent {
            let from = match self.hosts[index].behind {
                Some(nat) => self.boxes[nat].outbound(from, to),
                None => from,
            };
            self.send(from, to, bytes);
        }
    }

    /// Does what an event asks of the host.
    fn carry(&mut self, host: usize, event: &Event) {
        if *event == Event::RegistryConnect {
            self.hosts[host].pipe += 1;
            self.schedule(Arrival::RegistryOpen { host });
        } else if let Event::RegistrySend(bytes) = event {
            let pipe = self.hosts[host].pipe;
            self.schedule(Arrival::ToRegistry { host, pipe, bytes: bytes.to_vec() });
        } else if *event == Event::RegistryDisconnect {
            self.hosts[host].pipe += 1;
        }
    }

    fn schedule(&mut self, what: Arrival) {
        self.order += 1;
        let at = self.now + self.link.delay;
        self.in_flight.push(Reverse(InFlight { at, order: self.order, what }));
    }

    /// The rendezvous ends without a word: every connection to it breaks.
    pub fn stop_rendezvous(&mut self) {
        if let Some(server) = &mut self.rendezvous {
            server.down = true;
        }
        for host in 0..self.hosts.len() {
            let pipe = self.hosts[host].pipe;
            self.schedule(Arrival::RegistryLost { host, pipe });
        }
    }

    /// It starts again with what it had stored.
    pub fn start_rendezvous(&mut self) {
        if let Some(server) = &mut self.rendezvous {
            server.restart();
            server.down = false;
        }
    }

    /// Puts a datagram on the wire, as whoever sends from `from`.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(log) = &mut self.log {
            log.push(Sent { at: self.now, from, to, bytes: bytes.clone() });
        }
        if self.cut.contains(&from) || self.cut.contains(&to) || self.rng.below(100) < self.link.loss {
            return;
        }
        let copies = if self.rng.below(100) < self.link.duplicate { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = u64::try_from(self.link.jitter.as_micros()).unwrap();
            let mut at = self.now + self.link.delay + Duration::from_micros(self.rng.below(jitter + 1));
            if self.rng.below(100) < self.link.reorder {
                at = at + self.link.delay / 2;
            }
            self.order += 1;
            let what = Arrival::Datagram { from, to, bytes: bytes.clone() };
            self.in_flight.push(Reverse(InFlight { at, order: self.order, what }));
        }
    }

    /// Does the next thing that happens, unless it is later than `until`.
    fn step(&mut self, until: Timestamp) -> bool {
        let arrival = self.in_flight.peek().map(|Reverse(datagram)| datagram.at);
        let timer = self
            .hosts
            .iter()
            .enumerate()
            .filter_map(|(index, host)| host.endpoint.poll_timeout().map(|(at, _)| (at, index)))
            .min();
        let next = [arrival, timer.map(|(at, _)| at)].into_iter().flatten().min();
        let Some(next) = next.filter(|at| *at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let Some(Reverse(arrived)) = self.in_flight.pop() else { return true };
            self.arrive(arrived.what);
        } else if let Some((_, index)) = timer {
            self.hosts[index].endpoint.handle_timeout(self.now);
            let again = self.hosts[index].endpoint.poll_timeout();
            self.drain(index);
            assert!(
                again.is_none_or(|(at, _)| at > self.now) || self.hosts[index].endpoint.poll_timeout() != again,
                "a past deadline was told again: {again:?}"
            );
        }
        true
    }

    fn arrive(&mut self, what: Arrival) {
        match what {
            Arrival::Datagram { from, to, bytes } => self.datagram_arrives(from, to, bytes),
            Arrival::RegistryOpen { host } => {
                let source = match self.hosts[host].behind {
                    Some(nat) => SocketAddr::new(self.boxes[nat].external, 50_000),
                    None => self.hosts[host].address,
                };
                let open =
                    self.rendezvous.as_mut().filter(|server| !server.down).map(|server| server.open(host, source));
                self.tell(host, if open.is_some() { Input::RegistryConnected } else { Input::RegistryClosed });
            }
            Arrival::ToRegistry { host, pipe, bytes } => {
                let now = self.now;
                let Some(server) = self.rendezvous.as_mut().filter(|server| !server.down) else { return };
                if pipe != self.hosts[host].pipe {
                    return;
                }
                let (replies, datagrams) = server.handle_registry(now, host, &bytes);
                self.schedule(Arrival::FromRegistry { host, pipe, bytes: replies });
                for (from, to, bytes) in datagrams {
                    self.send(from, to, bytes);
                }
            }
            Arrival::FromRegistry { host, pipe, bytes } if pipe == self.hosts[host].pipe => {
                self.tell(host, Input::RegistryData(&bytes));
            }
            Arrival::RegistryLost { host, pipe } if pipe == self.hosts[host].pipe => {
                self.tell(host, Input::RegistryClosed);
            }
            Arrival::FromRegistry { .. } | Arrival::RegistryLost { .. } => {}
        }
    }

    fn tell(&mut self, host: usize, input: Input<'_>) {
        self.hosts[host].endpoint.handle_input(self.now, input);
        self.drain(host);
    }

    fn datagram_arrives(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let now = self.now;
        if let Some(server) = self.rendezvous.as_mut().filter(|server| server.beacons.contains(&to)) {
            if !server.down {
                for (from, to, bytes) in server.handle_datagram(now, to, from, &mut bytes) {
                    self.send(from, to, bytes);
                }
            }
            return;
        }
        let inside = match self.boxes.iter().find(|nat| nat.external == to.ip()) {
            Some(nat) => nat.inbound(to.port(), from),
            None => Some(to),
        };
        let Some(host) = inside.and_then(|inside| self.by_address.get(&inside).copied()) else { return };
        self.tell(host, Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data: &mut bytes });
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
    }

    /// Runs until `done`, and fails after `limit` of virtual time.
    #[track_caller]
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let until = self.now + limit;
        while !done(self) {
            assert!(self.step(until), "not within {limit:?}; events: {:?}", self.recent_events());
        }
    }

    fn recent_events(&self) -> Vec<&[Event]> {
        self.hosts.iter().map(|host| &host.events[host.events.len().saturating_sub(8)..]).collect()
    }

    /// `host` was told `event`.
    #[must_use]
    pub fn saw(&self, host: usize, event: &Event) -> bool {
        self.hosts[host].events.contains(event)
    }
}
