//! Opening and closing of connections, with every important segment lost in turn.

mod pair;

use core::time::Duration;
use pair::{Link, Packet, Pair, Side, params, pattern, reference_params};
use proto_core::stream::{CloseReason, Connection, Flags, Params, ReadError, StreamEvent, WriteError};

const SECOND: Duration = Duration::from_secs(1);

fn link() -> Link {
    Link::with_delay(Duration::from_millis(10))
}

/// Loses the first `count` packets that `matches`.
fn lose(pair: &mut Pair, count: usize, matches: impl Fn(Side, &Packet) -> bool + 'static) {
    let mut left = count;
    pair.filter = Box::new(move |side, packet| {
        let lost = left > 0 && matches(side, packet);
        left -= usize::from(lost);
        !lost
    });
}

fn syn_ack(packet: &Packet) -> bool {
    packet.is(Flags::SYN | Flags::ACK)
}

fn closed(pair: &Pair, side: Side) -> Option<CloseReason> {
    pair.events[side as usize].iter().find_map(|event| match event {
        StreamEvent::Closed(reason) => Some(*reason),
        StreamEvent::Connected | StreamEvent::Readable | StreamEvent::Writable | StreamEvent::Finished => None,
    })
}

fn read_all(connection: &mut Connection, now: proto_core::Timestamp) -> (Vec<u8>, Result<(), ReadError>) {
    let (mut got, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match connection.read(now, &mut chunk) {
            Ok(0) => return (got, Ok(())),
            Ok(n) => got.extend_from_slice(&chunk[..n]),
            Err(error) => return (got, Err(error)),
        }
    }
}

//= spec/versioning.md#pp-ver-1
//= type=test
//# A peer is taken for ours by an options block inside the tunnel and by nothing that a third party sees.
//= spec/versioning.md#pp-ver-2
//= type=test
//# A peer without an options block gets exactly the draft's protocol.
#[test]
fn peers_of_ours_recognise_each_other_and_only_each_other() {
    for (peer, ours) in [(params(), true), (reference_params(), false)] {
        let mut pair = Pair::connected(params(), peer, link(), 1);
        assert_eq!(pair.a.peer_is_ours(), ours);
        assert_eq!(pair.b().peer_is_ours(), ours);
        assert_eq!(pair.sent, [2, 1], "SYN, SYN-ACK, ACK and nothing else");
        assert_eq!(pair.events[0], [StreamEvent::Connected]);
    }
}

//= spec/session.md#pp-ses-9
//= type=test
//# A SYN-ACK is repeated on the same schedule until something acknowledges it.
#[test]
fn a_lost_syn_and_a_lost_syn_ack_come_again() {
    for kind in [Flags::SYN, Flags::SYN | Flags::ACK] {
        let mut pair = Pair::new(params(), params(), link(), 1);
        lose(&mut pair, 2, move |_, packet| packet.is(kind));
        let started = pair.now;
        assert!(pair.run(SECOND * 20, |pair| pair.is_connected()));
        let took = pair.now.saturating_since(started);
        assert!(took >= SECOND * 3 && took < SECOND * 4, "{took:?}: after 1 and 2 seconds more");
    }
}

#[test]
fn a_known_round_trip_time_makes_the_handshake_patient_for_less() {
    let quick = Params { initial_rtt: Some(Duration::from_millis(100)), ..params() };
    let mut pair = Pair::new(quick, params(), link(), 1);
    lose(&mut pair, 1, |_, packet| packet.is(Flags::SYN));
    let started = pair.now;
    assert!(pair.run(SECOND, |pair| pair.is_connected()));
    assert_eq!(pair.now.saturating_since(started), Duration::from_millis(300 + 30));
}

//= spec/session.md#pp-ses-8
//= type=test
//# A SYN without an answer is repeated at most five times, first after three round-trip times when these are known and shorter
//# than 1 second, else after 1 second, then after twice as long each time up to 8 seconds.
#[test]
fn a_dial_into_silence_ends() {
    let mut pair = Pair::new(params(), params(), link(), 1);
    lose(&mut pair, usize::MAX, |_, _| true);
    pair.idle(SECOND * 60);
    assert_eq!(closed(&pair, Side::A), Some(CloseReason::RetransmissionLimit));
    assert_eq!(pair.sent[0], 7, "six SYNs and an RST");
    assert!(pair.a.is_gone());
}

