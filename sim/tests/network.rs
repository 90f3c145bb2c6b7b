//! Agents that find each other through a rendezvous, on the open network and behind NAT boxes.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::endpoint::{DialError, Outcome, PathKind, TrustCommand};
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Event, NodeId};
use sim::{Filtering, Link, Mapping, NatBox, Net, pattern};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

fn registered(net: &Net, host: usize) -> bool {
    net.hosts[host].endpoint.status().registered
}

/// Two agents, each behind its own box or none, registered and trusting each other.
fn pair(seed: u8, boxes: [Option<Mapping>; 2]) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay: Duration::from_millis(10), ..Link::default() });
    for (index, mapping) in boxes.into_iter().enumerate() {
        let behind = mapping.map(|mapping| {
            let external = IpAddr::V4(Ipv4Addr::new(203, 0, 113, u8::try_from(index + 1).unwrap()));
            net.boxes.push(NatBox::new(external, mapping, Filtering::AddressAndPortDependent));
            net.boxes.len() - 1
        });
        net.add_agent(["agent-a", "agent-b"][index], behind);
    }
    net.run_until(5 * SECOND, |net| registered(net, 0) && registered(net, 1));
    net
}

fn trust_each_other(net: &mut Net) {
    for (from, to) in [(0, 1), (1, 0)] {
        let node = number(net, to);
        let command = TrustCommand::Request { node, justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(Duration::from_millis(200));
    }
    let (a, b) = (number(net, 0), number(net, 1));
    net.run_until(3 * SECOND, |net| {
        net.saw(0, &Event::TrustChanged { node: b, trusted: true })
            && net.saw(1, &Event::TrustChanged { node: a, trusted: true })
    });
}

fn talk(net: &mut Net) {
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let target = SocketAddress::new(Address::backbone(number(net, 1)), 1000);
    let dialled = net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Connected(dialled)));
    let mut accepted = None;
    net.run_until(SECOND, |net| {
        accepted = net.hosts[1].endpoint.accept(1000);
        accepted.is_some()
    });
    let data = pattern(400_000, 5);
    assert!(net.transfer((0, dialled), (1, accepted.unwrap().0), &data, 30 * SECOND) == data);
}

fn path(net: &Net, host: usize, peer: usize) -> Option<PathKind> {
    net.hosts[host].endpoint.peer(number(net, peer)).and_then(|peer| peer.path)
}

#[test]
fn agents_on_the_open_network_talk_directly() {
    let mut net = pair(1, [None, None]);
    trust_each_other(&mut net);
    talk(&mut net);
    assert_eq!(path(&net, 0, 1), Some(PathKind::Direct(net.hosts[1].address)));
    assert_eq!(net.hosts[0].endpoint.hostname(), Some("agent-a"));
}

#[test]
fn two_cone_nats_are_punched() {
    let cone = Some(Mapping::EndpointIndependent);
    let mut net = pair(2, [cone, cone]);
    trust_each_other(&mut net);
    talk(&mut net);
    net.run_for(3 * SECOND);
    assert!(matches!(path(&net, 0, 1), Some(PathKind::Direct(_))), "{:?}", net.hosts[0].endpoint.peers());
    assert!(net.hosts[0].endpoint.status().nat.contains("endpoint-independent"));
}

#[test]
fn two_symmetric_nats_are_relayed() {
    let symmetric = Some(Mapping::AddressAndPortDependent);
    let mut net = pair(3, [symmetric, symmetric]);
    trust_each_other(&mut net);
    talk(&mut net);
    net.run_for(10 * SECOND);
    assert_eq!(path(&net, 0, 1), Some(PathKind::Relay));
    let peer = net.hosts[0].endpoint.peer(number(&net, 1)).unwrap();
    assert!(peer.relay_reason.is_some() && peer.ours);
    let totals = net.hosts[0].endpoint.status().totals;
    let all = totals.bytes_sent + totals.bytes_received;
    assert!(totals.bytes_relayed > all / 2 && totals.bytes_relayed < all, "{totals:?}");
    assert!(net.hosts[0].endpoint.status().nat.contains("symmetric"));
}

#[test]
fn strangers_and_unknown_nodes_look_the_same() {
    let mut net = pair(4, [None, None]);
    net.log = Some(Vec::new());
    let stranger = SocketAddress::new(Address::backbone(number(&net, 1)), 7);
    let nobody = SocketAddress::new(Address::backbone(NodeId(4711)), 7);
    for target in [stranger, nobody] {
        let stream = net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap();
        net.run_until(5 * SECOND, |net| net.saw(0, &Event::DialFailed(stream, DialError::UnknownOrUntrusted)));
    }
    let (asker, asked) = (net.hosts[0].address, net.hosts[1].address);
    let answered = net.log.unwrap().iter().filter(|sent| sent.from == asked && sent.to == asker).count();
    assert_eq!(answered, 0, "a private node spoke to a stranger");
}

#[test]
fn revoked_trust_ends_streams_and_answers() {
    let mut net = pair(5, [None, None]);
    trust_each_other(&mut net);
    talk(&mut net);
    let (a, b) = (number(&net, 0), number(&net, 1));
    let revoke = net.act(0, |endpoint, now| endpoint.trust(now, TrustCommand::Revoke(b)));
    assert!(net.saw(0, &Event::Completed(revoke, Outcome::Trust("revoked"))));
    net.run_until(5 * SECOND, |net| net.saw(1, &Event::TrustChanged { node: a, trusted: false }));
    let target = SocketAddress::new(Address::backbone(a), 7);
    let stream = net.act(1, |endpoint, now| endpoint.dial(now, target)).unwrap();
    net.run_until(5 * SECOND, |net| {
        net.hosts[1].events.iter().any(|event| matches!(event, Event::DialFailed(id, _) if *id == stream))
    });
}

#[test]
fn a_rendezvous_that_dies_disturbs_nobody_and_forgets_nothing() {
    let mut net = pair(6, [None, None]);
    trust_each_other(&mut net);
    talk(&mut net);
    let numbers = [number(&net, 0), number(&net, 1)];
    net.stop_rendezvous();
    net.run_for(SECOND);
    assert!(!registered(&net, 0));
    let ping = net.act(0, |endpoint, now| endpoint.ping(now, numbers[1], SECOND));
    net.run_until(SECOND, |net| {
        net.hosts[0]
            .events
            .iter()
            .any(|event| matches!(event, Event::Completed(id, Outcome::Pong { .. }) if *id == ping))
    });
    net.run_for(20 * SECOND);
    net.start_rendezvous();
    net.run_until(5 * SECOND, |net| registered(net, 0) && registered(net, 1));
    assert_eq!([number(&net, 0), number(&net, 1)], numbers);
}

/// The hello follows the key exchange so closely that jitter turns them round, and whoever got none must not refuse the other for ever.
#[test]
fn both_sides_know_each_other_as_ours_although_jitter_lost_the_first_hello() {
    for seed in 20..40 {
        let mut net = pair(seed, [Some(Mapping::AddressAndPortDependent), Some(Mapping::EndpointIndependent)]);
        net.link.jitter = Duration::from_millis(2);
        trust_each_other(&mut net);
        for host in [0, 1] {
            net.revive(host, true);
        }
        net.run_until(5 * SECOND, |net| registered(net, 0) && registered(net, 1));
        net.run_for(5 * SECOND);
        talk(&mut net);
        net.run_for(3 * SECOND);
        let ours = [(0, 1), (1, 0)].map(|(host, peer)| net.hosts[host].endpoint.peer(number(&net, peer)).unwrap().ours);
        assert_eq!(ours, [true, true], "seed {seed}");
    }
}
