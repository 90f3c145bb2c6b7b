//! What a frame that arrives proves: who it is from, which key is in use, and that a key is worn.

use super::*;
use crate::limits::REPLAY_PREFIXES_BEFORE_REKEY;

impl Net {
    /// A frame of `from` sealed under `session` arrives.
    fn says_under(&mut self, from: usize, session: SessionId) -> Result<(), &'static str> {
        let mut frame = framed(&packet(NODES[from], NODES[other(from)], Flags::ACK, b"data"));
        self.sides[from].tunnel.seal_probe(self.now, session, &mut frame).map_err(SealError::name)?;
        self.deliver(other(from), frame)
    }

    /// Two sides that replaced A's key, and know the old session and the new one: as each side names them.
    fn with_two_keys() -> (Self, [[SessionId; 2]; 2]) {
        let mut net = Self::connected();
        let old = [A, B].map(|side| net.sending(side).id);
        net.sides[A].tunnel.want_rekey();
        net.pump();
        assert!(net.talks(A) && net.talks(B));
        let new = [A, B].map(|side| net.sending(side).id);
        assert!(old[A] != new[A] && old[B] != new[B]);
        (net, [[old[A], new[A]], [old[B], new[B]]])
    }
}

/// D-14: frames under an older key lead back to it only when the newer was silent for a while, which is longer at one end than at the other.
#[test]
fn an_older_key_comes_back_only_after_the_newer_fell_silent() {
    for (side, patience) in [(A, 1000), (B, 3000)] {
        for (silence, comes_back) in [(patience - 1, false), (patience, true)] {
            let (mut net, names) = Net::with_two_keys();
            let [old, new] = names[side];
            net.now = net.now + Duration::from_millis(silence);
            assert_eq!(net.says_under(other(side), names[other(side)][0]), Ok(()));
            assert_eq!(net.sending(side).id, if comes_back { old } else { new }, "{silence} ms at {side}");
            assert_eq!(net.says_under(other(side), names[other(side)][1]), Ok(()));
            assert_eq!(net.sending(side).id, new, "the newer one counts at once");
        }
    }
}

/// Frames that both keys open keep both: neither end swaps for ever.
#[test]
fn frames_under_both_keys_leave_the_newer_in_use() {
    let (mut net, names) = Net::with_two_keys();
    for _ in 0..50 {
        net.now = net.now + Duration::from_millis(500);
        for side in [A, B] {
            for which in [1, 0] {
                assert_eq!(net.says_under(side, names[side][which]), Ok(()));
            }
        }
        assert_eq!([net.sending(A).id, net.sending(B).id], [names[A][1], names[B][1]]);
    }
}

//= spec/frames.md#pp-frame-14
//= type=test
//# The packet inside a PILS frame must name the sealer as its source node, or it is dropped.
//= spec/frames.md#pp-frame-15
//= type=test
//# An empty control packet to port 0 may leave its source node 0.
#[test]
fn only_an_empty_control_packet_to_port_0_leaves_its_source_out() {
    let mut net = Net::connected();
    let nobody = Header {
        flags: Flags::NONE,
        protocol: Protocol::Control,
        src: Address::backbone(NodeId::UNASSIGNED),
        dst: Address::backbone(NODES[B]),
        src_port: 0,
        dst_port: 0,
        seq: SeqNumber(0),
        ack: SeqNumber(0),
        window: 0,
    };
    let mut judged = |header: Header| {
        let mut bytes = [0; HEADER_LEN];
        header.emit(b"", &mut bytes).unwrap();
        let mut frame = framed(&bytes);
        net.sides[A].tunnel.seal(net.now, &mut frame).unwrap();
        net.deliver(B, frame)
    };
    assert_eq!(judged(nobody), Ok(()));
    let named = Header { src: Address::backbone(NODES[A]), dst_port: 5, protocol: Protocol::Stream, ..nobody };
    assert_eq!(judged(named), Ok(()));
    for header in [
        Header { dst_port: 5, ..nobody },
        Header { protocol: Protocol::Datagram, ..nobody },
        Header { protocol: Protocol::Stream, ..nobody },
        Header { src: Address::backbone(NODES[B]), ..nobody },
    ] {
        assert_eq!(judged(header), Err("secure_source_spoofed"), "{header:?}");
    }
}

//= spec/nonces.md#pp-nonce-13
//= type=test
//# More than 64 prefixes under one key make us replace the own key.
#[test]
fn the_sixty_fifth_prefix_is_one_too_many() {
    let mut net = Net::connected();
    let first = net.sending(B).pairing.own;
    net.pass(REKEY_RETRY);
    assert_eq!(REPLAY_PREFIXES_BEFORE_REKEY, 64);
    for prefixes in 1..=64 {
        assert_eq!(net.sides[B].tunnel.held().1, prefixes);
        assert_eq!(net.sending(B).pairing.own, first, "{prefixes}");
        let session = net.sides[A].tunnel.sending.unwrap();
        let sealing = net.sides[A].tunnel.sessions.iter_mut().find(|it| it.id == session).unwrap();
        sealing.prefix = NoncePrefix([9, 9, 9, prefixes as u8]);
        assert!(net.talks(A));
        net.pump();
    }
    assert_ne!(net.sending(B).pairing.own, first);
    assert!(net.talks(A) && net.talks(B));
}

/// D-15: once in 15 seconds while nothing comes back.
#[test]
fn a_peer_that_never_answers_is_told_our_key_every_fifteen_seconds() {
    let mut net = Net::connected();
    let start = net.now;
    let mut told = Vec::new();
    for _ in 0..400 {
        net.sealed(A).unwrap();
        net.act();
        let spoke = net.wire.drain(..).any(|(to, frame)| to == B && frame.starts_with(&PILA));
        told.extend(spoke.then(|| net.now.saturating_since(start).as_millis()));
        net.now = net.now + Duration::from_millis(100);
    }
    assert_eq!(told, [1500, 16_500, 31_500]);
}

/// New keys of the peer, each answered, but not more often than every quarter second.
#[test]
fn answers_to_new_keys_are_four_a_second_at_most() {
    let mut net = Net::connected();
    let mut answers = 0;
    for _ in 0..100 {
        net.restart(A);
        let exchange = net.exchange_frame(A);
        net.deliver(B, exchange).unwrap();
        net.act();
        answers += net.wire.drain(..).filter(|(to, frame)| *to == A && frame.starts_with(&PILA)).count();
        net.now = net.now + Duration::from_millis(20);
    }
    assert!((7..=10).contains(&answers), "{answers} in two seconds");
}

/// What was said before our key was replaced says nothing about the new one.
#[test]
fn after_our_key_was_replaced_the_next_new_key_is_answered_at_once() {
    for replaced in [false, true] {
        let mut net = Net::connected();
        let answers = |net: &mut Net| {
            net.restart(A);
            let exchange = net.exchange_frame(A);
            net.deliver(B, exchange).unwrap();
            net.act();
            net.wire.drain(..).filter(|(to, frame)| *to == A && frame.starts_with(&PILA)).count()
        };
        assert_eq!(answers(&mut net), 1);
        if replaced {
            net.sides[B].tunnel.want_rekey();
            net.act();
            net.wire.clear();
        }
        net.now = net.now + Duration::from_millis(100);
        assert_eq!(answers(&mut net), usize::from(replaced));
    }
}
