//! What happens while the rendezvous is away is made good when it is back, whatever it forgot.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

mod alone;

use alone::{Alone, is, registers};
use proto_core::endpoint::{PathKind, TrustCommand};
use proto_core::registry::Handshakes;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Event, NodeId, StreamId};
use rendezvous_core::Directory;
use rendezvous_core::limits::MAX_INBOX_RESPONSES;
use sim::{Filtering, Link, Mapping, Net, Rendezvous, Rules, identity, pattern};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

fn registered(net: &Net) -> bool {
    net.hosts.iter().all(|host| host.endpoint.status().registered)
}

/// Two registered agents, each behind a box of its own or none.
fn pair(seed: u8, mapping: Option<Mapping>) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay: Duration::from_millis(10), ..Link::default() });
    for name in ["agent-a", "agent-b"] {
        let behind = mapping.map(|mapping| net.add_box(Rules::new(mapping, Filtering::AddressAndPortDependent), None));
        net.add_agent(name, behind);
    }
    net.run_until(5 * SECOND, |net| registered(net));
    net
}

fn ask(net: &mut Net, from: usize, to: usize) {
    let command = TrustCommand::Request { node: number(net, to), justification: "test".to_owned() };
    net.act(from, |endpoint, now| endpoint.trust(now, command));
}

fn trusts(net: &Net, host: usize, peer: usize) -> bool {
    let node = number(net, peer);
    net.saw(host, &Event::TrustChanged { node, trusted: true })
}

fn trust_each_other(net: &mut Net) {
    ask(net, 0, 1);
    net.run_for(SECOND);
    ask(net, 1, 0);
    net.run_until(5 * SECOND, |net| trusts(net, 0, 1) && trusts(net, 1, 0));
}

fn may_resolve(net: &Net, host: usize, peer: usize) -> bool {
    let server = net.rendezvous.as_ref().unwrap();
    server.registry.may_resolve(number(net, host), number(net, peer))
}

#[test]
fn a_revocation_while_the_registry_is_away_is_told_when_it_is_back() {
    let mut net = pair(1, None);
    trust_each_other(&mut net);
    net.run_for(SECOND);
    assert!(may_resolve(&net, 1, 0));
    net.stop_rendezvous();
    net.run_for(20 * SECOND);
    // The other one is asleep, so nobody tells it either.
    net.suspend(1, 100 * SECOND);
    let node = number(&net, 1);
    net.act(0, |endpoint, now| endpoint.trust(now, TrustCommand::Revoke(node)));
    net.run_for(20 * SECOND);
    net.start_rendezvous();
    net.run_for(20 * SECOND);
    assert!(!may_resolve(&net, 1, 0), "the registry tells a revoked peer where this node is");
}

#[test]
fn an_approval_while_the_registry_is_away_reaches_who_asked_when_it_is_back() {
    let mut net = pair(2, None);
    ask(&mut net, 1, 0);
    // Two polls: the registry knows that the request was delivered.
    net.run_for(150 * SECOND);
    net.stop_rendezvous();
    net.run_for(20 * SECOND);
    // Nor is there a direct way.
    net.suspend(1, 30 * SECOND);
    let node = number(&net, 1);
    net.act(0, |endpoint, now| endpoint.trust(now, TrustCommand::Approve(node)));
    net.run_for(20 * SECOND);
    assert!(trusts(&net, 0, 1));
    net.start_rendezvous();
    net.run_for(90 * SECOND);
    assert!(trusts(&net, 1, 0), "who asked was never told");
}

#[test]
fn trust_that_was_restored_is_reported_with_the_first_registration() {
    let mut alone = Alone::new(Config::default(), |_| None);
    let key = identity(4).public();
    let record = format!(
        "{{\"trusted\":[{{\"node_id\":5,\"public_key\":\"{key}\",\"approved_at\":\"2026-01-01T00:00:00Z\",\"mutual\":true}}]}}"
    );
    alone.endpoint.restore_trust(serde_json::from_str(&record).unwrap());
    alone.answer = |request| registers(request).or_else(|| Some("{\"type\":\"ok\"}".to_owned()));
    alone.run(30 * SECOND);
    let reports = alone.drain.events.iter().filter(|event| {
        matches!(event, Event::RegistrySend(frame) if is(core::str::from_utf8(&frame[4..]).unwrap(), "report_trust"))
    });
    assert_eq!(reports.count(), 1);
}

