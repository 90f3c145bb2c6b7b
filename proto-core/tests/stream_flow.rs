//! Flow control, segment boundaries, and what a reference peer sees, with one side played by a script.

mod pair;

use core::time::Duration;
use pair::script::{Script, sack};
use pair::{Link, Pair, params, pattern, reference_params};
use proto_core::seq::SeqNumber;
use proto_core::stream::receive::Receiver;
use proto_core::stream::{CloseReason, Flags, Params, ReadError};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

//= spec/reliability.md#pp-rel-5
//= type=test
//# A retransmitted segment keeps the boundaries it had the first time.
#[test]
fn retransmissions_keep_their_boundaries_even_when_the_path_grows() {
    let mut script = Script::dialled(params(), 512);
    script.write(&pattern(3 * 1152));
    let first: Vec<_> = script.sent().iter().map(|p| (p.seq.0, p.payload.clone())).collect();
    assert_eq!(
        first.iter().map(|(seq, p)| (*seq, p.len())).collect::<Vec<_>>(),
        [(501, 1152), (1653, 1152), (2805, 1152)]
    );
    script.ours.set_path(4096, None);
    for (_, packet) in script.wait(SECOND * 5) {
        assert!(first.contains(&(packet.seq.0, packet.payload)), "a segment sent before");
    }
}

//= spec/reliability.md#pp-rel-17
//= type=test
//# At most 128 segments are outstanding toward a peer that is not known to be ours.
//= spec/flow.md#pp-flow-5
//= type=test
//# No more segments than the peer's window says are outstanding.
#[test]
fn no_more_than_128_segments_and_the_window_are_outstanding() {
    for (window, most) in [(512, 128), (5, 5)] {
        let mut script = Script::dialled(params(), window);
        script.write(&pattern(2_000_000));
        let mut una = 501;
        let mut outstanding = 0;
        for _ in 0..200 {
            outstanding = outstanding.max(script.sent().len());
            una += 1152;
            script.now = script.now + MILLISECOND;
            script.receive(Flags::ACK, 1, una, window, b"");
            assert!(script.ours.status().unacknowledged_segments <= most);
        }
        script.sent();
        assert_eq!(script.ours.status().unacknowledged_segments, most);
    }
}

//= spec/congestion.md#pp-cc-5
//= type=test
//# Three duplicate acknowledgements mean that the first unacknowledged segment is lost, and it is sent again.
#[test]
fn three_duplicates_without_sack_resend_the_first_segment_once() {
    let mut script = Script::dialled(params(), 512);
    script.write(&pattern(8 * 1152));
    assert_eq!(script.sent().len(), 8);
    for _ in 0..6 {
        script.receive(Flags::ACK, 1, 501, 512, b"");
    }
    let again = script.sent();
    assert_eq!(again.iter().map(|p| p.seq.0).collect::<Vec<_>>(), [501]);
    // A partial acknowledgement shows the next hole (RFC 6582), and that what left before the retransmission is late (RFC 8985).
    script.receive(Flags::ACK, 1, 501 + 4 * 1152, 512, b"");
    assert_eq!(script.sent().first().map(|p| p.seq.0), Some(501 + 4 * 1152));
    assert!(script.ours.status().in_recovery);
    script.receive(Flags::ACK, 1, 501 + 8 * 1152, 512, b"");
    assert!(!script.ours.status().in_recovery && script.ours.status().in_flight == 0);
}

//= spec/sack.md#pp-sack-8
//= type=test
//# A segment wholly inside a block is not sent again for the loss of another.
//= spec/congestion.md#pp-cc-11
//= type=test
//# A peer that sends SACK has its losses found by RACK: a segment is lost when a later transmission arrived and three segments were
#[test]
fn sack_shows_the_holes_and_each_is_filled_once() {
    let mut script = Script::dialled(params(), 512);
    script.write(&pattern(10 * 1152));
    assert_eq!(script.sent().len(), 10);
    let at = |segment: u32| 501 + segment * 1152;
    script.receive(Flags::ACK, 1, at(0), 512, &sack(&[(at(1), at(3)), (at(4), at(10))]));
    assert_eq!(script.sent().iter().map(|p| p.seq.0).collect::<Vec<_>>(), [at(0), at(3)]);
    script.receive(Flags::ACK, 1, at(0), 512, &sack(&[(at(1), at(3)), (at(4), at(10))]));
    assert!(script.sent().is_empty());
    script.receive(Flags::ACK, 1, at(10), 512, b"");
    assert_eq!(script.ours.status().in_flight, 0);
}

