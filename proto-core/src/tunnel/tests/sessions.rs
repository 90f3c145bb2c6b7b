//! How long sessions stay, how many there are, and what an exchange without identity may do.

use super::*;
use crate::limits::SPENT_KEYS_PER_PEER;
use crate::wire::KeyExchange;

impl Net {
    /// A PILA of `from` with a key that it will never use.
    fn stray_exchange(&self, from: usize, number: u8) -> Vec<u8> {
        let secret = rust_crypto().exchange.public(&crate::crypto::ExchangeSecret::from_bytes([number; 32]));
        let identity = &self.sides[from].identity;
        AuthenticatedKeyExchange {
            sender: NODES[from],
            exchange_public: secret,
            identity_public: identity.public().0,
            signature: identity.sign(&crate::wire::frame::signed_message(NODES[from], &secret)),
        }
        .to_bytes()
        .to_vec()
    }

    fn actions(&mut self, side: usize) -> Vec<Action> {
        let Self { sides, now, .. } = self;
        core::iter::from_fn(|| sides[side].tunnel.poll_action(*now)).collect()
    }
}

//= spec/exchange.md#pp-kex-18
//= type=test
//# A replaced key is received under for at least 60 seconds.
#[test]
fn a_key_that_rested_for_long_is_received_under_after_it_was_replaced() {
    let second = Duration::from_secs(1);
    for (rest, answer) in
        [(SESSION_RETENTION - second, Ok(())), (SESSION_RETENTION + second, Err("secure_undecryptable"))]
    {
        let mut net = Net::connected();
        let late = net.sealed(A).unwrap();
        net.pass(SESSION_RETENTION * 3);
        net.restart(A);
        net.start(A);
        net.pump();
        net.now = net.now + rest;
        net.sides[B].tunnel.handle_timeout(net.now);
        assert_eq!(net.deliver(B, late), answer, "{rest:?} after it was replaced");
    }
}

#[test]
fn a_change_of_keys_is_told_once() {
    let mut net = Net::connected();
    let before = net.sides[B].tunnel.sending();
    assert!(before.is_some());
    net.restart(A);
    let exchange = net.exchange_frame(A);
    net.deliver(B, exchange).unwrap();
    assert!(!net.actions(B).contains(&Action::Switched), "only offered");
    let answer = net.exchange_frame(B);
    net.deliver(A, answer).unwrap();
    assert!(net.talks(A));
    assert_eq!(net.actions(B), [Action::Switched]);
    assert_ne!(net.sides[B].tunnel.sending(), before);
    assert!(net.talks(A));
    assert_eq!(net.actions(B), []);
}

//= spec/exchange.md#pp-kex-16
//= type=test
//# A PILA with a new key while a session works makes a candidate that is not sent under until a frame under it opens or the present
//# session stays silent for 3 seconds.
#[test]
fn repeating_an_offer_does_not_prolong_it() {
    let mut net = Net::connected();
    let stray = net.stray_exchange(A, 77);
    let mut patience = 0;
    let present = net.sides[B].tunnel.sending();
    while net.sides[B].tunnel.sending() == present {
        net.deliver(B, stray.clone()).unwrap();
        net.actions(B);
        net.now = net.now + Duration::from_millis(500);
        net.sides[B].tunnel.handle_timeout(net.now);
        patience += 1;
        assert!(patience <= 6, "still waiting after {patience} half seconds");
    }
    assert_eq!(patience, 6);
}

#[test]
fn an_exchange_under_way_is_not_begun_again_but_followed() {
    let mut net = Net::new();
    net.start(A);
    assert_eq!(net.actions(A), [Action::SendExchange]);
    net.now = net.now + Duration::from_millis(100);
    net.start(A);
    assert_eq!(net.actions(A), [], "it is under way");
    net.sides[A].tunnel.want_anew();
    net.now = net.now + Duration::from_secs(10);
    net.sides[A].tunnel.handle_timeout(net.now);
    assert_eq!(net.actions(A), [Action::SendExchange], "another instead of a failure");
    net.now = net.now + Duration::from_secs(10);
    net.sides[A].tunnel.handle_timeout(net.now);
    assert_eq!(net.actions(A), [Action::Failed], "all sends were missed");
    let mut net = Net::connected();
    net.start(A);
    assert_eq!(net.actions(A), [], "there is a session");
}

