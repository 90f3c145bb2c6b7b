//! Two endpoints of ours that trust each other and a beacon that sees and relays both, in virtual time; what lies between can be cut.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "each test file uses its part of this support code"
)]

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use proto_core::crypto::{Identity, rust_crypto};
use proto_core::wire::{Address, BeaconMessage, SocketAddress};
use proto_core::{
    Config, Endpoint, Event, Input, NodeId, Sink, SocketId, StreamId, Timestamp, Transmit, TransmitBuf, drive,
};
use std::sync::Arc;

pub const BEACON: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 9001);
/// One way, whatever is between.
const DELAY: Duration = Duration::from_millis(20);

/// The `index`th endpoint's number.
pub fn node(index: usize) -> NodeId {
    NodeId(u32::try_from(index + 1).unwrap())
}

/// Where it is.
pub fn place(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(index + 1).unwrap()], 4000))
}

/// Port `port` of the `index`th endpoint.
pub fn target(index: usize, port: u16) -> SocketAddress {
    SocketAddress::new(Address::backbone(node(index)), port)
}

struct Outside {
    buffer: Vec<u8>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Outside {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 8 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        for datagram in self.buffer[..transmit.len].chunks(transmit.segment.unwrap_or(transmit.len)) {
            self.sent.push((transmit.to, datagram.to_vec()));
        }
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

pub struct Host {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    outside: Outside,
}

pub struct Duo {
    pub now: Timestamp,
    pub hosts: [Host; 2],
    /// Nothing passes, not even to the beacon.
    pub cut: bool,
    flying: Vec<(Timestamp, SocketAddr, SocketAddr, Vec<u8>)>,
    /// Where the beacon saw each.
    seen: [Option<SocketAddr>; 2],
}

impl Duo {
    /// Both know the other's key and trust it; the first also knows where the other is.
    pub fn new() -> Self {
        let now = Timestamp::from_micros(1);
        let hosts = [0, 1].map(|index| Self::host(index, now));
        let mut duo = Self { now, hosts, cut: false, flying: Vec::new(), seen: [None; 2] };
        duo.pass(Duration::from_secs(1));
        duo
    }

    fn host(index: usize, now: Timestamp) -> Host {
        let number = u8::try_from(index + 1).unwrap();
        let config = Config { beacons: vec![BEACON], ..Config::default() };
        let identity = |number: u8| Identity::from_seed([number; 32]);
        let mut endpoint = Endpoint::new(Arc::new(config), identity(number), rust_crypto(), [number ^ 0x55; 32], now);
        endpoint.set_node(now, node(index));
        let there = (index == 0).then(|| place(1));
        endpoint.add_static_peer(now, node(1 - index), identity(3 - number).public(), there, true);
        let outside = Outside { buffer: vec![0; 65_535], sent: Vec::new(), events: Vec::new() };
        Host { endpoint, address: place(index), outside }
    }

    pub fn act<T>(&mut self, host: usize, command: impl FnOnce(&mut Endpoint, Timestamp) -> T) -> T {
        let result = command(&mut self.hosts[host].endpoint, self.now);
        self.pump();
        result
    }

    pub fn events(&self, host: usize) -> &[Event] {
        &self.hosts[host].outside.events
    }

    /// A stream from the first to port `port` of the second: its two ends.
    pub fn connect(&mut self, port: u16) -> (StreamId, StreamId) {
        self.act(1, |endpoint, _| endpoint.listen(port)).unwrap();
        let dialled = self.act(0, |endpoint, now| endpoint.dial(now, target(1, port))).unwrap();
        self.pass(Duration::from_secs(2));
        assert!(self.events(0).contains(&Event::Connected(dialled)));
        let (accepted, _) = self.act(1, |endpoint, _| endpoint.accept(port)).unwrap();
        (dialled, accepted)
    }

    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        self.pump();
        loop {
            let timers = self.hosts.iter().filter_map(|host| host.endpoint.poll_timeout()).map(|(at, _)| at);
            let next = timers.chain(self.flying.iter().map(|flight| flight.0)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            let (due, later): (Vec<_>, Vec<_>) =
                core::mem::take(&mut self.flying).into_iter().partition(|flight| flight.0 <= self.now);
            self.flying = later;
            for (_, from, to, bytes) in due {
                self.arrive(from, to, bytes);
            }
            for host in &mut self.hosts {
                host.endpoint.handle_timeout(self.now);
            }
            self.pump();
        }
        self.now = end;
    }

    fn pump(&mut self) {
        for host in &mut self.hosts {
            drive(&mut host.endpoint, self.now, &mut host.outside);
            let sent = core::mem::take(&mut host.outside.sent);
            if !self.cut {
                let at = self.now + DELAY;
                self.flying.extend(sent.into_iter().map(|(to, bytes)| (at, host.address, to, bytes)));
            }
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, mut data: Vec<u8>) {
        if to == BEACON {
            return self.ask_beacon(from, &data);
        }
        let Some(host) = self.hosts.iter_mut().find(|host| host.address == to) else { return };
        let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data: &mut data };
        host.endpoint.handle_input(self.now, input);
        self.pump();
    }

    fn ask_beacon(&mut self, from: SocketAddr, data: &[u8]) {
        let index = |node: NodeId| usize::try_from(node.0).unwrap() - 1;
        let mut answers = Vec::new();
        match BeaconMessage::parse(data) {
            Ok(BeaconMessage::Discover { node, .. }) => {
                if node != NodeId::UNASSIGNED {
                    self.seen[index(node)] = Some(from);
                }
                answers.push((Some(from), BeaconMessage::DiscoverReply(from).to_vec()));
            }
            Ok(BeaconMessage::PunchRequest { requester, target, .. }) => {
                if let (Some(one), Some(other)) = (self.seen[index(requester)], self.seen[index(target)]) {
                    answers.push((Some(one), BeaconMessage::PunchCommand(other).to_vec()));
                    answers.push((Some(other), BeaconMessage::PunchCommand(one).to_vec()));
                }
            }
            Ok(BeaconMessage::Relay { sender, destination, frame }) => {
                let message = BeaconMessage::RelayDeliver { sender, frame };
                answers.push((self.seen[index(destination)], message.to_vec()));
            }
            other => panic!("{other:?}"),
        }
        if !self.cut {
            let at = self.now + DELAY;
            let answers = answers.into_iter().filter_map(|(to, bytes)| Some((at, BEACON, to?, bytes.unwrap())));
            self.flying.extend(answers);
        }
    }
}
