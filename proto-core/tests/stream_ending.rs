//! The end of a connection, segment by segment: what counts as its acknowledgement, how long is waited, and what the two programs are told.

mod pair;

use core::time::Duration;
use pair::script::Script;
use pair::{Link, Packet, Pair, params, pattern};
use proto_core::stream::{CloseReason, Flags, ReadError, StreamEvent, WriteError};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Ours dialled a peer of the reference's kind that is 20 ms away, so that the timeout is 200 ms.
fn near() -> Script {
    let mut script = Script::answered(params(), 512, b"", MILLISECOND * 20);
    drain(&mut script);
    script
}

fn drain(script: &mut Script) -> Vec<StreamEvent> {
    core::iter::from_fn(|| script.ours.poll_event()).collect()
}

/// Ours has said that it is done, as number 501, and the peer said nothing yet.
fn finished() -> Script {
    let mut script = near();
    assert_eq!(script.ours.finish(script.now), Ok(()));
    assert_eq!(script.sent().iter().map(|p| (p.flags, p.seq.0)).collect::<Vec<_>>(), [(Flags::FIN, 501)]);
    assert_eq!(script.ours.state_name(), "fin_wait");
    script
}

fn times(sent: &[(u64, Packet)], flags: Flags) -> Vec<u64> {
    sent.iter().filter(|(_, packet)| packet.is(flags)).map(|(at, _)| *at).collect()
}

//= spec/session.md#pp-ses-16
//= type=test
//# A FIN is repeated with the retransmission timeout's backoff, five times and for 10 seconds at most.
#[test]
fn a_fin_is_repeated_five_times_and_waited_for_ten_seconds() {
    let mut script = finished();
    let sent = script.wait(MILLISECOND * 9999);
    assert_eq!(times(&sent, Flags::FIN), [200, 600, 1400, 3000, 6200]);
    assert_eq!(script.ours.status().retransmits, 5);
    assert_eq!(drain(&mut script), []);
    script.wait(MILLISECOND);
    assert_eq!(drain(&mut script), [StreamEvent::Closed(CloseReason::RetransmissionLimit)]);
}

#[test]
fn only_what_acknowledges_the_fin_ends_the_wait_for_it() {
    for (flags, ack, ends) in [
        (Flags::ACK, 501, false),
        (Flags::ACK, 502, true),
        (Flags::ACK, 503, false),
        (Flags::FIN | Flags::ACK, 501, false),
        (Flags::FIN | Flags::ACK, 502, true),
    ] {
        let mut script = finished();
        // A FIN of the peer's that is ahead of missing data, so that only our own end is in question.
        let seq = if flags.contains(Flags::FIN) { 50 } else { 1 };
        script.receive(flags, seq, ack, 512, b"");
        let state = script.ours.state_name();
        assert_eq!(state, if ends { "time_wait" } else { "fin_wait" }, "{flags:?} {ack}");
        assert_eq!(drain(&mut script).contains(&StreamEvent::Finished), ends);
    }
}

/// D-26: `finish` waits for 10 s, which each valid acknowledgement begins anew. A closed window keeps the data here, so that only the wait can end this.
#[test]
fn a_finish_fails_ten_seconds_after_the_last_word_of_the_peer() {
    for words in [0, 3] {
        let mut script = near();
        script.receive(Flags::ACK, 1, 501, 0, b"hold on");
        script.write(b"held");
        script.ours.finish(script.now).unwrap();
        assert_eq!(script.ours.finish(script.now), Err(WriteError::Closed(None)), "once");
        for _ in 0..words {
            script.wait(SECOND * 8);
            script.receive(Flags::ACK, 8, 501, 0, b"");
        }
        script.wait(MILLISECOND * 9999);
        assert_eq!(script.closed(), None, "after {words} words");
        script.wait(MILLISECOND);
        assert_eq!(script.closed(), Some(CloseReason::RetransmissionLimit));
    }
}

