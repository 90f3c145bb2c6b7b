//! A port at a router that speaks neither PCP nor NAT-PMP, asked for by the host's UPnP: when, how often, and what its answers lead to.
//! In virtual time; the host's program and the router are one model here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod mapper;

use mapper::{OUTSIDE, PORT, gateway, mapped, next_deadline, outside, secs};
use proto_core::Timestamp;
use proto_core::nat::{Gateway, PortMapEvent, PortMapState, PortMapper, UpnpAnswer, UpnpRequest};
use proto_core::rng::Rng;
use sim::GatewayModel;
use std::time::Duration;

/// A router with UPnP, and the host that asks it.
struct World {
    now: Timestamp,
    mapper: PortMapper,
    /// What the router says to those who ask for a port.
    answer: UpnpAnswer,
    /// The host does not even say that nobody answered.
    host_hangs: bool,
    /// It speaks NAT-PMP too.
    nat_pmp: Option<GatewayModel>,
    /// Forwarded until then.
    held: Option<(u16, Timestamp)>,
    asked: Vec<(Timestamp, u16)>,
    given_back: Vec<u16>,
    datagrams: Vec<(Timestamp, u8)>,
    events: Vec<(Timestamp, PortMapEvent)>,
}

impl World {
    fn new(upnp: bool) -> Self {
        Self {
            now: Timestamp::from_micros(1_000_000_000),
            mapper: PortMapper::new(Rng::new([7; 32]), upnp),
            answer: UpnpAnswer::Mapped(outside(PORT)),
            host_hangs: false,
            nat_pmp: None,
            held: None,
            asked: Vec::new(),
            given_back: Vec::new(),
            datagrams: Vec::new(),
            events: Vec::new(),
        }
    }

    fn start(&mut self) {
        self.mapper.set_gateway(self.now, Some(gateway()));
        self.settle();
    }

    /// With a mapping.
    fn mapped() -> Self {
        let mut world = Self::new(true);
        world.start();
        world.run(secs(30));
        assert_eq!(world.told(), [mapped(PORT)]);
        world
    }

    fn settle(&mut self) {
        loop {
            if let Some(action) = self.mapper.poll_action() {
                self.datagrams.push((self.now, action.bytes[0]));
                let answer = self.nat_pmp.as_mut();
                let answer = answer.and_then(|router| router.answer(self.now, gateway().socket, &action.bytes));
                if let Some(answer) = answer {
                    self.mapper.handle_reply(self.now, action.to, &answer);
                }
                continue;
            }
            match self.mapper.poll_event() {
                None => return,
                Some(PortMapEvent::Upnp(UpnpRequest::Map { gateway: asked, external_port, lifetime })) => {
                    assert_eq!((asked, lifetime), (gateway(), 600));
                    self.asked.push((self.now, external_port));
                    self.answered(external_port);
                }
                Some(PortMapEvent::Upnp(UpnpRequest::Unmap { gateway: asked, external_port })) => {
                    assert_eq!(asked, gateway());
                    self.given_back.push(external_port);
                    self.held = self.held.filter(|(port, _)| *port != external_port);
                }
                Some(event) => self.events.push((self.now, event)),
            }
        }
    }

    fn answered(&mut self, wish: u16) {
        if self.host_hangs {
            return;
        }
        if let UpnpAnswer::Mapped(external) = self.answer {
            let port = if external.port() == PORT { wish } else { external.port() };
            self.held = Some((port, self.now + secs(600)));
        }
        assert!(self.mapper.handle_upnp(self.now, gateway(), self.answer), "an open question is answered");
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while next_deadline(&mut self.mapper, &mut self.now, end) {
            self.settle();
        }
    }

    fn forwards(&self) -> Option<u16> {
        self.held.filter(|(_, until)| *until > self.now).map(|(port, _)| port)
    }

    fn state(&self) -> PortMapState {
        self.mapper.status().state
    }

    fn told(&self) -> Vec<PortMapEvent> {
        self.events.iter().map(|(_, event)| *event).collect()
    }

