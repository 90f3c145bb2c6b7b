//! What a connection does before it is established, segment by segment, and what a stale or foreign segment does to it.

mod pair;

use core::time::Duration;
use pair::script::Script;
use pair::{Packet, params, pattern, reference_params};
use proto_core::Timestamp;
use proto_core::seq::SeqNumber;
use proto_core::stream::{CloseReason, Connection, Flags, ReadError};

const SECOND: Duration = Duration::from_secs(1);

fn syn_ack() -> Flags {
    Flags::SYN | Flags::ACK
}

/// What ours can read now.
fn read(script: &mut Script) -> Vec<u8> {
    let (mut got, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = script.ours.read(script.now, &mut chunk) {
        got.extend_from_slice(&chunk[..len]);
    }
    got
}

/// A connection that answered the SYN 9000 with its own 500.
fn answering() -> (Connection, Timestamp, Vec<u8>) {
    let now = Timestamp::from_micros(1);
    let syn = Packet::of(Flags::SYN, 9000, 0, 512, b"");
    (Connection::accept(reference_params(), SeqNumber(500), now, &syn.segment()), now, vec![0; 65_535])
}

fn sent(connection: &mut Connection, now: Timestamp, buffer: &mut [u8]) -> Vec<Packet> {
    core::iter::from_fn(|| connection.poll_segment(now, buffer).map(|header| Packet::new(&header, buffer))).collect()
}

//= spec/session.md#pp-ses-11
//= type=test
//# Data that overtakes the SYN-ACK is kept, up to 16 segments, and delivered after it.
#[test]
fn sixteen_segments_may_overtake_the_syn_ack() {
    let mut script = Script::dialling(params());
    let data = pattern(1700);
    for (number, part) in data.chunks(100).enumerate() {
        script.receive(Flags::ACK, 1 + 100 * number as u32, 501, 512, part);
    }
    assert!(script.sent().is_empty(), "nothing is acknowledged before the SYN-ACK");
    assert_eq!(script.ours.state_name(), "syn_sent");
    script.receive(syn_ack(), 0, 501, 512, b"");
    assert_eq!(read(&mut script), data[..1600], "the seventeenth was one too many");
    assert_eq!(script.sent().last().map(|packet| packet.ack.0), Some(1601));
}

#[test]
fn what_acknowledges_another_syn_is_not_kept() {
    let mut script = Script::dialling(params());
    script.receive(Flags::ACK, 1, 500, 512, b"of an older connection");
    script.receive(Flags::ACK, 1, 502, 512, b"of an older connection");
    script.receive(Flags::ACK, 1, 501, 512, b"");
    script.receive(syn_ack(), 0, 501, 512, b"");
    assert_eq!(read(&mut script), b"");
    script.receive(Flags::ACK, 1, 501, 512, b"first");
    assert_eq!(read(&mut script), b"first");
}

/// The reference's second SYN-ACK shows its SND.NXT: data before it was sent all the same.
#[test]
fn data_before_the_number_of_a_late_syn_ack_is_delivered() {
    let mut script = Script::dialling(params());
    script.receive(Flags::ACK, 6, 501, 512, b"world");
    script.receive(Flags::ACK, 1, 501, 512, b"hello");
    script.receive(syn_ack(), 10, 501, 512, b"");
    assert_eq!(read(&mut script), b"helloworld");
}

//= spec/session.md#pp-ses-9
//= type=test
//# A SYN-ACK is repeated on the same schedule until something acknowledges it.
#[test]
fn a_syn_ack_is_sent_six_times_and_then_given_up() {
    let (mut ours, mut now, mut buffer) = answering();
    let mut times = Vec::new();
    loop {
        for packet in sent(&mut ours, now, &mut buffer) {
            if packet.is(syn_ack()) {
                assert_eq!((packet.seq.0, packet.ack.0), (500, 9001));
                times.push(now.as_micros() / 1_000_000);
            } else {
                assert!(packet.is(Flags::RST), "{packet:?}");
            }
        }
        let Some((at, _)) = ours.poll_timeout() else { break };
        now = at;
        ours.handle_timeout(now);
    }
    assert_eq!(times, [0, 1, 3, 7, 15, 23]);
    assert_eq!(ours.close_reason(), Some(CloseReason::RetransmissionLimit));
}

#[test]
fn only_what_acknowledges_the_syn_ack_ends_the_handshake() {
    for (ack, state) in [(500, "established"), (501, "established"), (502, "syn_received"), (400, "syn_received")] {
        let (mut ours, now, mut buffer) = answering();
        assert_eq!(sent(&mut ours, now, &mut buffer).len(), 1);
        ours.handle_segment(now, &Packet::of(Flags::ACK, 9001, ack, 512, b"").segment());
        let expected = if ack == 500 { "syn_received" } else { state };
        assert_eq!(ours.state_name(), expected, "{ack}");
    }
}

/// RFC 6298: a SYN-ACK that was sent once and answered is a sample; one that was repeated is not.
#[test]
fn the_handshake_gives_a_sample_when_nothing_was_repeated() {
    for (repeat, srtt) in [(false, 80), (true, 0)] {
        let (mut ours, now, mut buffer) = answering();
        sent(&mut ours, now, &mut buffer);
        if repeat {
            ours.handle_segment(now, &Packet::of(Flags::SYN, 9000, 0, 512, b"").segment());
            assert_eq!(sent(&mut ours, now, &mut buffer).len(), 1);
        }
        let later = now + Duration::from_millis(80);
        ours.handle_segment(later, &Packet::of(Flags::ACK, 9001, 501, 512, b"").segment());
        assert_eq!(ours.status().srtt.as_millis(), srtt);
    }
}

//= spec/session.md#pp-ses-10
//= type=test
//# A repeated SYN is answered with the numbers of the first answer.
#[test]
fn another_syn_on_a_living_connection_is_not_answered() {
    let (mut ours, now, mut buffer) = answering();
    sent(&mut ours, now, &mut buffer);
    ours.handle_segment(now, &Packet::of(Flags::SYN, 9999, 0, 512, b"").segment());
    assert!(sent(&mut ours, now, &mut buffer).is_empty());
    ours.handle_segment(now, &Packet::of(Flags::ACK, 9001, 501, 512, b"").segment());
    ours.handle_segment(now, &Packet::of(Flags::SYN, 9999, 0, 512, b"").segment());
    assert!(sent(&mut ours, now, &mut buffer).is_empty());
    ours.handle_segment(now, &Packet::of(Flags::SYN, 9000, 0, 512, b"").segment());
    let answer = sent(&mut ours, now, &mut buffer);
    assert_eq!(answer.iter().map(|p| (p.flags, p.seq.0, p.ack.0)).collect::<Vec<_>>(), [(syn_ack(), 500, 9001)]);
    ours.reset();
    sent(&mut ours, now, &mut buffer);
    ours.handle_segment(now, &Packet::of(Flags::SYN, 9000, 0, 512, b"").segment());
    assert!(sent(&mut ours, now, &mut buffer).is_empty(), "it is closed");
}

/// The reference begins with number 0 and port 49152 whenever it is started: what it says then belongs to no older connection.
#[test]
fn a_syn_like_the_first_is_of_another_connection_when_it_comes_late() {
    for sends in [false, true] {
        let (mut ours, now, mut buffer) = answering();
        sent(&mut ours, now, &mut buffer);
        let words: &[u8] = if sends { b"" } else { b"old words" };
        ours.handle_segment(now, &Packet::of(Flags::ACK, 9001, 501, 512, words).segment());
        let syn = Packet::of(Flags::SYN, 9000, 0, 512, b"");
        let mut flags = |ours: &mut Connection, now| {
            ours.handle_segment(now, &syn.segment());
            sent(ours, now, &mut buffer).iter().map(|packet| packet.flags).find(|flags| *flags == syn_ack())
        };
        assert_eq!(
            sends.then(|| flags(&mut ours, now + SECOND * 20)),
            sends.then_some(Some(syn_ack())),
            "nothing passed"
        );
        let now = now + SECOND * 20;
        if sends {
            assert_eq!(ours.write(now, b"old words"), Ok(9));
        }
        flags(&mut ours, now);
        let now = now + SECOND * 10;
        assert_eq!(flags(&mut ours, now), None);
        assert!(!ours.may_be_replaced_by(&syn.segment()), "it lives");
        ours.reset();
        assert!(ours.may_be_replaced_by(&syn.segment()));
    }
}

#[test]
fn a_repeated_syn_ack_is_acknowledged_ten_times_a_second_at_most() {
    let mut script = Script::dialled(params(), 512);
    let mut answers = 0;
    for _ in 0..100 {
        script.receive(syn_ack(), 0, 501, 512, b"");
        answers += script.sent().len();
        script.now = script.now + SECOND / 100;
    }
    assert_eq!(answers, 10);
}

/// A dial that was never sent needs no RST; one that was sent does.
#[test]
fn who_heard_of_a_connection_hears_of_its_end() {
    let now = Timestamp::from_micros(1);
    let mut ours = Connection::connect(params(), SeqNumber(500), now);
    ours.abort(CloseReason::Local);
    assert!(!ours.owes_reset() && ours.is_gone());
    assert_eq!(ours.close_reason(), Some(CloseReason::Local));
    let mut script = Script::dialling(params());
    assert_eq!(script.ours.close_reason(), None);
    script.ours.abort(CloseReason::Local);
    assert!(script.ours.owes_reset() && !script.ours.is_gone());
    assert_eq!(script.sent().iter().map(|packet| packet.flags).collect::<Vec<_>>(), [Flags::RST]);
    assert!(!script.ours.owes_reset() && script.ours.is_gone());
    script.ours.abort(CloseReason::IdleTimeout);
    assert!(!script.ours.owes_reset(), "once");
    assert_eq!(script.ours.close_reason(), Some(CloseReason::Local), "the first reason stays");
}

#[test]
fn an_answered_dial_that_nobody_heard_of_is_reset_all_the_same() {
    let (mut ours, now, mut buffer) = answering();
    ours.abort(CloseReason::Local);
    assert_eq!(sent(&mut ours, now, &mut buffer).iter().map(|p| p.flags).collect::<Vec<_>>(), [Flags::RST]);
}

#[test]
fn a_dial_that_ends_is_an_error_of_the_reader() {
    let mut script = Script::dialling(params());
    let mut chunk = [0; 10];
    assert_eq!(script.ours.read(script.now, &mut chunk), Err(ReadError::Blocked));
    script.ours.finish(script.now).unwrap();
    script.wait(SECOND * 60);
    assert_eq!(script.closed(), Some(CloseReason::RetransmissionLimit));
    assert_eq!(script.ours.read(script.now, &mut chunk), Err(ReadError::Closed(CloseReason::RetransmissionLimit)));
}

/// D-14: when another key comes to be sent under, what may have been lost with the old one goes again.
#[test]
fn what_is_outstanding_is_repeated_when_it_is_asked_for() {
    let mut script = Script::dialling(params());
    script.ours.repeat_outstanding();
    assert_eq!(script.sent().iter().map(|p| (p.flags, p.seq.0)).collect::<Vec<_>>(), [(Flags::SYN, 500)]);
    let (mut ours, now, mut buffer) = answering();
    sent(&mut ours, now, &mut buffer);
    ours.repeat_outstanding();
    assert_eq!(sent(&mut ours, now, &mut buffer).iter().map(|p| p.flags).collect::<Vec<_>>(), [syn_ack()]);
    let mut script = Script::dialled(params(), 512);
    script.ours.repeat_outstanding();
    assert!(script.sent().is_empty(), "nothing is");
    script.write(&pattern(3 * 1152));
    assert_eq!(script.sent().len(), 3);
    script.ours.repeat_outstanding();
    let again: Vec<u32> = script.sent().iter().map(|packet| packet.seq.0).collect();
    assert_eq!(again, [501 + 2 * 1152], "the last, whose acknowledgement tells what is missing");
}
