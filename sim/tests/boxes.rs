//! What NAT boxes do, axis by axis (RFC 4787), in the network and alone.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::{SocketId, Timestamp};
use sim::{Filtering, Link, Mapping, NatBox, Net, PortChoice, Rules};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn inside(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], port))
}

fn remote(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn nat(rules: Rules) -> NatBox {
    NatBox::with_rules(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), rules)
}

fn port(nat: &mut NatBox, seconds: u64, from: SocketAddr, to: SocketAddr) -> u16 {
    nat.outbound(at(seconds), from, to).expect("it passes").port()
}

#[test]
fn mappings_depend_on_what_their_kind_says() {
    let ports = |mapping| {
        let mut nat = nat(Rules::new(mapping, Filtering::AddressAndPortDependent));
        let first = port(&mut nat, 1, inside(1, 4000), remote(1, 1));
        let same = port(&mut nat, 1, inside(1, 4000), remote(1, 1));
        let other_port = port(&mut nat, 1, inside(1, 4000), remote(1, 2));
        let other_host = port(&mut nat, 1, inside(1, 4000), remote(2, 1));
        assert_eq!(first, same, "{mapping:?}");
        (first == other_port, first == other_host)
    };
    assert_eq!(ports(Mapping::EndpointIndependent), (true, true));
    assert_eq!(ports(Mapping::AddressDependent), (true, false));
    assert_eq!(ports(Mapping::AddressAndPortDependent), (false, false));
}

#[test]
fn filters_let_in_whom_their_kind_says() {
    let passes = |filtering| {
        let mut nat = nat(Rules::new(Mapping::EndpointIndependent, filtering));
        let open = port(&mut nat, 1, inside(1, 4000), remote(1, 1));
        [remote(1, 1), remote(1, 2), remote(2, 1)].map(|from| nat.inbound(at(1), open, from).is_some())
    };
    assert_eq!(passes(Filtering::EndpointIndependent), [true, true, true]);
    assert_eq!(passes(Filtering::AddressDependent), [true, true, false]);
    assert_eq!(passes(Filtering::AddressAndPortDependent), [true, false, false]);
}

#[test]
fn ports_follow_their_rule() {
    let take = |ports, count: u8| -> Vec<u16> {
        let rules = Rules { ports, ..Rules::new(Mapping::AddressAndPortDependent, Filtering::EndpointIndependent) };
        let mut nat = nat(rules);
        (0..count).map(|host| port(&mut nat, 1, inside(1, 4000), remote(host, 9))).collect()
    };
    assert_eq!(take(PortChoice::Preserve, 3), [4000, 4001, 4002]);
    let sequential = take(PortChoice::Sequential(2), 4);
    assert!(sequential.windows(2).all(|pair| pair[1] == pair[0] + 2), "{sequential:?}");
    let random = take(PortChoice::Random, 40);
    assert!(random.windows(2).any(|pair| pair[0].abs_diff(pair[1]) > 5_000), "{random:?}");
    let block = take(PortChoice::Block(64), 64);
    let distinct: BTreeSet<u16> = block.iter().copied().collect();
    assert_eq!((distinct.len(), distinct.last().unwrap() - distinct.first().unwrap()), (64, 63));
    assert!(block.windows(2).any(|pair| pair[1] != pair[0] + 1), "in no order");
}

#[test]
fn a_full_block_gives_no_port_and_hosts_have_blocks_of_their_own() {
    let rules = Rules {
        ports: PortChoice::Block(4),
        ..Rules::new(Mapping::AddressAndPortDependent, Filtering::AddressDependent)
    };
    let mut nat = nat(rules);
    let first: Vec<u16> = (0..4).map(|host| port(&mut nat, 1, inside(1, 4000), remote(host, 9))).collect();
    assert_eq!(nat.outbound(at(1), inside(1, 4000), remote(9, 9)), None);
    let other = port(&mut nat, 1, inside(2, 4000), remote(9, 9));
    assert!(first.iter().all(|port| *port / 4 != other / 4), "{first:?} {other}");
}

#[test]
fn mappings_end_when_idle_and_only_use_keeps_them() {
    let rules = Rules { idle: 30 * SECOND, ..Rules::default() };
    let mut nat = nat(rules);
    let open = port(&mut nat, 1, inside(1, 4000), remote(1, 1));
    assert!(nat.inbound(at(30), open, remote(1, 1)).is_some(), "what came in 29 s after is let in, and refreshes");
    assert!(nat.inbound(at(59), open, remote(1, 1)).is_some());
    assert!(nat.inbound(at(89), open, remote(1, 1)).is_none());
    assert_ne!(port(&mut nat, 90, inside(1, 4000), remote(1, 1)), open, "another mapping");

    nat.rules.inbound_refreshes = false;
    let open = port(&mut nat, 100, inside(1, 4000), remote(1, 1));
    assert!(nat.inbound(at(129), open, remote(1, 1)).is_some());
    assert!(nat.inbound(at(131), open, remote(1, 1)).is_none(), "only what goes out refreshes");
}

