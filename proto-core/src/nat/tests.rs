//! Discovery, classification and the punch rule, in virtual time.

mod keepalive;
mod search;

use super::{Discovery, DiscoveryAction, DiscoveryEvent, Mapping, NatType, Observation, PunchPolicy};
use crate::ids::NodeId;
use crate::time::Timestamp;
use crate::wire::candidate::{Local, Reflexive};
use core::net::SocketAddr;

const PRIMARY: &str = "198.51.100.9:9001";
const SECOND: &str = "198.51.100.9:9002";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn seen(text: &str) -> Reflexive {
    Reflexive(at(text))
}

fn ms(millis: u64) -> Timestamp {
    Timestamp::from_micros((1000 + millis) * 1000)
}

fn start() -> Discovery {
    Discovery::new(ms(0), &[at(PRIMARY), at(SECOND), at(PRIMARY)])
}

fn asked(discovery: &mut Discovery) -> Vec<(SocketAddr, u32)> {
    let next = || discovery.poll_action();
    std::iter::from_fn(next).map(|DiscoveryAction::SendDiscover { beacon, node }| (beacon, node.0)).collect()
}

fn events(discovery: &mut Discovery) -> Vec<DiscoveryEvent> {
    std::iter::from_fn(|| discovery.poll_event()).collect()
}

/// Fires every timer up to `end`; gives the offsets of questions to the primary.
fn run(discovery: &mut Discovery, end: Timestamp) -> Vec<u64> {
    let mut offsets = Vec::new();
    while let Some(now) = discovery.poll_timeout().filter(|&at| at <= end) {
        discovery.handle_timeout(now);
        assert!(discovery.poll_timeout().is_none_or(|at| at > now));
        let primary = asked(discovery).into_iter().any(|(beacon, _)| beacon == at(PRIMARY));
        offsets.extend(primary.then_some(now.as_micros() / 1000 - 1000));
    }
    offsets
}

//= spec/nat.md#pp-nat-1
//= type=test
//# The own endpoint is learnt from the beacon's reply to a discover message.
//= spec/nat.md#pp-nat-3
//= type=test
//# The primary beacon is asked again every 25 seconds.
#[test]
fn an_answer_ends_the_first_round_and_refreshes_follow() {
    let mut discovery = start();
    assert_eq!(asked(&mut discovery), [(at(PRIMARY), 0), (at(SECOND), 0)]);
    assert!(discovery.handle_reply(ms(20), at(PRIMARY), at("203.0.113.5:777")));
    assert!(discovery.handle_reply(ms(20), at("[::ffff:198.51.100.9]:9002"), at("[::ffff:203.0.113.5]:777")));
    assert_eq!(events(&mut discovery), [DiscoveryEvent::Discovered(Some(seen("203.0.113.5:777")))]);
    assert_eq!(discovery.nat_type(&[]), NatType::EndpointIndependent);
    discovery.set_node(ms(30), NodeId(7));
    assert_eq!(asked(&mut discovery), [(at(PRIMARY), 7)], "only the primary may learn who we are");
    assert!(discovery.handle_reply(ms(50), at(PRIMARY), at("203.0.113.5:777")));
    assert_eq!(run(&mut discovery, ms(25_100)), [25_050]);
    assert_eq!(events(&mut discovery), []);
}

//= spec/nat.md#pp-nat-4
//= type=test
//# A silent beacon is told to the host within 2 seconds and asked on.
#[test]
fn a_silent_beacon_is_told_within_two_seconds_and_asked_on() {
    let mut discovery = start();
    assert_eq!(run(&mut discovery, ms(1899)), [300, 1000]);
    assert_eq!(events(&mut discovery), []);
    let later = run(&mut discovery, ms(60_000));
    assert_eq!(events(&mut discovery), [DiscoveryEvent::Discovered(None)]);
    assert_eq!(later, [3000, 7000, 15_000, 31_000, 56_000]);
    assert!(discovery.handle_reply(ms(60_000), at(PRIMARY), at("203.0.113.5:777")));
    assert_eq!(events(&mut discovery), [DiscoveryEvent::Discovered(Some(seen("203.0.113.5:777")))]);
}

#[test]
fn no_beacon_is_told_at_once() {
    let mut discovery = Discovery::new(ms(0), &[]);
    assert_eq!(events(&mut discovery), [DiscoveryEvent::Discovered(None)]);
    assert_eq!(discovery.poll_timeout(), None);
}

//= spec/nat.md#pp-nat-2
//= type=test
//# A discover reply counts only from a configured beacon that was asked within 5 seconds.
#[test]
fn forged_replies_are_refused() {
    let mut discovery = start();
    assert!(!discovery.handle_reply(ms(20), at("192.0.2.66:9001"), at("203.0.113.5:777")), "not a beacon");
    assert!(!discovery.handle_reply(ms(20), at(PRIMARY), at("203.0.113.5:0")), "no address");
    assert!(discovery.handle_reply(ms(20), at(PRIMARY), at("203.0.113.5:777")));
    assert!(!discovery.handle_reply(ms(9000), at(PRIMARY), at("203.0.113.6:777")), "nobody asked");
    assert_eq!(discovery.reflexive(), Some(seen("203.0.113.5:777")));
}

