//! The receiving half: what arrived, in order or not, and how much more may come.
//!
//! Overlaps are trimmed, data is kept by byte range, and the budget is in bytes (PP-REL-15, PP-REL-18). The buffer's limit grows
//! with what the reader takes, so that only connections that are read fast may hold much.

use super::reorder::RangeSet;
use super::ring::Ring;
use crate::limits::{
    STREAM_INITIAL_RECEIVE_LIMIT, STREAM_RECEIVE_RESERVE, STREAM_REORDER_RANGES, STREAM_UNTOLD_RANGES,
};
use crate::seq::SeqNumber;
use crate::wire::sack::{MAX_BLOCKS, Sack, SackBlock};
use std::collections::VecDeque;

/// What a data segment was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next bytes.
    InOrder,
    /// The next bytes, and what had arrived beyond them is now in order as far as the next hole.
    FilledGap,
    /// Beyond a hole; kept.
    OutOfOrder,
    /// Nothing new.
    Duplicate,
    /// Beyond the budget, or beyond too many holes; not kept.
    Refused,
}

/// Receive sequence space, reassembly and buffer.
#[derive(Debug)]
pub struct Receiver {
    /// The sequence number of stream offset 0.
    initial: SeqNumber,
    /// RCV.NXT as a stream offset.
    next: u64,
    ring: Ring,
    beyond: RangeSet,
    /// Where out-of-order segments began that no acknowledgement told yet, newest last, one for each range.
    untold: VecDeque<u64>,
    /// Where the last out-of-order segment began.
    recent: u64,
    /// Bytes that may be held now, and at most ever.
    limit: u64,
    maximum: u64,
    read_since_growth: u64,
    /// The offset of the peer's FIN.
    end: Option<u64>,
}

impl Receiver {
    /// Expects `initial` first and holds at most `maximum` bytes beside a small reserve.
    #[must_use]
    pub fn new(initial: SeqNumber, maximum: usize) -> Self {
        let maximum = maximum as u64;
        Self {
            initial,
            next: 0,
            ring: Ring::default(),
            beyond: RangeSet::default(),
            untold: VecDeque::new(),
            recent: 0,
            limit: maximum.min(STREAM_INITIAL_RECEIVE_LIMIT),
            maximum,
            read_since_growth: 0,
            end: None,
        }
    }

    /// Takes a data segment.
    pub fn accept(&mut self, seq: SeqNumber, payload: &[u8]) -> Arrival {
        let distance = i64::from(seq - self.next());
        //= spec/reliability.md#pp-rel-2
        //# Bytes are delivered in order, each once, whatever arrived in which order.
        //= spec/reliability.md#pp-rel-15
        //# Data is buffered by byte range and overlaps are trimmed.
        let (start, fresh) = match u64::try_from(distance) {
            Ok(ahead) => (self.next + ahead, payload),
            Err(_) => {
                let known = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
                (self.next, payload.get(known..).unwrap_or_default())
            }
        };
        let end = start + fresh.len() as u64;
        if fresh.is_empty() {
            return Arrival::Duplicate;
        }
        //= spec/reliability.md#pp-rel-18
        //# Data beyond the budget of a receiver is dropped and not acknowledged.
        //= spec/flow.md#pp-flow-14
        //# Up to 64 KiB beyond the advertised window are accepted.
        if end > self.ring.start() + self.limit + STREAM_RECEIVE_RESERVE || self.end.is_some_and(|fin| end > fin) {
            return Arrival::Refused;
        }
        let kept = self.beyond.ranges().last().map_or(self.next, |range| range.1);
        if start > self.next {
            if self.beyond.containing(start).is_some_and(|range| range.1 >= end) {
                return Arrival::Duplicate;
            }
            //= spec/sack.md#pp-sack-11
            //# A receiver holds at most 1024 ranges beyond the first hole.
            if !self.beyond.insert(start, end, STREAM_REORDER_RANGES) {
                return Arrival::Refused;
            }
            self.ring.write(start, fresh, kept);
            self.note(start);
            return Arrival::OutOfOrder;
        }
        self.ring.write(start, fresh, kept);
        self.next = end;
        if self.beyond.is_empty() {
            return Arrival::InOrder;
        }
        self.next = self.beyond.take_reached(end).map_or(end, |reached| reached.max(end));
        Arrival::FilledGap
    }

