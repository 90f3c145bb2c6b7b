//! Endpoints on a virtual network in virtual time: the seed of the simulator.
//!
//! Every run is decided by its seed. Links delay, lose, reorder and duplicate; nothing else happens on its own.

#![allow(dead_code, reason = "each test file uses its part")]

use proto_core::crypto::{Identity, rust_crypto};
use proto_core::rng::Rng;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{
    Config, Endpoint, Event, Input, NodeId, Sink, SocketId, StreamId, Timestamp, Transmit, TransmitBuf, drive,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the network does to each datagram. Probabilities in percent.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub delay: Duration,
    pub jitter: Duration,
    pub loss: u64,
    pub reorder: u64,
    pub duplicate: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay: Duration::from_millis(5), jitter: Duration::ZERO, loss: 0, reorder: 0, duplicate: 0 }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: Timestamp,
    order: u64,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// One endpoint and what it told.
#[derive(Debug)]
pub struct Host {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    pub events: Vec<Event>,
    pub sent: u64,
}

struct Collect<'a> {
    buffer: Vec<u8>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    events: &'a mut Vec<Event>,
}

impl Sink for Collect<'_> {
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
        self.events.push(event);
    }
}

/// The network.
pub struct Net {
    pub now: Timestamp,
    pub link: Link,
    pub hosts: Vec<Host>,
    /// Addresses whose datagrams are lost both ways.
    pub cut: Vec<SocketAddr>,
    /// Every datagram ever sent, in order, when switched on.
    pub log: Option<Vec<(Timestamp, SocketAddr, SocketAddr, Vec<u8>)>>,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    by_address: BTreeMap<SocketAddr, usize>,
    rng: Rng,
    order: u64,
}

/// Node numbers are the index plus one; keys and addresses follow from it.
pub fn node(index: usize) -> NodeId {
    NodeId(u32::try_from(index + 1).unwrap())
}

pub fn identity(index: usize) -> Identity {
    Identity::from_seed([u8::try_from(index + 1).unwrap(); 32])
}

pub fn target(index: usize, port: u16) -> SocketAddress {
    SocketAddress::new(Address::backbone(node(index)), port)
}

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
            net.by_address.insert(address(index), index);
            net.hosts.push(Host { endpoint, address: address(index), events: Vec::new(), sent: 0 });
        }
        net
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
        let mut sink = Collect { buffer: vec![0; 65_536], sent: Vec::new(), events: &mut host.events };
        drive(&mut host.endpoint, self.now, &mut sink);
        let (sent, from) = (sink.sent, host.address);
        host.sent += sent.len() as u64;
        for (to, bytes) in sent {
            self.send(from, to, bytes);
        }
    }

    /// Puts a datagram on the wire, as whoever sends from `from`.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(log) = &mut self.log {
            log.push((self.now, from, to, bytes.clone()));
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
            self.in_flight.push(Reverse(InFlight { at, order: self.order, from, to, bytes: bytes.clone() }));
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
            let Some(Reverse(mut datagram)) = self.in_flight.pop() else { return true };
            if let Some(index) = self.by_address.get(&datagram.to).copied() {
                let input = Input::Datagram {
                    via: SocketId(0),
                    from: datagram.from,
                    to: None,
                    ecn: None,
                    data: &mut datagram.bytes,
                };
                self.hosts[index].endpoint.handle_input(self.now, input);
                self.drain(index);
            }
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

    pub fn saw(&self, host: usize, event: &Event) -> bool {
        self.hosts[host].events.contains(event)
    }

    /// Dials from one host to a port of another and accepts there.
    #[track_caller]
    pub fn connect(&mut self, from: usize, to: usize, port: u16) -> (StreamId, StreamId) {
        let dialled = self.act(from, |endpoint, now| endpoint.dial(now, target(to, port))).unwrap();
        self.run_until(Duration::from_secs(5), |net| net.saw(from, &Event::Connected(dialled)));
        let mut accepted = None;
        self.run_until(Duration::from_secs(5), |net| {
            accepted = net.hosts[to].endpoint.accept(port);
            accepted.is_some()
        });
        (dialled, accepted.unwrap().0)
    }

    /// Moves `data` through a stream and returns what arrived by its end.
    #[track_caller]
    pub fn transfer(
        &mut self,
        from: (usize, StreamId),
        to: (usize, StreamId),
        data: &[u8],
        limit: Duration,
    ) -> Vec<u8> {
        let (mut written, mut finished, mut received) = (0, false, Vec::new());
        let mut chunk = vec![0; 65_536];
        self.run_until(limit, |net| {
            while written < data.len() {
                match net.act(from.0, |endpoint, now| endpoint.write(now, from.1, &data[written..])) {
                    Ok(taken) => written += taken,
                    Err(proto_core::endpoint::WriteError::Blocked) => break,
                    Err(error) => panic!("write: {error:?}"),
                }
            }
            if written == data.len() && !finished {
                finished = true;
                net.act(from.0, |endpoint, now| endpoint.finish(now, from.1)).unwrap();
            }
            loop {
                match net.act(to.0, |endpoint, now| endpoint.read(now, to.1, &mut chunk)) {
                    Ok(0) => return true,
                    Ok(len) => received.extend_from_slice(&chunk[..len]),
                    Err(proto_core::endpoint::ReadError::Blocked) => return false,
                    Err(error) => panic!("read: {error:?} after {} bytes", received.len()),
                }
            }
        });
        received
    }
}

/// Bytes that differ everywhere, so that a misplaced one shows.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut data = vec![0; len];
    Rng::new([seed; 32]).fill(&mut data);
    data
}
