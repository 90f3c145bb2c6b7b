//! What the registry is asked about peers, and what its answers may do to those that the host knows better.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod raw;

use core::net::SocketAddr;
use core::time::Duration;
use data_encoding::BASE64;
use proto_core::crypto::Identity;
use proto_core::endpoint::DialError;
use proto_core::registry::codec;
use proto_core::wire::{AuthenticatedKeyExchange, BeaconMessage};
use proto_core::{Config, Event, Input, NetworkId, NodeId};
use raw::{BEACON, World, target};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// Lets `span` pass while the beacon answers, and the registry with what `reply` says to a request; gives what it was asked.
fn served(world: &mut World, span: Duration, reply: impl Fn(&str) -> Value) -> Vec<String> {
    let (mut asked, end) = (Vec::new(), world.now + span);
    while world.now < end {
        for event in world.events.clone() {
            if event == Event::RegistryConnect {
                world.act(|ours, now| ours.handle_input(now, Input::RegistryConnected));
            } else if let Event::RegistrySend(frame) = event {
                let request = String::from_utf8_lossy(&frame).into_owned();
                let answer = codec::encode(&reply(&request));
                asked.push(request);
                world.act(|ours, now| ours.handle_input(now, Input::RegistryData(&answer)));
            }
            world.events.remove(0);
        }
        if world.log.iter().any(|sent| sent.to == BEACON && [1, 8].contains(&sent.bytes[0])) {
            let seen = SocketAddr::from(([203, 0, 113, 7], 5000));
            world.datagram(BEACON, BeaconMessage::DiscoverReply(seen).to_vec().unwrap());
        }
        world.log.clear();
        world.pass(SECOND / 20);
    }
    asked
}

fn registered(trusted: &[bool]) -> World {
    let mut world = World::new(Config { registry: true, beacons: vec![BEACON], ..Config::default() }, trusted);
    world.pump();
    world
}

fn count(asked: &[String], kind: &str) -> usize {
    asked.iter().filter(|request| request.contains(&format!("\"type\":\"{kind}\""))).count()
}

/// A registry that does not know it has no say about a peer that the host told.
#[test]
fn a_peer_told_by_the_host_is_not_asked_for_at_the_registry() {
    let mut world = registered(&[true]);
    world.peers[0].alive = false;
    let reply = |request: &str| match request {
        request if request.contains("\"register\"") => json!({"type": "register_ok", "node_id": 100}),
        request if request.contains("\"resolve\"") => json!({"type": "error", "error": "no such node"}),
        _ => json!({"type": "ok"}),
    };
    served(&mut world, SECOND * 5, reply);
    let stream = world.act(|ours, now| ours.dial(now, target(0, 1000))).unwrap();
    let asked = served(&mut world, SECOND, reply);
    assert_eq!((count(&asked, "resolve"), count(&asked, "lookup")), (0, 0), "{asked:?}");
    world.pass(SECOND * 4);
    assert!(world.saw(&Event::DialFailed(stream, DialError::Unreachable)), "{:?}", world.events);
}

/// Whoever makes up keys for a peer that is not pinned must not have the registry asked with each.
#[test]
fn keys_made_up_for_a_peer_are_not_each_looked_up() {
    let mut world = registered(&[]);
    let known = BASE64.encode(&Identity::from_seed([5; 32]).public().0);
    let reply = |request: &str| match request {
        request if request.contains("\"register\"") => json!({"type": "register_ok", "node_id": 100}),
        request if request.contains("\"lookup\"") => {
            json!({"type": "lookup_ok", "node_id": 5, "public_key": known, "public": true})
        }
        _ => json!({"type": "ok"}),
    };
    served(&mut world, SECOND * 5, reply);
    let _ = world.act(|ours, now| ours.dial(now, target(4, 1000))).unwrap();
    assert_eq!(count(&served(&mut world, SECOND * 2, reply), "lookup"), 1);
    let mut asked = Vec::new();
    for number in 0..100_u8 {
        let exchange = AuthenticatedKeyExchange {
            sender: NodeId(5),
            exchange_public: [9; 32],
            identity_public: Identity::from_seed([number ^ 0x80; 32]).public().0,
            signature: [1; 64],
        };
        world.datagram(SocketAddr::from(([198, 18, number, 1], 1)), exchange.to_bytes().to_vec());
        asked.extend(served(&mut world, SECOND / 20, reply));
    }
    let lookups = count(&asked, "lookup");
    assert!((1..=2).contains(&lookups), "{lookups} in 5 s");
    assert!(world.dropped("exchange_identity_mismatch") >= 100);
}

/// A node that does not know its own networks does not let their members in.
#[test]
fn the_own_record_is_asked_for_again_when_that_was_refused() {
    let refused = core::cell::Cell::new(0);
    let mut world = registered(&[]);
    let reply = |request: &str| match request {
        request if request.contains("\"register\"") => json!({"type": "register_ok", "node_id": 100}),
        request if request.contains("\"lookup\"") && refused.get() < 2 => {
            refused.set(refused.get() + 1);
            json!({"type": "error", "error": "too many requests"})
        }
        request if request.contains("\"lookup\"") => json!({"type": "lookup_ok", "node_id": 100, "networks": [0, 7]}),
        _ => json!({"type": "ok"}),
    };
    let asked = served(&mut world, SECOND * 5, reply);
    assert_eq!(count(&asked, "lookup"), 1, "not again at once");
    let asked = served(&mut world, SECOND * 300, reply);
    assert_eq!(count(&asked, "lookup"), 2, "no more than it takes");
    assert_eq!(world.ours.status().networks, [NetworkId(7)]);
}