//= spec/sack.md#pp-sack-6
//= type=test
//# A payload is taken for SACK only when its length is exactly 5 + 8 x count and every block lies in what was sent.
//= spec/sack.md#pp-sack-7
//= type=test
//# User data that begins like a SACK payload is cut after 12 bytes before it is sent.
#[test]
fn user_data_that_looks_like_sack_is_cut_for_sending_and_kept_when_received() {
    let mut trap = sack(&[(1, 2)]);
    trap.extend_from_slice(b"and more");
    let mut script = Script::dialled(params(), 512);
    script.write(&trap);
    let pieces = script.wait(MILLISECOND * 45);
    assert_eq!(pieces.iter().map(|(_, p)| p.payload.len()).collect::<Vec<_>>(), [12, trap.len() - 12]);
    // Blocks that name what was never sent are user data.
    let text = sack(&[(90_000, 90_001)]);
    script.receive(Flags::ACK, 1, 501, 512, &text);
    let mut out = [0; 64];
    assert_eq!(script.ours.read(script.now, &mut out), Ok(text.len()));
    assert_eq!(out[..text.len()], text[..]);
    let mut pair = Pair::connected(params(), reference_params(), Link::with_delay(MILLISECOND), 3);
    assert!(pair.transfer(&trap.repeat(500), SECOND * 30) == trap.repeat(500));
}

//= spec/flow.md#pp-flow-8
//= type=test
//# A closed window is probed with one byte of data.
#[test]
fn a_closed_window_is_probed_with_one_byte_ever_more_rarely() {
    let mut script = Script::dialled(params(), 512);
    script.write(b"hello");
    assert_eq!(script.sent().len(), 1);
    script.receive(Flags::ACK, 1, 506, 0, b"");
    script.write(&pattern(5000));
    let probes = script.wait(SECOND * 8);
    assert!(probes.iter().all(|(_, p)| p.payload.len() == 1 && p.seq.0 == 506), "{probes:?}");
    let times: Vec<u64> = probes.iter().map(|(at, _)| at / 100).collect();
    assert_eq!(times, [5, 15, 35, 75], "doubling from 500 ms");
    // The peer takes the probe and opens.
    script.receive(Flags::ACK, 1, 507, 512, b"");
    let lens: Vec<usize> = script.wait(MILLISECOND * 50).iter().map(|(_, p)| p.payload.len()).collect();
    assert_eq!(lens.iter().sum::<usize>(), 4999);
}

/// The published reference never tells that its window opened, and a segment into its full queue halts all its streams for a second.
#[test]
fn an_almost_closed_window_is_looked_at_and_never_filled_while_the_reader_comes_back() {
    let mut script = Script::dialled(params(), 512);
    script.write(&pattern(700 * 1152));
    let (mut una, mut held, mut times) = (501, 0_u16, Vec::new());
    // The reader takes nothing; every segment is acknowledged with what is left of the 512.
    for _ in 0..20_000 {
        for (at, packet) in script.wait(MILLISECOND) {
            una += u32::try_from(packet.payload.len()).unwrap();
            held += 1;
            script.receive(Flags::ACK, 1, una, 512 - held, b"");
            times.extend((held > 448).then_some(at));
        }
    }
    assert!((449..512).contains(&held), "{held} segments: the queue is never full");
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps[0] <= 15 && gaps.is_sorted() && gaps.last().is_some_and(|gap| *gap <= 510),
        "ever more rarely: {gaps:?}"
    );
    // The reader is back: the next look shows it, and everything goes.
    for _ in 0..1000 {
        for (_, packet) in script.wait(MILLISECOND) {
            una += u32::try_from(packet.payload.len()).unwrap();
            script.receive(Flags::ACK, 1, una, 512, b"");
        }
    }
    assert_eq!(una, 501 + 700 * 1152);
}

#[test]
fn unanswered_probes_end_the_connection_and_answered_ones_do_not() {
    for answered in [false, true] {
        let mut script = Script::dialled(params(), 512);
        script.write(b"x");
        script.sent();
        script.receive(Flags::ACK, 1, 502, 0, b"");
        script.write(b"more");
        for _ in 0..400 {
            script.wait(SECOND);
            if answered {
                script.receive(Flags::ACK, 1, 502, 0, b"");
            }
        }
        assert_eq!(script.closed().is_some(), !answered);
    }
}

