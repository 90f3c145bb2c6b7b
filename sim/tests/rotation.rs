//! Identity keys that are replaced while others trust them.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::crypto::{Identity, rust_crypto};
use proto_core::endpoint::{Config, Input, Outcome, TrustCommand};
use proto_core::ids::StreamId;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Endpoint, Event, NodeId};
use sim::{Link, Net, identity, pattern, wall};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 1000;

fn number(net: &Net, host: usize) -> NodeId {
    net.hosts[host].endpoint.address().expect("registered").node
}

fn registered(net: &Net, host: usize) -> bool {
    net.hosts[host].endpoint.status().registered
}

/// Two private agents that trust each other and listen.
fn friends(seed: u8) -> Net {
    let mut net = Net::with_rendezvous(seed, Link { delay: Duration::from_millis(10), ..Link::default() });
    for name in ["agent-a", "agent-b"] {
        net.add_agent(name, None);
    }
    net.run_until(5 * SECOND, |net| registered(net, 0) && registered(net, 1));
    for (from, to) in [(0, 1), (1, 0)] {
        let command = TrustCommand::Request { node: number(&net, to), justification: "test".to_owned() };
        net.act(from, |endpoint, now| endpoint.trust(now, command));
        net.run_for(SECOND);
    }
    for host in [0, 1] {
        net.act(host, |endpoint, _| endpoint.listen(PORT)).unwrap();
    }
    net
}

fn connect(net: &mut Net, from: usize, to: usize) -> (StreamId, StreamId) {
    let target = SocketAddress::new(Address::backbone(number(net, to)), PORT);
    let dialled = net.act(from, |endpoint, now| endpoint.dial(now, target)).unwrap();
    net.run_until(5 * SECOND, |net| net.saw(from, &Event::Connected(dialled)));
    let mut accepted = None;
    net.run_until(SECOND, |net| {
        accepted = net.hosts[to].endpoint.accept(PORT);
        accepted.is_some()
    });
    (dialled, accepted.unwrap().0)
}

/// A new stream in each direction carries data.
fn talk(net: &mut Net) {
    for (from, to) in [(0, 1), (1, 0)] {
        let (near, far) = connect(net, from, to);
        let data = pattern(100_000, 5);
        assert!(net.transfer((from, near), (to, far), &data, 10 * SECOND) == data);
    }
}

/// Host 0 replaces its key, and the registry agrees.
fn rotate(net: &mut Net, seed: u8) {
    let successor = Identity::from_seed([seed; 32]);
    let key = successor.public();
    let request = net.act(0, |endpoint, now| endpoint.rotate_identity(now, successor));
    net.run_until(5 * SECOND, |net| net.saw(0, &Event::IdentityReplaced(key)));
    let answered = |event: &Event| matches!(event, Event::Completed(id, Outcome::Registry(_)) if *id == request);
    net.run_until(SECOND, |net| net.hosts[0].events.iter().any(answered));
    assert_eq!(net.hosts[0].endpoint.public_key(), key);
}

fn pins(net: &Net, host: usize, key: &Identity) -> bool {
    let kept = serde_json::to_value(net.hosts[host].endpoint.trust_snapshot()).unwrap();
    kept["trusted"][0]["public_key"] == key.public().to_string()
}

/// Puts another process in the place of a host's, with what it had kept.
fn start_again(net: &mut Net, host: usize, key: Identity, successor: Option<Identity>) {
    let snapshot = net.hosts[host].endpoint.trust_snapshot();
    let beacons = net.rendezvous.as_ref().unwrap().beacons.clone();
    let config = Config { registry: true, beacons, ..Config::default() };
    let mut endpoint = Endpoint::new(Arc::new(config), key, rust_crypto(), [99; 32], net.now);
    endpoint.restore_trust(snapshot);
    successor.into_iter().for_each(|successor| endpoint.set_successor(successor));
    let address = net.hosts[host].address;
    endpoint.handle_input(net.now, Input::WallClock(wall(net.now)));
    endpoint.handle_input(net.now, Input::LocalAddresses(&[address]));
    net.hosts[host].endpoint = endpoint;
    net.hosts[host].events.clear();
    net.act(host, |endpoint, _| endpoint.listen(PORT)).unwrap();
    net.run_until(10 * SECOND, |net| registered(net, host));
}

