//! When what arrived is acknowledged (`spec/delayed-ack.md`).
//!
//! An acknowledgement is only made when segments are polled for, so a batch that arrived together is acknowledged once. Beyond that, every
//! second segment is acknowledged, or after 40 ms. A peer of ours that sends in bulk and in order gets one acknowledgement for eight
//! segments, or after 5 ms: it counts acknowledged bytes and paces itself, so it loses nothing by it.

use crate::limits::STREAM_DUPLICATE_ACKS;
use core::time::Duration;

/// Segments that may wait for an acknowledgement, and how long.
const SEGMENTS: u32 = 2;
const DELAY: Duration = Duration::from_millis(40);
/// The same while a peer of ours sends in bulk.
const BULK_SEGMENTS: u32 = 8;
const BULK_DELAY: Duration = Duration::from_millis(5);
/// Segments in order that make a bulk transfer.
const BULK_RUN: u32 = 256;

/// What is owed to the peer.
#[derive(Debug, Default)]
pub(super) struct AckPolicy {
    /// Data segments not acknowledged yet.
    waiting: u32,
    /// Data segments in order since the last hole or pause.
    run: u32,
    /// Pure acknowledgements to send now.
    owed: u8,
}

impl AckPolicy {
    /// A data segment arrived in order. Gives how long its acknowledgement may wait, when it may.
    pub(super) fn in_order(&mut self, peer_is_ours: bool) -> Option<Duration> {
        self.waiting += 1;
        self.run = self.run.saturating_add(1);
        let bulk = peer_is_ours && self.run >= BULK_RUN;
        //= spec/delayed-ack.md#pp-ack-1
        //# Every second data segment is acknowledged at once.
        //= spec/delayed-ack.md#pp-ack-2
        //# A single data segment is acknowledged within 40 milliseconds.
        //= spec/delayed-ack.md#pp-ack-8
        //# A peer of ours that sends in bulk gets one acknowledgement for eight segments or after 5 milliseconds.
        if self.waiting >= if bulk { BULK_SEGMENTS } else { SEGMENTS } {
            self.owe();
            return None;
        }
        Some(if bulk { BULK_DELAY } else { DELAY })
    }

    /// A segment arrived out of order. The reference counts duplicate acknowledgements, so it gets one for each.
    pub(super) fn out_of_order(&mut self, peer_is_ours: bool) {
        self.run = 0;
        //= spec/sack.md#pp-sack-10
        //# Every out-of-order segment of a published implementation is answered with its own ACK, four at most in one batch.
        self.owed = if peer_is_ours { 1 } else { (self.owed + 1).min(STREAM_DUPLICATE_ACKS) };
    }

    /// A hole was filled, or a segment came again. When there is another hole, the reference resends that at once only after three
    /// duplicates, and nothing else may be under way that would make them: without, each hole costs it a timeout, doubled each time.
    pub(super) fn recovering(&mut self, peer_is_ours: bool, more_holes: bool) {
        let owed = if more_holes && !peer_is_ours { STREAM_DUPLICATE_ACKS } else { 1 };
        self.owed = self.owed.max(owed);
    }

    /// One acknowledgement is due now.
    pub(super) fn owe(&mut self) {
        self.owed = self.owed.max(1);
    }

    /// The delay ran out: the transfer paused.
    pub(super) fn delay_over(&mut self) {
        self.run = 0;
        if self.waiting > 0 {
            self.owe();
        }
    }

    /// A pure acknowledgement is due now.
    pub(super) const fn is_owed(&self) -> bool {
        self.owed > 0
    }

    /// A segment with the acknowledgment number left.
    pub(super) const fn sent(&mut self) {
        self.waiting = 0;
        self.owed = self.owed.saturating_sub(1);
    }

    /// Data left and carried the acknowledgment number.
    pub(super) const fn piggybacked(&mut self) {
        self.waiting = 0;
        self.owed = 0;
    }
}
