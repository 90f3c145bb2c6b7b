//! What a receiver takes, holds and tells, at the edges of its budget and of the stream.

use proto_core::seq::SeqNumber;
use proto_core::stream::receive::{Arrival, Receiver};

const FIRST: SeqNumber = SeqNumber(1000);

fn receiver(maximum: usize) -> Receiver {
    Receiver::new(FIRST, maximum)
}

/// `len` bytes at `offset`.
fn accept(receiver: &mut Receiver, offset: u32, len: usize) -> Arrival {
    receiver.accept(FIRST + offset, &vec![7; len])
}

fn blocks(receiver: &Receiver) -> Vec<(u32, u32)> {
    receiver.sack().blocks().iter().map(|block| (block.left.0 - FIRST.0, block.right.0 - FIRST.0)).collect()
}

//= spec/flow.md#pp-flow-14
//= type=test
//# Up to 64 KiB beyond the advertised window are accepted.
#[test]
fn the_last_byte_of_the_reserve_is_taken_and_the_next_is_not() {
    let edge = 100_000 + 64 * 1024;
    assert_eq!(accept(&mut receiver(100_000), edge - 10, 10), Arrival::OutOfOrder);
    assert_eq!(accept(&mut receiver(100_000), edge - 10, 11), Arrival::Refused);
}

//= spec/session.md#pp-ses-19
//= type=test
//# A FIN ahead of missing data waits for it
#[test]
fn nothing_is_taken_behind_the_end() {
    let mut receiver = receiver(100_000);
    assert!(!receiver.finish(FIRST + 20));
    assert_eq!(accept(&mut receiver, 10, 11), Arrival::Refused);
    assert_eq!(accept(&mut receiver, 10, 10), Arrival::OutOfOrder);
    assert!(!receiver.finish(FIRST + 30), "the first word counts");
    assert_eq!(accept(&mut receiver, 0, 10), Arrival::FilledGap);
    assert!(receiver.is_finished());
    assert_eq!(receiver.next(), FIRST + 20);
}

#[test]
fn a_part_of_what_is_held_brings_nothing_new() {
    let mut receiver = receiver(100_000);
    assert_eq!(accept(&mut receiver, 100, 100), Arrival::OutOfOrder);
    for (offset, len) in [(100, 100), (100, 50), (150, 50), (199, 1)] {
        assert_eq!(accept(&mut receiver, offset, len), Arrival::Duplicate, "{offset} {len}");
    }
    assert_eq!(accept(&mut receiver, 150, 51), Arrival::OutOfOrder);
    assert_eq!((receiver.out_of_order(), receiver.holes()), (101, 1));
    assert_eq!(blocks(&receiver), [(100, 201)]);
    receiver.discard();
    assert_eq!((receiver.out_of_order(), receiver.holes(), receiver.memory()), (0, 0, 0));
}

//= spec/sack.md#pp-sack-5
//= type=test
//# When more than four blocks are held, those with news go first.
#[test]
fn more_news_than_four_blocks_is_told_in_turns() {
    let mut receiver = receiver(100_000);
    (1..=6).for_each(|number| assert_eq!(accept(&mut receiver, 20 * number, 10), Arrival::OutOfOrder));
    assert_eq!(blocks(&receiver), [(60, 70), (80, 90), (100, 110), (120, 130)]);
    assert!(receiver.sack_sent(), "two are still to be told");
    assert!(blocks(&receiver).contains(&(20, 30)) && blocks(&receiver).contains(&(40, 50)));
    assert!(!receiver.sack_sent());
    // News that is acknowledged in order meanwhile needs no block.
    (7..=12).for_each(|number| assert_eq!(accept(&mut receiver, 20 * number, 10), Arrival::OutOfOrder));
    assert_eq!(accept(&mut receiver, 0, 250), Arrival::FilledGap);
    assert!(!receiver.sack_sent());
}

#[test]
fn one_range_is_one_piece_of_news() {
    let mut receiver = receiver(100_000);
    (1..=6).for_each(|number| assert_eq!(accept(&mut receiver, 10 * number, 10), Arrival::OutOfOrder));
    assert_eq!(blocks(&receiver), [(10, 70)]);
    assert!(!receiver.sack_sent());
}

//= spec/flow.md#pp-flow-15
//= type=test
//# A stream between peers of ours holds 256 KiB at first and more only as its reader keeps up.
#[test]
fn the_limit_doubles_after_half_of_it_was_read_with_a_quarter_left_at_most() {
    const KIB: usize = 1024;
    for (arrives, reads, limit) in [
        (128 * KIB, 128 * KIB, 512 * KIB),
        (128 * KIB, 128 * KIB - 1, 256 * KIB),
        (192 * KIB, 128 * KIB, 512 * KIB),
        (192 * KIB + 1, 128 * KIB, 256 * KIB),
    ] {
        let mut receiver = receiver(8 << 20);
        assert_eq!(receiver.limit(), 256 * KIB as u64);
        assert_eq!(accept(&mut receiver, 0, arrives), Arrival::InOrder);
        assert_eq!(receiver.read(&mut vec![0; reads]), reads);
        assert_eq!(receiver.limit(), limit as u64, "{arrives} came and {reads} were read");
        assert_eq!(receiver.window(), (limit + reads - arrives) as u64);
    }
    let mut receiver = receiver(300 * KIB);
    accept(&mut receiver, 0, 256 * KIB);
    receiver.read(&mut vec![0; 256 * KIB]);
    assert_eq!(receiver.limit(), 300 * KIB as u64, "and never beyond the budget");
}

#[test]
fn memory_comes_back_when_nothing_is_held() {
    let mut receiver = receiver(100_000);
    accept(&mut receiver, 0, 5000);
    assert_eq!(receiver.memory(), 8192);
    receiver.shrink();
    assert_eq!(receiver.memory(), 8192, "there is something to read");
    receiver.read(&mut vec![0; 5000]);
    accept(&mut receiver, 6000, 10);
    receiver.shrink();
    assert_ne!(receiver.memory(), 0, "something waits behind a hole");
    accept(&mut receiver, 5000, 1000);
    assert_eq!(receiver.read(&mut vec![0; 5000]), 1010);
    receiver.shrink();
    assert_eq!(receiver.memory(), 0);
}