#[test]
fn the_pass_of_one_remote_address_ends_while_the_mapping_lives() {
    let mut nat = nat(Rules { idle: 30 * SECOND, ..Rules::default() });
    let open = port(&mut nat, 1, inside(1, 4000), remote(1, 1));
    for seconds in [20, 40] {
        assert_eq!(port(&mut nat, seconds, inside(1, 4000), remote(2, 2)), open);
    }
    assert!(nat.inbound(at(41), open, remote(1, 1)).is_none());
    assert!(nat.inbound(at(41), open, remote(2, 2)).is_some());
}

#[test]
fn a_lifetime_ends_mappings_that_are_used() {
    let mut nat = nat(Rules { lifetime: Some(60 * SECOND), ..Rules::default() });
    let first = port(&mut nat, 1, inside(1, 4000), remote(1, 1));
    assert_eq!(port(&mut nat, 60, inside(1, 4000), remote(1, 1)), first);
    assert_ne!(port(&mut nat, 61, inside(1, 4000), remote(1, 1)), first);
}

#[test]
fn a_full_table_drops_new_flows_and_keeps_old_ones() {
    let mut nat = nat(Rules { flows: 3, idle: 30 * SECOND, ..Rules::default() });
    for host in 1..=3 {
        port(&mut nat, 1, inside(1, 4000), remote(host, 1));
    }
    assert_eq!(nat.outbound(at(2), inside(1, 4000), remote(4, 1)), None);
    assert_eq!(nat.outbound(at(2), inside(1, 4001), remote(1, 1)), None);
    port(&mut nat, 2, inside(1, 4000), remote(2, 1));
    assert!(nat.outbound(at(31), inside(1, 4000), remote(4, 1)).is_some(), "old ones made room");
}

#[test]
fn a_reboot_forgets_everything() {
    let mut nat = nat(Rules { maps_ports: true, ..Rules::default() });
    let open = port(&mut nat, 1, inside(1, 4000), remote(1, 1));
    let mapped = nat.map_port(5000, inside(2, 5000)).unwrap().port();
    assert_eq!(nat.mapping_count(at(1)), 1);
    nat.reboot();
    assert_eq!(nat.mapping_count(at(1)), 0);
    assert!(nat.inbound(at(1), open, remote(1, 1)).is_none() && nat.inbound(at(1), mapped, remote(1, 1)).is_none());
}

#[test]
fn a_forwarded_port_is_open_to_all_and_answers_leave_from_it() {
    let symmetric = Rules::new(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent);
    let mut refusing = nat(symmetric);
    assert_eq!(refusing.map_port(4000, inside(1, 4000)), None);
    let mut nat = nat(Rules { maps_ports: true, ..symmetric });
    let mapped = nat.map_port(4000, inside(1, 4000)).unwrap();
    assert_eq!(nat.map_port(4000, inside(2, 4000)).unwrap().port(), 4001, "taken");
    assert_ne!(nat.outbound(at(1), inside(1, 4000), remote(1, 1)).unwrap(), mapped);
    assert_eq!(nat.inbound(at(1), 4000, remote(2, 2)), Some(inside(1, 4000)));
    assert_eq!(nat.outbound(at(1), inside(1, 4000), remote(2, 2)), Some(mapped));
    nat.unmap_port(inside(1, 4000));
    assert_eq!(nat.inbound(at(1), 4000, remote(2, 2)), None);
}

/// How many datagrams a host's endpoint was given.
fn heard(net: &Net, host: usize) -> u64 {
    net.hosts[host].endpoint.status().totals.packets_received
}

/// Sends a datagram nobody understands and tells whether it arrived.
fn arrives(net: &mut Net, from: usize, via: u16, to: usize, address: SocketAddr) -> bool {
    net.run_for(SECOND);
    let before = heard(net, to);
    net.emit(from, SocketId(via), address, vec![0; 40]);
    net.run_for(Duration::from_millis(50));
    heard(net, to) > before
}

/// Hosts that say nothing by themselves.
fn quiet(places: &[Option<usize>], boxes: &[(Rules, Option<usize>)]) -> Net {
    let mut net = Net::new(1, Link::default(), Vec::new());
    for (rules, behind) in boxes {
        net.add_box(*rules, *behind);
    }
    for place in places {
        net.add_agent("x", *place);
    }
    net
}

fn external(net: &Net, nat: usize, port: u16) -> SocketAddr {
    SocketAddr::new(net.boxes[nat].external, port)
}