//= spec/session.md#pp-ses-19
//= type=test
//# A FIN ahead of missing data waits for it; after 10 seconds the connection ends as truncated.
#[test]
fn missing_data_is_waited_for_ten_seconds() {
    let mut script = near();
    script.receive(Flags::FIN, 6, 0, 0, b"");
    script.wait(MILLISECOND * 9999);
    assert_eq!(script.closed(), None);
    script.receive(Flags::ACK, 1, 501, 512, b"late!");
    assert_eq!(script.closed(), Some(CloseReason::Finished));
    let mut script = near();
    script.receive(Flags::FIN, 6, 0, 0, b"");
    script.wait(SECOND * 10);
    assert_eq!(script.closed(), Some(CloseReason::Truncated));
}

/// A late FIN of an earlier connection between the same ports is no end of this one.
#[test]
fn a_fin_below_what_has_arrived_is_acknowledged_and_ends_nothing() {
    let mut script = near();
    script.receive(Flags::ACK, 1, 501, 512, b"hello");
    script.receive(Flags::FIN, 3, 0, 0, b"");
    assert_eq!(script.sent().iter().map(|p| (p.flags, p.ack.0)).collect::<Vec<_>>(), [(Flags::ACK, 6)]);
    script.wait(SECOND * 11);
    assert_eq!(script.closed(), None);
    script.receive(Flags::ACK, 6, 501, 512, b", world");
    script.receive(Flags::FIN, 13, 0, 0, b"");
    assert_eq!(script.closed(), Some(CloseReason::Finished));
}

#[test]
fn who_finishes_too_waits_ten_seconds_for_missing_data_and_is_told_that_it_is_missing() {
    for finish_first in [true, false] {
        let mut script = near();
        script.write(b"unheard");
        script.sent();
        if finish_first {
            script.ours.finish(script.now).unwrap();
            script.wait(MILLISECOND * 300);
        }
        script.receive(Flags::FIN, 6, 0, 0, b"");
        if !finish_first {
            script.ours.finish(script.now).unwrap();
        }
        script.wait(SECOND * 6);
        script.receive(Flags::ACK, 1, 501, 0, b"");
        script.wait(MILLISECOND * 3999);
        assert_eq!(script.closed(), None, "{finish_first}");
        script.wait(MILLISECOND);
        assert_eq!(script.closed(), Some(CloseReason::Truncated), "{finish_first}");
    }
}

#[test]
fn who_did_not_finish_is_not_told_that_it_did() {
    let mut script = near();
    script.receive(Flags::FIN, 1, 0, 0, b"");
    assert_eq!(drain(&mut script), [StreamEvent::Readable, StreamEvent::Closed(CloseReason::Finished)]);
    script.ours.finish(script.now).unwrap();
    assert_eq!(drain(&mut script), [StreamEvent::Finished], "all that it wrote had arrived");
    // Both at once: what it wrote is not acknowledged, so its own end is none.
    let mut script = near();
    script.write(b"unheard");
    script.sent();
    script.ours.finish(script.now).unwrap();
    script.receive(Flags::FIN, 1, 0, 0, b"");
    assert_eq!(drain(&mut script), [StreamEvent::Readable, StreamEvent::Closed(CloseReason::Unsent)]);
}

#[test]
fn what_rests_is_not_reset() {
    let mut script = finished();
    script.receive(Flags::ACK, 1, 502, 512, b"");
    assert_eq!(script.ours.state_name(), "time_wait");
    script.ours.abort(CloseReason::Local);
    assert!(script.sent().is_empty() && !script.ours.owes_reset());
    let mut script = finished();
    script.ours.reset();
    assert_eq!(script.sent().iter().map(|p| p.flags).collect::<Vec<_>>(), [Flags::RST], "what waits for its end is");
}

#[test]
fn a_repeated_syn_is_counted_as_sent_again() {
    let mut script = Script::dialling(params());
    assert_eq!(script.ours.status().retransmits, 0);
    let again = script.wait(SECOND * 3);
    assert_eq!(times(&again, Flags::SYN), [1000, 3000]);
    assert_eq!(script.ours.status().retransmits, 2);
}