/// What was sent into a closed window was answered: it is no reason to give up when the window opens and one more segment is lost.
#[test]
fn probes_are_no_transmissions_in_vain() {
    for outstanding in [false, true] {
        let mut script = Script::answered(params(), 512, b"", MILLISECOND * 20);
        if outstanding {
            script.write(b"x");
            script.sent();
            script.receive(Flags::ACK, 1, 501, 0, b"hold on");
        } else {
            script.receive(Flags::ACK, 1, 501, 0, b"hold on");
            script.write(b"x");
        }
        for _ in 0..150 {
            script.wait(SECOND);
            script.receive(Flags::ACK, 8, 501, 0, b"");
        }
        assert_eq!(script.closed(), None);
        // The window opens, and what follows is lost.
        script.receive(Flags::ACK, 8, 501, 512, b"");
        script.wait(SECOND * 5);
        assert_eq!(script.closed(), None, "outstanding {outstanding}");
        script.receive(Flags::ACK, 8, 502, 512, b"");
        assert_eq!(script.ours.acknowledged(), 1);
    }
}

//= spec/flow.md#pp-flow-7
//= type=test
//# A window of 0 on an empty ACK with nothing outstanding does not close the window; the next flight is one segment.
#[test]
fn a_keepalive_with_window_zero_does_not_close_the_window() {
    let mut script = Script::dialled(params(), 512);
    script.receive(Flags::ACK, 1, 501, 0, b"");
    script.write(&pattern(4 * 1152));
    assert_eq!(script.sent().len(), 1, "one segment in the next flight");
    script.receive(Flags::ACK, 1, 501 + 1152, 512, b"");
    assert_eq!(script.sent().len(), 3);
}

//= spec/session.md#pp-ses-18
//= type=test
//# A segment with FIN and ACK is never answered in TIME_WAIT or after the peer's FIN.
#[test]
fn an_empty_ack_is_never_answered_and_fin_ack_neither() {
    let mut script = Script::dialled(params(), 512);
    for _ in 0..10 {
        script.receive(Flags::ACK, 1, 501, 0, b"");
        assert!(script.sent().is_empty());
    }
    assert!(script.ours.finish(script.now).is_ok());
    let fin = script.sent();
    assert_eq!(fin.iter().map(|p| (p.flags.bits(), p.seq.0, p.ack.0, p.window)).collect::<Vec<_>>(), [(4, 501, 0, 0)]);
    for _ in 0..10 {
        script.receive(Flags::FIN | Flags::ACK, 1, 502, 0, b"");
        assert!(script.sent().is_empty(), "the end of the storm");
    }
    assert_eq!(script.closed(), Some(CloseReason::Finished));
    assert!(script.wait(SECOND * 60).is_empty());
}

//= spec/session.md#pp-ses-14
//= type=test
//# A FIN takes one sequence number.
//= spec/session.md#pp-ses-15
//= type=test
//# A FIN in order is answered with an ACK of its number plus one, after which nothing more is sent but repetitions of that ACK.
#[test]
fn the_references_fin_gets_one_pure_ack_and_its_repetitions_few() {
    let mut script = Script::dialled(params(), 512);
    script.receive(Flags::ACK, 1, 501, 512, b"bye");
    script.receive(Flags::FIN, 4, 0, 0, b"");
    let answer = script.sent();
    assert_eq!(answer.iter().map(|p| (p.flags.bits(), p.ack.0)).collect::<Vec<_>>(), [(2, 5)]);
    let mut answers = 0;
    for _ in 0..1000 {
        script.receive(Flags::FIN, 4, 0, 0, b"");
        answers += script.wait(MILLISECOND).len();
    }
    assert!((8..=11).contains(&answers), "{answers} in one second");
    assert_eq!(script.ours.read(script.now, &mut [0; 9]), Ok(3));
    assert_eq!(script.ours.read(script.now, &mut [0; 9]), Ok(0));
}