//= spec/nat.md#pp-nat-5
//= type=test
//# A changed endpoint counts when a second answer confirms it.
#[test]
fn a_move_counts_when_confirmed() {
    let (old, new) = ("203.0.113.5:777", "203.0.113.5:888");
    let mut discovery = start();
    discovery.handle_reply(ms(10), at(PRIMARY), at(old));
    discovery.handle_reply(ms(10), at(SECOND), at(old));
    events(&mut discovery);
    run(&mut discovery, ms(25_010));
    discovery.handle_reply(ms(25_030), at(PRIMARY), at(new));
    assert_eq!(asked(&mut discovery), [(at(PRIMARY), 0)], "asked again at once");
    assert_eq!(discovery.reflexive(), Some(seen(old)));
    discovery.handle_reply(ms(25_050), at(PRIMARY), at(new));
    assert_eq!(events(&mut discovery), [DiscoveryEvent::EndpointChanged { old: seen(old), new: seen(new) }]);
    assert_eq!(asked(&mut discovery), [(at(SECOND), 0)], "the kind of NAT may have changed");
    assert_eq!(discovery.nat_type(&[]), NatType::Unknown);
    // One stray answer from before the move does not move us back.
    discovery.handle_reply(ms(25_060), at(PRIMARY), at(old));
    discovery.handle_reply(ms(25_080), at(PRIMARY), at(new));
    assert_eq!(events(&mut discovery), []);
    assert_eq!(discovery.reflexive(), Some(seen(new)));
}

#[test]
fn a_changed_network_is_asked_about_at_once() {
    let mut discovery = start();
    discovery.handle_reply(ms(10), at(PRIMARY), at("203.0.113.5:777"));
    asked(&mut discovery);
    discovery.network_changed(ms(500));
    assert_eq!(asked(&mut discovery), [(at(PRIMARY), 0), (at(SECOND), 0)]);
}

//= spec/nat.md#pp-nat-9
//= type=test
//# A NAT is called symmetric only when two beacon addresses saw different mappings, and unknown with one observation.
#[test]
fn kinds_of_nat() {
    let classify = |ports: &[u16], own: &[Local]| {
        let observe = |(index, port): (usize, &u16)| Observation {
            beacon: SocketAddr::from(([198, 51, 100, 9], 9001 + u16::try_from(index).unwrap())),
            seen: Reflexive(SocketAddr::from(([203, 0, 113, 5], *port))),
        };
        NatType::classify(&ports.iter().enumerate().map(observe).collect::<Vec<_>>(), own)
    };
    assert_eq!(classify(&[], &[]), NatType::Unknown);
    assert_eq!(classify(&[777], &[]), NatType::Unknown);
    assert_eq!(classify(&[777], &[Local(at("203.0.113.5:777"))]), NatType::None);
    assert_eq!(classify(&[777], &[Local(at("203.0.113.5:778"))]), NatType::Unknown, "another port is a NAT's work");
    assert_eq!(classify(&[777, 777], &[]), NatType::EndpointIndependent);
    assert_eq!(classify(&[777, 779], &[]), NatType::Symmetric(Mapping::Unpredictable), "two prove no rule");
    assert_eq!(classify(&[777, 779, 781], &[]), NatType::Symmetric(Mapping::Sequential(2)));
    assert_eq!(classify(&[777, 779, 50_000], &[]), NatType::Symmetric(Mapping::Unpredictable));
    assert_eq!(classify(&[777, 777, 777, 778], &[]), NatType::Symmetric(Mapping::Unpredictable));
    assert!(NatType::Symmetric(Mapping::Unpredictable).describe().starts_with("symmetric"));
    assert_eq!(NatType::EndpointIndependent.name(), "endpoint-independent");
}

//= spec/nat.md#pp-nat-7
//= type=test
//# A punch command is obeyed only from a configured beacon, at most five times a second.
//= spec/nat.md#pp-nat-8
//= type=test
//# A punch command toward an address that is not globally routable is refused, unless the own observed address has the same reach or
//# the host allows it.
#[test]
fn punch_commands_are_judged() {
    let public = at("203.0.113.8:5");
    let mut policy = PunchPolicy::new(false);
    assert!(!policy.accept(ms(0), public, false, None), "only from the beacon");
    for bad in
        ["10.0.0.1:5", "127.0.0.1:5", "224.0.0.1:5", "0.0.0.0:5", "255.255.255.255:5", "[fe80::1]:5", "203.0.113.8:0"]
    {
        assert!(!policy.accept(ms(0), at(bad), true, Some(seen("198.51.100.1:1"))), "{bad}");
    }
    assert_eq!((0..100).filter(|_| policy.accept(ms(0), public, true, None)).count(), 5);
    assert!(!policy.accept(ms(999), public, true, None));
    assert!(policy.accept(ms(1000), public, true, None));
    let mut testbed = PunchPolicy::new(false);
    assert!(
        testbed.accept(ms(0), at("10.0.0.1:5"), true, Some(seen("10.0.0.7:1"))),
        "a private beacon serves a private network"
    );
    let mut allowed = PunchPolicy::new(true);
    assert!(allowed.accept(ms(0), at("127.0.0.1:5"), true, None));
    assert!(!allowed.accept(ms(0), at("224.0.0.1:5"), true, None));
}
