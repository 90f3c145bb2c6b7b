//! How far two agents get toward a direct path, cell by cell: what stands before each of them, and what that allows.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "what fails here is a failed test")]

use proto_core::endpoint::{Ladder, PathKind, RelayReason, TrustCommand};
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Event, NodeId, StreamId};
use sim::{Filtering, Link, Mapping, Net, PortChoice, Rules, pattern};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn cone(filtering: Filtering) -> Option<Rules> {
    Some(Rules::new(Mapping::EndpointIndependent, filtering))
}

fn port_restricted() -> Option<Rules> {
    cone(Filtering::AddressAndPortDependent)
}

fn symmetric(ports: PortChoice) -> Option<Rules> {
    let rules = Rules::new(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent);
    Some(Rules { ports, ..rules })
}

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

fn path(net: &Net, host: usize) -> Option<PathKind> {
    net.hosts[host].endpoint.peer(number(net, 1 - host)).and_then(|peer| peer.path)
}

fn is_direct(net: &Net) -> bool {
    (0..2).all(|host| matches!(path(net, host), Some(PathKind::Direct(_))))
}

fn reason(net: &Net, host: usize) -> Option<RelayReason> {
    net.hosts[host].endpoint.peer(number(net, 1 - host)).and_then(|peer| peer.relay_reason)
}

/// Two agents with these boxes before them that trust each other, not connected yet; `ipv6` as for [`Net::add_agent_with`].
fn pair(seed: u8, boxes: [Option<Rules>; 2], ladder: Ladder, ipv6: Option<bool>) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay: Duration::from_millis(20), ..Link::default() });
    let behind = boxes.map(|rules| rules.map(|rules| net.add_box(rules, None)));
    agents(&mut net, behind, ladder, ipv6);
    net
}

