//! Key exchange: what is answered, what is not, and that nothing old or forged changes anything.

use super::FIRST_CONTACT;
use crate::probe::actor::{Actor, PATIENCE, Received};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure, expected};
use crate::probe::tunnel::{self, Packet};
use proto_core::NodeId;
use proto_core::crypto::Identity;
use proto_core::wire::{Frame, KeyExchange};
use std::time::Duration;

/// Points of small order on Curve25519 (RFC 7748, section 6.1): whatever the secret, the result is zero.
const SMALL_ORDER: [[u8; 32]; 3] = [
    [0; 32],
    one(),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
];

const fn one() -> [u8; 32] {
    let mut point = [0; 32];
    point[0] = 1;
    point
}

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Session, name, ids, run);
    let friend = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check(FIRST_CONTACT, &["PP-KEX-1", "PP-KEX-3", "PP-KEX-5", "PP-KEX-11"], answered),
        check("exchange/bytes-behind", &["PP-FRAME-12"], bytes_behind),
        check("exchange/bad-signature", &["PP-KEX-7"], bad_signature),
        check("exchange/other-identity", &["PP-KEX-6"], other_identity),
        check("exchange/small-order", &["PP-KEX-2"], small_order),
        check("exchange/from-itself-or-nobody", &["PP-KEX-12"], from_nobody),
        check("exchange/replayed", &["PP-KEX-14"], replayed),
        check("exchange/replay-unanswered", &["PP-KEX-15"], replay_unanswered),
        check("exchange/anonymous-makes-no-session", &["PP-KEX-9"], anonymous),
        friend("exchange/anonymous-is-answered-with-a-pila", &["PP-KEX-10"], anonymous_answered),
        check("exchange/candidate-is-not-sent-under", &["PP-KEX-16"], candidate),
        check("exchange/replaced-key-still-opens", &["PP-KEX-18"], replaced_key),
        check("exchange/replay-of-an-old-key", &["PP-KEX-16"], old_key),
        check("exchange/garbage-ends-no-session", &["PP-KEX-24"], garbage),
    ]
}

fn is_exchange(received: &Received) -> bool {
    received.exchange().is_some()
}

/// An answered ping, with the nonce of its answer.
fn pinged(actor: &mut Actor) -> Result<Packet, Stop> {
    let (header, nonce) = actor.ping();
    actor.send_packet(&header, &nonce);
    expected(actor.pong(&nonce, PATIENCE), "a ping is not answered")
}

fn answered(bench: &mut Bench) -> Outcome {
    let (key, node) = (bench.peer.key, bench.peer.node);
    let answer = bench.friend.meet()?;
    ensure(answer.sender == node, || format!("node {node} answers as node {}", answer.sender))?;
    ensure(tunnel::is_signed_by(&answer, &key), || "the answer is not signed by the registered key".to_owned())
}

fn bytes_behind(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let public = friend.tunnel.renew();
    let mut bytes = tunnel::exchange(friend.node, &friend.identity, public).to_bytes().to_vec();
    bytes.extend_from_slice(b"and more");
    friend.send_exchange_bytes(&bytes);
    let answer = friend.find(PATIENCE, |received| received.exchange().copied());
    expected(answer, "a PILA with bytes behind it is not answered")?;
    pinged(friend).map(drop)
}

/// Sends a forged exchange from the friend's own address: it must not be answered, and the session must go on.
fn unanswered(friend: &mut Actor, bytes: &[u8], what: &str) -> Outcome {
    friend.turn_the_page();
    friend.send_exchange_bytes(bytes);
    friend.silent(what, is_exchange)
}

fn bad_signature(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let mut forged = tunnel::exchange(friend.node, &friend.identity, tunnel::random());
    if let Some(byte) = forged.signature.first_mut() {
        *byte ^= 1;
    }
    unanswered(friend, &forged.to_bytes(), "a PILA with a wrong signature is answered")
}

fn other_identity(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let forged = tunnel::exchange(friend.node, &Identity::from_seed(tunnel::random()), tunnel::random());
    unanswered(friend, &forged.to_bytes(), "a PILA with another identity than the registered one is answered")
}

fn small_order(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    for point in SMALL_ORDER {
        let weak = tunnel::exchange(friend.node, &friend.identity, point);
        unanswered(friend, &weak.to_bytes(), "a PILA whose shared secret is zero is answered")?;
    }
    Ok(())
}