/// As after a time when the path was clogged.
#[test]
fn a_path_that_was_slow_does_not_delay_the_second_syn() {
    let slow = Params { initial_rtt: Some(SECOND * 2), ..params() };
    let mut pair = Pair::new(slow, params(), link(), 1);
    lose(&mut pair, 1, |side, _| side == Side::A);
    let started = pair.now;
    assert!(pair.run(SECOND * 3, |pair| pair.is_connected()));
    assert_eq!(pair.now.saturating_since(started), SECOND + Duration::from_millis(30));
}

//= spec/session.md#pp-ses-11
//= type=test
//# Data that overtakes the SYN-ACK is kept, up to 16 segments, and delivered after it.
#[test]
fn a_server_that_speaks_first_loses_nothing_with_the_syn_ack() {
    for a in [params(), reference_params()] {
        let mut pair = Pair::new(a, params(), link(), 1);
        lose(&mut pair, 1, |_, packet| syn_ack(packet));
        let mut spoke = false;
        pair.run(SECOND * 10, |pair| {
            let now = pair.now;
            if let Some(b) = pair.b.as_mut().filter(|_| !spoke) {
                spoke = b.write(now, &pattern(5000)).is_ok();
            }
            false
        });
        let now = pair.now;
        assert_eq!(read_all(&mut pair.a, now), (pattern(5000), Err(ReadError::Blocked)));
    }
}

#[test]
fn a_lost_handshake_ack_is_replaced() {
    let mut pair = Pair::new(params(), params(), link(), 1);
    lose(&mut pair, 1, |side, packet| side == Side::A && packet.is(Flags::ACK));
    assert!(pair.run(SECOND * 3, |pair| pair.is_connected()), "the SYN-ACK comes again and is acknowledged again");
}

/// A writes, finishes; B reads to the end. Gives the packets sent.
fn close_cleanly(mut pair: Pair) -> Pair {
    let data = pattern(10_000);
    let now = pair.now;
    assert_eq!(pair.a.write(now, &data), Ok(data.len()));
    assert_eq!(pair.a.finish(now), Ok(()));
    assert_eq!(pair.a.write(now, b"x"), Err(WriteError::Closed(None)));
    pair.idle(SECOND * 9);
    let now = pair.now;
    assert_eq!(read_all(pair.b(), now), (data, Ok(())));
    assert_eq!(closed(&pair, Side::A), Some(CloseReason::Finished));
    assert_eq!(closed(&pair, Side::B), Some(CloseReason::Finished));
    assert!(pair.events[0].contains(&StreamEvent::Finished));
    assert_eq!(pair.a.state_name(), "time_wait");
    assert_eq!(pair.a.read(now, &mut [0; 8]), Ok(0));
    pair.idle(SECOND * 20);
    assert!(pair.a.is_gone() && pair.b().is_gone());
    assert!(pair.log.iter().all(|(_, packet)| !packet.is(Flags::FIN | Flags::ACK)), "FIN and ACK are never together");
    pair
}

//= spec/coalescing.md#pp-nagle-5
//= type=test
//# A held tail is sent before the FIN.
//= spec/coalescing.md#pp-nagle-1
//= type=test
//# A full segment is sent at once.
//= spec/session.md#pp-ses-13
//= type=test
//# A FIN is sent only after all data before it was acknowledged.
//= spec/session.md#pp-ses-17
//= type=test
//# A segment with both FIN and ACK is never sent.
#[test]
fn finishing_delivers_everything_and_then_the_end() {
    for peer in [params(), reference_params()] {
        let mut pair = Pair::connected(params(), peer, link(), 1);
        pair.keep_log = true;
        let before: u64 = pair.sent.iter().sum();
        let pair = close_cleanly(pair);
        let used = pair.sent.iter().sum::<u64>() - before;
        assert!(used <= 9 + 7 + 2, "{used} packets for nine segments, their acknowledgements, FIN and its ACK");
    }
}

#[test]
fn a_lost_fin_and_a_lost_answer_to_it_come_again() {
    for side in [Side::A, Side::B] {
        let mut pair = Pair::connected(params(), params(), link(), 1);
        let mut fin_seen = false;
        let mut left = 2;
        pair.filter = Box::new(move |from, packet| {
            fin_seen |= packet.is(Flags::FIN);
            let lost = fin_seen && from == side && left > 0;
            left -= i32::from(lost);
            !lost
        });
        close_cleanly(pair);
    }
}

