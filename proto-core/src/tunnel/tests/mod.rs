//! Two tunnels that talk through a vector, in virtual time.

mod interleaving;
mod proofs;
mod rekey;
mod sessions;
mod vectors;

use super::*;
use crate::crypto::{Identity, rust_crypto};
use crate::rng::Rng;
use crate::seq::SeqNumber;
use crate::wire::frame::{AUTHENTICATED_KEY_EXCHANGE_LEN, PILA, TAG_LEN};
use crate::wire::{Address, Flags, Frame, Header, Protocol};

const A: usize = 0;
const B: usize = 1;
const NODES: [NodeId; 2] = [NodeId(0x1_0001), NodeId(0x2_0002)];

struct Side {
    tunnel: Tunnel,
    identity: Identity,
    rng: Rng,
    established: usize,
    failed: usize,
}

struct Net {
    now: Timestamp,
    sides: [Side; 2],
    /// Frames on their way: to whom, and what.
    wire: VecDeque<(usize, Vec<u8>)>,
    /// All frames ever sent.
    history: Vec<(usize, Vec<u8>)>,
}

fn other(side: usize) -> usize {
    1 - side
}

fn tunnel(side: usize, limits: RekeyLimits) -> Tunnel {
    Tunnel::with_limits(NODES[side], NODES[other(side)], limits)
}

fn packet(src: NodeId, dst: NodeId, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        flags,
        protocol: Protocol::Control,
        src: Address::backbone(src),
        dst: Address::backbone(dst),
        src_port: 50_000,
        dst_port: 0,
        seq: SeqNumber(0),
        ack: SeqNumber(0),
        window: 0,
    };
    let mut bytes = vec![0; HEADER_LEN + payload.len()];
    header.emit(payload, &mut bytes).unwrap();
    bytes
}

fn framed(packet: &[u8]) -> Vec<u8> {
    [&[0; SECURE_HEADER_LEN][..], packet, &[0; TAG_LEN]].concat()
}

impl Net {
    fn new() -> Self {
        Self::with_limits(RekeyLimits::default())
    }

    fn with_limits(limits: RekeyLimits) -> Self {
        let side = |side: usize| Side {
            tunnel: tunnel(side, limits),
            identity: Identity::from_seed([side as u8 + 1; 32]),
            rng: Rng::new([side as u8 + 11; 32]),
            established: 0,
            failed: 0,
        };
        Self { now: Timestamp::from_micros(1), sides: [side(A), side(B)], wire: VecDeque::new(), history: Vec::new() }
    }

    fn connected() -> Self {
        let mut net = Self::new();
        net.start(A);
        net.pump();
        assert!(net.talks(A) && net.talks(B));
        net.pass(Duration::from_secs(1));
        net
    }

    fn with_context<T>(&mut self, side: usize, f: impl FnOnce(&mut Tunnel, Timestamp, &mut Context<'_>) -> T) -> T {
        let Side { tunnel, identity, rng, .. } = &mut self.sides[side];
        f(tunnel, self.now, &mut Context { crypto: rust_crypto(), identity, rng })
    }

    fn start(&mut self, side: usize) {
        self.with_context(side, |tunnel, now, context| tunnel.start_exchange(now, context));
    }

    /// The process of `side` ends and another begins.
    fn restart(&mut self, side: usize) {
        self.sides[side].tunnel = tunnel(side, RekeyLimits::default());
    }

    fn exchange_frame(&mut self, side: usize) -> Vec<u8> {
        let mut frame = vec![0; AUTHENTICATED_KEY_EXCHANGE_LEN];
        self.with_context(side, |tunnel, _, context| tunnel.emit_exchange(context, &mut frame)).unwrap();
        frame
    }

    fn send(&mut self, from: usize, frame: Vec<u8>) {
        self.history.push((other(from), frame.clone()));
        self.wire.push_back((other(from), frame));
    }

    /// Carries out what both tunnels ask for, onto the wire.
    fn act(&mut self) {
        for side in [A, B] {
            while let Some(action) = self.sides[side].tunnel.poll_action(self.now) {
                match action {
                    Action::SendExchange | Action::ReplyExchange => {
                        let frame = self.exchange_frame(side);
                        self.send(side, frame);
                    }
                    Action::Probe(session) => {
                        let mut frame = framed(&packet(NODES[side], NODES[other(side)], Flags::NONE, b"probe"));
                        if self.sides[side].tunnel.seal_probe(self.now, session, &mut frame).is_ok() {
                            self.send(side, frame);
                        }
                    }
                    Action::Established => self.sides[side].established += 1,
                    Action::Switched => {}
                    Action::Failed => self.sides[side].failed += 1,
                }
            }
        }
    }

    /// What happens to `side` when `frame` arrives; pings are answered.
    fn deliver(&mut self, side: usize, mut frame: Vec<u8>) -> Result<(), &'static str> {
        if frame.starts_with(&PILA) {
            let Ok(Frame::AuthenticatedKeyExchange(exchange)) = Frame::parse(&frame) else { return Err("frame") };
            let key = self.sides[other(side)].identity.public();
            return self
                .with_context(side, |tunnel, now, context| tunnel.handle_exchange(now, &exchange, &key, context))
                .map_err(ExchangeError::name);
        }
        let opened = self.sides[side].tunnel.open(self.now, &mut frame).map_err(OpenError::name)?;
        if opened.header.flags == Flags::NONE && !opened.payload.is_empty() {
            let mut pong = framed(&packet(NODES[side], NODES[other(side)], Flags::ACK, b"probe"));
            self.sides[side].tunnel.seal(self.now, &mut pong).map_err(SealError::name)?;
            self.send(side, pong);
        }
        Ok(())
    }