    /// Seconds from the first question to each.
    fn times(&self) -> Vec<u64> {
        self.asked.iter().map(|(at, _)| at.saturating_since(self.asked[0].0).as_secs()).collect()
    }
}

//= spec/port-mapping.md#pp-pmap-10
//= type=test
//# A gateway that answers neither PCP nor NAT-PMP is asked by UPnP Internet Gateway Device, where the host speaks it.
#[test]
fn upnp_comes_last_and_soon() {
    let mut world = World::new(true);
    let start = world.now;
    world.start();
    world.run(secs(3600));
    let first = world.asked[0].0;
    assert!((secs(15)..secs(20)).contains(&first.saturating_since(start)), "{:?}", first.saturating_since(start));
    assert!(world.datagrams.iter().all(|(at, _)| *at < first), "a router that maps by UPnP is asked for nothing else");
    let versions: Vec<u8> = world.datagrams.iter().map(|(_, version)| *version).collect();
    assert_eq!(versions, [2, 2, 0, 0, 0, 0, 0]);
    assert_eq!((world.told(), world.asked[0].1), (vec![mapped(PORT)], PORT));
    assert_eq!(world.mapper.status().protocol, Some("UPnP"));

    let mut without = World::new(false);
    without.start();
    without.run(secs(3600));
    assert_eq!((without.told(), &without.asked), (vec![PortMapEvent::GatewayWanted], &vec![]));
}

#[test]
fn a_router_that_answers_in_another_protocol_is_not_asked_by_upnp() {
    for refuse in [None, Some(2)] {
        let mut world = World::new(true);
        let mut router = GatewayModel::new(OUTSIDE, Timestamp::from_micros(0));
        (router.pcp, router.refuse) = (false, refuse);
        world.nat_pmp = Some(router);
        world.start();
        world.run(secs(3600));
        assert_eq!(world.asked, [], "a router that says no says so for all");
        assert_eq!(world.told().len(), usize::from(refuse.is_none()));
    }
}

//= spec/port-mapping.md#pp-pmap-11
//= type=test
//# A UPnP mapping is asked for with a lease of 600 seconds.
//= spec/port-mapping.md#pp-pmap-4
//= type=test
//# A mapping is renewed at half its lifetime, then at half of what is left.
#[test]
fn a_mapping_is_renewed_at_half_life() {
    let mut world = World::mapped();
    world.run(secs(1500));
    assert_eq!(world.times(), [0, 300, 600, 900, 1200, 1500]);
    assert_eq!(world.told(), [mapped(PORT)], "a renewal is no news");

    world.answer = UpnpAnswer::Silence;
    world.run(secs(290));
    let asked = world.asked.len();
    world.run(secs(320));
    assert!(world.asked.len() > asked + 2, "and tried again until it expires");
    assert_eq!((world.told().last(), world.forwards()), (Some(&PortMapEvent::Lost), None));
}

#[test]
fn a_restart_of_the_router_costs_the_mapping_for_half_its_life_at_most() {
    let mut world = World::mapped();
    world.held = None;
    world.run(secs(300));
    assert_eq!(world.forwards(), Some(PORT));
    // Sooner when something else shows it: the beacon sees another port, the network changed.
    world.held = None;
    world.mapper.check(world.now);
    world.settle();
    assert_eq!((world.forwards(), world.told()), (Some(PORT), vec![mapped(PORT)]));
    // Somebody else has the port now.
    world.held = None;
    world.answer = UpnpAnswer::Mapped(outside(50_001));
    world.run(secs(300));
    assert_eq!(world.told(), [mapped(PORT), mapped(50_001)]);
    world.answer = UpnpAnswer::Mapped(outside(PORT));
    world.run(secs(300));
    assert_eq!(world.asked.last().unwrap().1, 50_001, "what was granted last is asked for again");
}