fn agents(net: &mut Net, behind: [Option<usize>; 2], ladder: Ladder, ipv6: Option<bool>) {
    for (behind, name) in behind.into_iter().zip(["agent-a", "agent-b"]) {
        let config = Config { hostname: Some(name.to_owned()), ladder, ..Config::default() };
        net.add_agent_with(config, behind, ipv6);
    }
    net.run_until(5 * SECOND, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
    for (from, to) in [(0, 1), (1, 0)] {
        let command = TrustCommand::Request { node: number(net, to), justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(Duration::from_millis(200));
    }
    let numbers = [number(net, 0), number(net, 1)];
    net.run_until(3 * SECOND, |net| {
        (0..2).all(|host| net.saw(host, &Event::TrustChanged { node: numbers[1 - host], trusted: true }))
    });
    net.run_for(2 * SECOND);
}

fn stream(net: &mut Net) -> (StreamId, StreamId) {
    // The second stream of a test finds the port listened on.
    let _ = net.act(1, |endpoint, _| endpoint.listen(1000));
    let target = SocketAddress::new(Address::backbone(number(net, 1)), 1000);
    let dialled = net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap();
    let mut accepted = None;
    net.run_until(5 * SECOND, |net| {
        accepted = accepted.or_else(|| net.hosts[1].endpoint.accept(1000));
        accepted.is_some() && net.saw(0, &Event::Connected(dialled))
    });
    (dialled, accepted.unwrap().0)
}

/// Talks until the path is direct, at most `limit`; no byte is lost on the way. How long it took.
fn time_to_direct(net: &mut Net, limit: Duration) -> Option<Duration> {
    let began = net.now;
    let (a, b) = stream(net);
    let mut round = 0;
    while net.now.saturating_since(began) < limit {
        if is_direct(net) {
            let taken = net.now.saturating_since(began);
            // And it carries data, both ways.
            for (from, to) in [((0, a), (1, b)), ((1, b), (0, a))] {
                let data = pattern(50_000, 7);
                assert!(net.transfer_part(from, to, &data, 10 * SECOND) == data);
            }
            assert!(is_direct(net));
            return Some(taken);
        }
        let data = pattern(2000, round);
        assert!(net.transfer_part((0, a), (1, b), &data, 10 * SECOND) == data, "lost a byte");
        net.run_for(Duration::from_millis(50));
        round = round.wrapping_add(1);
    }
    None
}

fn most_sockets(net: &Net) -> usize {
    net.hosts.iter().map(|host| host.most_sockets).max().unwrap()
}

//= spec/nat.md#pp-nat-21
//= type=test
//# Two peers of ours tell each other their addresses inside the tunnel and try them at the same time, the side that was asked after half
//# the round-trip time through the relay, for up to 2 seconds.
#[test]
fn whatever_punching_reaches_is_direct_within_three_seconds_and_opens_no_socket() {
    let open = || None;
    let full_cone = || cone(Filtering::EndpointIndependent);
    let random = || symmetric(PortChoice::Random);
    let cells: [(&str, [Option<Rules>; 2]); 7] = [
        ("public x public", [open(), open()]),
        ("public x port-restricted", [open(), port_restricted()]),
        ("public x symmetric", [open(), random()]),
        ("full cone x full cone", [full_cone(), full_cone()]),
        ("full cone x symmetric", [full_cone(), random()]),
        ("restricted x symmetric", [cone(Filtering::AddressDependent), random()]),
        ("port-restricted x port-restricted", [port_restricted(), port_restricted()]),
    ];
    for (name, [one, other]) in cells {
        for (seed, boxes) in [(1, [one, other]), (2, [other, one])] {
            let mut net = pair(seed, boxes, Ladder::default(), None);
            let taken = time_to_direct(&mut net, 10 * SECOND).unwrap_or_else(|| panic!("{name}: not direct"));
            assert!(taken < 3 * SECOND, "{name}: {taken:?}");
            assert_eq!(most_sockets(&net), 1, "{name}");
        }
    }
}

//= spec/strategy.md#pp-dial-11
//= type=test
//# Keys are exchanged with a peer of ours through the relay while the registry is asked where it is.
#[test]
fn a_dial_to_a_known_peer_of_ours_does_not_wait_with_the_relay_until_it_knows_where_that_is() {
    let mut net = pair(13, [symmetric(PortChoice::Random), symmetric(PortChoice::Random)], Ladder::default(), None);
    for host in 0..2 {
        net.revive(host, true);
    }
    net.run_until(5 * SECOND, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
    net.run_for(3 * SECOND);
    let _ = net.act(1, |endpoint, _| endpoint.listen(1000));
    let (began, target) = (net.now, SocketAddress::new(Address::backbone(number(&net, 1)), 1000));
    let dialled = net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap();
    net.run_until(SECOND, |net| net.saw(0, &Event::Connected(dialled)));
    // 20 ms to the rendezvous: one question to the registry, keys there and back through the relay, and the handshake of the stream.
    let taken = net.now.saturating_since(began);
    assert!(taken < Duration::from_millis(40 + 80 + 80 + 10), "{taken:?}");
}

#[test]
fn ports_that_follow_a_rule_are_predicted() {
    let choices = [PortChoice::Sequential(1), PortChoice::Sequential(2), PortChoice::Block(512)];
    for ports in choices {
        for (seed, boxes) in [(3, [symmetric(ports), port_restricted()]), (4, [port_restricted(), symmetric(ports)])] {
            let mut net = pair(seed, boxes, Ladder { spraying: false, ..Ladder::default() }, None);
            let taken = time_to_direct(&mut net, 20 * SECOND).unwrap_or_else(|| panic!("{ports:?}: not direct"));
            assert!(taken < 6 * SECOND, "{ports:?}: {taken:?}");
            assert!(most_sockets(&net) <= 11, "{}", most_sockets(&net));
        }
    }
}

//= spec/nat.md#pp-nat-18
//= type=test
//# A symmetric NAT's next port is predicted from its steps.
#[test]
fn without_prediction_and_spraying_a_symmetric_side_is_relayed_and_says_why() {
    let boxes = [symmetric(PortChoice::Sequential(1)), port_restricted()];
    let ladder = Ladder { spraying: false, prediction: false, ..Ladder::default() };
    let mut net = pair(5, boxes, ladder, None);
    assert_eq!(time_to_direct(&mut net, 20 * SECOND), None);
    assert_eq!([reason(&net, 0), reason(&net, 1)], [Some(RelayReason::SprayingOff); 2]);
    assert_eq!(most_sockets(&net), 1);
}

//= spec/nat.md#pp-nat-22
//= type=test
//# A search opens at most 256 sockets on the symmetric side, sends at most 100 datagrams a second on either side, ends after 12 seconds, is
//# the only one of an endpoint, and rests for an hour toward a peer with which it failed, unless one of the two is seen at another IP
//# address.
#[test]
fn random_ports_of_one_side_are_found_by_spraying() {
    let mut found = 0;
    for seed in 10..20 {
        let boxes = [symmetric(PortChoice::Random), port_restricted()];
        let boxes = if seed % 2 == 0 { boxes } else { [boxes[1], boxes[0]] };
        let mut net = pair(seed, boxes, Ladder::default(), None);
        if let Some(taken) = time_to_direct(&mut net, 30 * SECOND) {
            assert!(taken < 16 * SECOND, "seed {seed}: {taken:?}");
            found += 1;
            net.run_for(SECOND);
            let open: usize = net.hosts.iter().map(|host| host.sockets.len()).sum();
            assert_eq!(open, 3, "the first sockets and the one in use");
        }
        assert!(most_sockets(&net) <= 257);
    }
    assert!(found >= 9, "{found} of 10");
}

#[test]
fn two_symmetric_sides_are_relayed_and_say_so() {
    let mut net = pair(6, [symmetric(PortChoice::Random), symmetric(PortChoice::Random)], Ladder::default(), None);
    assert_eq!(time_to_direct(&mut net, 20 * SECOND), None);
    assert_eq!([reason(&net, 0), reason(&net, 1)], [Some(RelayReason::BothSymmetric); 2]);
    assert_eq!(most_sockets(&net), 1, "nothing is wasted on it");
}

//= spec/strategy.md#pp-dial-10
//= type=test
//# A relayed peer of ours is tried directly again when the network changes, and 1 minute after the first attempts, doubling up to 1 hour,
//# while there is traffic.
#[test]
fn a_relayed_peer_is_tried_again_as_soon_as_either_side_is_in_another_network() {
    for moved in 0..2 {
        let random = symmetric(PortChoice::Random);
        let mut net = pair(14, [random, random], Ladder::default(), None);
        // Long enough that the next attempt by itself is minutes away.
        assert_eq!(time_to_direct(&mut net, 150 * SECOND), None);
        net.move_host(moved, std::net::IpAddr::from([192, 0, 2, 99]), None);
        let (began, peer) = (net.now, number(&net, 1));
        while !is_direct(&net) && net.now.saturating_since(began) < 20 * SECOND {
            net.act(0, |endpoint, now| endpoint.ping(now, peer, 5 * SECOND));
            net.reaches(SECOND, |net| is_direct(net));
        }
        assert!(is_direct(&net), "host {moved} moved: {:?}, {:?}", path(&net, 0), path(&net, 1));
    }
}

#[test]
fn ipv6_leads_past_symmetric_nats_and_through_firewalls() {
    for firewall in [false, true] {
        let boxes = [symmetric(PortChoice::Random), symmetric(PortChoice::Random)];
        let mut net = pair(7, boxes, Ladder::default(), Some(firewall));
        let taken = time_to_direct(&mut net, 10 * SECOND).expect("direct");
        assert!(taken < 3 * SECOND, "firewall {firewall}: {taken:?}");
        assert!(matches!(path(&net, 0), Some(PathKind::Direct(to)) if to.is_ipv6()));
    }
}

#[test]
fn neighbours_behind_one_box_meet_inside_or_by_hairpin() {
    for hairpin in [true, false] {
        let mut net = Net::with_rendezvous(8, Link { delay: Duration::from_millis(20), ..Link::default() });
        let rules = Rules { hairpin, ..port_restricted().unwrap() };
        let home = net.add_box(rules, None);
        agents(&mut net, [Some(home), Some(home)], Ladder::default(), None);
        let taken = time_to_direct(&mut net, 10 * SECOND).expect("direct");
        assert!(taken < 3 * SECOND, "hairpin {hairpin}: {taken:?}");
    }
    // Behind different boxes in one carrier's network only the carrier's hairpin helps.
    let mut net = Net::with_rendezvous(9, Link { delay: Duration::from_millis(20), ..Link::default() });
    let carrier = net.add_box(Rules { hairpin: true, ..port_restricted().unwrap() }, None);
    let homes = [0, 1].map(|_| net.add_box(port_restricted().unwrap(), Some(carrier)));
    agents(&mut net, homes.map(Some), Ladder::default(), None);
    assert!(time_to_direct(&mut net, 10 * SECOND).is_some());
}

//= spec/nat.md#pp-nat-14
//= type=test
//# A direct path on which for 2.8 seconds nothing shows that what we send arrives is left, whatever comes from there.
#[test]
fn a_path_that_is_dead_in_one_direction_is_left_within_three_seconds_and_loses_nothing() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut net = pair(11, [port_restricted(), port_restricted()], Ladder::default(), None);
        assert!(time_to_direct(&mut net, 10 * SECOND).is_some());
        let (a, b) = stream(&mut net);
        net.set_link(from, to, Link::down());
        let cut = net.now;
        let data = pattern(300_000, 9);
        assert!(net.transfer_part((0, a), (1, b), &data, 10 * SECOND) == data);
        let taken = net.now.saturating_since(cut);
        assert_eq!(path(&net, 0), Some(PathKind::Relay), "dead from {from} to {to}");
        assert!(taken < 5 * SECOND, "dead from {from} to {to}: {taken:?}");
        net.heal();
        let data = pattern(300_000, 10);
        assert!(net.transfer_part((1, b), (0, a), &data, 10 * SECOND) == data);
        net.run_for(10 * SECOND);
        assert!(is_direct(&net), "taken back");
    }
}

//= spec/keepalive.md#pp-ka-6
//= type=test
//# A direct path without a send for 15 seconds, or for half the time that the NAT was seen to keep an unused mapping, gets a packet that
//# keeps it, while the peer was used within 2 minutes.
#[test]
fn the_memory_of_a_nat_is_measured_by_one_socket_and_keepalives_follow() {
    let gaps = |idle: u64| {
        let rules = Rules { idle: Duration::from_secs(idle), ..port_restricted().unwrap() };
        let mut net = pair(12, [Some(rules), port_restricted()], Ladder::default(), None);
        assert!(time_to_direct(&mut net, 10 * SECOND).is_some());
        net.run_for(400 * SECOND);
        assert_eq!(most_sockets(&net), 2);
        assert_eq!(net.hosts.iter().map(|host| host.sockets.len()).sum::<usize>(), 2, "closed again");
        let (a, b) = stream(&mut net);
        assert!(net.transfer_part((0, a), (1, b), b"used again", 10 * SECOND) == b"used again");
        net.log = Some(Vec::new());
        net.run_for(100 * SECOND);
        let outer = net.hosts[0].endpoint.status().endpoint.unwrap().ip();
        let other = net.hosts[1].endpoint.status().endpoint.unwrap().ip();
        assert!(is_direct(&net));
        let log = net.log.take().unwrap();
        log.iter().filter(|sent| sent.from.ip() == outer && sent.to.ip() == other).count()
    };
    let (short, long) = (gaps(25), gaps(300));
    assert!(short > long, "{short} datagrams behind a short memory, {long} behind a long one");
}
