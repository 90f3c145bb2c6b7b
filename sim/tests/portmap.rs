//! A port at the router: asked for by two protocols, kept through restarts and silence, given back. In virtual time, against a model
//! of a router that was written from the RFCs' other side.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod mapper;

use mapper::{OUTSIDE, PORT, ROUTER, gateway, mapped, next_deadline, secs};
use proto_core::Timestamp;
use proto_core::nat::{GATEWAY_PORT, Gateway, PortMapEvent, PortMapState, PortMapper};
use proto_core::rng::Rng;
use proto_core::wire::candidate::Mapped;
use proto_core::wire::pcp::result;
use sim::GatewayModel;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// One mapper and one router, with nothing between them but loss.
struct World {
    now: Timestamp,
    mapper: PortMapper,
    router: GatewayModel,
    /// Of the next questions so many do not reach the router.
    lose_questions: usize,
    /// The address its questions come from.
    source: SocketAddr,
    silent: bool,
    sent: Vec<(Timestamp, Vec<u8>)>,
    events: Vec<(Timestamp, PortMapEvent)>,
}

impl World {
    fn new(adjust: impl FnOnce(&mut GatewayModel)) -> Self {
        let now = Timestamp::from_micros(1_000_000_000);
        let mut router = GatewayModel::new(OUTSIDE, Timestamp::from_micros(0));
        adjust(&mut router);
        Self {
            now,
            mapper: PortMapper::new(Rng::new([7; 32]), false),
            router,
            lose_questions: 0,
            source: gateway().socket,
            silent: false,
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    fn started(adjust: impl FnOnce(&mut GatewayModel)) -> Self {
        let mut world = Self::new(adjust);
        world.mapper.set_gateway(world.now, Some(gateway()));
        world.settle();
        world
    }

    fn settle(&mut self) {
        loop {
            if let Some(action) = self.mapper.poll_action() {
                assert_eq!(action.to, SocketAddr::new(ROUTER, GATEWAY_PORT), "nobody but the gateway is asked");
                self.sent.push((self.now, action.bytes.clone()));
                let lost = self.lose_questions > 0;
                self.lose_questions = self.lose_questions.saturating_sub(1);
                if !lost && !self.silent {
                    let answer = self.router.answer(self.now, self.source, &action.bytes);
                    if let Some(answer) = answer {
                        assert!(self.mapper.is_reply(action.to, &answer) || self.state() == PortMapState::Off);
                        self.mapper.handle_reply(self.now, action.to, &answer);
                    }
                }
            } else if let Some(event) = self.mapper.poll_event() {
                self.events.push((self.now, event));
            } else {
                return;
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while next_deadline(&mut self.mapper, &mut self.now, end) {
            self.settle();
        }
    }

    fn state(&self) -> PortMapState {
        self.mapper.status().state
    }

    fn told(&self) -> Vec<PortMapEvent> {
        self.events.iter().map(|(_, event)| *event).collect()
    }

    fn take_sent(&mut self) -> Vec<(Timestamp, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    /// Seconds between what was sent, in tenths.
    fn waits(&self) -> Vec<u64> {
        self.sent
            .windows(2)
            .map(|pair| u64::try_from(pair[1].0.saturating_since(pair[0].0).as_millis()).unwrap() / 100)
            .collect()
    }
}

/// Version and opcode of each question.
fn kinds(sent: &[(Timestamp, Vec<u8>)]) -> Vec<(u8, u8)> {
    sent.iter().map(|(_, bytes)| (bytes[0], bytes[1])).collect()
}

const PCP_MAP: (u8, u8) = (2, 1);
const PCP_ANNOUNCE: (u8, u8) = (2, 0);
const PMP_ADDRESS: (u8, u8) = (0, 0);
const PMP_MAP: (u8, u8) = (0, 1);

//= spec/port-mapping.md#pp-pmap-1
//= type=test
//# The default gateway, and nobody else, is asked for a mapping: at its port 5351 by PCP first, and by NAT-PMP when it does not speak that.
#[test]
fn each_router_is_asked_in_its_own_protocol() {
    for (pcp, nat_pmp, rude, within, questions, protocol) in [
        (true, true, false, 0, vec![PCP_MAP], "PCP"),
        (true, false, false, 0, vec![PCP_MAP], "PCP"),
        (false, true, false, 0, vec![PCP_MAP, PMP_ADDRESS, PMP_MAP], "NAT-PMP"),
        (false, true, true, 11, vec![PCP_MAP, PCP_MAP, PMP_ADDRESS, PMP_MAP], "NAT-PMP"),
    ] {
        let mut world = World::started(|router| (router.pcp, router.nat_pmp, router.rude) = (pcp, nat_pmp, rude));
        world.run(secs(within));
        assert_eq!(kinds(&world.sent), questions);
        assert_eq!(world.told(), [mapped(PORT)], "the socket's own port is wished for");
        let status = world.mapper.status();
        assert_eq!((status.state, status.protocol), (PortMapState::Mapped, Some(protocol)));
        assert_eq!(world.router.forward(world.now, PORT), Some(gateway().socket));
    }
}

#[test]
fn a_pcp_router_whose_first_answers_were_lost_is_found_by_its_version() {
    let mut world = World::new(|router| router.nat_pmp = false);
    world.lose_questions = 2;
    world.mapper.set_gateway(world.now, Some(gateway()));
    world.settle();
    world.run(secs(11));
    assert_eq!(kinds(&world.sent), [PCP_MAP, PCP_MAP, PMP_ADDRESS, PCP_MAP]);
    assert_eq!(world.told(), [mapped(PORT)]);
}

//= spec/port-mapping.md#pp-pmap-3
//= type=test
//# A question without an answer is sent again after twice the wait before: PCP begins with 3 seconds, NAT-PMP with a quarter second
//# and nine times at most.
#[test]
fn questions_are_repeated_as_the_rfcs_have_it() {
    let mut world = World::new(|_| {});
    world.silent = true;
    world.mapper.set_gateway(world.now, Some(gateway()));
    world.settle();
    world.run(secs(140));
    assert_eq!(kinds(&world.sent)[..2], [PCP_MAP; 2]);
    assert_eq!(kinds(&world.sent)[2..], [PMP_ADDRESS; 9]);
    let waits = world.waits();
    assert!((27..=33).contains(&waits[0]), "3 s and up to a tenth: {waits:?}");
    assert!((49..=73).contains(&waits[1]), "twice that: {waits:?}");
    assert_eq!(waits[2..], [2, 5, 10, 20, 40, 80, 160, 320]);
    assert_eq!(world.state(), PortMapState::Unanswered);
    assert_eq!(world.told(), []);
}

#[test]
fn a_silent_router_is_asked_ever_more_rarely() {
    let mut world = World::new(|_| {});
    world.silent = true;
    world.mapper.set_gateway(world.now, Some(gateway()));
    world.settle();
    world.run(secs(24 * 3600));
    // Rounds of 11 questions: at first after a minute, later once an hour.
    assert!((24 * 11..32 * 11).contains(&world.sent.len()), "{} questions a day", world.sent.len());
    world.silent = false;
    world.run(secs(3800));
    assert_eq!(world.state(), PortMapState::Mapped);
}

//= spec/port-mapping.md#pp-pmap-4
//= type=test
//# A mapping is renewed at half its lifetime, then at half of what is left.
#[test]
fn a_mapping_is_renewed_at_half_life() {
    for pcp in [true, false] {
        let map = if pcp { PCP_MAP } else { PMP_MAP };
        let mut world = World::started(|router| (router.pcp, router.longest) = (pcp, 1000));
        let asked = |world: &World| {
            let maps = world.sent.iter().filter(|(_, bytes)| (bytes[0], bytes[1]) == map);
            maps.map(|(at, _)| at.saturating_since(world.sent[0].0).as_secs()).collect::<Vec<_>>()
        };
        let latest = if pcp { 625 } else { 500 };
        world.run(secs(499));
        assert_eq!(asked(&world), [0]);
        world.run(secs(latest - 499));
        assert_eq!(asked(&world).len(), 2);
        assert!((500..=latest).contains(&asked(&world)[1]));
        world.run(secs(24 * 3600));
        assert_eq!(world.told(), [mapped(PORT)], "a renewal is no news");
        assert_eq!(world.router.mappings(world.now), 1);
    }
}

#[test]
fn an_unanswered_renewal_is_repeated_until_the_mapping_expires() {
    let mut world = World::started(|router| (router.pcp, router.longest) = (false, 1000));
    world.silent = true;
    world.take_sent();
    world.run(secs(1001));
    let (at, event) = world.events[world.events.len() - 1];
    let renewals = world.sent.iter().filter(|(_, bytes)| (bytes[0], bytes[1]) == PMP_MAP).count();
    assert!(renewals >= 12, "two renewals of six sends, at half and at three quarters: {renewals}");
    assert!(world.told().contains(&PortMapEvent::Lost), "{event:?} at {at:?}");
}

//= spec/port-mapping.md#pp-pmap-5
//= type=test
//# A router whose epoch went back has lost the mapping, which is asked for again at once.
#[test]
fn a_restart_of_the_router_is_seen_by_its_epoch() {
    for pcp in [true, false] {
        let mut world = World::started(|router| router.pcp = pcp);
        world.run(secs(600));
        assert_eq!(world.told(), [mapped(PORT)]);
        let boot = world.now;
        world.router.reboot(boot);
        assert_eq!(world.router.mappings(boot), 0);
        world.run(secs(121));
        assert_eq!(world.router.forward(world.now, PORT), Some(gateway().socket), "restored, with its port");
        assert_eq!(world.told(), [mapped(PORT)], "the same mapping is no news");

        world.router.reboot(world.now);
        world.router.occupy(PORT);
        world.run(secs(121));
        assert_eq!(world.told(), [mapped(PORT), mapped(50_001)], "another port is");
    }
}

#[test]
fn a_restart_that_the_epoch_hides_is_mended_when_there_is_reason_to_doubt() {
    for pcp in [true, false] {
        let mut world = World::new(|router| router.pcp = pcp);
        world.router.reboot(world.now);
        world.mapper.set_gateway(world.now, Some(gateway()));
        world.settle();
        world.run(secs(15));
        let asked_at = world.sent[0].0;
        world.router.reboot(asked_at + secs(2));
        world.run(secs(15));
        assert_eq!(world.router.mappings(world.now), 0);
        world.mapper.check(world.now);
        world.settle();
        assert_eq!(world.router.forward(world.now, PORT), Some(gateway().socket));
        assert_eq!(world.told(), [mapped(PORT)]);
    }
}

/// As a router does whose line is not up yet.
#[test]
fn a_router_that_refuses_just_after_its_restart_is_asked_on() {
    for pcp in [true, false] {
        let mut world = World::started(|router| router.pcp = pcp);
        world.run(secs(10));
        world.router.reboot(world.now);
        world.router.refuse = Some(result::NETWORK_FAILURE);
        world.mapper.check(world.now);
        world.settle();
        world.run(secs(45));
        world.router.refuse = None;
        assert_eq!(world.router.mappings(world.now), 0);
        world.run(secs(31));
        assert_eq!(world.router.forward(world.now, PORT), Some(gateway().socket), "pcp: {pcp}");
    }
}

//= spec/port-mapping.md#pp-pmap-6
//= type=test
//# After three unanswered questions the host is asked for its gateway again, and the mapping is restored there.
#[test]
fn after_three_failures_the_gateway_is_looked_for_and_the_mapping_restored() {
    for pcp in [true, false] {
        let mut world = World::started(|router| router.pcp = pcp);
        (world.silent, world.sent) = (true, Vec::new());
        while world.told().len() == 1 {
            world.run(secs(1));
        }
        // A question begins with the shortest wait of its protocol before it is repeated.
        let begins = |wait: &&u64| if pcp { (27..=33).contains(*wait) } else { **wait == 2 };
        assert_eq!(world.waits().iter().filter(begins).count(), 3, "{:?}", world.waits());
        world.run(secs(100));
        assert_eq!(world.told(), [mapped(PORT), PortMapEvent::GatewayWanted]);
        // Somewhere in between it lost everything, and its clock was set by a server since.
        world.router.reboot(Timestamp::from_micros(0));
        world.silent = false;
        world.mapper.set_gateway(world.now, Some(gateway()));
        world.settle();
        world.run(secs(1));
        assert_eq!(world.router.forward(world.now, PORT), Some(gateway().socket));
        world.run(secs(3600));
        assert_eq!(world.router.forward(world.now, PORT), Some(gateway().socket));
        assert_eq!(world.told(), [mapped(PORT), PortMapEvent::GatewayWanted], "peers heard of no change");
    }
}

//= spec/port-mapping.md#pp-pmap-7
//= type=test
//# A mapping at another gateway, or for another socket, counts as lost.
#[test]
fn another_gateway_gets_its_own_mapping() {
    let mut world = World::started(|_| {});
    let before = world.take_sent();
    world.mapper.set_gateway(world.now, Some(gateway()));
    world.settle();
    assert_eq!(world.sent, [], "the same gateway told again is no reason to ask");
    let other = Gateway { address: ROUTER, socket: "192.168.1.21:4000".parse().unwrap() };
    world.source = other.socket;
    world.router.external = Ipv4Addr::new(203, 0, 113, 8);
    world.mapper.set_gateway(world.now, Some(other));
    world.settle();
    let there = PortMapEvent::Mapped(Mapped("203.0.113.8:50001".parse().unwrap()));
    assert_eq!(world.told(), [mapped(PORT), PortMapEvent::Lost, there], "the old socket holds the port still");
    assert_ne!(before[0].1[24..36], world.sent[0].1[24..36], "and a nonce of its own");
    world.mapper.set_gateway(world.now, None);
    assert_eq!((world.state(), world.mapper.poll_timeout()), (PortMapState::NoGateway, None));
    let v6 = Gateway { address: "fe80::1".parse().unwrap(), socket: "[fd00::2]:4000".parse().unwrap() };
    world.mapper.set_gateway(world.now, Some(v6));
    assert_eq!(world.state(), PortMapState::NoGateway, "IPv6 needs no mapping");
}

//= spec/port-mapping.md#pp-pmap-8
//= type=test
//# At its end a node deletes its mapping.
#[test]
fn the_port_is_given_back() {
    for pcp in [true, false] {
        let mut world = World::started(|router| router.pcp = pcp);
        assert_eq!(world.router.mappings(world.now), 1);
        world.mapper.release();
        world.settle();
        assert_eq!(world.router.mappings(world.now), 0);
        world.take_sent();
        world.run(secs(24 * 3600));
        assert_eq!(world.sent, [], "and nothing is asked any more");
        assert_eq!(world.state(), PortMapState::Off);
    }
}

//= spec/port-mapping.md#pp-pmap-2
//= type=test
//# An answer counts only from the gateway's port 5351, while a question is open, and with that question's nonce or port.
#[test]
fn forged_answers_change_nothing() {
    let router = SocketAddr::new(ROUTER, GATEWAY_PORT);
    for pcp in [true, false] {
        let mut world = World::new(|router| router.pcp = pcp);
        world.mapper.set_gateway(world.now, Some(gateway()));
        if !pcp {
            // Up to the NAT-PMP mapping question.
            for _ in 0..2 {
                let question = world.mapper.poll_action().unwrap().bytes;
                let answer = world.router.answer(world.now, gateway().socket, &question).unwrap();
                assert!(world.mapper.handle_reply(world.now, router, &answer));
            }
        }
        let question = world.mapper.poll_action().unwrap().bytes;
        let answer = world.router.answer(world.now, gateway().socket, &question).unwrap();
        for from in ["192.168.1.1:5350", "192.168.1.2:5351", "203.0.113.9:5351"] {
            let from = from.parse().unwrap();
            assert!(!world.mapper.is_reply(from, &answer));
            assert!(!world.mapper.handle_reply(world.now, from, &answer));
        }
        let mut altered = answer.clone();
        // The first byte of the nonce, or of the internal port.
        altered[if pcp { 24 } else { 8 }] ^= 1;
        assert!(!world.mapper.handle_reply(world.now, router, &altered));
        for len in 0..answer.len() {
            assert!(!world.mapper.handle_reply(world.now, router, &answer[..len]));
        }
        assert_eq!(world.mapper.mapped(), None);
        assert!(world.mapper.handle_reply(world.now, router, &answer));
        assert!(!world.mapper.handle_reply(world.now, router, &answer), "nobody asked twice");
        assert_eq!(world.mapper.poll_event(), Some(mapped(PORT)));
    }
}

#[test]
fn refusals_are_told_and_not_hurried() {
    let mut world = World::started(|router| router.refuse = Some(result::NOT_AUTHORIZED));
    assert_eq!(world.state(), PortMapState::Refused);
    world.take_sent();
    world.run(secs(24 * 3600));
    assert!(world.sent.len() < 40 * 3, "{} questions a day", world.sent.len());
    assert_eq!(world.told(), []);
    world.router.refuse = None;
    world.run(secs(3601));
    assert_eq!(world.told(), [mapped(PORT)]);
}

#[test]
fn a_router_without_an_address_outward_is_told_apart() {
    let world = World::started(|router| (router.pcp, router.external) = (false, Ipv4Addr::UNSPECIFIED));
    assert_eq!((world.state(), world.told()), (PortMapState::NoExternalAddress, vec![]));
    let world = World::started(|router| (router.nat_pmp, router.refuse) = (false, Some(result::NETWORK_FAILURE)));
    assert_eq!(world.told(), []);
}

#[test]
fn a_nat_between_host_and_pcp_router_is_a_double_nat() {
    let mut world = World::new(|router| (router.nat_pmp, router.rude) = (false, true));
    let moved = Gateway { socket: "192.168.1.99:4000".parse().unwrap(), ..gateway() };
    // The router sees the questions come from 192.168.1.20.
    world.mapper.set_gateway(world.now, Some(moved));
    world.settle();
    world.run(secs(200));
    assert_eq!((world.state(), world.told()), (PortMapState::DoubleNat, vec![]));
}

#[test]
fn a_mapping_of_an_earlier_run_under_another_nonce_is_taken_over_by_nat_pmp() {
    let mut world = World::started(|_| {});
    world.mapper = PortMapper::new(Rng::new([8; 32]), false);
    world.events.clear();
    world.mapper.set_gateway(world.now, Some(gateway()));
    world.settle();
    assert_eq!(world.told(), [mapped(PORT)]);
    assert_eq!(world.mapper.status().protocol, Some("NAT-PMP"));
}

#[test]
fn a_new_external_address_is_news() {
    let mut world = World::started(|router| router.pcp = false);
    world.router.external = Ipv4Addr::new(203, 0, 113, 99);
    world.mapper.check(world.now);
    world.settle();
    let moved = PortMapEvent::Mapped(Mapped("203.0.113.99:4000".parse().unwrap()));
    assert_eq!(world.told(), [mapped(PORT), moved]);
    assert!(kinds(&world.sent).ends_with(&[PMP_ADDRESS, PMP_MAP]));
    let mut world = World::started(|_| {});
    world.mapper.check(world.now);
    world.settle();
    world.run(secs(121));
    assert_eq!(kinds(&world.sent), [PCP_MAP, PCP_MAP, PCP_ANNOUNCE], "in doubt, and as always");
}

#[test]
fn random_answers_from_the_router_do_no_harm() {
    let mut rng = Rng::new([9; 32]);
    let router = SocketAddr::new(ROUTER, GATEWAY_PORT);
    for seed in 0..200u8 {
        let mut world = World::new(|router| router.longest = 1 + u32::from(seed));
        world.silent = seed % 2 == 0;
        world.mapper.set_gateway(world.now, Some(gateway()));
        world.settle();
        for _ in 0..50 {
            let mut bytes = vec![0; usize::try_from(rng.below(70)).unwrap()];
            rng.fill(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first &= 2;
            }
            if let Some(second) = bytes.get_mut(1) {
                *second = 0x80 | (*second & 1);
            }
            for place in 2..4 {
                if let Some(result) = bytes.get_mut(place) {
                    *result &= 1;
                }
            }
            world.mapper.handle_reply(world.now, router, &bytes);
            world.settle();
            world.run(secs(rng.below(300)));
        }
        assert!(world.sent.len() < 50 * 300, "{}", world.sent.len());
    }
}
