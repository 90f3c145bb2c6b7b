//! What was sent and not acknowledged, segment by segment, and which of it is lost.
//!
//! Segments keep their boundaries for ever (PP-REL-5). Loss is found by transmission order, as RFC 8985 (RACK) does:
//! a segment is lost when one that left later was delivered, and either three segments were selectively acknowledged or a reordering
//! window passed. That needs the segments in the order they left: a log of transmissions whose front is the oldest one still open.
//! Work is O(1) amortised per acknowledged segment and O(log n) per SACK block, retransmission and log entry.

use super::reorder::RangeSet;
use crate::time::Timestamp;
use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

/// Selectively acknowledged segments that make an older one lost without waiting (RFC 6675's DupThresh).
const DUPLICATE_THRESHOLD: usize = 3;
/// The reordering window grows in quarters of the round-trip time, up to one whole.
const WINDOW_QUARTERS: u32 = 4;

/// One segment in the network.
#[derive(Clone, Copy, Debug)]
//= spec/reliability.md#pp-rel-5
//# A retransmitted segment keeps the boundaries it had the first time.
pub(super) struct Sent {
    pub(super) start: u64,
    pub(super) len: u32,
    pub(super) transmissions: u8,
    sacked: bool,
    lost: bool,
    /// Position of its last transmission among all transmissions.
    order: u64,
    sent_at: Timestamp,
}

impl Sent {
    const fn end(&self) -> u64 {
        self.start + self.len as u64
    }
}

/// What acknowledgements told since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivered {
    /// Bytes newly known to have arrived.
    pub(super) bytes: u64,
    /// A round-trip time that obeys Karn's rule: of the newest segment sent once and not selectively acknowledged before.
    pub(super) rtt: Option<Duration>,
}

/// The scoreboard of one connection.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    sent: VecDeque<Sent>,
    /// The start of the segment of each transmission, oldest first; the front has number `log_base`.
    log: VecDeque<u64>,
    log_base: u64,
    /// Starts of segments found lost; an entry counts only while its segment is still marked.
    lost: BinaryHeap<Reverse<u64>>,
    sacked: RangeSet,
    sacked_segments: usize,
    /// Kept between calls so that SACK processing does not allocate.
    scratch: Vec<(u64, u64)>,
    in_flight: u64,
    /// The newest transmission that is known to have arrived, and how long its round trip took.
    newest: Option<(u64, Duration)>,
    /// The end of the highest segment that arrived.
    highest: u64,
    /// Quarters of a round-trip time to wait for reordered segments; zero while no reordering was seen.
    reordering: u32,
}

