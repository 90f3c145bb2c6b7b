//! Trust messages on port 444: which count, and what the peer says itself.

use crate::probe::actor::{Actor, PATIENCE, Received, SILENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure};
use crate::probe::stream::{ECHO, Stream};
use proto_core::NodeId;
use proto_core::crypto::rust_crypto;
use proto_core::registry::Request;
use proto_core::wire::trust::signed_string;
use proto_core::wire::{Flags, TrustKind, TrustMessage};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where trust messages go.
pub(super) const TRUST_PORT: u16 = 444;

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("trust/old-or-future-message", &["PP-TRUST-5"], stale),
        check("trust/wrong-signature", &["PP-TRUST-3"], wrong_signature),
        check("trust/another-than-the-tunnels", &["PP-TRUST-4"], another),
        check("trust/request-is-answered", &["PP-TRUST-2", "PP-TRUST-3", "PP-PORT-6"], answered),
        check("trust/taken-once", &["PP-TRUST-6"], once),
    ]
}

/// After everything else, as the peer talks no more afterwards.
pub(super) fn last_checks() -> Vec<Check> {
    vec![Check::new(Needs::Friend, "trust/revoked", &["PP-PRIV-2"], revoked)]
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A message of `actor` to `peer`, as it must be.
fn message(actor: &Actor, peer: NodeId, kind: TrustKind, timestamp: u64) -> TrustMessage {
    TrustMessage {
        kind,
        node: actor.node,
        public_key: Some(actor.identity.public().0),
        justification: "conformance probe".to_owned(),
        signature: Some(actor.identity.sign(signed_string(actor.node, peer).as_bytes())),
        reason: String::new(),
        timestamp,
    }
}

/// Sends it as a stream of its own.
fn deliver(friend: &mut Actor, message: &TrustMessage) -> Outcome {
    let mut stream = Stream::open(friend, TRUST_PORT)?;
    stream.write(friend, &message.to_vec().unwrap_or_default());
    let end = stream.next;
    stream.is_acknowledged(friend, end, PATIENCE / 2);
    stream.send(friend, Flags::FIN, end, &[]);
    Ok(())
}

/// The peer dials the friend's trust port.
pub(super) fn is_dial(received: &Received) -> bool {
    received.packet().is_some_and(|packet| packet.header.flags == Flags::SYN && packet.header.dst_port == TRUST_PORT)
}

/// The peer, which trusts the friend, answers a request with an acceptance. To this one it must say nothing.
fn unanswered(friend: &mut Actor, message: &TrustMessage, what: &str) -> Outcome {
    friend.turn_the_page();
    deliver(friend, message)?;
    friend.listen(SILENCE);
    ensure(!friend.seen().iter().any(is_dial), || format!("a trust message {what} is answered"))
}

fn stale(bench: &mut Bench) -> Outcome {
    let (friend, peer) = (&mut bench.friend, bench.peer.node);
    let old = message(friend, peer, TrustKind::Request, now() - 3600);
    unanswered(friend, &old, "of an hour ago")?;
    let early = message(friend, peer, TrustKind::Request, now() + 3600);
    unanswered(friend, &early, "from the future")
}

fn wrong_signature(bench: &mut Bench) -> Outcome {
    let (friend, peer) = (&mut bench.friend, bench.peer.node);
    let mut forged = message(friend, peer, TrustKind::Request, now());
    forged.signature = Some(friend.identity.sign(signed_string(peer, friend.node).as_bytes()));
    unanswered(friend, &forged, "signed for another receiver")
}

/// A request that the victim really signed, brought by the friend.
fn another(bench: &mut Bench) -> Outcome {
    let (peer, victim) = (bench.peer.node, bench.victim.node);
    let borrowed = message(&bench.victim, peer, TrustKind::Request, now());
    bench.victim.turn_the_page();
    if bench.options.registry.is_none() {
        return unanswered(&mut bench.friend, &borrowed, "of another node than the tunnel's");
    }
    // The victim's half, so that the registry knows of a pair as soon as the peer gives the other.
    let mut directory = bench.directory()?;
    directory.granted(victim, &bench.victim.identity, &Request::ReportTrust(peer))?;
    unanswered(&mut bench.friend, &borrowed, "of another node than the tunnel's")?;
    let question = json!({"type": "check_trust", "node_id": peer.0, "peer_id": victim.0});
    let mut trusted = false;
    for _ in 0..5 {
        bench.friend.listen(SILENCE);
        let reply = directory.ask(&question)?;
        trusted |= reply.get("trusted").and_then(Value::as_bool).unwrap_or(false);
    }
    directory.granted(victim, &bench.victim.identity, &Request::RevokeTrust(peer))?;
    ensure(!trusted, || "a trust message in another's name makes that node trusted".to_owned())
}

fn answered(bench: &mut Bench) -> Outcome {
    let (friend, peer) = (&mut bench.friend, bench.peer);
    let request = message(friend, peer.node, TrustKind::Request, now());
    friend.turn_the_page();
    friend.refuses = false;
    let dialled = deliver(friend, &request).map(|()| super::dial::observe(friend));
    friend.refuses = true;
    bench.sent_request = Some(request);
    let Some(dialled) = dialled? else {
        return Err(if peer.public {
            Stop::skipped("the peer, which is public, does not approve of the probe")
        } else {
            Stop::failed("a trusted node's request is not answered on its port 444")
        });
    };
    let said = TrustMessage::parse(&dialled.data);
    bench.dialled = Some(dialled);
    let said = said.map_err(|error| Stop::Failed(format!("what comes on port 444 is no trust message: {error}")))?;
    let signed = signed_string(peer.node, bench.friend.node);
    let genuine = said.signature.is_some_and(|s| peer.key.verify_strict(rust_crypto(), signed.as_bytes(), &s));
    ensure(said.kind == TrustKind::Accept && said.node == peer.node, || {
        format!("a trusted node's request is answered with {:?} of node {}", said.kind, said.node)
    })?;
    ensure(genuine, || "the acceptance is not signed by the peer".to_owned())
}

fn once(bench: &mut Bench) -> Outcome {
    if bench.dialled.is_none() {
        return Err(Stop::skipped("no request was answered"));
    }
    let Some(request) = bench.sent_request.clone() else { return Err(Stop::skipped("no request was sent")) };
    unanswered(&mut bench.friend, &request, "that was taken before")
}

fn revoked(bench: &mut Bench) -> Outcome {
    if bench.peer.public {
        return Err(Stop::skipped("the peer is public"));
    }
    let (friend, peer) = (&mut bench.friend, bench.peer.node);
    let revocation = message(friend, peer, TrustKind::Revoke, now());
    deliver(friend, &revocation)?;
    friend.listen(Duration::from_millis(300));
    friend.turn_the_page();
    let stream = Stream::new(friend, ECHO);
    stream.syn(friend);
    friend.listen(SILENCE);
    ensure(stream.seen(friend).is_empty(), || "after it revoked trust, a node's SYN is still answered".to_owned())
}
