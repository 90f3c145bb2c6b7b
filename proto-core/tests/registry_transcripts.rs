//! Recorded conversations of the reference's daemons with a registry: every reply is understood, and every signature
//! is over the string that [`challenge`] makes, by the key that was registered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here is a failed test")]

use core::net::SocketAddr;
use data_encoding::BASE64;
use proto_core::crypto::{Identity, PublicKey, rust_crypto};
use proto_core::registry::{
    Handshakes, HostnameReply, Lookup, Registered, Registration, Request, Resolved, challenge, refusal,
};
use proto_core::{NetworkId, NodeId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// All recordings of daemons in `conformance/data/transcripts`.
fn transcripts() -> Vec<Vec<Value>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/data/transcripts");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let recordings = files.map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap());
    let events = recordings.filter_map(|recording| {
        let events = recording["events"].as_array()?;
        events.iter().all(|event| event["ev"].is_string()).then(|| events.clone())
    });
    let found: Vec<_> = events.collect();
    assert!(found.len() >= 14, "{}", found.len());
    found
}

const REQUEST: &str = "daemon_to_registry";
const REPLY: &str = "registry_to_daemon";

/// The messages of one transcript going one way.
fn messages(transcript: &[Value], direction: &str) -> Vec<Value> {
    let events = transcript.iter().filter(|event| event["ev"] == direction);
    events.map(|event| serde_json::from_str(event["text"].as_str().unwrap()).unwrap()).collect()
}

fn text<'a>(message: &'a Value, name: &str) -> &'a str {
    message[name].as_str().unwrap()
}

fn node(message: &Value, name: &str) -> NodeId {
    NodeId(u32::try_from(message[name].as_u64().unwrap()).unwrap())
}

/// Who signs a recorded request, and what.
fn signed(message: &Value) -> (NodeId, String) {
    let own = |name: &str| node(message, name);
    match text(message, "type") {
        "heartbeat" => (own("node_id"), challenge::heartbeat(own("node_id"))),
        "poll_handshakes" => (own("node_id"), challenge::poll_handshakes(own("node_id"))),
        "deregister" => (own("node_id"), challenge::deregister(own("node_id"))),
        "set_visibility" => (own("node_id"), challenge::set_visibility(own("node_id"))),
        "set_hostname" => (own("node_id"), challenge::set_hostname(own("node_id"))),
        "set_tags" => (own("node_id"), challenge::set_tags(own("node_id"))),
        "report_trust" => (own("node_id"), challenge::report_trust(own("node_id"), own("peer_id"))),
        "revoke_trust" => (own("node_id"), challenge::revoke_trust(own("node_id"), own("peer_id"))),
        "respond_handshake" => (own("node_id"), challenge::respond_handshake(own("node_id"), own("peer_id"))),
        "resolve" => (own("requester_id"), challenge::resolve(own("requester_id"), own("node_id"))),
        "rotate_key" => (own("node_id"), challenge::rotate_key(own("node_id"), text(message, "new_public_key"))),
        "request_handshake" => {
            (own("from_node_id"), challenge::request_handshake(own("from_node_id"), own("to_node_id")))
        }
        "join_network" => {
            let network = NetworkId(u16::try_from(message["network_id"].as_u64().unwrap()).unwrap());
            (own("node_id"), challenge::join_network(own("node_id"), network))
        }
        other => panic!("a signed {other} that this test does not know"),
    }
}

fn verifies(keys: &BTreeSet<PublicKey>, message: &Value, challenge: &str) -> bool {
    let signature = BASE64.decode(text(message, "signature").as_bytes()).unwrap().try_into().unwrap();
    keys.iter().any(|key| key.verify_strict(rust_crypto(), challenge.as_bytes(), &signature))
}