fn connect(net: &mut Net) -> (StreamId, StreamId) {
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    let target = SocketAddress::new(Address::backbone(number(net, 1)), 1000);
    let dialled = net.act(0, |endpoint, now| endpoint.dial(now, target)).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::Connected(dialled)));
    let mut accepted = None;
    net.run_until(SECOND, |net| {
        accepted = net.hosts[1].endpoint.accept(1000);
        accepted.is_some()
    });
    (dialled, accepted.unwrap().0)
}

#[test]
fn a_relayed_stream_goes_on_at_once_when_the_rendezvous_is_back() {
    for moment in 0..12 {
        let mut net = pair(4, Some(Mapping::AddressAndPortDependent));
        trust_each_other(&mut net);
        let (dialled, accepted) = connect(&mut net);
        net.run_for(20 * SECOND + 2 * moment * SECOND);
        let path = net.hosts[0].endpoint.peer(number(&net, 1)).and_then(|peer| peer.path);
        assert_eq!(path, Some(PathKind::Relay));
        net.stop_rendezvous();
        net.run_for(2 * SECOND);
        net.start_rendezvous();
        net.run_until(5 * SECOND, |net| registered(net));
        let back = net.now;
        let data = pattern(1000, 3);
        assert!(net.transfer((0, dialled), (1, accepted), &data, 60 * SECOND) == data);
        let taken = net.now.saturating_since(back);
        assert!(taken < 3 * SECOND, "moment {moment}: {taken:?}");
    }
}

//= spec/privacy.md#pp-priv-4
//= type=test
//# The registry tells the endpoint of a private node only to nodes it trusts mutually or shares a network with, on a signed request.
#[test]
fn a_request_that_was_withdrawn_is_no_half_of_a_pair_any_more() {
    let mut net = pair(5, None);
    ask(&mut net, 0, 1);
    net.run_for(3 * SECOND);
    let (a, b) = (number(&net, 0), number(&net, 1));
    net.act(0, |endpoint, now| endpoint.trust(now, TrustCommand::Revoke(b)));
    net.run_for(SECOND);
    net.act(1, |endpoint, now| endpoint.trust(now, TrustCommand::Approve(a)));
    net.run_for(5 * SECOND);
    assert!(!trusts(&net, 0, 1));
    assert!(!may_resolve(&net, 1, 0), "who trusts nobody is told to somebody");
}

/// The first to register again trusts a peer that the registry does not know any more, or not yet.
#[test]
fn a_registry_that_lost_its_store_hears_of_trust_from_both() {
    let mut net = pair(6, None);
    trust_each_other(&mut net);
    net.run_for(SECOND);
    let numbers = [number(&net, 0), number(&net, 1)];
    net.stop_rendezvous();
    net.run_for(SECOND);
    // The numbers are given in this order again.
    net.suspend(1, 10 * SECOND);
    let beacons = net.rendezvous.as_ref().unwrap().beacons.clone();
    net.rendezvous = Some(Rendezvous::new(beacons));
    net.run_for(20 * SECOND);
    assert!(registered(&net));
    assert_eq!([number(&net, 0), number(&net, 1)], numbers);
    net.run_for(120 * SECOND);
    assert!(may_resolve(&net, 0, 1) && may_resolve(&net, 1, 0));
}

/// The registry forgets what it told when it is polled again, so what one poll brings must all be taken.
#[test]
fn every_answer_that_waited_is_taken() {
    let answers: Vec<_> = (1..=MAX_INBOX_RESPONSES)
        .map(|node| serde_json::json!({"from_node_id": node, "accept": true, "timestamp": 1}))
        .collect();
    let reply = serde_json::json!({"type": "poll_handshakes_ok", "requests": [], "responses": answers});
    assert_eq!(Handshakes::parse(&reply).responses.len(), MAX_INBOX_RESPONSES);
}