//= spec/identity.md#pp-id-7
//= type=test
//# A node can rotate its key, signed by the old one over the new one.
//= spec/identity.md#pp-id-9
//= type=test
//# A node that has rotated its key tells every peer that it has a tunnel with, by a key exchange signed with the new key.
#[test]
fn a_friend_that_is_there_takes_the_new_key_at_once_and_streams_go_on() {
    let mut net = friends(1);
    let (near, far) = connect(&mut net, 1, 0);
    let number = number(&net, 0);
    rotate(&mut net, 71);
    net.run_until(SECOND, |net| net.saw(1, &Event::KeyRotated(number)));
    assert!(pins(&net, 1, &Identity::from_seed([71; 32])));
    assert!(net.saw(1, &Event::TrustSnapshotChanged), "the new pin is to be kept");
    let data = pattern(300_000, 3);
    assert!(net.transfer((1, near), (0, far), &data, 10 * SECOND) == data, "the stream from before");
    talk(&mut net);
    net.run_for(100 * SECOND);
    talk(&mut net);
    assert!(!net.saw(1, &Event::KeyMismatch(number)) && !net.saw(0, &Event::KeyMismatch(number)));
    let mut old = net.hosts[0].events.iter();
    assert!(!old.any(|event| matches!(event, Event::RegistrationFailed(_))));
}

#[test]
fn a_friend_that_was_away_follows_all_rotations_and_restarts_keep_them() {
    let mut net = friends(2);
    let before = net.hosts[1].endpoint.trust_snapshot();
    net.cut.push(net.hosts[1].address);
    rotate(&mut net, 72);
    rotate(&mut net, 73);
    net.cut.clear();
    net.act(1, |endpoint, _| endpoint.restore_trust(before));
    start_again(&mut net, 1, identity(1), None);
    assert!(pins(&net, 1, &identity(0)));
    let (near, far) = connect(&mut net, 1, 0);
    let data = pattern(1000, 4);
    assert!(net.transfer((1, near), (0, far), &data, SECOND) == data);
    assert!(pins(&net, 1, &Identity::from_seed([73; 32])));
    let own = number(&net, 0);
    start_again(&mut net, 0, Identity::from_seed([73; 32]), None);
    start_again(&mut net, 1, identity(1), None);
    assert_eq!(number(&net, 0), own, "the number stays");
    talk(&mut net);
}

//= spec/identity.md#pp-id-11
//= type=test
//# A registry refuses to register a key that was given up for another one.
#[test]
fn who_did_not_hear_that_the_rotation_went_well_is_told_at_the_next_start() {
    let mut net = friends(3);
    let own = number(&net, 0);
    rotate(&mut net, 74);
    start_again(&mut net, 0, identity(0), Some(Identity::from_seed([74; 32])));
    assert!(net.saw(0, &Event::IdentityReplaced(Identity::from_seed([74; 32]).public())));
    assert_eq!(number(&net, 0), own);
    talk(&mut net);
}

#[test]
fn a_rotation_that_never_reached_the_registry_changes_nothing() {
    let mut net = friends(4);
    net.stop_rendezvous();
    net.run_for(SECOND);
    let successor = Identity::from_seed([75; 32]);
    let request = net.act(0, |endpoint, now| endpoint.rotate_identity(now, successor));
    net.run_until(60 * SECOND, |net| net.saw(0, &Event::Completed(request, Outcome::RegistryUnavailable)));
    net.start_rendezvous();
    net.run_until(30 * SECOND, |net| registered(net, 0) && registered(net, 1));
    net.run_for(5 * SECOND);
    assert_eq!(net.hosts[0].endpoint.public_key(), identity(0).public());
    talk(&mut net);
}

//= spec/identity.md#pp-id-4
//= type=test
//# The key of a trusted peer is pinned, and another key under its number is refused.
//= spec/identity.md#pp-id-8
//= type=test
//# A pinned key is given up for another one only when an unbroken chain of rotations leads there, each signed by the key before it and
//# the first by the pinned key.
#[test]
fn a_key_that_the_pinned_one_did_not_sign_is_refused_however_often_it_is_told() {
    let mut net = friends(5);
    let (a, b) = (number(&net, 0), number(&net, 1));
    // B believes that A's key is another one, and so does whoever restored B's trust from the wrong copy.
    let kept = serde_json::to_string(&net.hosts[1].endpoint.trust_snapshot()).unwrap();
    let stranger = Identity::from_seed([76; 32]);
    let other = kept.replace(&identity(0).public().to_string(), &stranger.public().to_string());
    net.act(1, |endpoint, _| endpoint.restore_trust(serde_json::from_str(&other).unwrap()));
    rotate(&mut net, 77);
    start_again(&mut net, 1, identity(1), None);
    let target = SocketAddress::new(Address::backbone(a), PORT);
    let dialled = net.act(1, |endpoint, now| endpoint.dial(now, target)).unwrap();
    net.run_until(6 * SECOND, |net| net.saw(1, &Event::KeyMismatch(a)));
    net.run_for(60 * SECOND);
    assert!(!net.saw(1, &Event::Connected(dialled)) && !net.saw(1, &Event::KeyRotated(a)));
    assert!(pins(&net, 1, &stranger));
    assert_ne!(a, b);
}
