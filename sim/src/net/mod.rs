//! Endpoints, boxes and the rendezvous on one event heap. Links delay, lose, reorder and duplicate; nothing else happens on its own.
//!
//! The open network is one place, the inside of each box another. What a host sends climbs out of places until somebody there has the
//! destination's address; then a link takes its time; then it descends through boxes that let it in.

mod agents;
mod faults;
mod host;
mod link;
mod log;

pub use agents::{address, identity, node, target};
pub use host::Host;
pub use link::{Bursts, Flapping, Link};
pub use log::Sent;

use crate::nat::NatBox;
use crate::rendezvous::Rendezvous;
use host::Collect;
use link::LinkState;
use log::PacketHash;
use proto_core::crypto::{CryptoProvider, rust_crypto};
use proto_core::rng::Rng;
use proto_core::{Endpoint, Event, Input, SocketId, Timestamp, drive};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A network in which addresses mean something: the open one, or the inside of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub Option<usize>);

impl Place {
    /// The open network.
    pub const OPEN: Self = Self(None);
}

/// A datagram on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    place: Place,
    /// The box it came out of last.
    through: Option<usize>,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    Datagram(Packet),
    RegistryOpen { host: usize },
    ToRegistry { host: usize, pipe: u64, bytes: Vec<u8> },
    FromRegistry { host: usize, pipe: u64, bytes: Vec<u8> },
    RegistryLost { host: usize, pipe: u64 },
    Wake { host: usize },
    SocketsWanted { host: usize, count: u16 },
}

impl Arrival {
    /// The host whose process is told, or none; what is not told to a sleeping one waits, as a datagram does not.
    const fn waits_for(&self) -> Option<usize> {
        match *self {
            Self::RegistryOpen { host }
            | Self::FromRegistry { host, .. }
            | Self::RegistryLost { host, .. }
            | Self::SocketsWanted { host, .. } => Some(host),
            Self::Datagram(_) | Self::ToRegistry { .. } | Self::Wake { .. } => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: Timestamp,
    order: u64,
    what: Arrival,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    /// The time.
    pub now: Timestamp,
    /// What the open network does to each datagram, where [`Self::links`] says nothing else.
    pub link: Link,
    /// What the inside of a box does to datagrams that stay there.
    pub lan: Link,
    /// Links of their own on the open network, by source and destination.
    pub links: BTreeMap<(IpAddr, IpAddr), Link>,
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
    /// The cryptography of agents added from now on.
    pub crypto: &'static CryptoProvider,
    hash: PacketHash,
    states: BTreeMap<(Place, IpAddr, IpAddr), LinkState>,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    rng: Rng,
    order: u64,
    /// Where datagrams are written; only its size matters from one to the next.
    buffer: Vec<u8>,
}

impl Net {
    fn empty(link: Link, rng: Rng) -> Self {
        Self {
            now: Timestamp::from_micros(1_000_000),
            link,
            lan: Link { delay: Duration::from_millis(1), ..Link::default() },
            links: BTreeMap::new(),
            hosts: Vec::new(),
            boxes: Vec::new(),
            rendezvous: None,
            cut: Vec::new(),
            log: None,
            crypto: rust_crypto(),
            hash: PacketHash::default(),
            states: BTreeMap::new(),
            in_flight: BinaryHeap::new(),
            rng,
            order: 0,
            buffer: vec![0; 65_536],
        }
    }

    /// Runs a command on a host, then drains it.
    pub fn act<T>(&mut self, host: usize, command: impl FnOnce(&mut Endpoint, Timestamp) -> T) -> T {
        let now = self.hosts[host].clock(self.now);
        let result = command(&mut self.hosts[host].endpoint, now);
        self.drain(host);
        result
    }

    /// Tells a host's endpoint something, then drains it.
    pub fn tell(&mut self, host: usize, input: Input<'_>) {
        self.act(host, |endpoint, now| endpoint.handle_input(now, input));
    }

    fn drain(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let now = host.clock(self.now);
        let mut sink = Collect::new(std::mem::take(&mut self.buffer));
        drive(&mut host.endpoint, now, &mut sink);
        self.buffer = sink.buffer;
        host.sent += sink.sent.len() as u64;
        // What leaves by a socket that is to be closed leaves before.
        for (via, to, bytes) in sink.sent {
            self.emit(index, via, to, bytes);
        }
        for event in sink.told {
            self.hosts[index].events.push(event.clone());
            self.carry(index, &event);
        }
    }

    /// A host opens `count` more sockets.
    pub fn open_sockets(&mut self, host: usize, count: u16) -> Vec<SocketId> {
        self.hosts[host].open_sockets(count)
    }

    /// Does what an event asks of the host.
    fn carry(&mut self, host: usize, event: &Event) {
        if *event == Event::RegistryConnect {
            self.hosts[host].pipe += 1;
            self.schedule_registry(host, Arrival::RegistryOpen { host });
        } else if let Event::RegistrySend(bytes) = event {
            let pipe = self.hosts[host].pipe;
            self.schedule_registry(host, Arrival::ToRegistry { host, pipe, bytes: bytes.to_vec() });
        } else if *event == Event::RegistryDisconnect {
            self.hosts[host].pipe += 1;
        } else if let Event::OpenSockets(count) = event {
            self.schedule(self.now, Arrival::SocketsWanted { host, count: *count });
        } else if let Event::CloseSockets(sockets) = event {
            self.hosts[host].sockets.retain(|id, _| !sockets.contains(id));
        }
    }

    fn schedule(&mut self, at: Timestamp, what: Arrival) {
        self.order += 1;
        self.in_flight.push(Reverse(InFlight { at, order: self.order, what }));
    }

    /// A registry connection is as far away as the beacon, and loses nothing.
    fn schedule_registry(&mut self, host: usize, what: Arrival) {
        let beacon = self.rendezvous.as_ref().and_then(|server| server.beacons.first().copied());
        let outer = self.outer_address(host);
        let link = beacon.map_or(self.link, |beacon| self.link_between(outer, beacon.ip()));
        self.schedule(self.now + link.delay, what);
    }

    /// The link from one address of the open network to another.
    #[must_use]
    pub fn link_between(&self, from: IpAddr, to: IpAddr) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or(self.link)
    }

    /// Where the open network sees a host: its own address, or the outermost box's.
    #[must_use]
    pub fn outer_address(&self, host: usize) -> IpAddr {
        let outermost = self.chain(host).last().copied();
        outermost.map_or(self.hosts[host].address.ip(), |index| self.boxes[index].external)
    }

    /// The boxes before a host, nearest first.
    #[must_use]
    pub fn chain(&self, host: usize) -> Vec<usize> {
        std::iter::successors(self.hosts[host].behind, |index| self.boxes[*index].behind).collect()
    }

    /// A host's datagram leaves its socket `via`: out of every box until somebody has the destination's address.
    pub fn emit(&mut self, host: usize, via: SocketId, to: SocketAddr, bytes: Vec<u8>) {
        let Some(mut from) = self.hosts[host].source(via, to) else { return };
        let (mut place, mut through) = (Place(self.hosts[host].behind), None);
        if to.is_ipv6() && from.ip() != self.hosts[host].address.ip() {
            place = Place::OPEN;
            let now = self.now;
            if let Some(firewall) = &mut self.hosts[host].firewall {
                firewall.outbound(now, from.port(), to);
            }
        }
        while !self.is_here(place, to.ip()) {
            let Place(Some(index)) = place else { break };
            let Some(outside) = self.boxes[index].outbound(self.now, from, to) else { return };
            from = outside;
            through = Some(index);
            place = Place(self.boxes[index].behind);
        }
        self.put(Packet { place, through, from, to, bytes });
    }

    /// A host or box has this address in `place`.
    fn is_here(&self, place: Place, ip: IpAddr) -> bool {
        self.boxes.iter().any(|nat| Place(nat.behind) == place && nat.external == ip)
            || self.hosts.iter().any(|host| Place(host.behind) == place && host.address.ip() == ip)
    }

    /// Puts a datagram on the open network, as whoever sends from `from`.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.put(Packet { place: Place::OPEN, through: None, from, to, bytes });
    }

