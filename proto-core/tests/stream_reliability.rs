//! What leaves, with which numbers, and when it leaves again: one connection against a script.

mod pair;

use core::time::Duration;
use pair::script::{Script, sack};
use pair::{Link, Pair, params, pattern, reference_params};
use proto_core::seq::SeqNumber;
use proto_core::stream::receive::{Arrival, Receiver};
use proto_core::stream::{CloseReason, Flags, Params, StreamTimer};
use proto_core::wire::options::{Capabilities, Options};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const SEGMENT: u32 = 1152;

/// A script whose handshake took `rtt`, so that the timeout is three times that.
fn after(rtt: Duration) -> Script {
    Script::answered(params(), 512, b"", rtt)
}

/// The options block of a peer of ours.
fn ours() -> Vec<u8> {
    Options { capabilities: Capabilities::NONE, max_segment: 8832, window_shift: 8 }.to_bytes().to_vec()
}

fn times(sent: &[(u64, pair::Packet)]) -> Vec<u64> {
    sent.iter().map(|(at, _)| *at).collect()
}

//= spec/reliability.md#pp-rel-3
//= type=test
//# A data segment carries ACK and the number of its first byte.
//= spec/reliability.md#pp-rel-4
//= type=test
//# The acknowledgment field is the number of the next byte expected.
#[test]
fn data_tells_its_place_and_what_is_expected() {
    let mut script = Script::dialled(params(), 512);
    script.write(b"one");
    script.receive(Flags::ACK, 1, 501, 512, b"their five");
    script.write(b"more");
    let sent = script.wait(MILLISECOND * 41);
    let told: Vec<_> = sent.iter().map(|(_, p)| (p.flags.bits(), p.seq.0, p.ack.0, &p.payload[..])).collect();
    let ack = Flags::ACK.bits();
    assert_eq!(told, [(ack, 501, 11, &b"onemore"[..])]);
    script.receive(Flags::ACK, 11, 508, 512, b"");
    script.write(b"last");
    assert_eq!(script.sent().iter().map(|p| (p.seq.0, p.ack.0)).collect::<Vec<_>>(), [(508, 11)]);
}

//= spec/reliability.md#pp-rel-11
//= type=test
//# A segment that was sent more than once gives no round-trip sample.
#[test]
fn a_segment_sent_twice_gives_no_sample() {
    for resent in [false, true] {
        let mut script = after(MILLISECOND * 100);
        script.write(b"how far?");
        let sends = script.wait(if resent { MILLISECOND * 400 } else { MILLISECOND * 20 }).len();
        assert_eq!(sends > 1, resent);
        script.now = script.now + MILLISECOND;
        script.receive(Flags::ACK, 1, 509, 512, b"");
        let unchanged = script.ours.status().srtt == MILLISECOND * 100;
        assert_eq!(unchanged, resent, "{:?}", script.ours.status().srtt);
    }
}

//= spec/reliability.md#pp-rel-12
//= type=test
//# The timeout doubles with each expiry in a row.
#[test]
fn timeouts_double_up_to_ten_seconds() {
    // 0.9 seconds there and back: the timeout is 0.9 + 4 x 0.45.
    let mut script =
        Script::answered(Params { initial_rtt: Some(MILLISECOND * 400), ..params() }, 512, b"", MILLISECOND * 900);
    script.write(b"anybody?");
    let sent = script.wait(SECOND * 100);
    let (end, sent) = sent.split_last().unwrap();
    assert_eq!(times(sent), [0, 1850, 2700, 8100, 18_100, 28_100, 38_100, 48_100]);
    assert!(end.1.is(Flags::RST));
}

//= spec/reliability.md#pp-rel-16
//= type=test
//# The last segment is sent again two round trips and 50 milliseconds after it left unanswered, once, when that is sooner than the timeout.
#[test]
fn the_tail_is_sent_again_once_before_the_timeout() {
    let mut script = after(MILLISECOND * 100);
    script.write(&pattern(3 * SEGMENT as usize));
    let sent = script.wait(MILLISECOND * 299);
    let last = 501 + 2 * SEGMENT;
    assert_eq!(times(&sent), [0, 0, 0, 250], "two round trips of 100 ms and 50 ms; the timeout is 300 ms");
    assert_eq!(sent[3].1.seq.0, last);
    // With a steady round trip the timeout comes first, and there is no probe.
    let mut script = after(MILLISECOND * 100);
    for una in 502..550 {
        script.write(b"k");
        script.sent();
        script.now = script.now + MILLISECOND * 100;
        script.receive(Flags::ACK, 1, una, 512, b"");
    }
    script.write(b"k");
    assert_eq!(times(&script.wait(MILLISECOND * 210)), [0, 200]);
}