#[test]
fn both_finish_at_once() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    let now = pair.now;
    assert_eq!(pair.a.finish(now), Ok(()));
    assert_eq!(pair.b().finish(now), Ok(()));
    let before: u64 = pair.sent.iter().sum();
    pair.idle(SECOND * 30);
    assert_eq!(pair.sent.iter().sum::<u64>() - before, 4, "two FINs, two ACKs");
    for side in [Side::A, Side::B] {
        assert!(pair.events[side as usize].contains(&StreamEvent::Finished));
        assert_eq!(closed(&pair, side), Some(CloseReason::Finished));
    }
}

//= spec/session.md#pp-ses-16
//= type=test
//# A FIN is repeated with the retransmission timeout's backoff, five times and for 10 seconds at most.
#[test]
fn a_fin_that_nobody_answers_ends_after_six_sends() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    lose(&mut pair, usize::MAX, |_, _| true);
    let (now, before) = (pair.now, pair.sent[0]);
    assert_eq!(pair.a.finish(now), Ok(()));
    pair.idle(SECOND * 30);
    assert_eq!(closed(&pair, Side::A), Some(CloseReason::RetransmissionLimit));
    assert!((5..=6).contains(&(pair.sent[0] - before)));
}

//= spec/session.md#pp-ses-26
//= type=test
//# Data written before the end that the peer did not acknowledge is reported to its writer as not delivered.
#[test]
fn data_behind_the_peers_fin_is_an_error_of_the_writer() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    let now = pair.now;
    assert_eq!(pair.a.finish(now), Ok(()));
    assert_eq!(pair.b().write(now, &pattern(100_000)), Ok(100_000));
    pair.idle(SECOND);
    assert_eq!(closed(&pair, Side::B), Some(CloseReason::Unsent));
    let now = pair.now;
    assert_eq!(pair.b().write(now, b"x"), Err(WriteError::Closed(Some(CloseReason::Unsent))));
}

#[test]
fn a_reply_read_just_before_the_fin_counts_as_delivered() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    let now = pair.now;
    assert!(pair.b().write(now, b"reply").is_ok());
    pair.run(SECOND, |pair| {
        let now = pair.now;
        pair.a.read(now, &mut [0; 16]).is_ok_and(|n| n == 5)
    });
    // The pure acknowledgement that precedes the FIN is lost; the FIN itself tells.
    lose(&mut pair, 1, |side, packet| side == Side::A && packet.is(Flags::ACK));
    let now = pair.now;
    assert_eq!(pair.a.finish(now), Ok(()));
    pair.idle(SECOND);
    assert_eq!(closed(&pair, Side::B), Some(CloseReason::Finished));
}

//= spec/session.md#pp-ses-22
//= type=test
//# An RST on a known 4-tuple from the authenticated peer ends the connection at once.
#[test]
fn a_reset_ends_the_other_side_and_is_sent_once() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    let before = pair.sent;
    pair.a.reset();
    pair.idle(SECOND * 30);
    assert!(pair.a.is_gone());
    assert_eq!(closed(&pair, Side::A), Some(CloseReason::Local));
    assert_eq!(closed(&pair, Side::B), Some(CloseReason::Reset));
    assert_eq!([pair.sent[0] - before[0], pair.sent[1] - before[1]], [1, 0]);
    let now = pair.now;
    assert_eq!(pair.b().read(now, &mut [0; 8]), Err(ReadError::Closed(CloseReason::Reset)));
    assert!(pair.b().is_gone());
}

#[test]
fn who_lets_go_after_the_peers_end_still_acknowledges_it() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    lose(&mut pair, 1, |side, packet| side == Side::B && packet.is(Flags::ACK));
    let now = pair.now;
    assert_eq!(pair.a.finish(now), Ok(()));
    pair.run(SECOND, |pair| closed(pair, Side::B).is_some());
    pair.b().reset();
    assert!(!pair.b().is_gone());
    pair.idle(SECOND * 3);
    assert_eq!(closed(&pair, Side::A), Some(CloseReason::Finished));
    pair.idle(SECOND * 20);
    assert!(pair.b().is_gone());
}

//= spec/session.md#pp-ses-23
//= type=test
//# An RST in SYN_SENT means that the dial was refused.
#[test]
fn a_refused_dial_is_told() {
    let mut pair = Pair::new(params(), params(), link(), 1);
    pair.pump();
    let now = pair.now;
    pair.a.handle_segment(now, &Packet::of(Flags::RST, 0, 0, 0, b"").segment());
    pair.pump();
    assert_eq!(closed(&pair, Side::A), Some(CloseReason::Reset));
    assert!(pair.a.is_gone());
}