//= spec/session.md#pp-ses-19
//= type=test
//# A FIN ahead of missing data waits for it; after 10 seconds the connection ends as truncated.
#[test]
fn a_fin_ahead_of_missing_data_waits_for_it_and_then_tells_that_it_is_truncated() {
    for completed in [true, false] {
        let mut script = Script::dialled(params(), 512);
        script.receive(Flags::ACK, 4, 501, 512, b"lo");
        script.receive(Flags::FIN, 6, 0, 0, b"");
        let asked = script.sent();
        assert_eq!((asked[0].ack.0, &asked[0].payload), (1, &sack(&[(4, 6)])));
        if completed {
            script.receive(Flags::ACK, 1, 501, 512, b"hel");
            assert_eq!(script.closed(), Some(CloseReason::Finished));
        } else {
            script.wait(SECOND * 11);
            assert_eq!(script.closed(), Some(CloseReason::Truncated));
            let outcome = script.ours.read(script.now, &mut [0; 9]);
            assert_eq!(outcome, Err(ReadError::Closed(CloseReason::Truncated)));
        }
    }
}

/// The published reference resends one segment for each timeout, and doubles that, unless three duplicates ask for it.
//= spec/delayed-ack.md#pp-ack-4
//= type=test
//# A segment that fills a hole is acknowledged at once.
#[test]
fn the_reference_is_asked_for_each_next_hole_by_three_duplicates() {
    let mut script = Script::dialled(params(), 512);
    let data = pattern(1000);
    for start in [1001, 3001] {
        script.receive(Flags::ACK, start, 501, 512, &data);
        script.sent();
    }
    script.receive(Flags::ACK, 1, 501, 512, &data);
    let acks: Vec<u32> = script.sent().iter().map(|packet| packet.ack.0).collect();
    assert_eq!(acks, [2001; 4], "the news and three duplicates");
    script.receive(Flags::ACK, 1, 501, 512, &data);
    assert_eq!(script.sent().len(), 4, "a repeated segment: the peer has not heard of the hole");
    script.receive(Flags::ACK, 2001, 501, 512, &data);
    let acks: Vec<u32> = script.sent().iter().map(|packet| packet.ack.0).collect();
    assert_eq!(acks, [4001], "no hole is left");
}

/// The published reference does not count what was selectively acknowledged against the window.
#[test]
fn what_lies_behind_a_hole_is_left_out_of_the_window_told_to_the_reference() {
    let mut script = Script::dialled(params(), 512);
    for start in 1..=256_u32 {
        script.receive(Flags::ACK, 1 + start * 4096, 501, 512, &pattern(4096));
    }
    assert_eq!(script.sent().last().map(|packet| packet.window), Some(256), "as much again, not 512");
    for start in 257..=520_u32 {
        script.receive(Flags::ACK, 1 + start * 4096, 501, 512, &pattern(4096));
    }
    assert_eq!(script.sent().last().map(|packet| packet.window), Some(2), "and never none, or the hole stays");
}

//= spec/delayed-ack.md#pp-ack-1
//= type=test
//# Every second data segment is acknowledged at once.
//= spec/delayed-ack.md#pp-ack-2
//= type=test
//# A single data segment is acknowledged within 40 milliseconds.
//= spec/delayed-ack.md#pp-ack-5
//= type=test
//# A segment that brings nothing new is acknowledged at once.
#[test]
fn acknowledgements_wait_for_a_second_segment_or_forty_milliseconds() {
    let mut script = Script::dialled(params(), 512);
    script.receive(Flags::ACK, 1, 501, 512, b"one");
    let sent = script.wait(MILLISECOND * 100);
    assert_eq!(sent.iter().map(|(at, p)| (*at, p.ack.0)).collect::<Vec<_>>(), [(40, 4)]);
    script.receive(Flags::ACK, 4, 501, 512, b"two");
    script.receive(Flags::ACK, 7, 501, 512, b"three");
    assert_eq!(script.sent().len(), 1);
    script.receive(Flags::ACK, 7, 501, 512, b"three");
    assert_eq!(script.sent().len(), 1, "a duplicate is acknowledged at once");
}

//= spec/coalescing.md#pp-nagle-2
//= type=test
//# A short tail is sent at once when nothing is unacknowledged.
//= spec/coalescing.md#pp-nagle-3
//= type=test
//# A short tail behind unacknowledged data waits until all is acknowledged, a segment is full, or 40 milliseconds passed.
//= spec/coalescing.md#pp-nagle-4
//= type=test
//# A connection with no_delay sends small writes at once.
#[test]
fn small_writes_are_gathered_unless_told_not_to() {
    for (no_delay, expected) in [(false, vec![1, 3]), (true, vec![1, 1, 1, 1])] {
        let mut script = Script::dialled(Params { no_delay, ..params() }, 512);
        let mut lens = Vec::new();
        for _ in 0..4 {
            script.write(b"k");
            lens.extend(script.sent().iter().map(|p| p.payload.len()));
        }
        lens.extend(script.wait(MILLISECOND * 45).iter().map(|(_, p)| p.payload.len()));
        assert_eq!(lens, expected);
    }
}