/// The path may change twice before the repetition that the first change calls for has left.
#[test]
fn a_tail_that_goes_again_for_a_change_of_path_goes_once() {
    for changes in [1, 2] {
        let mut script = after(MILLISECOND * 100);
        script.write(&pattern(3 * SEGMENT as usize));
        script.sent();
        script.wait(MILLISECOND * 20);
        (0..changes).for_each(|_| script.ours.repeat_outstanding());
        assert_eq!(times(&script.wait(MILLISECOND * 279)), [0], "{changes}");
    }
}

#[test]
fn progress_begins_the_timeout_anew_and_the_last_ends_it() {
    let mut script = after(MILLISECOND * 100);
    script.write(&pattern(2 * SEGMENT as usize));
    assert_eq!(script.sent().len(), 2);
    script.now = script.now + MILLISECOND * 100;
    script.receive(Flags::ACK, 1, 501 + SEGMENT, 512, b"");
    // 0.1 seconds there and back, twice: the timeout is 0.1 + 4 x 0.0375.
    let sent = script.wait(MILLISECOND * 250);
    assert_eq!(sent.iter().map(|(at, p)| (*at, p.seq.0)).collect::<Vec<_>>(), [(250, 501 + SEGMENT)]);
    script.receive(Flags::ACK, 1, 501 + 2 * SEGMENT, 512, b"");
    assert_eq!(
        script.ours.poll_timeout().map(|(_, timer)| timer),
        Some(StreamTimer::Keepalive),
        "nothing is waited for"
    );
}

//= spec/reliability.md#pp-rel-15
//= type=test
//# Data is buffered by byte range and overlaps are trimmed.
#[test]
fn overlaps_are_trimmed_and_each_byte_is_delivered_once() {
    let data = pattern(5000);
    let mut script = Script::dialled(params(), 512);
    let pieces = [(1000, 2000), (500, 1500), (1800, 2600), (0, 100), (50, 700), (2500, 5000), (0, 5000)];
    for (start, end) in pieces {
        script.receive(Flags::ACK, 1 + start, 501, 512, &data[start as usize..end as usize]);
    }
    let mut out = vec![0; 10_000];
    assert_eq!(script.ours.read(script.now, &mut out), Ok(5000));
    assert!(out[..5000] == data);
    assert_eq!(script.sent().last().unwrap().ack.0, 5001);
}

//= spec/reliability.md#pp-rel-18
//= type=test
//# Data beyond the budget of a receiver is dropped and not acknowledged.
//= spec/flow.md#pp-flow-14
//= type=test
//# Up to 64 KiB beyond the advertised window are accepted.
#[test]
fn a_receiver_takes_64_kib_beyond_its_window_and_no_more() {
    let (window, reserve) = (128 * 1024_u32, 64 * 1024);
    let mut script = Script::dialled(Params { receive_buffer: window as usize, ..reference_params() }, 512);
    let chunk = 4096;
    for start in (0..window + reserve).step_by(chunk) {
        script.receive(Flags::ACK, 1 + start, 501, 512, &pattern(chunk));
    }
    let told = script.sent().last().map(|p| (p.ack.0, p.window));
    assert_eq!(told, Some((1 + window + reserve, 0)), "all of it, with a closed window");
    script.receive(Flags::ACK, 1 + window + reserve, 501, 512, b"x");
    let told = script.sent().last().map(|p| p.ack.0);
    assert_eq!(told, Some(1 + window + reserve), "not acknowledged");
    let mut out = vec![0; 1 << 20];
    assert_eq!(script.ours.read(script.now, &mut out), Ok((window + reserve) as usize));
    assert!(script.ours.read(script.now, &mut out).is_err(), "not kept");
}

//= spec/segmentation.md#pp-seg-1
//= type=test
//# The size of a data segment is configurable.
//= spec/segmentation.md#pp-seg-5
//= type=test
//# A segment to a peer that is not known to be ours carries at most 4096 bytes.
#[test]
fn segments_have_the_size_that_was_set_and_at_most_4096_bytes() {
    for (mss, longest) in [(700, 700), (4096, 4096), (8832, 4096)] {
        let mut script = Script::dialled(Params { mss, ..params() }, 512);
        script.write(&pattern(20_000));
        assert!(script.sent().iter().all(|p| p.payload.len() == longest), "{mss}");
    }
}

// ---- Selective acknowledgement ----

