//! The search for ports: that it comes about at all, rests where it failed, and is begun anew where something changed.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::endpoint::{Ladder, PathKind, RelayReason, TrustCommand};
use proto_core::{Config, Event, NodeId};
use sim::{Filtering, Link, Mapping, Net, PortChoice, Rules};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

fn is_direct(net: &Net, host: usize) -> bool {
    let path = net.hosts[host].endpoint.peer(number(net, 1 - host)).and_then(|peer| peer.path);
    matches!(path, Some(PathKind::Direct(_)))
}

fn reason(net: &Net, host: usize) -> Option<RelayReason> {
    net.hosts[host].endpoint.peer(number(net, 1 - host)).and_then(|peer| peer.relay_reason)
}

/// Host 0 behind a NAT that takes another port for each destination, host 1 behind one that lets in only whom it knows; they trust each other.
fn pair(seed: u8, ports: PortChoice) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay: Duration::from_millis(20), ..Link::default() });
    let closed = Filtering::AddressAndPortDependent;
    let symmetric = Rules { ports, ..Rules::new(Mapping::AddressAndPortDependent, closed) };
    for (name, rules) in [("agent-a", symmetric), ("agent-b", Rules::new(Mapping::EndpointIndependent, closed))] {
        let behind = net.add_box(rules, None);
        net.add_agent_with(Config { hostname: Some(name.to_owned()), ..Config::default() }, Some(behind), None);
    }
    net.run_until(5 * SECOND, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
    for (from, to) in [(0, 1), (1, 0)] {
        let command = TrustCommand::Request { node: number(&net, to), justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(Duration::from_millis(200));
    }
    let numbers = [number(&net, 0), number(&net, 1)];
    net.run_until(3 * SECOND, |net| {
        (0..2).all(|host| net.saw(host, &Event::TrustChanged { node: numbers[1 - host], trusted: true }))
    });
    net.run_for(2 * SECOND);
    net
}

/// One pings the other every 10 s, for at most `limit` or until both are on a direct path. Whether they are.
fn talk(net: &mut Net, limit: Duration) -> bool {
    let until = net.now + limit;
    let both = |net: &mut Net| is_direct(net, 0) && is_direct(net, 1);
    while net.now < until && !both(net) {
        let peer = number(net, 1);
        net.act(0, |endpoint, now| endpoint.ping(now, peer, 5 * SECOND));
        net.reaches(10 * SECOND, both);
    }
    both(net)
}

/// Found by random scenarios: hellos are datagrams, said twice in a session. Where they were lost, two peers of ours never met, and were relayed.
#[test]
fn peers_whose_hellos_were_lost_meet_when_the_relay_works_again() {
    for seed in 30..42 {
        let mut net = pair(seed, PortChoice::Sequential(1));
        for host in 0..2 {
            net.revive(host, true);
        }
        net.run_until(5 * SECOND, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
        net.run_for(2 * SECOND);
        let beacons = net.rendezvous.as_ref().unwrap().beacons.clone();
        let lossy = Link { loss: 60, ..net.link };
        for host in 0..2 {
            let outer = net.outer_address(host);
            for beacon in &beacons {
                net.links.extend([((outer, beacon.ip()), lossy), ((beacon.ip(), outer), lossy)]);
            }
        }
        let peer = number(&net, 1);
        for _ in 0..3 {
            net.act(0, |endpoint, now| endpoint.ping(now, peer, 5 * SECOND));
            net.run_for(SECOND);
        }
        net.heal();
        assert!(talk(&mut net, 3 * MINUTE), "seed {seed}: {:?}, {:?}", reason(&net, 0), reason(&net, 1));
    }
}

/// A search that failed because nothing passed between the two.
fn failed(seed: u8) -> Net {
    let mut net = pair(seed, PortChoice::Random);
    for (from, to) in [(0, 1), (1, 0)] {
        net.set_link(from, to, Link::down());
    }
    assert!(!talk(&mut net, 30 * SECOND));
    assert!((0..2).any(|host| reason(&net, host) == Some(RelayReason::SprayFailed)));
    net.heal();
    net
}

//= spec/nat.md#pp-nat-22
//= type=test
//# A search opens at most 256 sockets on the symmetric side, sends at most 100 datagrams a second on either side, ends after 12 seconds, is
//# the only one of an endpoint, and rests for an hour toward a peer with which it failed, unless one of the two is seen at another IP
//# address.
#[test]
fn a_search_that_failed_rests_for_an_hour_and_is_told() {
    let mut net = failed(50);
    assert!(!talk(&mut net, 50 * MINUTE), "it rests");
    assert!((0..2).any(|host| reason(&net, host) == Some(RelayReason::SprayFailed)));
    // The next attempt after that is at most an hour away.
    assert!(talk(&mut net, 75 * MINUTE), "{:?}, {:?}", reason(&net, 0), reason(&net, 1));
}

/// One behind a NAT that takes another port for each destination, and two friends of it that let in only whom they know, dialled at once.
fn crowd(seed: u8, spraying: bool) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay: Duration::from_millis(20), ..Link::default() });
    let closed = Filtering::AddressAndPortDependent;
    let symmetric = Rules { ports: PortChoice::Random, ..Rules::new(Mapping::AddressAndPortDependent, closed) };
    for (name, rules) in [("a", symmetric), ("b", Rules::default()), ("c", Rules::default())] {
        let behind = net.add_box(rules, None);
        let ladder = Ladder { spraying, ..Ladder::default() };
        net.add_agent_with(Config { hostname: Some(name.to_owned()), ladder, ..Config::default() }, Some(behind), None);
    }
    net.run_until(5 * SECOND, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0)] {
        let command = TrustCommand::Request { node: number(&net, to), justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(Duration::from_millis(200));
    }
    let node = number(&net, 0);
    net.run_until(3 * SECOND, |net| {
        [1, 2].iter().all(|host| net.saw(*host, &Event::TrustChanged { node, trusted: true }))
    });
    net.run_for(2 * SECOND);
    net
}

