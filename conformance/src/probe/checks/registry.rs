//! The registry: the form of its replies, and who may do what.

use crate::probe::bench::{Bench, registration};
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure};
use crate::probe::directory::{Directory, refused};
use crate::probe::tunnel::random;
use data_encoding::{BASE64, HEXLOWER};
use proto_core::NodeId;
use proto_core::crypto::Identity;
use proto_core::registry::codec::{MAX_REQUEST, encode};
use proto_core::registry::{Handshakes, HostnameReply, Registered, Request, refusal};
use serde_json::{Value, json};

/// A node number nobody has.
const NOBODY: u32 = 4_000_000_088;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Registry, name, ids, run);
    vec![
        check("registry/replies", &["PP-REG-1", "PP-REG-3", "PP-REG-4"], replies),
        check("registry/same-key-same-number", &["PP-REG-7"], same_number),
        check("registry/signed-registration", &["PP-REG-8"], signed_registration),
        check("registry/heartbeat", &["PP-REG-12"], heartbeat),
        check("registry/changes-are-signed", &["PP-REG-16"], changes_are_signed),
        check("registry/hostnames", &["PP-REG-18", "PP-REG-19"], hostnames),
        check("registry/private-name", &["PP-PRIV-5"], private_name),
        check("registry/private-endpoint", &["PP-PRIV-4"], private_endpoint),
        check("registry/lookup-by-anybody", &["PP-PRIV-6"], lookup_by_anybody),
        check("registry/backbone-is-not-listed", &["PP-PRIV-8"], backbone),
        check("registry/trust-has-two-halves", &["PP-REG-20"], two_halves),
        check("registry/inbox", &["PP-REG-21"], inbox),
        check("registry/beacons-are-not-anybodys", &["PP-REG-25"], beacons),
        check("registry/bad-envelope", &["PP-REG-32"], bad_envelope),
        check("registry/too-long", &["PP-REG-2"], too_long),
        check("registry/binary-preamble", &["PP-REG-31"], binary_preamble),
    ]
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn replies(bench: &mut Bench) -> Outcome {
    let mut directory = bench.directory()?;
    // All at once: the replies must come in the order of the requests.
    let requests = [
        json!({"type": "lookup", "node_id": bench.friend.node.0}),
        json!({"type": "no_such_thing"}),
        json!({"type": "lookup", "node_id": bench.victim.node.0}),
        json!({"no": "type"}),
    ];
    for request in &requests {
        directory.send(&encode(request))?;
    }
    let [friend, unknown, victim, nothing] = [(); 4].map(|()| directory.reply());
    for (reply, node) in [(friend?, bench.friend.node), (victim?, bench.victim.node)] {
        let right = text(&reply, "type") == "lookup_ok" && reply.get("node_id") == Some(&node.0.into());
        ensure(right, || format!("a lookup of node {node} is answered {reply}"))?;
    }
    refused("an unknown request", &unknown?)?;
    refused("a request without a type", &nothing?)
}

fn same_number(bench: &mut Bench) -> Outcome {
    let request = Request::Register(registration(bench.victim.address));
    let reply = bench.directory()?.granted(NodeId::UNASSIGNED, &bench.victim.identity, &request)?;
    let number = Registered::parse(&reply).map(|registered| registered.node);
    ensure(number == Some(bench.victim.node), || format!("a key that has a number gets another: {reply}"))
}

fn signed_registration(bench: &mut Bench) -> Outcome {
    let victim = &bench.victim;
    let mut message = Request::Register(registration(victim.address)).to_json(victim.node, &victim.identity, None);
    let mut directory = bench.directory()?;
    if let Some(fields) = message.as_object_mut() {
        fields.insert("signature".to_owned(), BASE64.encode(&[7; 64]).into());
    }
    refused("a registration with a wrong signature", &directory.ask(&message)?)?;
    if let Some(fields) = message.as_object_mut() {
        fields.remove("signature");
    }
    refused("an unsigned registration of a key that has signed before", &directory.ask(&message)?)
}

fn heartbeat(bench: &mut Bench) -> Outcome {
    let (node, identity) = (bench.friend.node, &bench.friend.identity);
    let mut directory = bench.directory()?;
    directory.granted(node, identity, &Request::Heartbeat)?;
    refused("an unsigned heartbeat", &directory.ask(&json!({"type": "heartbeat", "node_id": node.0}))?)?;
    refused("another's heartbeat", &directory.request(node, &bench.victim.identity, &Request::Heartbeat)?)?;
    let reply = directory.request(NodeId(NOBODY), identity, &Request::Heartbeat)?;
    let words = format!("node {NOBODY}: node not found");
    ensure(refusal(&reply) == Some(&words), || format!("an unknown node's heartbeat is answered {reply}"))
}