//= spec/sack.md#pp-sack-5
//= type=test
//# When more than four blocks are held, those with news go first.
#[test]
fn of_many_blocks_those_with_news_go_first() {
    let mut receiver = Receiver::new(SeqNumber(0), 1 << 20);
    let block = |number: u32| (number * 1000, number * 1000 + 100);
    let accept = |receiver: &mut Receiver, number| {
        let (start, end) = block(number);
        assert_eq!(receiver.accept(SeqNumber(start), &vec![7; (end - start) as usize]), Arrival::OutOfOrder);
    };
    let told = |receiver: &Receiver| {
        let sack = receiver.sack();
        sack.blocks().iter().map(|b| (b.left.0, b.right.0)).collect::<Vec<_>>()
    };
    for number in 1..=4 {
        accept(&mut receiver, number);
    }
    assert_eq!(told(&receiver), [1, 2, 3, 4].map(block));
    receiver.sack_sent();
    for number in [9, 6] {
        accept(&mut receiver, number);
    }
    assert_eq!(told(&receiver), [1, 2, 6, 9].map(block), "the two new ones, the lowest beside them, ascending");
}

//= spec/sack.md#pp-sack-9
//= type=test
//# An ACK with a SACK payload counts as a duplicate acknowledgement.
#[test]
fn an_ack_with_sack_is_a_duplicate_acknowledgement() {
    let mut script = after(MILLISECOND * 100);
    script.write(&pattern(6 * SEGMENT as usize));
    assert_eq!(script.sent().len(), 6);
    script.now = script.now + MILLISECOND * 100;
    for arrived in 1..=3 {
        assert!(script.sent().is_empty(), "{arrived} are too few");
        let block = (501 + SEGMENT, 501 + (1 + arrived) * SEGMENT);
        script.receive(Flags::ACK, 1, 501, 512, &sack(&[block]));
        assert_eq!(script.ours.status().duplicate_acks, u64::from(arrived));
    }
    assert_eq!(script.sent().iter().map(|p| p.seq.0).collect::<Vec<_>>(), [501]);
}

//= spec/sack.md#pp-sack-10
//= type=test
//# Every out-of-order segment of a published implementation is answered with its own ACK, four at most in one batch.
#[test]
fn the_reference_gets_an_ack_for_each_segment_out_of_order_and_at_most_four_at_once() {
    for (arrived, answers) in [(1, 1), (3, 3), (4, 4), (9, 4)] {
        let mut script = Script::dialled(params(), 512);
        for number in 1..=arrived {
            script.receive(Flags::ACK, 1 + 1000 * number, 501, 512, &pattern(1000));
        }
        assert_eq!(script.sent().len(), answers, "{arrived} segments");
    }
}

// ---- The sender's window ----

//= spec/flow.md#pp-flow-9
//= type=test
//# Window probes begin after 500 milliseconds or the retransmission timeout, whichever is longer, and double up to 30 seconds.
#[test]
fn a_long_timeout_makes_probes_rarer_and_30_seconds_are_the_longest_pause() {
    let mut script =
        Script::answered(Params { initial_rtt: Some(MILLISECOND * 400), ..params() }, 512, b"", MILLISECOND * 900);
    script.write(b"x");
    script.sent();
    script.now = script.now + MILLISECOND * 900;
    script.receive(Flags::ACK, 1, 502, 0, b"");
    script.write(b"more");
    // The second sample leaves three quarters of the variation: a timeout of 0.9 + 4 x 0.3375 seconds.
    let mut times = Vec::new();
    for number in 0..2000_u64 {
        for (at, probe) in script.wait(MILLISECOND * 125) {
            assert_eq!(probe.payload.len(), 1);
            times.push(number * 125 + at);
            // However often the answer says the same, it brings no probe before its time.
            script.receive(Flags::ACK, 1, 502, 0, b"");
        }
    }
    let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(times[0], 2250);
    assert_eq!(pauses, [4500, 9000, 18_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000]);
}

/// A segment goes as a whole or waits: a window that opens by little would else be filled by little.
#[test]
fn less_than_a_segment_of_window_is_left_unused_while_something_is_outstanding() {
    let mut script = Script::answered(params(), 1, &ours(), MILLISECOND * 20);
    script.write(&pattern(10_000));
    let sent = script.wait(MILLISECOND * 20);
    assert_eq!(sent.iter().map(|(_, p)| p.payload.len()).collect::<Vec<_>>(), [1152; 3], "of 4096 bytes");
    script.receive(Flags::ACK, 1, 501 + 3 * SEGMENT, 0, b"");
    assert_eq!(script.sent().iter().map(|p| p.payload.len()).collect::<Vec<_>>(), [640], "nothing else would open it");
}

#[test]
fn what_is_left_goes_whole_into_a_window_that_is_almost_closed() {
    let mut script = Script::dialled(params(), 512);
    script.write(&pattern(SEGMENT as usize));
    assert_eq!(script.sent().len(), 1);
    script.receive(Flags::ACK, 1, 501 + SEGMENT, 10, b"");
    // With six bytes more it would be taken for two SACK blocks.
    let left = &sack(&[(1, 2), (3, 4)])[..15];
    script.write(left);
    let sent = script.wait(MILLISECOND * 20);
    assert_eq!(sent.iter().map(|(_, p)| &p.payload[..]).collect::<Vec<_>>(), [left]);
}