    fn put(&mut self, packet: Packet) {
        let Packet { place, through, from, to, .. } = packet;
        self.hash.note(self.now, from, to, &packet.bytes);
        if let Some(log) = &mut self.log {
            log.push(Sent { at: self.now, from, to, bytes: packet.bytes.clone() });
        }
        if self.cut.contains(&from) || self.cut.contains(&to) {
            return;
        }
        let link = if place == Place::OPEN { self.link_between(from.ip(), to.ip()) } else { self.lan };
        let state = self.states.entry((place, from.ip(), to.ip())).or_default();
        for at in link.arrivals(state, &mut self.rng, self.now, (to, packet.bytes.len())) {
            let bytes = packet.bytes.clone();
            self.schedule(at, Arrival::Datagram(Packet { place, through, from, to, bytes }));
        }
    }

    /// Does the next thing that happens, unless it is later than `until`.
    pub fn step(&mut self, until: Timestamp) -> bool {
        let arrival = self.in_flight.peek().map(|Reverse(datagram)| datagram.at);
        let timers = self.hosts.iter().enumerate();
        let timer = timers.filter_map(|(index, host)| Some((host.deadline()?, index))).min();
        let server = self.rendezvous.as_ref().and_then(Rendezvous::poll_timeout);
        let next = [arrival, timer.map(|(at, _)| at), server].into_iter().flatten().min();
        let Some(next) = next.filter(|at| *at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let Some(Reverse(arrived)) = self.in_flight.pop() else { return true };
            self.arrive(arrived.what);
        } else if let Some((_, index)) = timer.filter(|(at, _)| *at == next) {
            self.host_timer(index);
        } else if let Some(server) = &mut self.rendezvous {
            for (from, to, bytes) in server.handle_timeout(self.now) {
                self.send(from, to, bytes);
            }
        }
        true
    }

