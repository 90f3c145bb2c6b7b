//! What a connection tells about itself, when it says that there is something to do, and what it holds in memory.

mod pair;

use core::time::Duration;
use pair::script::{Script, sack};
use pair::{params, pattern, reference_params};
use proto_core::stream::{Flags, Params, ReadError, StreamEvent, WriteError};

const MILLISECOND: Duration = Duration::from_millis(1);

fn events(script: &mut Script) -> Vec<StreamEvent> {
    core::iter::from_fn(|| script.ours.poll_event()).collect()
}

#[test]
fn every_segment_and_byte_is_counted_once() {
    let mut script = Script::answered(params(), 512, b"", MILLISECOND * 20);
    script.write(&pattern(4 * 1152));
    assert_eq!(script.sent().len(), 4);
    let status = script.ours.status();
    assert_eq!((status.segments_sent, status.segments_received, status.bytes_sent), (6, 1, 4608));
    assert_eq!((status.in_flight, status.unacknowledged_segments, status.peer_window), (4608, 4, 512 * 1152));
    assert_eq!(status.srtt, MILLISECOND * 20);
    // The second of four is lost; what comes in the wrong order is told with blocks.
    script.now = script.now + MILLISECOND * 20;
    script.receive(Flags::ACK, 1, 501 + 1152, 512, b"");
    script.receive(Flags::ACK, 1, 501 + 1152, 512, &sack(&[(501 + 2304, 501 + 3456)]));
    script.receive(Flags::ACK, 1, 501 + 1152, 512, &sack(&[(501 + 2304, 501 + 4608)]));
    let status = script.ours.status();
    assert_eq!((status.sack_received, status.duplicate_acks, status.sack_sent), (2, 2, 0));
    assert_eq!(script.ours.acknowledged(), 1152);
    let again = script.wait(MILLISECOND * 100);
    assert_eq!(again.iter().map(|(_, p)| (p.seq.0, p.payload.len())).collect::<Vec<_>>(), [(501 + 1152, 1152)]);
    let status = script.ours.status();
    assert_eq!((status.retransmits, status.bytes_sent), (1, 4608), "the same bytes again are no new ones");
    script.receive(Flags::ACK, 1, 501 + 4608, 512, b"");
    assert_eq!(script.ours.acknowledged(), 4608);
    let status = script.ours.status();
    assert_eq!((status.in_flight, status.unacknowledged_segments, status.segments_received), (0, 0, 5));
    // Of what arrives, the first two bytes are missing.
    script.receive(Flags::ACK, 3, 501 + 4608, 512, b"later");
    assert_eq!(script.sent().len(), 1);
    let status = script.ours.status();
    assert_eq!((status.sack_sent, status.reorder_bytes, status.bytes_received), (1, 5, 0));
    assert_eq!(script.ours.holes(), 1);
    script.receive(Flags::ACK, 1, 501 + 4608, 512, b"no");
    assert_eq!(script.ours.status().bytes_received, 7);
    assert_eq!(script.ours.holes(), 0);
}

/// By three duplicates, by what was selectively acknowledged beyond it, and by time.
#[test]
fn a_loss_found_without_a_timeout_is_counted_once() {
    let at = |segment: u32| 501 + segment * 1152;
    let three = sack(&[(at(1), at(4))]);
    let one = sack(&[(at(1), at(2))]);
    for (acks, payload) in [(6, &[][..]), (2, &three), (1, &one)] {
        let mut script = Script::answered(params(), 512, b"", MILLISECOND * 20);
        script.write(&pattern(8 * 1152));
        script.wait(MILLISECOND * 20);
        for _ in 0..acks {
            script.receive(Flags::ACK, 1, 501, 512, payload);
        }
        let again = script.wait(MILLISECOND * 20);
        assert_eq!(again.iter().map(|(_, p)| p.seq.0).collect::<Vec<_>>(), [501], "{acks}");
        let status = script.ours.status();
        assert_eq!((status.retransmits, status.fast_retransmits), (1, 1), "{acks}");
    }
}

#[test]
fn a_reader_is_told_once_until_it_was_blocked() {
    let mut script = Script::dialled(params(), 512);
    assert_eq!(events(&mut script), [StreamEvent::Connected]);
    script.receive(Flags::ACK, 1, 501, 512, b"one");
    script.receive(Flags::ACK, 4, 501, 512, b"two");
    assert_eq!(events(&mut script), [StreamEvent::Readable]);
    let mut chunk = [0; 4];
    assert_eq!(script.ours.read(script.now, &mut chunk), Ok(4));
    script.receive(Flags::ACK, 7, 501, 512, b"six");
    assert_eq!(events(&mut script), [], "it was not blocked");
    assert_eq!(script.ours.read(script.now, &mut chunk), Ok(4));
    assert_eq!(script.ours.read(script.now, &mut chunk), Ok(1));
    assert_eq!(script.ours.read(script.now, &mut chunk), Err(ReadError::Blocked));
    script.receive(Flags::ACK, 10, 501, 512, b"ten");
    assert_eq!(events(&mut script), [StreamEvent::Readable]);
    // What it reads before it looks at the event is no news either.
    assert_eq!(script.ours.read(script.now, &mut chunk), Ok(3));
    script.receive(Flags::ACK, 13, 501, 512, b"!");
    assert_eq!(script.ours.read(script.now, &mut chunk), Ok(1));
    assert_eq!(script.ours.read(script.now, &mut chunk), Err(ReadError::Blocked));
    assert_eq!(events(&mut script), []);
}