//= spec/port-mapping.md#pp-pmap-6
//= type=test
//# After three unanswered questions the host is asked for its gateway again, and the mapping is restored there.
#[test]
fn after_three_failures_the_gateway_is_looked_for_and_the_mapping_restored() {
    for host_hangs in [false, true] {
        let mut world = World::mapped();
        world.run(secs(270));
        (world.answer, world.host_hangs) = (UpnpAnswer::Silence, host_hangs);
        let wanted = |world: &World| world.told().contains(&PortMapEvent::GatewayWanted);
        while !wanted(&world) {
            world.run(secs(1));
            assert!(world.asked.len() <= 5, "{:?}", world.times());
        }
        assert_eq!(world.asked.len(), 4, "the first, and three without an answer: {:?}", world.times());
        (world.answer, world.host_hangs) = (UpnpAnswer::Mapped(outside(PORT)), false);
        world.held = None;
        world.start();
        world.run(secs(20));
        assert_eq!(world.forwards(), Some(PORT));
        assert_eq!(world.told(), [mapped(PORT), PortMapEvent::GatewayWanted], "peers heard of no change");
    }
}

//= spec/port-mapping.md#pp-pmap-8
//= type=test
//# At its end a node deletes its mapping.
#[test]
fn the_port_is_given_back() {
    let mut world = World::mapped();
    world.answer = UpnpAnswer::Mapped(outside(50_001));
    world.run(secs(300));
    world.mapper.release();
    world.settle();
    assert_eq!((world.given_back.as_slice(), world.forwards()), ([50_001].as_slice(), None));
    assert_eq!(world.told(), [mapped(PORT), mapped(50_001), PortMapEvent::Lost]);
    world.run(secs(3600));
    assert_eq!((world.asked.len(), world.state()), (2, PortMapState::Off));

    let mut unanswered = World::new(true);
    unanswered.host_hangs = true;
    unanswered.start();
    unanswered.run(secs(30));
    unanswered.mapper.release();
    unanswered.settle();
    assert_eq!(unanswered.given_back, [PORT], "the answer may still be on its way");
}

//= spec/port-mapping.md#pp-pmap-2
//= type=test
//# An answer counts only from the gateway's port 5351, while a question is open, and with that question's nonce or port.
#[test]
fn an_answer_nobody_waits_for_changes_nothing() {
    let mut world = World::new(true);
    let answer = UpnpAnswer::Mapped(outside(PORT));
    let told = |world: &mut World, gateway| world.mapper.handle_upnp(world.now, gateway, answer);
    assert!(!told(&mut world, gateway()));
    world.host_hangs = true;
    world.start();
    assert!(!told(&mut world, gateway()), "PCP is being asked");
    world.run(secs(30));
    let other = Gateway { socket: "192.168.1.21:4000".parse().unwrap(), ..gateway() };
    assert!(!told(&mut world, other), "a question from before the host moved");
    assert!(told(&mut world, gateway()));
    assert!(!told(&mut world, gateway()), "twice");
    world.settle();
    assert_eq!(world.told(), [mapped(PORT)]);
}

#[test]
fn what_the_router_says_is_told() {
    let nowhere = UpnpAnswer::Mapped("0.0.0.0:4000".parse().unwrap());
    for (answer, state) in [
        (UpnpAnswer::Mapped(outside(0)), PortMapState::Refused),
        (UpnpAnswer::Refused, PortMapState::Refused),
        (UpnpAnswer::Silence, PortMapState::Unanswered),
        (nowhere, PortMapState::NoExternalAddress),
    ] {
        let mut world = World::new(true);
        world.answer = answer;
        world.start();
        world.run(secs(50));
        assert_eq!((world.state(), world.asked.len(), world.told()), (state, 1, vec![]));
        world.run(secs(24 * 3600));
        assert!((20..40).contains(&world.asked.len()), "ever more rarely: {}", world.asked.len());
    }
    let mut world = World::mapped();
    world.answer = nowhere;
    world.run(secs(300));
    assert_eq!(world.told(), [mapped(PORT), PortMapEvent::Lost]);
}