#[test]
fn every_recorded_signature_is_over_our_string() {
    let mut kinds = BTreeSet::new();
    let mut without_keys = 0;
    for transcript in &transcripts() {
        let requests = messages(transcript, REQUEST);
        if !requests.iter().any(|message| message["type"] == "register") {
            without_keys += 1;
            continue;
        }
        // All keys a node had: the transcripts leave out repetitions, so their order in time is not exact.
        let mut keys: BTreeMap<NodeId, BTreeSet<PublicKey>> = BTreeMap::new();
        let registers = requests.iter().filter(|message| message["type"] == "register");
        let first: PublicKey = text(registers.clone().next().unwrap(), "public_key").parse().unwrap();
        for reply in messages(transcript, REPLY).iter().filter(|reply| reply["node_id"].is_u64()) {
            let key = reply["public_key"].as_str().map_or(first, |key| key.parse().unwrap());
            keys.entry(node(reply, "node_id")).or_default().insert(key);
        }
        for register in registers.filter(|register| register["signature"].is_string()) {
            let key = text(register, "public_key");
            let challenge = challenge::register(text(register, "listen_addr"), key);
            assert!(verifies(&BTreeSet::from([key.parse().unwrap()]), register, &challenge));
        }
        let signed_requests = requests.iter().filter(|message| message["type"] != "register");
        for message in signed_requests.filter(|message| message["signature"].is_string()) {
            let (signer, challenge) = signed(message);
            assert!(verifies(&keys[&signer], message, &challenge), "{challenge}");
            kinds.insert(text(message, "type").to_owned());
        }
    }
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    assert_eq!(without_keys, 1, "only the recording of tasks begins after registration");
}

#[test]
fn every_recorded_reply_is_understood() {
    let mut kinds = BTreeSet::new();
    for reply in transcripts().iter().flat_map(|transcript| messages(transcript, REPLY)) {
        let kind = text(&reply, "type");
        kinds.insert(kind.to_owned());
        assert_eq!(refusal(&reply).is_some(), kind == "error");
        match kind {
            "register_ok" => assert_eq!(Registered::parse(&reply).unwrap().node, node(&reply, "node_id")),
            "lookup_ok" => {
                let lookup = Lookup::parse(&reply).unwrap();
                assert_eq!(lookup.public_key.unwrap().to_string(), text(&reply, "public_key"));
                assert_eq!(lookup.address, text(&reply, "address"));
                assert_eq!(lookup.networks.len(), reply["networks"].as_array().unwrap().len());
            }
            "resolve_ok" => {
                assert_eq!(Resolved::parse(&reply).unwrap().real_addr.unwrap().to_string(), text(&reply, "real_addr"));
            }
            "resolve_hostname_ok" => {
                assert_eq!(HostnameReply::parse(&reply).unwrap().hostname, text(&reply, "hostname"));
            }
            "poll_handshakes_ok" => {
                let handshakes = Handshakes::parse(&reply);
                assert_eq!(handshakes.requests.len(), reply["requests"].as_array().unwrap().len());
                assert_eq!(handshakes.responses.len(), reply["responses"].as_array().unwrap().len());
            }
            _ => {}
        }
    }
    assert!(kinds.len() > 15, "{kinds:?}");
}

/// Our requests have the fields of the recorded ones; the values of unsigned extras may differ.
#[test]
fn our_requests_have_the_recorded_fields() {
    let identity = Identity::from_seed([1; 32]);
    let listen_addr: SocketAddr = "203.0.113.9:5000".parse().unwrap();
    let peer = NodeId(2);
    let ours = [
        Request::Register(Registration {
            listen_addr,
            lan_addrs: Vec::new(),
            hostname: None,
            owner: Some("a@example.com".to_owned()),
            version: "pilot-rs/0".to_owned(),
            relay_only: false,
        }),
        Request::Lookup(peer),
        Request::Resolve(peer),
        Request::Heartbeat,
        Request::Deregister,
        Request::SetVisibility(true),
        Request::SetHostname("a".to_owned()),
        Request::SetTags(vec!["x".to_owned()]),
        Request::RotateKey { new_public_key: identity.public() },
        Request::ReportTrust(peer),
        Request::RevokeTrust(peer),
        Request::CheckTrust(peer),
        Request::RequestHandshake { to: peer, justification: "hi".to_owned() },
        Request::PollHandshakes,
        Request::RespondHandshake { peer, accept: true },
        Request::BeaconList,
        Request::ListNetworks,
        Request::JoinNetwork { network: NetworkId(1), token: String::new() },
        Request::NetworkPolicy(NetworkId(0)),
    ];
    let recorded: Vec<Value> = transcripts().iter().flat_map(|transcript| messages(transcript, REQUEST)).collect();
    for request in ours {
        let message = request.to_json(NodeId(1), &identity, None);
        let keys: Vec<&String> = message.as_object().unwrap().keys().collect();
        let same = |other: &&Value| {
            other["type"] == message["type"] && other.as_object().unwrap().keys().collect::<Vec<_>>() == keys
        };
        assert!(recorded.iter().any(|other| same(&other)), "{message}");
        if message["signature"].is_string() && message["type"] != "register" {
            let (signer, challenge) = signed(&message);
            assert_eq!(signer, NodeId(1));
            assert!(verifies(&BTreeSet::from([identity.public()]), &message, &challenge));
        }
    }
}