//= spec/flow.md#pp-flow-10
//= type=test
//# Ten probes without an answer, or 120 seconds, end the connection.
#[test]
fn probes_without_an_answer_end_the_connection_after_two_minutes() {
    let mut script = Script::dialled(Params { idle_timeout: SECOND * 1000, ..params() }, 512);
    script.write(b"x");
    script.sent();
    script.receive(Flags::ACK, 1, 502, 0, b"");
    script.write(b"more");
    let sent: Vec<_> = script.wait(SECOND * 119);
    assert!(script.closed().is_none());
    assert!(sent.iter().filter(|(_, p)| p.payload.len() == 1).count() <= 10);
    let end = script.wait(SECOND * 33);
    assert!(end.last().is_some_and(|(_, p)| p.is(Flags::RST)), "{end:?}");
    assert_eq!(script.closed(), Some(CloseReason::RetransmissionLimit));
}

//= spec/flow.md#pp-flow-15
//= type=test
//# A stream between peers of ours holds 256 KiB at first and more only as its reader keeps up.
#[test]
fn between_ours_a_stream_holds_little_until_its_reader_keeps_up() {
    let mut pair = Pair::connected(params(), params(), Link::with_delay(MILLISECOND), 5);
    assert_eq!(pair.b().status().receive_window, 256 * 1024);
    let (now, data) = (pair.now, pattern(4_000_000));
    assert_eq!(pair.a.write(now, &data), Ok(data.len()));
    pair.idle(SECOND);
    let held = pair.b().status().bytes_received;
    assert!((256 * 1024..=320 * 1024).contains(&held), "{held} bytes for a reader that does not read");
    let (mut chunk, mut got) = (vec![0; 65_536], 0);
    pair.run(SECOND * 20, |pair| {
        let now = pair.now;
        while let Ok(n) = pair.b().read(now, &mut chunk) {
            got += n;
        }
        got >= data.len()
    });
    assert!(pair.b().status().receive_window >= 1 << 20, "{}", pair.b().status().receive_window);
}

// ---- The congestion window ----

//= spec/congestion.md#pp-cc-3
//= type=test
//# In slow start the window grows by the bytes acknowledged, at most two segments for each ACK of a peer that is not known to be ours.
#[test]
fn slow_start_counts_every_byte_toward_ours_and_two_segments_an_ack_toward_the_reference() {
    for (options, grown) in [(ours(), 20), (Vec::new(), 12)] {
        let mut script = Script::answered(params(), 512, &options, MILLISECOND * 20);
        script.write(&pattern(100 * SEGMENT as usize));
        assert_eq!(script.wait(MILLISECOND * 20).len(), 10);
        script.receive(Flags::ACK, 1, 501 + 10 * SEGMENT, 512, b"");
        assert_eq!(script.ours.status().congestion_window, grown * u64::from(SEGMENT));
    }
}

#[test]
fn the_window_does_not_grow_while_a_loss_is_mended() {
    let mut script = after(MILLISECOND * 20);
    script.write(&pattern(100 * SEGMENT as usize));
    assert_eq!(script.wait(MILLISECOND * 20).len(), 10);
    for arrived in [4, 10] {
        script.receive(Flags::ACK, 1, 501, 512, &sack(&[(501 + SEGMENT, 501 + arrived * SEGMENT)]));
        assert!(script.ours.status().in_recovery);
        assert_eq!(script.ours.status().congestion_window, 5 * u64::from(SEGMENT), "half, though all but one arrived");
    }
}

//= spec/congestion.md#pp-cc-9
//= type=test
//# The window does not grow while the application, and not the window, holds the sender back.
#[test]
fn a_window_that_is_not_filled_does_not_grow() {
    let mut script = after(MILLISECOND * 20);
    let mut una = 501;
    // Writes so many segments, has them acknowledged one by one, and gives the window in segments.
    let mut passed = |segments: u32| {
        script.write(&pattern((segments * SEGMENT) as usize));
        let end = una + segments * SEGMENT;
        while una < end {
            let sent = script.wait(MILLISECOND * 20);
            for _ in sent {
                una += SEGMENT;
                script.receive(Flags::ACK, 1, una, 512, b"");
            }
        }
        script.ours.status().congestion_window / u64::from(SEGMENT)
    };
    assert_eq!([3, 9, 3, 1, 5].map(&mut passed), [10; 5]);
    let grown = passed(60);
    assert!(grown > 20, "{grown}");
    let idle = passed(1);
    assert_eq!([3, 9, 3, 1, 5].map(&mut passed), [idle; 5], "its writer paused");
}