    /// Delivers everything, and what follows from it.
    fn pump(&mut self) {
        for _ in 0..10_000 {
            self.act();
            let Some((to, frame)) = self.wire.pop_front() else { return };
            let _ = self.deliver(to, frame);
        }
        panic!("the two tunnels never fall silent");
    }

    /// Lets `span` pass, without losing anything.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        self.pump();
        while let Some((at, _)) = earliest(self.sides[A].tunnel.poll_timeout(), self.sides[B].tunnel.poll_timeout())
            .filter(|due| due.0 <= end)
        {
            self.now = self.now.max(at);
            for side in &mut self.sides {
                side.tunnel.handle_timeout(self.now);
            }
            self.pump();
        }
        self.now = end;
    }

    fn sealed(&mut self, from: usize) -> Result<Vec<u8>, SealError> {
        let mut frame = framed(&packet(NODES[from], NODES[other(from)], Flags::ACK, b"data"));
        self.sides[from].tunnel.seal(self.now, &mut frame)?;
        Ok(frame)
    }

    /// A frame of `from` arrives and opens.
    fn talks(&mut self, from: usize) -> bool {
        let Ok(frame) = self.sealed(from) else { return false };
        self.deliver(other(from), frame).is_ok()
    }

    fn sending(&self, side: usize) -> &Session {
        let tunnel = &self.sides[side].tunnel;
        tunnel.sending.and_then(|id| tunnel.session(id)).unwrap()
    }
}

//= spec/exchange.md#pp-kex-11
//= type=test
//# Key exchanges are sent authenticated
#[test]
fn first_contact_from_either_side_or_both() {
    for starters in [&[A][..], &[B], &[A, B]] {
        let mut net = Net::new();
        starters.iter().for_each(|side| net.start(*side));
        net.pump();
        assert!(net.talks(A) && net.talks(B), "{starters:?}");
        assert_eq!([net.sides[A].established, net.sides[B].established], [1, 1]);
        assert!(net.history.len() <= 5, "{} frames for one session", net.history.len());
        assert_ne!(net.sending(A).prefix.0[0] & 0x80, net.sending(B).prefix.0[0] & 0x80);
    }
}

//= spec/exchange.md#pp-kex-13
//= type=test
//# An exchange we start is sent at 0, 0.25, 0.75, 1.75 and 3.75 seconds and has failed at 4.75 seconds.
#[test]
fn an_unanswered_exchange_sends_five_times_fails_and_may_start_again() {
    let mut net = Net::new();
    net.start(A);
    net.start(A);
    let mut sent = Vec::new();
    let mut lose = |net: &mut Net| {
        net.act();
        sent.extend(net.wire.drain(..).map(|_| net.now.as_micros() / 1000));
    };
    lose(&mut net);
    while let Some((at, _)) = net.sides[A].tunnel.poll_timeout() {
        net.now = at;
        net.sides[A].tunnel.handle_timeout(at);
        lose(&mut net);
    }
    assert_eq!(sent, [0, 250, 750, 1750, 3750]);
    assert_eq!((net.sides[A].failed, net.now.as_micros()), (1, 4_750_001));
    net.start(A);
    net.pump();
    assert!(net.talks(A) && net.talks(B));
}