#[test]
fn hosts_behind_one_box_reach_each_other_directly_and_others_do_not_reach_them() {
    let mut net = quiet(&[Some(0), Some(0), None], &[(Rules::default(), None)]);
    let (a, b) = (net.hosts[0].address, net.hosts[1].address);
    assert!(arrives(&mut net, 0, 0, 1, b) && arrives(&mut net, 1, 0, 0, a));
    assert!(!arrives(&mut net, 2, 0, 0, a), "a private address from outside");
    assert_eq!(net.boxes[0].mapping_count(net.now), 0, "the box had nothing to do with it");
}

#[test]
fn a_box_turns_datagrams_back_inside_only_if_it_does_hairpin() {
    for hairpin in [true, false] {
        let rules = Rules {
            hairpin,
            filtering: Filtering::EndpointIndependent,
            ports: PortChoice::Preserve,
            ..Rules::default()
        };
        let mut net = quiet(&[Some(0), Some(0), None], &[(rules, None)]);
        let open = net.hosts[2].address;
        net.emit(1, SocketId(0), open, vec![0; 40]);
        let seen = external(&net, 0, 4000);
        assert!(arrives(&mut net, 2, 0, 1, seen), "from outside");
        assert_eq!(arrives(&mut net, 0, 0, 1, seen), hairpin);
    }
}

#[test]
fn boxes_behind_boxes_map_twice_and_a_shared_address_serves_many() {
    let cone = |ports| Rules { ports, ..Rules::default() };
    let boxes = [
        (cone(PortChoice::Sequential(1)), None),
        (cone(PortChoice::Preserve), Some(0)),
        (cone(PortChoice::Preserve), Some(0)),
    ];
    let mut net = quiet(&[Some(1), Some(2), None], &boxes);
    net.log = Some(Vec::new());
    let open = net.hosts[2].address;
    assert!(arrives(&mut net, 0, 0, 2, open) && arrives(&mut net, 1, 0, 2, open));
    let log = net.log.take().unwrap();
    let sources: Vec<SocketAddr> = log.iter().filter(|sent| sent.to == open).map(|sent| sent.from).collect();
    assert!(sources.iter().all(|source| source.ip() == net.boxes[0].external), "{sources:?}");
    assert_eq!(sources[1].port(), sources[0].port() + 1, "one address, a port each");
    assert!(
        arrives(&mut net, 2, 0, 0, sources[0]) && arrives(&mut net, 2, 0, 1, sources[1]),
        "back through both boxes"
    );
    net.boxes[1].reboot();
    assert!(!arrives(&mut net, 2, 0, 0, sources[0]), "the inner box forgot");
}

#[test]
fn a_box_that_blocks_udp_lets_the_registry_through_and_no_datagram() {
    let mut net = quiet(&[Some(0), None], &[(Rules { blocks_udp: true, ..Rules::default() }, None)]);
    let open = net.hosts[1].address;
    assert!(!arrives(&mut net, 0, 0, 1, open));
    let mut net = Net::with_rendezvous(2, Link::default());
    let nat = net.add_box(Rules { blocks_udp: true, ..Rules::default() }, None);
    net.add_agent("blocked", Some(nat));
    net.run_until(10 * SECOND, |net| net.hosts[0].endpoint.status().registered);
    assert_eq!(net.hosts[0].endpoint.status().endpoint, None);
}

#[test]
fn each_socket_of_a_host_has_a_port_and_a_mapping_of_its_own() {
    let mut net = quiet(&[Some(0), None], &[(Rules::default(), None)]);
    let open = net.hosts[1].address;
    let more = net.open_sockets(0, 3);
    assert_eq!(more, [1, 2, 3].map(SocketId));
    for via in 0..=3 {
        assert!(arrives(&mut net, 0, via, 1, open));
    }
    assert_eq!(net.boxes[0].mapping_count(net.now), 4);
}

#[test]
fn ipv6_needs_no_box_and_a_firewall_lets_in_answers_only() {
    let mut net = Net::new(1, Link::default(), Vec::new());
    net.add_box(Rules::default(), None);
    net.add_agent_with(proto_core::Config::default(), Some(0), Some(true));
    net.add_agent_with(proto_core::Config::default(), None, Some(false));
    net.add_agent("old", None);
    let [walled, open] = [0, 1].map(|host: usize| SocketAddr::new(net.hosts[host].ipv6.unwrap().into(), 4000));
    assert!(!arrives(&mut net, 1, 0, 0, walled), "not asked for");
    assert!(arrives(&mut net, 0, 0, 1, open));
    assert!(arrives(&mut net, 1, 0, 0, walled), "an answer");
    net.run_for(121 * SECOND);
    assert!(!arrives(&mut net, 1, 0, 0, walled), "too late");
    assert!(!arrives(&mut net, 2, 0, 1, open), "without IPv6");
}
