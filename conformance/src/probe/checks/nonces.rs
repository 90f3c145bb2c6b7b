//! Nonces: what is sealed twice, what opens twice, and what is too old.

use crate::probe::actor::{Actor, PATIENCE, Received};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure};
use crate::probe::tunnel::{self, LEAST_SEALED, Packet};
use proto_core::crypto::NoncePrefix;
use proto_core::wire::SecureHeader;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest wait for an answer that need not come.
const SHORT: Duration = Duration::from_millis(1200);

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Session, name, ids, run);
    vec![
        check("nonces/replay", &["PP-NONCE-6"], replay),
        check("nonces/out-of-order", &["PP-NONCE-8", "PP-NONCE-14"], out_of_order),
        check("nonces/too-old", &["PP-NONCE-7"], too_old),
        check("nonces/counter-zero", &["PP-NONCE-4"], zero),
        check("nonces/counter-zero-once", &["PP-NONCE-6"], zero_once),
        check("nonces/prefixes-apart", &["PP-NONCE-10"], prefixes_apart),
        check("nonces/forged-counter", &["PP-NONCE-9"], forged),
        check("nonces/never-twice", &["PP-NONCE-2"], never_twice),
        check("nonces/one-by-one", &["PP-NONCE-1", "PP-NONCE-3"], one_by_one),
        check("nonces/direction-bit", &["PP-NONCE-5"], direction),
        check("nonces/retired-prefix", &["PP-NONCE-11"], retired),
    ]
}

/// Sends a ping under a nonce of choice; gives the frame and the ping's own nonce.
fn ping_as(friend: &mut Actor, prefix: [u8; 4], counter: u64) -> (Vec<u8>, [u8; 8]) {
    let (header, nonce) = friend.ping();
    let frame = friend.tunnel.seal_as(friend.node, (prefix, counter), &tunnel::packet(&header, &nonce));
    friend.send(&frame);
    (frame, nonce)
}

fn opens(friend: &mut Actor, prefix: [u8; 4], counter: u64) -> bool {
    let (_, nonce) = ping_as(friend, prefix, counter);
    friend.pong(&nonce, SHORT).is_some()
}

/// A prefix of its own for a check, so that what it does to the window is nobody else's concern.
fn own_prefix(friend: &mut Actor) -> [u8; 4] {
    let prefix = tunnel::random();
    friend.tunnel.prefix = prefix;
    prefix
}

fn replay(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (header, nonce) = friend.ping();
    let frame = friend.send_sealed(&tunnel::packet(&header, &nonce));
    friend.fence()?;
    let once = friend.pongs(&nonce);
    for _ in 0..3 {
        friend.send(&frame);
    }
    friend.fence()?;
    ensure(once == 1 && friend.pongs(&nonce) == 1, || "a replayed frame is answered again".to_owned())
}

fn out_of_order(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (prefix, base) = (own_prefix(friend), friend.tunnel.counter + 1);
    friend.tunnel.counter += 400;
    for counter in [base + 300, base + 299, base + 46, base + 45] {
        let behind = base + 300 - counter;
        ensure(opens(friend, prefix, counter), || format!("a frame {behind} behind the newest does not open"))?;
    }
    Ok(())
}

fn too_old(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (prefix, base) = (own_prefix(friend), friend.tunnel.counter + 1);
    friend.tunnel.counter += 2000;
    ensure(opens(friend, prefix, base + 1000), || "the newest frame does not open".to_owned())?;
    for counter in [base + 1000 - 256, base] {
        let behind = base + 1000 - counter;
        ensure(!opens(friend, prefix, counter), || format!("a frame {behind} behind the newest opens"))?;
    }
    Ok(())
}

fn zero(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let prefix = own_prefix(friend);
    ensure(opens(friend, prefix, 0), || "a frame with counter 0 does not open".to_owned())
}