    /// Moves bytes to the reader; gives how many.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let taken = self.ring.take(self.next, out);
        self.read_since_growth += taken as u64;
        // A reader that keeps up lets the peer have more in flight; one that does not, keeps the memory small.
        //= spec/flow.md#pp-flow-15
        //# A stream between peers of ours holds 256 KiB at first and more only as its reader keeps up.
        if self.read_since_growth >= self.limit / 2 && self.unread() <= self.limit / 4 {
            self.limit = (self.limit * 2).min(self.maximum);
            self.read_since_growth = 0;
        }
        taken
    }

    /// The peer finished at `seq`. `false` when data before it is missing.
    pub fn finish(&mut self, seq: SeqNumber) -> bool {
        let distance = i64::from(seq - self.next());
        if let (None, Ok(ahead)) = (self.end, u64::try_from(distance)) {
            self.end = Some(self.next + ahead);
        }
        self.is_finished()
    }

    /// Everything up to the peer's FIN arrived.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end == Some(self.next)
    }

    /// The peer's FIN is here, and data before it is not.
    #[must_use]
    pub fn misses_data(&self) -> bool {
        self.end.is_some_and(|end| end > self.next)
    }

    /// The cumulative acknowledgment number, without the FIN.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are offsets modulo 2^32")]
    pub fn next(&self) -> SeqNumber {
        self.initial + self.next as u32
    }

    /// The blocks to acknowledge selectively, ascending: those with news, newest first, then the lowest.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are offsets modulo 2^32")]
    pub fn sack(&self) -> Sack {
        let mut chosen = [(u64::MAX, u64::MAX); MAX_BLOCKS];
        let mut count = 0;
        //= spec/sack.md#pp-sack-5
        //# When more than four blocks are held, those with news go first.
        let news = self.untold.iter().rev().chain([&self.recent]).filter_map(|offset| self.beyond.containing(*offset));
        for range in news.chain(self.beyond.ranges().iter().copied().take(MAX_BLOCKS)) {
            let (taken, free) = chosen.split_at_mut(count);
            let Some(slot) = free.first_mut() else { break };
            if !taken.contains(&range) {
                *slot = range;
                count += 1;
            }
        }
        //= spec/sack.md#pp-sack-4
        //# Blocks are disjoint, maximal and written in ascending order.
        chosen.sort_unstable();
        let mut sack = Sack::new();
        for (left, right) in chosen.into_iter().take(count) {
            sack.push(SackBlock { left: self.initial + left as u32, right: self.initial + right as u32 });
        }
        sack
    }

    /// The blocks of [`Receiver::sack`] were sent. `true` when there is more news than they could tell.
    pub fn sack_sent(&mut self) -> bool {
        let told = self.untold.len().min(MAX_BLOCKS);
        self.untold.truncate(self.untold.len() - told);
        self.untold.retain(|offset| *offset > self.next);
        !self.untold.is_empty()
    }

    fn note(&mut self, start: u64) {
        let range = self.beyond.containing(start);
        self.recent = start;
        if self.untold.back().is_some_and(|last| self.beyond.containing(*last) == range) {
            return;
        }
        if self.untold.len() == STREAM_UNTOLD_RANGES {
            self.untold.pop_front();
        }
        self.untold.push_back(start);
    }

    /// Bytes in order that wait for the reader.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.next - self.ring.start()
    }

    /// Bytes held beyond the first hole.
    #[must_use]
    pub const fn out_of_order(&self) -> u64 {
        self.beyond.bytes()
    }

    /// Bytes the peer may send beyond RCV.NXT.
    #[must_use]
    pub fn window(&self) -> u64 {
        (self.ring.start() + self.limit).saturating_sub(self.next)
    }

    /// Bytes that may be held now.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Lets the limit begin at the whole budget: for peers whose window units leave no room to grow in.
    pub fn open_fully(&mut self, budget: u64) {
        self.maximum = self.maximum.min(budget);
        self.limit = self.maximum;
    }

    /// RCV.NXT as a count of bytes since the start.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.next
    }

    /// Memory in use, bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.ring.capacity()
    }

    /// Ranges held beyond the first hole.
    #[must_use]
    pub fn holes(&self) -> usize {
        self.beyond.ranges().len()
    }

    /// Gives memory back while nothing is held.
    pub fn shrink(&mut self) {
        if self.unread() == 0 && self.beyond.is_empty() {
            self.ring.release();
        }
    }

    /// Forgets what the reader did not take.
    pub fn discard(&mut self) {
        self.ring.discard(self.next);
        self.beyond.clear();
        self.ring.release();
    }
}