#[test]
fn sends_that_were_missed_become_one() {
    let mut net = Net::new();
    net.start(A);
    net.actions(A);
    net.now = net.now + Duration::from_secs(2);
    net.sides[A].tunnel.handle_timeout(net.now);
    assert_eq!(net.actions(A), [Action::SendExchange]);
    let next = net.sides[A].tunnel.poll_timeout().map(|(at, _)| at.as_micros());
    assert_eq!(next, Some(3_750_001));
}

//= spec/exchange.md#pp-kex-12
//= type=test
//# A PILA naming this node or node 0 as its sender is dropped.
#[test]
fn nobody_has_a_tunnel_with_itself_or_with_nobody() {
    for node in [NODES[A], NodeId::UNASSIGNED] {
        let mut net = Net::new();
        net.sides[A].tunnel = Tunnel::new(NODES[A], node);
        let identity = Identity::from_seed([9; 32]);
        let exchange = AuthenticatedKeyExchange {
            sender: node,
            exchange_public: [9; 32],
            identity_public: identity.public().0,
            signature: identity.sign(&crate::wire::frame::signed_message(node, &[9; 32])),
        };
        let key = identity.public();
        let refused = net.with_context(A, |tunnel, now, context| tunnel.handle_exchange(now, &exchange, &key, context));
        assert_eq!(refused, Err(ExchangeError::WrongSender));
        let exchange = KeyExchange { sender: node, public: [9; 32] };
        let refused =
            net.with_context(A, |tunnel, now, context| tunnel.handle_anonymous_exchange(now, &exchange, context));
        assert_eq!(refused, Err(ExchangeError::WrongSender));
    }
}

#[test]
fn a_frame_without_room_for_header_and_tag_is_not_sealed() {
    let mut net = Net::connected();
    let (now, tunnel) = (net.now, &mut net.sides[A].tunnel);
    assert_eq!(tunnel.seal(now, &mut [0; PILS_OVERHEAD - 1]), Err(SealError::TooShort));
    assert_eq!(tunnel.seal(now, &mut [0; PILS_OVERHEAD]), Ok(()));
    assert_eq!(Tunnel::new(NODES[A], NODES[B]).seal(now, &mut [0; 100]), Err(SealError::NoSession));
}

/// Whoever sent them: they are not worth a look for a key.
#[test]
fn a_frame_without_room_for_a_packet_is_malformed() {
    let mut net = Net::connected();
    let frame = net.sealed(A).unwrap();
    for (len, name) in [(69, "secure_malformed"), (70, "secure_undecryptable")] {
        assert_eq!(net.deliver(B, frame[..len].to_vec()), Err(name), "{len} bytes");
    }
}

/// Old exchanges, played back one after the other, each with another key.
#[test]
fn offers_without_end_leave_the_session_in_use_and_a_bounded_rest() {
    let mut net = Net::connected();
    let present = net.sides[B].tunnel.sending();
    for number in 1..=40 {
        let stray = net.stray_exchange(A, number);
        net.deliver(B, stray).unwrap();
        net.actions(B);
        assert!(net.talks(A));
        let (sessions, prefixes, spent) = net.sides[B].tunnel.held();
        assert!(sessions <= SESSIONS_PER_PEER && spent <= SPENT_KEYS_PER_PEER, "{sessions} {spent}");
        assert_eq!(prefixes, 1, "only the session in use has opened a frame");
    }
    assert_eq!(net.sides[B].tunnel.sending(), present);
    assert_eq!(
        net.sides[B].tunnel.held(),
        (SESSIONS_PER_PEER, 1, 0),
        "what was never used is forgotten without a trace"
    );
    net.pump();
    assert!(net.talks(A) && net.talks(B));
}

/// The offer has to go, as all others have proved themselves; the session in use then stays in use.
#[test]
fn an_offer_dropped_for_a_new_own_key_is_not_taken_up_after_its_silence() {
    let limits = RekeyLimits { frames: 100, ..RekeyLimits::default() };
    let mut net = Net::with_limits(limits);
    for _ in 0..SESSIONS_PER_PEER {
        net.restart(A);
        net.start(A);
        net.pump();
        net.pass(Duration::from_secs(1));
        assert!(net.talks(A) && net.talks(B));
    }
    let stray = net.stray_exchange(A, 77);
    net.deliver(B, stray).unwrap();
    assert!(net.actions(B).contains(&Action::ReplyExchange), "offered");
    assert_eq!(net.sides[B].tunnel.held().0, SESSIONS_PER_PEER);
    let offered = net.sending(B).pairing.own;
    while !net.actions(B).contains(&Action::SendExchange) {
        net.sealed(B).unwrap();
    }
    net.exchange_frame(B);
    assert_ne!(net.sides[B].tunnel.own.as_ref().map(|own| own.public), Some(offered), "replaced");
    net.now = net.now + CANDIDATE_PATIENCE;
    net.sides[B].tunnel.handle_timeout(net.now);
    assert!(net.talks(B));
}