/// The most sockets the first host had, the reasons it gave, and whether it got a direct path to each of its friends.
fn ping_both(net: &mut Net, limit: Duration) -> (usize, BTreeSet<RelayReason>, [bool; 2]) {
    let (until, friends) = (net.now + limit, [1, 2].map(|host| number(net, host)));
    let mut reasons = BTreeSet::new();
    let direct = |net: &Net, node| {
        matches!(net.hosts[0].endpoint.peer(node).and_then(|peer| peer.path), Some(PathKind::Direct(_)))
    };
    while net.now < until && !friends.iter().all(|node| direct(net, *node)) {
        for node in friends {
            net.act(0, |endpoint, now| endpoint.ping(now, node, 5 * SECOND));
        }
        for _ in 0..20 {
            net.run_for(Duration::from_millis(100));
            reasons.extend(friends.iter().filter_map(|node| net.hosts[0].endpoint.peer(*node)?.relay_reason));
        }
    }
    (net.hosts[0].most_sockets, reasons, friends.map(|node| direct(net, node)))
}

//= spec/nat.md#pp-nat-22
//= type=test
//# A search opens at most 256 sockets on the symmetric side, sends at most 100 datagrams a second on either side, ends after 12 seconds, is
//# the only one of an endpoint, and rests for an hour toward a peer with which it failed, unless one of the two is seen at another IP
//# address.
#[test]
fn an_endpoint_searches_for_one_peer_after_the_other() {
    for seed in 60..63 {
        let mut net = crowd(seed, true);
        let (sockets, reasons, direct) = ping_both(&mut net, 3 * MINUTE);
        // The first one's socket is kept while the second one is searched for.
        assert!((257..=258).contains(&sockets), "seed {seed}: {sockets}");
        assert_eq!(direct, [true; 2], "seed {seed}: {reasons:?}");
    }
    // Where nothing passes, both searches take all their time: the second one has to wait, and says so.
    let mut net = crowd(63, true);
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0)] {
        net.set_link(from, to, Link::down());
    }
    let (sockets, reasons, direct) = ping_both(&mut net, MINUTE);
    assert_eq!((sockets, direct), (257, [false; 2]), "{reasons:?}");
    assert!(reasons.is_superset(&[RelayReason::SprayingBusy, RelayReason::SprayFailed].into()), "{reasons:?}");
}

#[test]
fn an_endpoint_whose_search_is_switched_off_opens_a_few_sockets_and_says_so() {
    let mut net = crowd(64, false);
    let (sockets, reasons, direct) = ping_both(&mut net, MINUTE);
    assert!(sockets <= 11 && direct == [false; 2], "{sockets}");
    assert!(reasons.contains(&RelayReason::SprayingOff), "{reasons:?}");
}

#[test]
fn a_search_that_failed_is_begun_anew_where_one_side_has_another_address() {
    for moved in 0..2 {
        let mut net = failed(51);
        let new = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));
        net.renumber(net.hosts[moved].behind.unwrap(), new);
        assert!(talk(&mut net, 2 * MINUTE), "host {moved} moved: {:?}, {:?}", reason(&net, 0), reason(&net, 1));
    }
}
