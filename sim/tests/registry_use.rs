//! What an endpoint tells its registry, asks it, and makes of its answers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod alone;

use alone::{Alone, is, registers};
use proto_core::{Config, Event, NodeId};
use sim::identity;
use std::net::SocketAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Requests of `kind` so far.
fn requests(alone: &Alone, kind: &str) -> Vec<serde_json::Value> {
    let requests = sent(alone).into_iter().map(|frame| serde_json::from_slice(&frame[4..]).unwrap());
    requests.filter(|request: &serde_json::Value| request["type"] == kind).collect()
}

/// Every frame to the registry.
fn sent(alone: &Alone) -> Vec<Vec<u8>> {
    let frame = |event: &Event| if let Event::RegistrySend(frame) = event { Some(frame.to_vec()) } else { None };
    alone.drain.events.iter().filter_map(frame).collect()
}

/// Node 5 has the key of host 1 and an address where nobody answers.
fn knows_node_5(request: &str) -> Option<String> {
    let key = identity(1).public();
    let (kind, more) = match request {
        request if is(request, "lookup") => ("lookup_ok", format!("\"public_key\":\"{key}\"")),
        request if is(request, "resolve") => ("resolve_ok", "\"real_addr\":\"192.0.2.9:4000\"".to_owned()),
        request => return registers(request).or_else(|| Some("{\"type\":\"ok\"}".to_owned())),
    };
    Some(format!("{{\"type\":\"{kind}\",\"node_id\":5,{more}}}"))
}

//= spec/versioning.md#pp-ver-5
//= type=test
//# The registry is told the program's version.
//= spec/identity.md#pp-id-1
//= type=test
//# A node is identified by an Ed25519 key.
#[test]
fn the_registry_is_told_the_version_and_the_key() {
    let alone = Alone::new(Config::default(), registers);
    let told = requests(&alone, "register");
    assert_eq!(told[0]["version"], Config::default().version);
    // The Ed25519 key of a seed of 32 ones (RFC 8032).
    assert_eq!(told[0]["public_key"], "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=");
}

//= spec/identity.md#pp-id-2
//= type=test
//# The key pair is made on the node and its private half never leaves it.
#[test]
fn the_private_half_never_leaves() {
    let mut alone = Alone::new(Config::default(), knows_node_5);
    alone.dial(5);
    alone.run(20 * SECOND);
    // The seed of 32 ones as bytes, in base64 and in hexadecimal.
    assert_eq!(*identity(0).seed(), [1; 32]);
    let forbidden = [vec![1; 32], b"AQEB".repeat(10), b"01".repeat(32)];
    let datagrams = alone.drain.sent.iter().map(|(_, bytes)| bytes.clone());
    let said: Vec<Vec<u8>> = datagrams.chain(sent(&alone)).collect();
    assert!(said.len() > 5);
    for secret in forbidden {
        assert!(said.iter().all(|bytes| bytes.windows(secret.len()).all(|part| part != secret)));
    }
}

//= spec/identity.md#pp-id-5
//= type=test
//# A key told by the registry that differs from the pinned one is reported to the host.
#[test]
fn another_key_than_the_pinned_one_is_reported() {
    for (pinned, reported) in [(identity(1), false), (identity(2), true)] {
        let mut alone = Alone::new(Config::default(), knows_node_5);
        let record = format!(
            "{{\"trusted\":[{{\"node_id\":5,\"public_key\":\"{}\",\"approved_at\":\"2026-01-01T00:00:00Z\",\"mutual\":true}}]}}",
            pinned.public()
        );
        alone.endpoint.restore_trust(serde_json::from_str(&record).unwrap());
        alone.dial(5);
        alone.run(SECOND);
        assert_eq!(alone.drain.events.contains(&Event::KeyMismatch(NodeId(5))), reported);
    }
}

//= spec/strategy.md#pp-dial-6
//= type=test
//# An endpoint told by the registry is used for 60 seconds without asking again.
#[test]
fn a_told_endpoint_serves_for_a_minute() {
    let mut alone = Alone::new(Config::default(), knows_node_5);
    let to = SocketAddr::from(([192, 0, 2, 9], 4000));
    for (wait, asked) in [(0, 1), (30, 1), (25, 1), (10, 2)] {
        alone.run(wait * SECOND);
        alone.drain.sent.clear();
        alone.dial(5);
        alone.run(Duration::from_millis(100));
        assert_eq!(requests(&alone, "resolve").len(), asked);
        assert!(alone.drain.sent.iter().any(|(told, bytes)| *told == to && bytes.starts_with(b"PILA")));
    }
}