fn zero_once(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let prefix = own_prefix(friend);
    let (frame, nonce) = ping_as(friend, prefix, 0);
    friend.send(&frame);
    friend.fence()?;
    let answers = friend.pongs(&nonce);
    if answers == 0 {
        return Err(Stop::skipped("a frame with counter 0 does not open at all"));
    }
    ensure(answers == 1, || "a replayed frame with counter 0 is answered again".to_owned())
}

fn prefixes_apart(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let (one, other) = (own_prefix(friend), own_prefix(friend));
    let base = friend.tunnel.counter;
    friend.tunnel.counter += 20_000;
    ensure(opens(friend, one, base + 10_000), || "a frame under a new prefix does not open".to_owned())?;
    let apart = opens(friend, other, base + 1) && opens(friend, one, base + 9_999);
    ensure(apart, || "the counters of one prefix make those of another too old".to_owned())
}

/// The least frame there is, with a counter that no honest one reaches.
fn forged(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let nonce = NoncePrefix(friend.tunnel.prefix).nonce(0x7F7F_7F7F_7F7F_7F7F);
    let mut frame = SecureHeader { sender: friend.node, nonce }.to_bytes().to_vec();
    frame.resize(LEAST_SEALED, 0x55);
    friend.send(&frame);
    let answered = friend.is_answered(PATIENCE / 2);
    ensure(answered, || "after one forged frame with a huge counter nothing opens any more".to_owned())
}

/// All that the peer ever sealed for the friend and that opened.
fn sealed(friend: &Actor) -> impl Iterator<Item = &Packet> {
    friend.log().iter().filter_map(Received::packet)
}

fn never_twice(bench: &mut Bench) -> Outcome {
    bench.friend.fence()?;
    let mut seen = BTreeSet::new();
    let twice = sealed(&bench.friend).find(|packet| !seen.insert((packet.session, packet.prefix, packet.counter)));
    ensure(twice.is_none(), || "the peer seals two frames under one nonce".to_owned())?;
    ensure(seen.len() > 20, || "too few frames to say anything".to_owned())
}

fn one_by_one(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    for _ in 0..4 {
        friend.fence()?;
    }
    let counters: Vec<u64> = friend.seen().iter().filter_map(Received::packet).map(|packet| packet.counter).collect();
    let right = counters.windows(2).all(|pair| matches!(pair, [one, next] if *next == one + 1));
    ensure(right && counters.len() >= 4, || format!("the peer's counters are {counters:?}"))?;
    let first = sealed(friend).map(|packet| packet.counter).min();
    // A frame or two of the beginning may have been for a key we did not have yet.
    ensure(first.is_some_and(|first| first >= 1), || "the peer's first counter is 0".to_owned())
}

fn direction(bench: &mut Bench) -> Outcome {
    let larger = bench.peer.node > bench.friend.node;
    let mut prefixes: Vec<[u8; 4]> = sealed(&bench.friend).map(|packet| packet.prefix).collect();
    prefixes.dedup();
    let right = prefixes.iter().all(|[first, ..]| (first & 0x80 != 0) == larger);
    ensure(right, || format!("the top bit does not tell the larger node: {prefixes:02X?}"))
}

fn retired(bench: &mut Bench) -> Outcome {
    let friend = &mut bench.friend;
    let prefixes: Vec<[u8; 4]> = (0..9).map(|_| own_prefix(friend)).collect();
    let base = friend.tunnel.counter + 1;
    friend.tunnel.counter += 100;
    let mut recorded = None;
    for prefix in prefixes {
        let (frame, nonce) = ping_as(friend, prefix, base);
        ensure(friend.pong(&nonce, SHORT).is_some(), || "a frame under a new prefix does not open".to_owned())?;
        recorded = recorded.or(Some((prefix, frame, nonce)));
        // Nine answers at once would be near the rate of pings.
        friend.listen(Duration::from_millis(60));
    }
    let Some((prefix, frame, nonce)) = recorded else { return Ok(()) };
    friend.send(&frame);
    friend.fence()?;
    ensure(friend.pongs(&nonce) == 1, || "a frame opens again once its prefix was forgotten".to_owned())?;
    ensure(!opens(friend, prefix, base + 1), || "the ninth prefix retires none before it".to_owned())
}