fn changes_are_signed(bench: &mut Bench) -> Outcome {
    let (node, peer) = (bench.victim.node, bench.friend.node);
    let mut directory = bench.directory()?;
    for request in [
        Request::SetHostname("not-yours".to_owned()),
        Request::SetVisibility(true),
        Request::SetTags(vec!["not-yours".to_owned()]),
        Request::ReportTrust(peer),
        Request::PollHandshakes,
        Request::Deregister,
        Request::RotateKey { new_public_key: bench.stranger.identity.public() },
    ] {
        let by_another = directory.request(node, &bench.stranger.identity, &request)?;
        refused(&format!("`{}` signed by another", request.name()), &by_another)?;
        let mut unsigned = request.to_json(node, &bench.victim.identity, None);
        if let Some(fields) = unsigned.as_object_mut() {
            fields.remove("signature");
        }
        refused(&format!("`{}` without a signature", request.name()), &directory.ask(&unsigned)?)?;
    }
    Ok(())
}

/// A name nobody else has.
fn a_name() -> String {
    format!("probe-{}", HEXLOWER.encode(&random::<6>()))
}

fn set_hostname(directory: &mut Directory, of: (NodeId, &Identity), name: &str) -> Result<Value, Stop> {
    directory.request(of.0, of.1, &Request::SetHostname(name.to_owned()))
}

fn hostnames(bench: &mut Bench) -> Outcome {
    let victim = (bench.victim.node, &bench.victim.identity);
    let stranger = (bench.stranger.node, &bench.stranger.identity);
    let (mut directory, mut other) = (bench.directory()?, bench.directory()?);
    let long = "a".repeat(64);
    for name in ["-a", "a-", "A", "a_b", "a.b", "localhost", "backbone", "broadcast", &long] {
        refused(&format!("the hostname `{name}`"), &set_hostname(&mut directory, victim, name)?)?;
    }
    let name = a_name();
    for good in ["a".repeat(63), name.clone()] {
        let reply = set_hostname(&mut directory, victim, &good)?;
        // Another probe may hold the long one.
        ensure(refusal(&reply).is_none() || good.len() == 63, || format!("`{good}` is answered {reply}"))?;
    }
    refused("a hostname that another node has", &set_hostname(&mut other, stranger, &name)?)?;
    directory.granted(victim.0, victim.1, &Request::SetHostname(String::new())).map(drop)
}

fn private_name(bench: &mut Bench) -> Outcome {
    let victim = (bench.victim.node, &bench.victim.identity);
    let (mut directory, mut anybody) = (bench.directory()?, bench.directory()?);
    let (name, none) = (a_name(), a_name());
    directory.granted(victim.0, victim.1, &Request::SetHostname(name.clone()))?;
    let mut ask = |name: &str| anybody.ask(&json!({"type": "resolve_hostname", "hostname": name}));
    let (there, not_there) = (ask(&name)?, ask(&none)?);
    directory.granted(victim.0, victim.1, &Request::SetHostname(String::new()))?;
    if HostnameReply::parse(&there).is_some_and(|found| found.node == victim.0) {
        return Err(Stop::skipped("the operator made names public, or does not hide them"));
    }
    refused("a stranger who asks for a private name", &there)?;
    let same = text(&there, "error").replace(&name, "") == text(&not_there, "error").replace(&none, "");
    ensure(same, || format!("{there} for a private name, {not_there} for none"))
}

fn private_endpoint(bench: &mut Bench) -> Outcome {
    let (target, mut directory) = (bench.victim.node, bench.directory()?);
    let (node, identity) = (bench.stranger.node, &bench.stranger.identity);
    let reply = directory.request(node, identity, &Request::Resolve(target))?;
    refused("a stranger who resolves a private node", &reply)?;
    let unsigned = json!({"type": "resolve", "node_id": target.0, "requester_id": target.0});
    refused("an unsigned request to resolve", &directory.ask(&unsigned)?)?;
    let port = bench.victim.address.port().to_string();
    ensure(!reply.to_string().contains(&port), || format!("the refusal tells the endpoint: {reply}"))
}