//= spec/session.md#pp-ses-14
//= type=test
//# A FIN takes one sequence number.
#[test]
fn what_is_sent_after_the_fin_stands_behind_it() {
    let mut script = finished();
    script.receive(Flags::ACK, 1, 501, 512, b"still talking");
    let answer = script.wait(MILLISECOND * 40);
    assert_eq!(answer.iter().map(|(_, p)| (p.flags, p.seq.0, p.ack.0)).collect::<Vec<_>>(), [(Flags::ACK, 502, 14)]);
}

/// FIN and ACK are never answered while our own end waits for its acknowledgement: the reference would answer again, without end.
#[test]
fn a_fin_ahead_of_missing_data_asks_for_it() {
    for (waiting, flags, asks) in [
        (false, Flags::FIN, true),
        (false, Flags::FIN | Flags::ACK, true),
        (true, Flags::FIN, true),
        (true, Flags::FIN | Flags::ACK, false),
    ] {
        let (mut script, next) = if waiting { (finished(), 502) } else { (near(), 501) };
        script.receive(flags, 50, 501, 0, b"");
        let told: Vec<_> = script.sent().iter().map(|p| (p.flags, p.seq.0, p.ack.0)).collect();
        assert_eq!(told, if asks { vec![(Flags::ACK, next, 1)] } else { vec![] }, "{flags:?} {waiting}");
    }
}

#[test]
fn who_told_its_end_offers_no_window() {
    let mut script = near();
    script.receive(Flags::FIN | Flags::ACK, 50, 501, 512, b"");
    assert_eq!(script.sent().len(), 1);
    script.write(b"to nobody");
    assert!(script.sent().is_empty(), "it takes nothing any more");
}

#[test]
fn what_else_arrives_does_not_prolong_the_wait_for_missing_data() {
    let mut script = near();
    script.receive(Flags::FIN, 6, 0, 0, b"");
    script.wait(SECOND * 8);
    script.receive(Flags::ACK, 1, 501, 512, b"");
    script.wait(SECOND * 2);
    assert_eq!(script.closed(), Some(CloseReason::Truncated));
}

#[test]
fn who_finished_at_the_same_time_reads_the_end_before_its_own_is_acknowledged() {
    let mut script = finished();
    assert_eq!(script.ours.read(script.now, &mut [0; 9]), Err(ReadError::Blocked));
    script.receive(Flags::FIN, 1, 0, 0, b"");
    assert_eq!(drain(&mut script), [StreamEvent::Readable]);
    assert_eq!(script.ours.read(script.now, &mut [0; 9]), Ok(0));
    assert_eq!(script.ours.state_name(), "fin_wait");
}

/// D-26, of a dial without an answer, whose own limit is half a minute.
#[test]
fn a_finish_before_any_answer_fails_after_ten_seconds() {
    let mut script = Script::dialling(params());
    script.ours.finish(script.now).unwrap();
    script.wait(MILLISECOND * 9999);
    assert_eq!(script.closed(), None);
    script.wait(MILLISECOND);
    assert_eq!(script.closed(), Some(CloseReason::RetransmissionLimit));
}

/// A peer's program that pauses for a minute is no peer that is gone: its window is closed, and it says so whenever it is asked.
#[test]
fn a_finish_waits_for_a_reader_that_pauses() {
    let link = Link::with_delay(MILLISECOND * 20);
    let mut pair = Pair::connected(params(), params(), link, 1);
    let data = pattern(1 << 20);
    let now = pair.now;
    assert_eq!(pair.a.write(now, &data), Ok(data.len()));
    pair.a.finish(now).unwrap();
    pair.idle(SECOND * 100);
    let (mut got, mut chunk) = (Vec::new(), vec![0; 256 * 1024]);
    pair.run(SECOND * 60, |pair| {
        let now = pair.now;
        while let Ok(len @ 1..) = pair.b().read(now, &mut chunk) {
            got.extend_from_slice(&chunk[..len]);
        }
        pair.events[0].contains(&StreamEvent::Finished)
    });
    assert!(got == data);
    assert_eq!(pair.events[0][1..], [StreamEvent::Finished, StreamEvent::Closed(CloseReason::Finished)]);
}