//= spec/flow.md#pp-flow-11
//= type=test
//# A window that was closed and opens again is announced at once.
#[test]
fn a_slow_reader_stops_the_writer_and_a_reading_one_starts_it_again() {
    for peer in [params(), reference_params()] {
        let small = Params { receive_buffer: 128 * 1024, ..peer };
        let mut pair = Pair::connected(params(), small, Link::with_delay(MILLISECOND * 5), 9);
        let data = pattern(2_000_000);
        let now = pair.now;
        assert_eq!(pair.a.write(now, &data), Ok(data.len()));
        pair.idle(SECOND * 100);
        assert!(pair.is_connected(), "probes keep it alive");
        let held = pair.b().buffered();
        assert!(held <= 256 * 1024, "{held} bytes held");
        let before = pair.now;
        let mut got = Vec::new();
        let mut chunk = vec![0; 30_000];
        pair.run(SECOND * 60, |pair| {
            let now = pair.now;
            while let Ok(n) = pair.b().read(now, &mut chunk) {
                got.extend_from_slice(&chunk[..n]);
            }
            got.len() >= data.len()
        });
        assert!(got == data);
        assert!(pair.now.saturating_since(before) < SECOND * 4, "{:?}", pair.now.saturating_since(before));
    }
}

#[test]
fn a_lost_window_update_is_repeated() {
    let small = Params { receive_buffer: 64 * 1024, ..params() };
    let mut pair = Pair::connected(params(), small, Link::with_delay(MILLISECOND * 5), 9);
    let (now, data) = (pair.now, pattern(500_000));
    assert_eq!(pair.a.write(now, &data), Ok(data.len()));
    pair.idle(SECOND * 3);
    let mut left = 1;
    pair.filter = Box::new(move |side, _| {
        let lost = left > 0 && side == pair::Side::B;
        left -= i32::from(lost);
        !lost
    });
    let (before, mut chunk, mut got) = (pair.now, vec![0; 65_536], 0);
    pair.run(SECOND * 20, |pair| {
        let now = pair.now;
        while let Ok(n) = pair.b().read(now, &mut chunk) {
            got += n;
        }
        got >= data.len()
    });
    assert_eq!(got, data.len());
    assert!(pair.now.saturating_since(before) < SECOND, "{:?}", pair.now.saturating_since(before));
}

/// The family `receiver_scenarios` of the reference vectors.
//= spec/sack.md#pp-sack-4
//= type=test
//# Blocks are disjoint, maximal and written in ascending order.
//= spec/sack.md#pp-sack-1
//= type=test
//# An ACK sent while data is held beyond a hole carries SACK blocks.
//= spec/delayed-ack.md#pp-ack-3
//= type=test
//# A segment out of order is acknowledged at once.
#[test]
fn the_receiver_acknowledges_as_the_reference_does() {
    type Step = (u32, usize, u32, &'static [(u32, u32)]);
    let scenarios: [(u32, &[Step]); 3] = [
        (
            1,
            &[
                (1, 1000, 1001, &[]),
                (2001, 1000, 1001, &[(2001, 3001)]),
                (4001, 500, 1001, &[(2001, 3001), (4001, 4501)]),
                (3001, 1000, 1001, &[(2001, 4501)]),
                (1001, 1000, 4501, &[]),
            ],
        ),
        (1, &[(1, 10, 11, &[]), (1, 10, 11, &[])]),
        (4_294_967_291, &[(4_294_967_291, 10, 5, &[]), (5, 1, 6, &[])]),
    ];
    for (start, steps) in scenarios {
        let mut receiver = Receiver::new(SeqNumber(start), 1 << 20);
        for (seq, len, ack, blocks) in steps {
            receiver.accept(SeqNumber(*seq), &vec![7; *len]);
            assert_eq!(receiver.next(), SeqNumber(*ack));
            let told: Vec<_> = receiver.sack().blocks().iter().map(|b| (b.left.0, b.right.0)).collect();
            assert_eq!(told, *blocks);
        }
    }
}