impl Scoreboard {
    pub(super) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn segments(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(super) const fn sacked_segments(&self) -> usize {
        self.sacked_segments
    }

    pub(super) fn first(&self) -> Option<&Sent> {
        self.sent.front()
    }

    /// A new segment leaves.
    pub(super) fn sent(&mut self, now: Timestamp, start: u64, len: u32) {
        let order = self.log_transmission(start);
        self.sent.push_back(Sent { start, len, transmissions: 1, sacked: false, lost: false, order, sent_at: now });
        self.in_flight += u64::from(len);
    }

    /// Everything below `una` arrived.
    pub(super) fn acknowledge(
        &mut self,
        now: Timestamp,
        una: u64,
        minimum_rtt: Option<Duration>,
        told: &mut Delivered,
    ) {
        while let Some(segment) = self.sent.pop_front_if(|segment| segment.end() <= una) {
            if segment.sacked {
                self.sacked_segments -= 1;
                continue;
            }
            self.deliver(now, &segment, minimum_rtt, told);
            //= spec/reliability.md#pp-rel-11
            //# A segment that was sent more than once gives no round-trip sample.
            if segment.transmissions == 1 {
                told.rtt = Some(now.saturating_since(segment.sent_at));
            }
        }
        // Never within a segment: what was booked as arrived must not look like a gap.
        self.sacked.remove_below(self.sent.front().map_or(una, |first| first.start.min(una)));
    }

    /// The segments wholly in `[left, right)` arrived.
    pub(super) fn acknowledge_range(
        &mut self,
        now: Timestamp,
        (left, right): (u64, u64),
        minimum_rtt: Option<Duration>,
        told: &mut Delivered,
    ) {
        let first = self.sent.partition_point(|segment| segment.start < left);
        let behind = self.sent.partition_point(|segment| segment.end() <= right);
        let (Some(lowest), Some(highest)) =
            (self.sent.get(first), behind.checked_sub(1).and_then(|i| self.sent.get(i)))
        else {
            return;
        };
        // Snapped to segments, so that the set never has more ranges than segments, and gaps hold whole segments.
        let (left, right) = (lowest.start, highest.end());
        if left >= right || self.sacked.containing(left).is_some_and(|range| range.1 >= right) {
            return;
        }
        let mut fresh = core::mem::take(&mut self.scratch);
        self.sacked.for_each_gap(left, right, |start, end| fresh.push((start, end)));
        for (start, end) in fresh.drain(..) {
            let mut index = self.sent.partition_point(|segment| segment.start < start);
            while let Some(segment) = self.sent.get_mut(index).filter(|segment| segment.start < end) {
                let before = *segment;
                segment.sacked = true;
                segment.lost = false;
                self.sacked_segments += 1;
                self.deliver(now, &before, minimum_rtt, told);
                index += 1;
            }
        }
        self.scratch = fresh;
        self.sacked.insert(left, right, usize::MAX);
    }

    /// Marks what is lost by now. Gives how many segments, and when to look again.
    pub(super) fn detect(&mut self, now: Timestamp, srtt: Duration, recovering: bool) -> (usize, Option<Timestamp>) {
        let Some((newest, rtt)) = self.newest else { return (0, None) };
        //= spec/congestion.md#pp-cc-11
        //# A peer that sends SACK has its losses found by RACK: a segment is lost when a later transmission arrived and three segments were
        //# selectively acknowledged, or a reordering window passed.
        let impatient = self.reordering == 0 && (recovering || self.sacked_segments >= DUPLICATE_THRESHOLD);
        let window = if impatient { Duration::ZERO } else { srtt / WINDOW_QUARTERS * self.reordering.max(1) };
        let mut found = 0;
        while let Some(&start) = self.log.front() {
            let order = self.log_base;
            match self.index_of(start).and_then(|index| self.sent.get_mut(index)) {
                //= spec/sack.md#pp-sack-8
                //# A segment wholly inside a block is not sent again for the loss of another.
                Some(segment) if segment.order == order && !segment.sacked && !segment.lost => {
                    let due = segment.sent_at + rtt + window;
                    if order >= newest {
                        return (found, None);
                    }
                    if due > now {
                        return (found, Some(due));
                    }
                    segment.lost = true;
                    self.in_flight -= u64::from(segment.len);
                    self.lost.push(Reverse(start));
                    found += 1;
                }
                _ => {}
            }
            self.log.pop_front();
            self.log_base += 1;
        }
        (found, None)
    }

    /// The first segment is lost: three duplicate acknowledgements without SACK said so.
    pub(super) fn mark_first_lost(&mut self) -> bool {
        self.mark_lost(0)
    }

    /// What was sent into a closed window does not count as sent in vain: only that it was sent more than once is kept.
    pub(super) fn forgive_first(&mut self) {
        if let Some(first) = self.sent.front_mut() {
            first.transmissions = first.transmissions.min(2);
        }
    }

    /// The last segment is taken for lost, to make the peer say what it has.
    pub(super) fn mark_last_lost(&mut self) -> bool {
        self.sent.len().checked_sub(1).is_some_and(|last| self.mark_lost(last))
    }

    /// The retransmission timer ran out: everything not selectively acknowledged is lost.
    pub(super) fn mark_all_lost(&mut self) {
        if self.sent.front().is_some_and(|first| first.sacked) {
            // The peer dropped what it had acknowledged selectively (RFC 2018 section 8).
            self.sacked.clear();
            self.sacked_segments = 0;
            self.sent.iter_mut().for_each(|segment| segment.sacked = false);
        }
        self.log_base += self.log.len() as u64;
        self.log.clear();
        self.lost.clear();
        for segment in self.sent.iter_mut().filter(|segment| !segment.sacked) {
            segment.lost = true;
            self.lost.push(Reverse(segment.start));
        }
        self.in_flight = 0;
    }

    /// The lowest lost segment.
    pub(super) fn next_lost(&mut self) -> Option<Sent> {
        while let Some(&Reverse(start)) = self.lost.peek() {
            let segment = self.index_of(start).and_then(|index| self.sent.get(index)).filter(|segment| segment.lost);
            if segment.is_some() {
                return segment.copied();
            }
            self.lost.pop();
        }
        None
    }

    /// The segment at `start` leaves again.
    pub(super) fn retransmitted(&mut self, now: Timestamp, start: u64) {
        let Some(index) = self.index_of(start) else { return };
        let order = self.log_transmission(start);
        let Some(segment) = self.sent.get_mut(index) else { return };
        if segment.lost {
            segment.lost = false;
            self.in_flight += u64::from(segment.len);
        }
        segment.transmissions = segment.transmissions.saturating_add(1);
        segment.order = order;
        segment.sent_at = now;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn mark_lost(&mut self, index: usize) -> bool {
        let Some(segment) = self.sent.get_mut(index).filter(|segment| !segment.lost && !segment.sacked) else {
            return false;
        };
        segment.lost = true;
        self.in_flight -= u64::from(segment.len);
        self.lost.push(Reverse(segment.start));
        true
    }

    /// Books the arrival of `segment`, which was neither acknowledged nor selectively acknowledged before.
    fn deliver(&mut self, now: Timestamp, segment: &Sent, minimum_rtt: Option<Duration>, told: &mut Delivered) {
        told.bytes += u64::from(segment.len);
        if !segment.lost {
            self.in_flight -= u64::from(segment.len);
        }
        let rtt = now.saturating_since(segment.sent_at);
        let resent = segment.transmissions > 1 || segment.lost;
        // An answer sooner than a round trip after the retransmission, or after the verdict, is for an earlier transmission.
        let early = resent && (segment.lost || minimum_rtt.is_some_and(|minimum| rtt < minimum));
        if early || (!resent && segment.end() < self.highest) {
            self.reordering = (self.reordering + u32::from(early || self.reordering == 0)).min(WINDOW_QUARTERS);
        }
        self.highest = self.highest.max(segment.end());
        if !early && self.newest.is_none_or(|(newest, _)| segment.order > newest) {
            self.newest = Some((segment.order, rtt));
        }
    }

    fn log_transmission(&mut self, start: u64) -> u64 {
        self.log.push_back(start);
        self.log_base + (self.log.len() as u64 - 1)
    }

    fn index_of(&self, start: u64) -> Option<usize> {
        self.sent.binary_search_by(|segment| segment.start.cmp(&start)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u32 = 100;
    const RTT: Duration = Duration::from_millis(40);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000 + millis * 1000)
    }

    /// `count` segments of 100 bytes, one a millisecond.
    fn sent(count: u64) -> Scoreboard {
        let mut board = Scoreboard::default();
        (0..count).for_each(|number| board.sent(at(number), number * u64::from(LEN), LEN));
        board
    }

    /// Segments `first..last` are told to have arrived; gives how many bytes of that are news.
    fn arrived(board: &mut Scoreboard, millis: u64, first: u64, last: u64) -> u64 {
        let mut told = Delivered::default();
        let (left, right) = (first * u64::from(LEN), last * u64::from(LEN));
        board.acknowledge_range(at(millis), (left, right), Some(RTT), &mut told);
        told.bytes
    }

    fn acknowledged(board: &mut Scoreboard, millis: u64, segments: u64) -> Delivered {
        let mut told = Delivered::default();
        board.acknowledge(at(millis), segments * u64::from(LEN), Some(RTT), &mut told);
        told
    }

    fn lost(board: &mut Scoreboard) -> Vec<u64> {
        let mut starts = Vec::new();
        while let Some(segment) = board.next_lost() {
            starts.push(segment.start / u64::from(LEN));
            board.retransmitted(at(1000), segment.start);
        }
        starts
    }

    //= spec/congestion.md#pp-cc-11
    //= type=test
    //# a segment is lost when a later transmission arrived and three segments were selectively acknowledged
    #[test]
    fn the_third_arrival_behind_a_hole_condemns_what_was_sent_before_it() {
        let mut board = sent(10);
        assert_eq!(arrived(&mut board, 41, 1, 3), 200);
        assert_eq!((board.sacked_segments(), board.in_flight()), (2, 800));
        let (found, again) = board.detect(at(42), RTT, false);
        assert_eq!(found, 0, "two may be reordered");
        // Sent at 0 ms, the newest arrival took 39 ms, and a quarter of a round trip is waited for reordering.
        assert_eq!(again, Some(at(49)));
        assert_eq!(arrived(&mut board, 43, 1, 4), 100, "only the third is news");
        assert_eq!(board.detect(at(43), RTT, false), (1, None));
        assert_eq!(board.in_flight(), 600);
        assert_eq!(lost(&mut board), [0]);
        assert_eq!(board.in_flight(), 700);
        assert_eq!(acknowledged(&mut board, 80, 4).bytes, 100, "what was told before is no news");
        assert_eq!((board.sacked_segments(), board.segments()), (0, 6));
    }

    //= spec/congestion.md#pp-cc-11
    //= type=test
    //# or a reordering window passed.
    #[test]
    fn who_reorders_is_waited_for_longer_each_time_and_four_quarters_at_most() {
        let mut board = sent(100);
        let mut next = 0;
        for (round, quarters) in [1, 1, 1].into_iter().enumerate() {
            // The later of two arrives first, and then the earlier, which was not resent.
            let millis = 60 + 10 * round as u64;
            assert_eq!(arrived(&mut board, millis, next + 1, next + 2), 100);
            assert_eq!(acknowledged(&mut board, millis + 1, next + 2).bytes, 100);
            next += 2;
            assert_eq!(arrived(&mut board, millis + 2, next + 1, next + 5), 400);
            let (found, again) = board.detect(at(millis + 2), RTT, false);
            assert_eq!(found, 0, "it reorders: more than three arrivals condemn nothing");
            let took = millis + 2 - (next + 4);
            assert_eq!(again, Some(at(next + took + 10 * quarters)));
            assert_eq!(acknowledged(&mut board, millis + 3, next + 5).bytes, 100);
            next += 5;
        }
        assert_eq!(arrived(&mut board, 200, next + 1, next + 5), 400);
        assert_eq!(board.detect(at(300), RTT, false), (1, None));
        assert_eq!(lost(&mut board), [next]);
    }

    /// RFC 8985 section 6.2: what is answered sooner than a round trip after it was resent answers the first transmission.
    #[test]
    fn an_answer_too_soon_after_a_retransmission_says_nothing_about_it() {
        let mut board = sent(5);
        assert!(board.mark_first_lost() && !board.mark_first_lost(), "once");
        assert_eq!(board.in_flight(), 400);
        assert_eq!(lost(&mut board), [0]);
        let told = acknowledged(&mut board, 1000 + 39, 1);
        assert_eq!((told.bytes, told.rtt), (100, None));
        assert_eq!(board.detect(at(3000), RTT, true), (0, None), "nothing newer is known to have arrived");
        assert!(board.mark_first_lost());
        assert_eq!(lost(&mut board), [1]);
        acknowledged(&mut board, 1000 + 40, 2);
        assert_eq!(
            board.detect(at(3000), RTT, true),
            (3, None),
            "that was the retransmission, and later than the others"
        );
    }

    #[test]
    fn a_sample_is_of_what_was_sent_once() {
        let mut board = sent(3);
        assert_eq!(acknowledged(&mut board, 50, 2).rtt, Some(Duration::from_millis(49)), "of the second");
        assert!(board.mark_last_lost());
        lost(&mut board);
        assert_eq!(acknowledged(&mut board, 1100, 3).rtt, None);
        assert!(board.is_empty() && !board.mark_last_lost());
        assert_eq!(board.in_flight(), 0);
    }

    /// RFC 2018 section 8: after a timeout the word of a peer that dropped what it had acknowledged selectively is worth nothing.
    #[test]
    fn a_timeout_resends_all_but_what_arrived() {
        let mut board = sent(6);
        arrived(&mut board, 50, 2, 4);
        board.mark_all_lost();
        assert_eq!(board.in_flight(), 0);
        assert_eq!(lost(&mut board), [0, 1, 4, 5]);
        assert_eq!(board.in_flight(), 400);
        arrived(&mut board, 1050, 0, 1);
        board.mark_all_lost();
        assert_eq!(board.sacked_segments(), 0, "the first is told to be there and is not acknowledged");
        assert_eq!(lost(&mut board), [0, 1, 2, 3, 4, 5]);
        assert_eq!(arrived(&mut board, 1060, 2, 4), 200, "and can be told again");
        // The lost ones are still looked at in the order they left.
        assert_eq!(board.detect(at(5000), RTT, false).0, 2);
        board.clear();
        assert_eq!((board.segments(), board.in_flight(), board.sacked_segments()), (0, 0, 0));
        assert_eq!(board.detect(at(9000), RTT, true), (0, None));
        board.sent(at(0), 0, LEN);
        assert_eq!(arrived(&mut board, 50, 0, 1), 100);
    }

    #[test]
    fn blocks_count_whole_segments_once() {
        let mut board = sent(6);
        let mut told = Delivered::default();
        board.acknowledge_range(at(50), (150, 420), Some(RTT), &mut told);
        assert_eq!(told.bytes, 200, "two whole segments");
        board.acknowledge_range(at(50), (210, 290), Some(RTT), &mut told);
        board.acknowledge_range(at(50), (200, 400), Some(RTT), &mut told);
        assert_eq!((told.bytes, board.sacked_segments()), (200, 2));
        board.acknowledge_range(at(50), (100, 600), Some(RTT), &mut told);
        assert_eq!((told.bytes, board.sacked_segments()), (500, 5));
        board.acknowledge_range(at(50), (900, 1000), Some(RTT), &mut told);
        assert_eq!(told.bytes, 500);
    }
}