fn from_nobody(bench: &mut Bench) -> Outcome {
    let peer = bench.peer.node;
    let friend = &mut bench.friend;
    for node in [peer, NodeId::UNASSIGNED] {
        let odd = tunnel::exchange(node, &friend.identity, tunnel::random());
        unanswered(friend, &odd.to_bytes(), &format!("a PILA of node {node} is answered"))?;
    }
    Ok(())
}

/// The exchange of the present key once more, as whoever overheard it can send it.
fn replay(friend: &mut Actor) {
    friend.send_exchange();
    friend.listen(Duration::from_millis(100));
}

fn replayed(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    friend.meet()?;
    let before = pinged(friend)?;
    replay(friend);
    let after = pinged(friend)?;
    ensure(after.prefix == before.prefix, || "a replayed PILA makes the peer draw a new prefix".to_owned())?;
    ensure(after.counter > before.counter, || "a replayed PILA makes the peer's counter begin again".to_owned())?;
    // Nor does the peer forget what it has seen.
    let (header, nonce) = friend.ping();
    let frame = friend.send_sealed(&tunnel::packet(&header, &nonce));
    expected(friend.pong(&nonce, PATIENCE), "a ping is not answered")?;
    replay(friend);
    friend.send(&frame);
    friend.fence()?;
    ensure(friend.pongs(&nonce) == 1, || "after a replayed PILA a replayed frame opens again".to_owned())
}

fn replay_unanswered(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let bytes = friend.send_exchange();
    friend.fence()?;
    unanswered(friend, &bytes, "a repeated PILA is answered although the peer was just heard of")
}

fn send_anonymous(friend: &mut Actor, public: [u8; 32]) {
    let mut bytes = [0; 40];
    let _ = Frame::KeyExchange(KeyExchange { sender: friend.node, public }).emit(&mut bytes);
    friend.send_exchange_bytes(&bytes);
}

fn anonymous(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let own = friend.tunnel.current.and_then(|session| friend.tunnel.own_half(session));
    let public = friend.tunnel.renew();
    send_anonymous(friend, public);
    let opened = friend.is_answered(Duration::from_millis(1000));
    // Back to a key that was told rightly.
    friend.meet()?;
    ensure(!opened && own.is_some(), || "a PILK makes a session".to_owned())
}

fn anonymous_answered(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    // One of these may just have been answered, and it is answered rarely.
    friend.listen(Duration::from_millis(3100));
    let public = friend.tunnel.public();
    friend.turn_the_page();
    send_anonymous(friend, public);
    let answer = friend.find(PATIENCE / 2, |received| received.exchange().copied());
    expected(answer, "a PILK of a trusted peer is not answered with a PILA").map(drop)
}

/// Tells a new key and does not use it: a stranger who replays an old exchange can do no more.
fn candidate(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let before = pinged(friend)?;
    let session = friend.tunnel.current;
    friend.tunnel.renew();
    friend.send_exchange();
    let answer = friend.find(PATIENCE, |received| received.exchange().copied());
    expected(answer, "a PILA with a new key is not answered")?;
    let fresh = std::mem::replace(&mut friend.tunnel.current, session);
    let after = pinged(friend);
    friend.tunnel.current = fresh;
    let after = after?;
    ensure(after.session == before.session, || "the peer seals under a key under which it heard nothing".to_owned())
}

fn replaced_key(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let session = friend.tunnel.current;
    friend.meet()?;
    pinged(friend)?;
    let fresh = std::mem::replace(&mut friend.tunnel.current, session);
    let answered = friend.is_answered(Duration::from_millis(1200));
    friend.tunnel.current = fresh;
    ensure(answered, || "a frame under the key before the present one no longer opens".to_owned())
}

fn old_key(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let recorded = friend.send_exchange();
    friend.meet()?;
    let before = pinged(friend)?;
    friend.send_exchange_bytes(&recorded);
    friend.listen(Duration::from_millis(150));
    let after = pinged(friend)?;
    let same = after.session == before.session;
    ensure(same, || "a replayed PILA of an old key makes the peer seal under that key again".to_owned())
}

fn garbage(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let before = pinged(friend)?;
    for _ in 0..8 {
        friend.tunnel.counter += 1;
        let mut frame = friend.tunnel.seal_as(friend.node, (friend.tunnel.prefix, friend.tunnel.counter), &[0; 40]);
        if let Some(last) = frame.last_mut() {
            *last ^= 0xFF;
        }
        friend.send(&frame);
    }
    friend.listen(Duration::from_millis(200));
    let after = pinged(friend)?;
    ensure(after.session == before.session, || "garbage makes the peer change keys".to_owned())
}