#[test]
fn a_blocked_writer_is_told_when_a_quarter_is_free() {
    let mut script = Script::dialled(Params { send_buffer: 4000, mss: 1000, ..params() }, 512);
    events(&mut script);
    assert_eq!(script.ours.write(script.now, &pattern(5000)), Ok(4000));
    assert_eq!(script.ours.write(script.now, b"more"), Err(WriteError::Blocked));
    assert_eq!(script.sent().len(), 4);
    script.now = script.now + MILLISECOND;
    script.receive(Flags::ACK, 1, 501, 512, b"");
    assert_eq!(events(&mut script), [], "nothing is free");
    script.receive(Flags::ACK, 1, 501 + 1000, 512, b"");
    assert_eq!(events(&mut script), [StreamEvent::Writable]);
    script.receive(Flags::ACK, 1, 501 + 2000, 512, b"");
    assert_eq!(events(&mut script), [], "and told once");
    assert_eq!(script.ours.write(script.now, &pattern(5000)), Ok(2000));
}

#[test]
fn a_chunk_is_taken_as_far_as_there_is_room() {
    let mut script = Script::dialled(Params { send_buffer: 4000, mss: 1000, ..params() }, 512);
    let mut chunk = bytes::Bytes::from(pattern(5000));
    assert_eq!(script.ours.write_chunk(script.now, &mut chunk), Ok(4000));
    assert_eq!(chunk, pattern(5000)[4000..]);
    assert_eq!(script.ours.write_chunk(script.now, &mut chunk), Err(WriteError::Blocked));
    let sent: Vec<u8> = script.sent().into_iter().flat_map(|packet| packet.payload).collect();
    assert_eq!(sent, pattern(5000)[..4000]);
}

#[test]
fn memory_is_what_both_buffers_hold() {
    let mut script = Script::dialled(reference_params(), 512);
    let empty = script.ours.buffered();
    script.write(&pattern(5000));
    assert_eq!(script.ours.buffered(), empty + 5000);
    for start in (0..40_960).step_by(4096) {
        script.receive(Flags::ACK, 1 + start, 501, 512, &pattern(4096));
    }
    let held = script.ours.buffered();
    assert!(held >= empty + 45_960, "{held} after {empty}");
    script.ours.stop_reading();
    assert!(script.ours.buffered() < empty + 5000 + 40_960, "nobody will read it");
    script.receive(Flags::ACK, 40_961, 501, 512, &pattern(4096));
    assert_eq!(script.sent().last().map(|packet| packet.ack.0), Some(45_057), "what comes is still acknowledged");
    assert!(script.ours.buffered() < empty + 5000 + 40_960);
}

//= spec/coalescing.md#pp-nagle-4
//= type=test
//# A connection with no_delay sends small writes at once.
#[test]
fn coalescing_can_be_switched_while_the_stream_runs() {
    let mut script = Script::dialled(params(), 512);
    let small = |script: &mut Script| {
        script.write(b"x");
        script.sent().len()
    };
    assert_eq!((small(&mut script), small(&mut script)), (1, 0));
    script.ours.set_no_delay(true);
    assert_eq!(script.sent().len(), 1, "what was held");
    assert_eq!(small(&mut script), 1);
    script.ours.set_no_delay(false);
    assert_eq!(small(&mut script), 0);
}

#[test]
fn a_path_that_carries_more_gets_larger_segments() {
    let mut script = Script::dialled(params(), 512);
    script.ours.set_path(2000, None);
    script.write(&pattern(10_000));
    assert!(script.sent().iter().all(|packet| packet.payload.len() == 2000));
    script.ours.set_path(9000, None);
    script.receive(Flags::ACK, 1, 10_501, 512, b"");
    script.write(&pattern(10_000));
    let sizes: Vec<usize> = script.sent().iter().map(|packet| packet.payload.len()).collect();
    assert_eq!(sizes, [4096, 4096], "the reference takes no larger ones; the tail waits");
}

//= spec/sack.md#pp-sack-6
//= type=test
//# A payload is taken for SACK only when its length is exactly 5 + 8 x count and every block lies in what was sent.
#[test]
fn blocks_that_cannot_be_are_user_data() {
    for (blocks, is_sack) in [
        (&[(501, 502)][..], true),
        (&[(1000, 1501)], true),
        (&[(501, 600), (700, 800)], true),
        (&[(501, 501)], false),
        (&[(600, 550)], false),
        (&[(1000, 1502)], false),
        (&[(1501, 1502)], false),
        (&[(499, 600)], false),
        (&[(501, 600), (700, 1502)], false),
    ] {
        let mut script = Script::dialled(params(), 512);
        script.write(&pattern(1000));
        script.sent();
        script.receive(Flags::ACK, 1, 501, 512, &sack(blocks));
        let mut chunk = [0; 100];
        let read = script.ours.read(script.now, &mut chunk);
        assert_eq!(read.is_err(), is_sack, "{blocks:?}");
        assert_eq!(script.ours.status().sack_received, u64::from(is_sack));
    }
}
