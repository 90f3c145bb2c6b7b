//! An endpoint and the router in front of it: what the host is asked for, what the registry and others are told, what is kept back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proto_core::crypto::rust_crypto;
use proto_core::endpoint::Ladder;
use proto_core::nat::{GATEWAY_PORT, Gateway, PortMapState};
use proto_core::{Config, Endpoint, Event, Input, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use sim::{GatewayModel, identity};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));
const BEACON: &str = "198.51.100.1:9001";
const HOST: &str = "192.168.1.20:4000";

struct Outside {
    buffer: Vec<u8>,
    sent: Vec<(SocketId, SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Outside {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 1 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        self.sent.push((transmit.via, transmit.to, self.buffer[..transmit.len].to_vec()));
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

struct World {
    now: Timestamp,
    endpoint: Endpoint,
    router: GatewayModel,
    silent: bool,
    questions: usize,
    events: Vec<Event>,
}

impl World {
    fn new(external: Ipv4Addr, mut config: Config) -> Self {
        if config.beacons.is_empty() {
            config.beacons.push(BEACON.parse().unwrap());
        }
        let now = Timestamp::from_micros(1_000_000_000);
        let endpoint = Endpoint::new(Arc::new(config), identity(1), rust_crypto(), [3; 32], now);
        let router = GatewayModel::new(external, Timestamp::from_micros(0));
        Self { now, endpoint, router, silent: false, questions: 0, events: Vec::new() }
    }

    fn tell_gateway(&mut self) {
        let gateway = Gateway { address: ROUTER, socket: HOST.parse().unwrap() };
        self.endpoint.handle_input(self.now, Input::Gateway(Some(gateway)));
        self.run(Duration::from_secs(1));
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let mut outside = Outside { buffer: vec![0; 65_535], sent: Vec::new(), events: Vec::new() };
            let next = drive(&mut self.endpoint, self.now, &mut outside);
            self.events.append(&mut outside.events);
            for (via, to, bytes) in outside.sent.into_iter().filter(|(_, to, _)| to.ip() == ROUTER) {
                assert_eq!((via, to.port()), (SocketId(0), GATEWAY_PORT));
                self.questions += 1;
                let answer = self.router.answer(self.now, HOST.parse().unwrap(), &bytes).filter(|_| !self.silent);
                if let Some(mut data) = answer {
                    let input = Input::Datagram { via, from: to, to: None, ecn: None, data: &mut data };
                    self.endpoint.handle_input(self.now, input);
                }
            }
            match next {
                _ if self.endpoint.poll_timeout().is_none_or(|(at, _)| at > end) => break,
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.endpoint.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn state(&self) -> PortMapState {
        self.endpoint.port_mapping().state
    }
}

//= spec/nat.md#pp-nat-17
//= type=test
//# A router is asked for a port mapping.
#[test]
fn the_router_is_asked_through_the_socket_that_is_mapped() {
    let mut world = World::new(Ipv4Addr::new(203, 0, 113, 7), Config::default());
    world.run(Duration::from_secs(5));
    assert_eq!((world.state(), world.questions), (PortMapState::NoGateway, 0));
    world.tell_gateway();
    let status = world.endpoint.status().port_mapping;
    assert_eq!(status.state, PortMapState::Mapped);
    assert_eq!(status.external, Some("203.0.113.7:4000".parse().unwrap()));
    assert_eq!((status.protocol, status.gateway), (Some("PCP"), Some(ROUTER)));
    world.run(Duration::from_secs(24 * 3600));
    assert_eq!(world.state(), PortMapState::Mapped, "kept for a day");

    world.endpoint.release_port_mapping(world.now);
    world.run(Duration::from_secs(1));
    assert_eq!(world.router.mappings(world.now), 0, "and given back");
}

//= spec/port-mapping.md#pp-pmap-9
//= type=test
//# A mapped address that is not globally routable is offered to nobody, unless the beacon sees the same address, and is told as a double
//# NAT.
#[test]
fn a_private_address_outside_is_a_double_nat() {
    for external in [Ipv4Addr::new(100, 64, 3, 4), Ipv4Addr::new(192, 168, 0, 9), Ipv4Addr::new(10, 1, 1, 1)] {
        let beacon: SocketAddr = "10.9.9.9:9001".parse().unwrap();
        let mut world = World::new(external, Config { beacons: vec![beacon], ..Config::default() });
        world.tell_gateway();
        assert_eq!(world.state(), PortMapState::DoubleNat);
        // A closed network, where the outermost address is a private one.
        let message = proto_core::wire::BeaconMessage::DiscoverReply(SocketAddr::new(IpAddr::V4(external), 4000));
        let mut data = message.to_vec().unwrap();
        world.endpoint.handle_input(
            world.now,
            Input::Datagram { via: SocketId(0), from: beacon, to: None, ecn: None, data: &mut data },
        );
        world.run(Duration::from_millis(1));
        assert_eq!(world.state(), PortMapState::Mapped);
    }
}

#[test]
fn nobody_is_asked_when_it_is_switched_off_or_of_no_use() {
    let here = vec!["127.0.0.1:9001".parse().unwrap()];
    let off = Config { ladder: Ladder { port_mapping: false, ..Ladder::default() }, ..Config::default() };
    let relay_only = Config { relay_only: true, ..Config::default() };
    let here = Config { beacons: here, ..Config::default() };
    for (config, state) in
        [(off, PortMapState::Off), (relay_only, PortMapState::NotNeeded), (here, PortMapState::NotNeeded)]
    {
        let mut world = World::new(Ipv4Addr::new(203, 0, 113, 7), config);
        world.tell_gateway();
        world.run(Duration::from_secs(3600));
        assert_eq!((world.state(), world.questions), (state, 0));
    }
    let mut world = World::new(Ipv4Addr::new(203, 0, 113, 7), Config::default());
    let public = Gateway { address: "203.0.113.1".parse().unwrap(), socket: "203.0.113.5:4000".parse().unwrap() };
    world.endpoint.handle_input(world.now, Input::Gateway(Some(public)));
    world.run(Duration::from_secs(3600));
    assert_eq!(world.questions, 0, "a public address needs no port at a router");
}

#[test]
fn the_host_is_asked_for_the_gateway_when_it_falls_silent() {
    let mut world = World::new(Ipv4Addr::new(203, 0, 113, 7), Config::default());
    world.tell_gateway();
    world.silent = true;
    world.run(Duration::from_secs(600));
    assert_eq!(world.events.iter().filter(|event| **event == Event::GatewayWanted).count(), 1);
    world.silent = false;
    world.router.reboot(world.now);
    world.tell_gateway();
    assert_eq!(world.state(), PortMapState::Mapped);
    assert_eq!(world.router.forward(world.now, 4000), Some(HOST.parse().unwrap()));
}

#[test]
fn what_the_host_mapped_itself_is_told_as_such() {
    let mut world = World::new(Ipv4Addr::new(203, 0, 113, 7), Config::default());
    world.silent = true;
    world.tell_gateway();
    let external = "203.0.113.7:6000".parse().unwrap();
    world.endpoint.handle_input(world.now, Input::PortMapped { via: SocketId(0), external });
    let status = world.endpoint.port_mapping();
    assert_eq!((status.state, status.external, status.protocol), (PortMapState::Mapped, Some(external), Some("UPnP")));
}