//= spec/exchange.md#pp-kex-14
//= type=test
//# A repeated PILA with a known key changes neither counter, prefix, replay window nor the proven address.
#[test]
fn a_repeated_exchange_changes_nothing() {
    let mut net = Net::connected();
    let exchanges: Vec<_> = net.history.iter().filter(|(_, frame)| frame.starts_with(&PILA)).cloned().collect();
    let late = net.sealed(A).unwrap();
    assert!(net.talks(A));
    let before = (net.sending(B).prefix, net.sides[B].tunnel.counter, net.sending(B).id);
    for (to, frame) in exchanges.iter().chain(exchanges.iter().rev()) {
        net.deliver(*to, frame.clone()).unwrap();
    }
    net.pump();
    assert_eq!(before, (net.sending(B).prefix, net.sides[B].tunnel.counter, net.sending(B).id));
    assert!(net.talks(A) && net.talks(B));
    assert_eq!(net.deliver(B, late.clone()), Ok(()), "reordered, not replayed");
    assert_eq!(net.deliver(B, late), Err("secure_replayed"), "windows survived the exchanges");
}

//= spec/exchange.md#pp-kex-15
//= type=test
//# A repeated PILA is answered at most once a second, and not when the peer was heard of under that key within 6 seconds.
#[test]
fn answers_to_repeated_exchanges_are_rare() {
    let mut net = Net::connected();
    let frame = net.exchange_frame(A);
    let start = net.history.len();
    for _ in 0..1000 {
        net.now = net.now + Duration::from_millis(20);
        net.deliver(B, frame.clone()).unwrap();
        net.act();
        net.wire.clear();
    }
    let answers = net.history.len() - start;
    assert!((10..=16).contains(&answers), "{answers} answers in 20 s, the first 5 s silent");
}

//= spec/exchange.md#pp-kex-16
//= type=test
//# A PILA with a new key while a session works makes a candidate that is not sent under until a frame under it opens or the present
//# session stays silent for 3 seconds.
#[test]
fn a_restarted_peer_gets_through() {
    for side in [A, B] {
        let mut net = Net::connected();
        net.restart(side);
        net.start(side);
        net.pump();
        assert!(net.talks(A) && net.talks(B));
        assert_eq!(net.sending(A).pairing.own, net.sending(B).pairing.peer);
        net.pass(Duration::from_secs(300));
        assert!(net.talks(A) && net.talks(B));
        assert_eq!(net.sides[other(side)].tunnel.sessions.len(), 1, "the old key is gone");
    }
}

//= spec/exchange.md#pp-kex-23
//= type=test
//# A sealed frame from a trusted peer for which there is no session is answered with a PILA, at most every 3 seconds.
#[test]
fn a_peer_that_restarted_unnoticed_is_told_the_new_key() {
    let mut net = Net::connected();
    net.restart(B);
    assert!(!net.talks(A), "B has no key");
    net.pump();
    assert!(net.talks(A) && net.talks(B));
}

//= spec/exchange.md#pp-kex-17
//= type=test
//# A candidate that stays silent for 3 seconds while the present session is heard of is discarded.
#[test]
fn a_replayed_old_exchange_cannot_cut_a_working_tunnel() {
    let mut net = Net::connected();
    let old = net.exchange_frame(A);
    net.restart(A);
    net.start(A);
    net.pump();
    net.pass(Duration::from_secs(1));
    net.restart(B);
    net.start(B);
    net.pump();
    let current = net.sending(B).id;
    for _ in 0..10 {
        net.deliver(B, old.clone()).unwrap();
        net.pass(Duration::from_secs(1));
        assert_eq!(net.sending(B).id, current);
        assert!(net.talks(A) && net.talks(B));
    }
    net.pass(CANDIDATE_PATIENCE);
    assert!(net.sides[B].tunnel.candidate.is_none());
}

//= spec/nonces.md#pp-nonce-15
//= type=test
//# A recorded session cannot be played back after its state was forgotten.
#[test]
fn a_recorded_session_cannot_be_played_back_after_it_was_forgotten() {
    let mut net = Net::connected();
    let recorded = [net.exchange_frame(A), net.sealed(A).unwrap()];
    net.restart(A);
    net.start(A);
    net.pump();
    net.pass(SESSION_RETENTION + Duration::from_secs(1));
    assert_eq!(net.sides[B].tunnel.sessions.len(), 1);
    let [exchange, sealed] = recorded;
    net.deliver(B, exchange).unwrap();
    assert_eq!(net.deliver(B, sealed), Err("secure_undecryptable"));
    net.pump();
    assert!(net.talks(A) && net.talks(B));
}

