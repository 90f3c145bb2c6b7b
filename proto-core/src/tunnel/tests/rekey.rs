//! Keys that are replaced, and prefixes that wear them out.

use super::*;

//= spec/nonces.md#pp-nonce-2
//= type=test
//# A nonce is never used twice under one key.
//= spec/nonces.md#pp-nonce-3
//= type=test
//# The counter toward a peer begins at 1, grows by 1 with each frame and is never restarted, whatever the key.
//= spec/exchange.md#pp-kex-18
//= type=test
//# A replaced key is received under for at least 60 seconds.
//= spec/exchange.md#pp-kex-20
//= type=test
//# The own pair is replaced before the 2^64 counter values of a key are used up; by default after 2^32 frames.
//= spec/exchange.md#pp-kex-21
//= type=test
//# The own pair is replaced after 24 hours.
#[test]
fn keys_are_replaced_by_count_and_by_age_without_a_gap() {
    let limits = RekeyLimits { frames: 50, age: Duration::from_secs(1000) };
    let mut net = Net::with_limits(limits);
    net.start(A);
    net.pump();
    assert!(net.talks(B), "the first exchange is over");
    net.pass(Duration::from_secs(1));
    let first = net.sending(A).pairing.own;
    for _ in 0..50 {
        assert!(net.talks(A));
    }
    let counter = net.sides[A].tunnel.counter;
    net.pump();
    assert_ne!(net.sending(A).pairing.own, first);
    assert_eq!(net.sending(A).pairing.own, net.sending(B).pairing.peer);
    assert!(net.sides[A].tunnel.counter >= counter, "the counter never restarts");
    assert!(net.talks(A) && net.talks(B));

    let second = net.sending(A).pairing;
    net.pass(Duration::from_secs(1001));
    assert_ne!(net.sending(A).pairing.own, second.own);
    assert!(net.talks(A) && net.talks(B));
    assert!(net.sides.iter().all(|side| side.established == 1));
}

//= spec/exchange.md#pp-kex-22
//= type=test
//# While a replacement is not answered, frames go on being sealed under the old key.
#[test]
fn an_unanswered_rekey_keeps_the_old_key() {
    let mut net = Net::with_limits(RekeyLimits { frames: 5, ..RekeyLimits::default() });
    net.start(A);
    net.pump();
    let old = net.sending(A).id;
    let mut exchanges = 0;
    for _ in 0..2000 {
        assert!(net.talks(A) && net.talks(B));
        net.now = net.now + Duration::from_millis(50);
        net.sides[A].tunnel.handle_timeout(net.now);
        net.act();
        exchanges += net.wire.drain(..).filter(|(to, _)| *to == B).count();
    }
    assert_eq!(net.sending(A).id, old);
    assert!((5..=15).contains(&exchanges), "{exchanges} in 100 s");
    net.pass(Duration::from_secs(70));
    assert_ne!(net.sending(A).id, old);
}

/// The April reference draws a new prefix and restarts its counter under the same key whenever an exchange is repeated.
//= spec/nonces.md#pp-nonce-10
//= type=test
//# Each prefix under a key has its own window.
//= spec/nonces.md#pp-nonce-14
//= type=test
//# The receiver takes the nonce from the frame and relies on no prefix.
#[test]
fn a_peer_that_restarts_its_counter_under_a_new_prefix_gets_through() {
    let mut net = Net::connected();
    for round in 0..40 {
        let id = net.sides[A].tunnel.sending.unwrap();
        let session = net.sides[A].tunnel.sessions.iter_mut().find(|session| session.id == id).unwrap();
        session.prefix = NoncePrefix([0, 0, 1, round]);
        net.sides[A].tunnel.counter = 0;
        assert!(net.talks(A) && net.talks(A));
    }
}

//= spec/nonces.md#pp-nonce-13
//= type=test
//# More than 64 prefixes under one key make us replace the own key.
#[test]
fn too_many_prefixes_lead_to_a_new_key() {
    let mut net = Net::connected();
    let first = net.sending(B).pairing.own;
    for round in 0..80 {
        let id = net.sides[A].tunnel.sending.unwrap();
        let session = net.sides[A].tunnel.sessions.iter_mut().find(|session| session.id == id).unwrap();
        session.prefix = NoncePrefix([0, 0, 2, round]);
        assert!(net.talks(A));
    }
    net.pass(REKEY_RETRY + Duration::from_secs(1));
    assert_ne!(net.sending(B).pairing.own, first);
    assert!(net.talks(A) && net.talks(B));
}