//= spec/reliability.md#pp-rel-13
//= type=test
//# A connection ends when a segment was sent eight times without an acknowledgement.
//= spec/reliability.md#pp-rel-14
//= type=test
//# The peer is told the end after eight sends by RST.
#[test]
fn a_peer_that_vanished_is_given_up_after_eight_transmissions() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    lose(&mut pair, usize::MAX, |_, _| true);
    let (now, before) = (pair.now, pair.sent[0]);
    assert!(pair.a.write(now, b"anybody?").is_ok());
    pair.idle(SECOND * 100);
    assert_eq!(closed(&pair, Side::A), Some(CloseReason::RetransmissionLimit));
    assert_eq!(pair.sent[0] - before, 8 + 1, "eight transmissions and an RST");
}

//= spec/keepalive.md#pp-ka-1
//= type=test
//# An established connection on which nothing was sent for 30 seconds sends an empty ACK.
//= spec/keepalive.md#pp-ka-3
//= type=test
//# A connection whose peer was silent for 120 seconds is closed.
//= spec/keepalive.md#pp-ka-5
//= type=test
//# A keepalive is not answered.
#[test]
fn idle_connections_live_by_keepalives_and_die_without() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    let before = pair.sent;
    pair.idle(SECOND * 600);
    assert!(pair.is_connected());
    assert_eq!(pair.sent[0] - before[0], 20, "one every 30 seconds, never answered");
    lose(&mut pair, usize::MAX, |_, _| true);
    pair.idle(SECOND * 150);
    for side in [Side::A, Side::B] {
        assert_eq!(closed(&pair, side), Some(CloseReason::IdleTimeout));
    }
}

/// A setting of nothing is the shortest one there is, and no reason to send without end.
#[test]
fn a_keepalive_without_a_pause_has_one() {
    let restless = Params { keepalive: Duration::ZERO, ..params() };
    let mut pair = Pair::connected(restless, params(), link(), 1);
    pair.idle(SECOND);
    assert!(pair.is_connected());
    let per_second = pair.sent[0];
    assert!((2..=1100).contains(&per_second), "{per_second}");
}

//= spec/session.md#pp-ses-10
//= type=test
//# A repeated SYN is answered with the numbers of the first answer.
#[test]
fn a_repeated_syn_is_answered_with_the_first_numbers() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    assert!(pair.transfer(&pattern(5000), SECOND) == pattern(5000));
    pair.idle(SECOND);
    pair.keep_log = true;
    let now = pair.now;
    pair.b().handle_segment(now, &Packet::of(Flags::SYN, 1000, 0, 512, b"").segment());
    pair.pump();
    let (_, answer) = pair.log.first().expect("an answer");
    assert!(syn_ack(answer));
    assert_eq!((answer.seq.0, answer.ack.0), (77_000, 1001));
    pair.log.clear();
    pair.idle(SECOND);
    assert!(pair.log.len() <= 1, "at most one ACK, no loop: {:?}", pair.log);
    assert!(pair.is_connected());
}

//= spec/session.md#pp-ses-7
//= type=test
//# A SYN-ACK that acknowledges another number is answered with RST and one more SYN, once.
#[test]
fn a_stale_syn_ack_is_reset_and_the_syn_repeated_once() {
    let mut pair = Pair::new(params(), params(), link(), 1);
    pair.filter = Box::new(|_, _| false);
    pair.keep_log = true;
    pair.pump();
    for _ in 0..3 {
        let now = pair.now;
        pair.a.handle_segment(now, &Packet::of(Flags::SYN | Flags::ACK, 5, 4711, 512, b"").segment());
        pair.pump();
    }
    let sent: Vec<u8> = pair.log.iter().map(|(_, packet)| packet.flags.bits()).collect();
    assert_eq!(sent, [1, 8, 1], "SYN, RST, SYN");
}

//= spec/session.md#pp-ses-21
//= type=test
//# A new SYN on the 4-tuple of a connection that only rests begins a new connection.
#[test]
fn only_a_resting_connection_is_replaced_by_a_new_syn() {
    let mut pair = Pair::connected(params(), params(), link(), 1);
    let (old, new) = (Packet::of(Flags::SYN, 1000, 0, 1, b""), Packet::of(Flags::SYN, 9, 0, 1, b""));
    assert!(!pair.b().may_be_replaced_by(&new.segment()));
    let now = pair.now;
    assert!(pair.a.finish(now).is_ok());
    pair.idle(SECOND);
    assert!(pair.b().may_be_replaced_by(&new.segment()));
    assert!(!pair.b().may_be_replaced_by(&old.segment()), "a late copy of the old SYN is no new connection");
}
