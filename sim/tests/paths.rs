//! Ways in which a path once went wrong: questions without end, data for a stranger, a forged hint believed for ever.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::endpoint::TrustCommand;
use proto_core::wire::{Address, BeaconMessage, SocketAddress};
use proto_core::{Event, NodeId, StreamId, Timestamp};
use sim::{Filtering, Link, Mapping, NatBox, Net, address, node, pattern};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66)), 666);

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

/// Two agents behind symmetric NATs that trust each other and have talked.
fn symmetric_pair(seed: u8, filtering: Filtering) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay: Duration::from_millis(10), ..Link::default() });
    for (index, name) in ["agent-a", "agent-b"].into_iter().enumerate() {
        let external = IpAddr::V4(Ipv4Addr::new(203, 0, 113, u8::try_from(index + 1).unwrap()));
        net.boxes.push(NatBox::new(external, Mapping::AddressAndPortDependent, filtering));
        net.add_agent(name, Some(index));
    }
    net.run_until(5 * SECOND, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
    for (from, to) in [(0, 1), (1, 0)] {
        let command = TrustCommand::Request { node: number(&net, to), justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(Duration::from_millis(200));
    }
    let b = number(&net, 1);
    net.run_until(3 * SECOND, |net| net.saw(0, &Event::TrustChanged { node: b, trusted: true }));
    net.run_for(SECOND);
    net
}

fn stream(net: &mut Net) -> (StreamId, StreamId) {
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let target = SocketAddress::new(Address::backbone(number(net, 1)), 1000);
    let dialled = net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap();
    let mut accepted = None;
    net.run_until(5 * SECOND, |net| {
        accepted = accepted.or_else(|| net.hosts[1].endpoint.accept(1000));
        accepted.is_some() && net.saw(0, &Event::Connected(dialled))
    });
    (dialled, accepted.unwrap().0)
}

/// Datagrams since `start` that are for `to`, and their bytes.
fn sent_to(net: &Net, start: Timestamp, to: IpAddr) -> (usize, usize) {
    let log = net.log.as_ref().expect("switched on");
    let sent = log.iter().filter(|sent| sent.at >= start && sent.to.ip() == to);
    sent.fold((0, 0), |(count, bytes), sent| (count + 1, bytes + sent.bytes.len()))
}

//= spec/nat.md#pp-nat-20
//= type=test
//# Frames from ever new addresses make an idle endpoint ask at no more than six of them.
#[test]
fn two_symmetric_nats_that_let_everybody_in_do_not_ask_each_other_for_ever() {
    let mut net = symmetric_pair(1, Filtering::EndpointIndependent);
    let (a, b) = stream(&mut net);
    let data = pattern(100_000, 1);
    assert!(net.transfer((0, a), (1, b), &data, 30 * SECOND) == data);
    net.run_for(20 * SECOND);
    let before: u64 = net.hosts.iter().map(|host| host.sent).sum();
    net.run_for(60 * SECOND);
    let sent = net.hosts.iter().map(|host| host.sent).sum::<u64>() - before;
    assert!(sent < 60, "{sent} datagrams in an idle minute");
}

//= spec/nat.md#pp-nat-12
//= type=test
//# Only a proven path carries data, except for the first packets to an address we chose ourselves.
#[test]
fn whoever_carries_a_captured_frame_gets_no_data() {
    let mut net = Net::trusting(2, 2, Link::default());
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let (a, _) = net.connect(0, 1, 1000);
    net.run_for(SECOND);
    // The peer's frames reach nobody but the stranger, who tells them as his own once the path counts as dead.
    net.cut.push(address(1));
    net.log = Some(Vec::new());
    let data = pattern(100_000, 3);
    net.act(0, |endpoint, now| endpoint.write(now, a, &data)).unwrap();
    net.run_for(4 * SECOND);
    let own = net.hosts[0].endpoint.address().map_or(node(0), |own| own.node);
    net.act(1, |endpoint, now| endpoint.ping(now, own, 5 * SECOND));
    let captured = net.log.as_ref().unwrap().iter().rev().find(|sent| sent.from == address(1)).unwrap().bytes.clone();
    let (start, given) = (net.now, captured.len());
    net.send(STRANGER, address(0), captured);
    net.run_for(10 * SECOND);
    let (count, bytes) = sent_to(&net, start, STRANGER.ip());
    assert!(count > 0, "the stranger is asked");
    assert!(bytes <= 3 * given, "{bytes} bytes for {given}");
}

//= spec/nat.md#pp-nat-19
//= type=test
//# An address that a punch command or a peer named is sent at most six probes for it, however often it is named within 30 seconds,
//# unless one is answered.
#[test]
fn a_forged_punch_command_is_worth_a_few_probes() {
    let mut net = symmetric_pair(3, Filtering::AddressAndPortDependent);
    let (a, b) = stream(&mut net);
    net.log = Some(Vec::new());
    let start = net.now;
    let (beacon, victim) =
        (net.rendezvous.as_ref().unwrap().beacons[0], net.hosts[0].endpoint.status().endpoint.unwrap());
    net.send(beacon, victim, BeaconMessage::PunchCommand(STRANGER).to_vec().unwrap());
    for round in 0..60 {
        let data = pattern(1000, round);
        assert!(net.transfer_part((0, a), (1, b), &data, 30 * SECOND) == data);
        net.run_for(5 * SECOND);
    }
    let (count, bytes) = sent_to(&net, start, STRANGER.ip());
    assert!(count >= 3, "it was obeyed");
    assert!(count <= 3 + 6 && bytes <= 1000, "{count} datagrams, {bytes} bytes for one forged command");
}