/// Each restart of the peer leaves a key behind under which frames were opened: these are remembered, and beyond that the own key is replaced.
#[test]
fn many_restarts_of_the_peer_are_remembered_or_end_the_own_key() {
    let mut net = Net::connected();
    let first = net.sending(B).pairing.own;
    let mut most = 0;
    for _ in 0..2 * (SPENT_KEYS_PER_PEER + SESSIONS_PER_PEER) {
        net.restart(A);
        net.start(A);
        net.pump();
        net.pass(Duration::from_secs(1));
        assert!(net.talks(A) && net.talks(B));
        most = most.max(net.sides[B].tunnel.held().2);
    }
    assert_eq!(most, SPENT_KEYS_PER_PEER);
    assert_ne!(net.sending(B).pairing.own, first);
}

#[test]
fn keys_without_identity_meet_and_end_with_the_first_identity() {
    let mut net = Net::new();
    let tell = |net: &mut Net, from: usize| {
        let mut frame = [0; 40];
        let len = net.with_context(from, |tunnel, _, context| tunnel.emit_anonymous_exchange(context, &mut frame));
        assert_eq!(len, Some(40));
        let Ok(Frame::KeyExchange(exchange)) = Frame::parse(&frame) else { panic!("a PILK") };
        assert_eq!(exchange.sender, NODES[from]);
        net.with_context(other(from), |tunnel, now, context| tunnel.handle_anonymous_exchange(now, &exchange, context))
    };
    assert_eq!(tell(&mut net, A), Ok(()));
    assert_eq!(tell(&mut net, B), Ok(()));
    assert!(net.talks(A) && net.talks(B));
    assert!(net.sides.iter().all(|side| side.tunnel.is_established() && !side.tunnel.is_authenticated()));
    let foreign = KeyExchange { sender: NodeId(99), public: [9; 32] };
    let refused = net.with_context(B, |tunnel, now, context| tunnel.handle_anonymous_exchange(now, &foreign, context));
    assert_eq!(refused, Err(ExchangeError::WrongSender));
    // A signed exchange of a restarted peer: what was agreed without identity is gone at once, and never comes back.
    let unproven = net.sealed(A).unwrap();
    let proven = net.stray_exchange(A, 77);
    net.deliver(B, proven).unwrap();
    assert!(net.sides[B].tunnel.is_authenticated());
    assert_eq!(net.sides[B].tunnel.held().0, 1);
    assert!(net.sealed(B).is_ok(), "B sends under the proven key at once");
    assert_eq!(net.deliver(B, unproven), Err("secure_undecryptable"));
    assert_eq!(tell(&mut net, A), Err(ExchangeError::Downgrade));
    assert!(!Tunnel::new(NODES[A], NODES[B]).is_authenticated());
}

//= spec/exchange.md#pp-kex-24
//= type=test
//# Five frames in a row that no key opens make us tell our key, at most every 3 seconds, and end no session.
#[test]
fn the_fifth_frame_in_a_row_that_no_key_opens_is_one_too_many() {
    let mut net = Net::connected();
    let garbage = |net: &mut Net| {
        let mut frame = net.sealed(A).unwrap();
        frame[30] ^= 1;
        assert_eq!(net.deliver(B, frame), Err("secure_undecryptable"));
        net.actions(B)
    };
    for _ in 0..4 {
        assert_eq!(garbage(&mut net), []);
    }
    assert!(net.talks(A), "not in a row");
    for _ in 0..4 {
        assert_eq!(garbage(&mut net), []);
    }
    assert_eq!(garbage(&mut net), [Action::SendExchange]);
    for _ in 0..20 {
        assert_eq!(garbage(&mut net), [], "just asked");
    }
    net.now = net.now + Duration::from_secs(3);
    let asked: Vec<_> = (0..5).flat_map(|_| garbage(&mut net)).collect();
    assert_eq!(asked, [Action::SendExchange]);
}