fn lookup_by_anybody(bench: &mut Bench) -> Outcome {
    let reply = bench.directory()?.ask(&json!({"type": "lookup", "node_id": bench.victim.node.0}))?;
    let key = bench.victim.identity.public().to_string();
    ensure(text(&reply, "public_key") == key, || format!("a lookup tells no key: {reply}"))?;
    let told = ["real_addr", "lan_addrs", "endpoint", "hostname", "tags", "owner"];
    let too_much = told.iter().find(|field| reply.get(**field).is_some());
    ensure(too_much.is_none(), || format!("a lookup of a private node tells anybody: {reply}"))
}

fn backbone(bench: &mut Bench) -> Outcome {
    refused("whoever lists the backbone", &bench.directory()?.ask(&json!({"type": "list_nodes", "network_id": 0}))?)
}

fn two_halves(bench: &mut Bench) -> Outcome {
    let (one, other) = (bench.victim.node, bench.stranger.node);
    let (mut directory, mut second) = (bench.directory()?, bench.directory()?);
    let mut anybody = bench.directory()?;
    let mut trusted = || -> Result<bool, Stop> {
        let reply = anybody.ask(&json!({"type": "check_trust", "node_id": one.0, "peer_id": other.0}))?;
        reply.get("trusted").and_then(Value::as_bool).ok_or_else(|| Stop::Failed(format!("check_trust: {reply}")))
    };
    directory.granted(one, &bench.victim.identity, &Request::ReportTrust(other))?;
    ensure(!trusted()?, || "one half of a trust pair makes it".to_owned())?;
    second.granted(other, &bench.stranger.identity, &Request::ReportTrust(one))?;
    ensure(trusted()?, || "two halves of a trust pair do not make it".to_owned())?;
    directory.granted(one, &bench.victim.identity, &Request::RevokeTrust(other))?;
    ensure(!trusted()?, || "a revoked trust pair is still there".to_owned())
}

fn inbox(bench: &mut Bench) -> Outcome {
    let (from, to) = (bench.stranger.node, bench.victim.node);
    let (mut sender, mut receiver) = (bench.directory()?, bench.directory()?);
    let request = Request::RequestHandshake { to, justification: "a question".to_owned() };
    sender.granted(from, &bench.stranger.identity, &request)?;
    // The connection breaks before anybody can know that the reply arrived.
    let first = receiver.granted(to, &bench.victim.identity, &Request::PollHandshakes)?;
    let mut again = bench.directory()?;
    let second = again.granted(to, &bench.victim.identity, &Request::PollHandshakes)?;
    for reply in [first, second] {
        let requests = Handshakes::parse(&reply).requests;
        let right = requests.iter().any(|entry| entry.from == from && entry.justification == "a question");
        ensure(right, || format!("the inbox does not hold, or no longer holds, what was asked: {reply}"))?;
    }
    again.granted(to, &bench.victim.identity, &Request::RespondHandshake { peer: from, accept: false }).map(drop)
}

fn beacons(bench: &mut Bench) -> Outcome {
    let message = json!({"type": "beacon_register", "beacon_id": 4242, "addr": "192.0.2.1:9001"});
    refused("whoever announces a beacon", &bench.directory()?.ask(&message)?)
}

fn bad_envelope(bench: &mut Bench) -> Outcome {
    let (node, identity) = (bench.stranger.node, &bench.stranger.identity);
    let mut message = Request::Heartbeat.to_json(node, identity, None);
    if let Some(fields) = message.as_object_mut() {
        fields.insert("ts".to_owned(), 1.into());
        fields.insert("nonce".to_owned(), "0000000000000001".into());
        fields.insert("body_hash".to_owned(), "00".repeat(32).into());
        fields.insert("envelope".to_owned(), BASE64.encode(&[1; 64]).into());
    }
    refused("a request with a wrong envelope", &bench.directory()?.ask(&message)?)
}

fn too_long(bench: &mut Bench) -> Outcome {
    let mut directory = bench.directory()?;
    let length = u32::try_from(MAX_REQUEST + 1).unwrap_or(u32::MAX);
    // Only the length is sent: the refusal must not wait for the rest.
    directory.send(&length.to_be_bytes())?;
    directory.rest().map(drop)
}

fn binary_preamble(bench: &mut Bench) -> Outcome {
    let mut directory = bench.directory()?;
    directory.send(&[0x50, 0x49, 0x4C, 0x54, 0x01])?;
    let answer = directory.rest()?;
    ensure(!answer.is_empty(), || "the binary protocol's preamble gets no error frame".to_owned())
}