//= spec/nonces.md#pp-nonce-9
//= type=test
//# Replay state changes only after the frame was authenticated.
//= spec/exchange.md#pp-kex-24
//= type=test
//# Five frames in a row that no key opens make us tell our key, at most every 3 seconds, and end no session.
#[test]
fn garbage_and_forged_counters_wedge_nothing() {
    let mut net = Net::connected();
    let genuine = net.sealed(A).unwrap();
    let mut forged = genuine.clone();
    forged[12..20].fill(0x7F);
    assert_eq!(net.deliver(B, forged), Err("secure_undecryptable"));
    let mut rng = Rng::new([5; 32]);
    for _ in 0..100_000 {
        let mut garbage = genuine.clone();
        rng.fill(&mut garbage[8..]);
        assert_eq!(net.deliver(B, garbage), Err("secure_undecryptable"));
    }
    net.act();
    assert!(net.wire.len() <= 1, "one question for all of it");
    assert_eq!(net.deliver(B, genuine), Ok(()));
    net.pump();
    assert!(net.talks(A) && net.talks(B));
    for len in 0..SHORTEST_FRAME {
        let mut frame = vec![0; len];
        frame.iter_mut().zip(b"PILS\0\x01\0\x01").for_each(|(slot, byte)| *slot = *byte);
        assert_eq!(net.deliver(B, frame), Err("secure_malformed"));
    }
}

//= spec/frames.md#pp-frame-14
//= type=test
//# The packet inside a PILS frame must name the sealer as its source node, or it is dropped.
#[test]
fn the_inner_source_is_bound_to_the_sealer() {
    let mut net = Net::connected();
    let mut inject = |packet: &[u8]| {
        let mut frame = framed(packet);
        net.sides[A].tunnel.seal(net.now, &mut frame).unwrap();
        net.deliver(B, frame)
    };
    let foreign = packet(NodeId(77), NODES[B], Flags::NONE, b"x");
    assert_eq!(inject(&foreign), Err("secure_source_spoofed"));
    let anonymous = packet(NodeId::UNASSIGNED, NODES[B], Flags::NONE, b"");
    assert_eq!(inject(&anonymous), Ok(()), "an empty keepalive may leave its source out");
    let talking = packet(NodeId::UNASSIGNED, NODES[B], Flags::NONE, b"x");
    assert_eq!(inject(&talking), Err("secure_source_spoofed"));
    let mut broken = packet(NODES[A], NODES[B], Flags::NONE, b"x");
    broken[31] ^= 1;
    assert_eq!(inject(&broken), Err("secure_bad_packet"));
}

//= spec/exchange.md#pp-kex-6
//= type=test
//# The identity key carried in a PILA must equal the one known for its sender from the registry, the trust store or the host, or the
//# frame is dropped.
//= spec/exchange.md#pp-kex-12
//= type=test
//# A PILA naming this node or node 0 as its sender is dropped.
#[test]
fn unsound_exchanges_are_refused() {
    let mut net = Net::connected();
    let frame = net.exchange_frame(A);
    let Ok(Frame::AuthenticatedKeyExchange(good)) = Frame::parse(&frame) else { panic!("a PILA") };
    let key = net.sides[A].identity.public();
    let signed = |net: &Net, public: [u8; 32]| AuthenticatedKeyExchange {
        exchange_public: public,
        signature: net.sides[A].identity.sign(&crate::wire::frame::signed_message(NODES[A], &public)),
        ..good
    };
    let stranger = Identity::from_seed([9; 32]);
    let mut other_signature = good;
    other_signature.signature[0] ^= 1;
    let cases = [
        (AuthenticatedKeyExchange { sender: NODES[B], ..good }, ExchangeError::WrongSender),
        (AuthenticatedKeyExchange { identity_public: stranger.public().0, ..good }, ExchangeError::IdentityMismatch),
        (AuthenticatedKeyExchange { exchange_public: [7; 32], ..good }, ExchangeError::Signature),
        (other_signature, ExchangeError::Signature),
        (signed(&net, [0; 32]), ExchangeError::LowOrderKey),
    ];
    for (exchange, error) in cases {
        let result = net.with_context(B, |tunnel, now, context| tunnel.handle_exchange(now, &exchange, &key, context));
        assert_eq!(result, Err(error));
    }
    assert_eq!(net.sides[B].tunnel.sessions.len(), 1);
    assert!(net.talks(A) && net.talks(B));
}

#[test]
fn a_deaf_peer_is_told_our_key_again() {
    let mut net = Net::new();
    let unheard = net.exchange_frame(B);
    net.deliver(A, unheard).unwrap();
    net.act();
    net.wire.clear();
    let silent = net.sealed(A).unwrap();
    net.now = net.now + Duration::from_secs(2);
    net.sealed(A).unwrap();
    net.act();
    assert!(net.wire.iter().any(|(to, frame)| *to == B && frame.starts_with(&PILA)));
    net.pump();
    assert_eq!(net.deliver(B, silent), Ok(()));
}