    fn host_timer(&mut self, index: usize) {
        let now = self.hosts[index].clock(self.now);
        self.hosts[index].endpoint.handle_timeout(now);
        let again = self.hosts[index].endpoint.poll_timeout().filter(|(at, _)| *at <= now);
        self.drain(index);
        assert!(
            again.is_none() || self.hosts[index].endpoint.poll_timeout() != again,
            "a past deadline was told again: {again:?}"
        );
    }

    fn arrive(&mut self, what: Arrival) {
        if let Some(host) = what.waits_for().filter(|host| self.hosts[*host].asleep) {
            return self.hosts[host].missed.push(what);
        }
        match what {
            Arrival::Datagram(packet) => self.datagram_arrives(packet),
            Arrival::Wake { host } => self.wake(host),
            Arrival::SocketsWanted { host, count } => {
                let opened = self.open_sockets(host, count);
                self.tell(host, Input::SocketsOpened(&opened));
            }
            Arrival::RegistryOpen { host } => {
                let source = SocketAddr::new(self.outer_address(host), 50_000);
                let open = self.rendezvous.as_mut().filter(|server| server.has_registry());
                let open = open.map(|server| server.open(host, source));
                self.tell(host, if open.is_some() { Input::RegistryConnected } else { Input::RegistryClosed });
            }
            Arrival::ToRegistry { host, pipe, bytes } if pipe == self.hosts[host].pipe => {
                self.registry_hears(host, pipe, &bytes);
            }
            Arrival::FromRegistry { host, pipe, bytes } if pipe == self.hosts[host].pipe => {
                self.tell(host, Input::RegistryData(&bytes));
            }
            Arrival::RegistryLost { host, pipe } if pipe == self.hosts[host].pipe => {
                self.tell(host, Input::RegistryClosed);
            }
            Arrival::ToRegistry { .. } | Arrival::FromRegistry { .. } | Arrival::RegistryLost { .. } => {}
        }
    }

    fn registry_hears(&mut self, host: usize, pipe: u64, bytes: &[u8]) {
        let now = self.now;
        let Some(server) = self.rendezvous.as_mut().filter(|server| server.has_registry()) else { return };
        let (replies, datagrams) = server.handle_registry(now, host, bytes);
        self.schedule_registry(host, Arrival::FromRegistry { host, pipe, bytes: replies });
        for (from, to, bytes) in datagrams {
            self.send(from, to, bytes);
        }
    }

    /// A datagram is where its link ends: it enters boxes until it is at the beacon or at a host.
    fn datagram_arrives(&mut self, packet: Packet) {
        let Packet { mut place, mut through, from, mut to, mut bytes } = packet;
        let now = self.now;
        let is_beacon = |server: &Rendezvous| place == Place::OPEN && server.beacons.contains(&to);
        if let Some(server) = self.rendezvous.as_mut().filter(|server| is_beacon(server)) {
            for (from, to, bytes) in server.handle_datagram(now, to, from, &mut bytes) {
                self.send(from, to, bytes);
            }
            return;
        }
        while let Some(index) = self.box_at(place, to.ip()) {
            let hairpin = through.take() == Some(index);
            let nat = &mut self.boxes[index];
            if hairpin && !nat.rules.hairpin {
                return;
            }
            let Some(inside) = nat.inbound(now, to.port(), from) else { return };
            (place, to) = (Place(Some(index)), inside);
        }
        let found = |host: &Host| host.socket_at(place, to);
        let Some((host, via)) = self.hosts.iter().enumerate().find_map(|(index, host)| Some((index, found(host)?)))
        else {
            return;
        };
        let behind_firewall = to.ip() != self.hosts[host].address.ip();
        if let Some(firewall) = self.hosts[host].firewall.as_mut().filter(|_| behind_firewall)
            && !firewall.inbound(now, to.port(), from)
        {
            return;
        }
        if !self.hosts[host].asleep {
            self.tell(host, Input::Datagram { via, from, to: None, ecn: None, data: &mut bytes });
        }
    }

    fn box_at(&self, place: Place, ip: IpAddr) -> Option<usize> {
        self.boxes.iter().position(|nat| Place(nat.behind) == place && nat.external == ip)
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
    }

    /// Runs until `done`, and fails after `limit` of virtual time.
    #[track_caller]
    pub fn run_until(&mut self, limit: Duration, done: impl FnMut(&mut Self) -> bool) {
        assert!(self.reaches(limit, done), "not within {limit:?}; events: {:?}", self.recent_events());
    }

    /// Runs until `done`, at most for `limit` of virtual time; whether it was done.
    pub fn reaches(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                return false;
            }
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

    /// A number that follows from every datagram sent so far, when, by whom and to whom.
    #[must_use]
    pub fn packet_hash(&self) -> u64 {
        self.hash.value()
    }
}
