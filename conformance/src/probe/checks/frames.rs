//! Frames of every kind, and of none.

use crate::probe::actor::{Content, PATIENCE, Received, SILENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure};
use crate::probe::tunnel;
use proto_core::NodeId;
use proto_core::wire::frame::{PILF, PILT};
use proto_core::wire::{BeaconMessage, Frame};

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Session, name, ids, run);
    vec![
        check("frames/unknown", &["PP-FRAME-1", "PP-FRAME-3"], unknown),
        check("frames/too-short", &["PP-FRAME-4"], too_short),
        check("frames/plaintext", &["PP-FRAME-8"], plaintext),
        check("frames/punch", &["PP-FRAME-10"], punch),
        check("frames/fragment", &["PP-FRAME-13"], fragment),
        check("frames/foreign-inner-source", &["PP-FRAME-14"], foreign_source),
        check("frames/beacon-message-from-elsewhere", &["PP-RELAY-4"], beacon_message),
        check("frames/relayed", &["PP-KEX-26", "PP-RELAY-5"], relayed),
    ]
}

/// Sends each of these; none may be answered by anything but the answer to a later ping.
fn unanswered(bench: &mut Bench, what: &str, datagrams: &[&[u8]]) -> Outcome {
    for bytes in datagrams {
        bench.friend.send(bytes);
    }
    let answer = |received: &Received| matches!(received.content, Content::Exchange(_) | Content::Other(_));
    bench.friend.silent(what, answer)
}

fn unknown(bench: &mut Bench) -> Outcome {
    unanswered(bench, "an unknown frame is answered", &[&[], b"PILX and more", b"GET / HTTP/1.1\r\n\r\n", &[0xFF; 300]])
}

fn too_short(bench: &mut Bench) -> Outcome {
    let frames: [&[u8]; 7] =
        [b"P", b"PIL", b"PILS", b"PILA", b"PILK", b"PILT", b"PILA only forty bytes of a key exchange.."];
    unanswered(bench, "a frame cut short is answered", &frames)
}

fn plaintext(bench: &mut Bench) -> Outcome {
    let (header, nonce) = bench.friend.ping();
    let mut frame = PILT.to_vec();
    frame.extend_from_slice(&tunnel::packet(&header, &nonce));
    bench.friend.send(&frame);
    bench.friend.fence()?;
    ensure(bench.friend.pongs(&nonce) == 0, || "a ping in clear is answered".to_owned())
}

fn punch(bench: &mut Bench) -> Outcome {
    let mut named = [0; 8];
    let _ = Frame::Punch { sender: Some(bench.friend.node) }.emit(&mut named);
    // From another address: it must not move the friend's.
    bench.stranger.send(&named);
    bench.stranger.send(b"PILP");
    bench.stranger.listen(SILENCE / 4);
    unanswered(bench, "a punch is answered", &[b"PILP", &named])?;
    let quiet = bench.stranger.seen().is_empty();
    ensure(quiet, || "a punch from another address is answered, or moves a peer there".to_owned())
}

fn fragment(bench: &mut Bench) -> Outcome {
    let mut whole = PILF.to_vec();
    whole.extend_from_slice(&bench.friend.node.0.to_be_bytes());
    whole.extend_from_slice(&[0, 0, 0, 1, 0, 2]);
    whole.extend_from_slice(b"half of something");
    unanswered(bench, "a fragment is answered", &[&whole])
}

fn foreign_source(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut nonces = Vec::new();
    for node in [bench.victim.node, NodeId::UNASSIGNED, NodeId::BROADCAST] {
        let (mut header, nonce) = friend.ping();
        header.src.node = node;
        friend.send_packet(&header, &nonce);
        nonces.push(nonce);
    }
    friend.fence()?;
    ensure(nonces.iter().all(|nonce| friend.pongs(nonce) == 0), || {
        "a ping that names another source than its sealer is answered".to_owned()
    })?;
    ensure(bench.victim.seen().is_empty(), || "a packet is sent to the source that a ping made up".to_owned())
}

fn beacon_message(bench: &mut Bench) -> Outcome {
    let (target, sender) = (bench.stranger.address, bench.friend.node);
    for message in [
        BeaconMessage::PunchCommand(target),
        BeaconMessage::DiscoverReply(target),
        BeaconMessage::RelayDeliver { sender, frame: b"PILP" },
        BeaconMessage::Notify { kind: 1 },
    ] {
        bench.friend.send(&message.to_vec().unwrap_or_default());
    }
    bench.friend.fence()?;
    let peer = bench.peer.address;
    bench.stranger.hears_nothing(peer, "a punch command that no beacon sent is obeyed")
}

/// Through the beacon: what names another sender inside than outside, and what may not be relayed.
fn relayed(bench: &mut Bench) -> Outcome {
    if bench.options.registry.is_none() {
        return Err(Stop::skipped("no beacon was named"));
    }
    let (beacon, destination) = (bench.beacon()?, bench.peer.node);
    let (friend, victim) = (&mut bench.friend, &mut bench.victim);
    let hello = |node| BeaconMessage::Discover { node, key: None }.to_vec().unwrap_or_default();
    victim.send_to(beacon, &hello(victim.node));
    victim.listen(SILENCE / 4);
    victim.turn_the_page();
    let (header, nonce) = friend.ping();
    let sealed = friend.tunnel.seal(friend.node, &tunnel::packet(&header, &nonce));
    let (clear_header, clear_nonce) = friend.ping();
    let mut clear = PILT.to_vec();
    clear.extend_from_slice(&tunnel::packet(&clear_header, &clear_nonce));
    let exchange = tunnel::exchange(friend.node, &friend.identity, tunnel::random()).to_bytes();
    let nested = BeaconMessage::PunchCommand(victim.address).to_vec().unwrap_or_default();
    for frame in [&sealed[..], &exchange, &clear, b"PILP", &nested] {
        let message = BeaconMessage::Relay { sender: victim.node, destination, frame };
        victim.send_to(beacon, &message.to_vec().unwrap_or_default());
    }
    victim.hears_nothing(beacon, "a relayed frame that lies about its sender, or may not be relayed, is answered")?;
    friend.fence()?;
    let answered = friend.pongs(&nonce) + friend.pongs(&clear_nonce);
    ensure(answered == 0, || "a relayed frame that names another sender outside is opened".to_owned())?;
    ensure(!friend.seen().iter().any(|r| r.exchange().is_some()), || {
        "a relayed PILA that names another sender outside is answered".to_owned()
    })?;
    ensure(friend.is_answered(PATIENCE), || "the peer answers no ping any more".to_owned())
}
