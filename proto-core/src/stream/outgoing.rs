//! The sending half: which bytes leave next, and what acknowledgements and timeouts do to those that left.
//!
//! Knows stream offsets, the scoreboard and the controllers; refuses to know timers, flags and the handshake.

use super::rtt::{MAXIMUM_RTO, RttEstimator};
use super::scoreboard::{Delivered, Scoreboard};
use super::send::SendBuffer;
use super::window::PeerWindow;
use crate::congestion::{Acked, Algorithm as _, Controller, Pacer};
use crate::seq::SeqNumber;
use crate::time::Timestamp;
use crate::wire::sack::{Sack, safe_prefix_len};
use core::time::Duration;

/// Duplicate acknowledgements that mean a loss (RFC 5681).
const DUPLICATE_THRESHOLD: u32 = 3;
/// Transmissions of one segment at most (PP-REL-13).
const MAX_TRANSMISSIONS: u8 = 8;
/// How long a peer may wait with an acknowledgement, and a timer's tick more.
const PEER_ACK_DELAY: Duration = Duration::from_millis(50);

/// Where loss recovery stands; it ends when everything sent before it began is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    None,
    /// Found by acknowledgements: the window does not grow.
    Fast(u64),
    /// After a retransmission timeout: slow start.
    Timeout(u64),
}

/// What can be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// `len` bytes from `start` on were written to the caller's buffer.
    Segment { start: u64, len: usize, retransmission: bool },
    /// Not before this time.
    Paced(Timestamp),
    /// A short tail waits for company.
    Coalescing,
    /// The peer's window is closed, or almost, and nothing is outstanding.
    Closed,
    /// Acknowledgements must come first, or nothing is there.
    Nothing,
}

/// How a short tail is treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) mss: u64,
    /// Send a tail though earlier data is unacknowledged.
    pub(super) push: bool,
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// SND.UNA advanced.
    pub(super) advanced: bool,
    /// Bytes newly acknowledged, selectively or not.
    pub(super) delivered: u64,
    pub(super) duplicate: bool,
    /// Loss was found without a timeout.
    pub(super) entered_recovery: bool,
    /// When to look for overdue segments.
    pub(super) look_again: Option<Timestamp>,
}

/// Send sequence space, buffer and controllers of one connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The sequence number of offset 0.
    first: SeqNumber,
    pub(super) una: u64,
    pub(super) next: u64,
    pub(super) buffer: SendBuffer,
    pub(super) board: Scoreboard,
    pub(super) window: PeerWindow,
    pub(super) control: Controller,
    pub(super) rtt: RttEstimator,
    pacer: Pacer,
    recovery: Recovery,
    backoff: u32,
    duplicates: u32,
    tail_probed: bool,
    /// The last poll ended because the congestion window was full.
    window_limited: bool,
    /// The first retransmission of a recovery leaves whatever the window says (RFC 6675 section 5).
    retransmit_now: bool,
    pub(super) probing: bool,
}

impl Outgoing {
    pub(super) fn new(isn: SeqNumber, window: PeerWindow, control: Controller) -> Self {
        Self {
            first: isn + 1,
            una: 0,
            next: 0,
            buffer: SendBuffer::default(),
            board: Scoreboard::default(),
            window,
            control,
            rtt: RttEstimator::default(),
            pacer: Pacer::default(),
            recovery: Recovery::None,
            backoff: 0,
            duplicates: 0,
            tail_probed: false,
            window_limited: false,
            retransmit_now: false,
            probing: false,
        }
    }

    /// The sequence number of an offset.
    #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are offsets modulo 2^32")]
    pub(super) fn seq(&self, offset: u64) -> SeqNumber {
        self.first + offset as u32
    }

    /// The offset of a sequence number at or before SND.NXT + 1; `None` before the start or beyond.
    pub(super) fn offset(&self, seq: SeqNumber) -> Option<u64> {
        let back = i64::from(self.seq(self.next) - seq);
        if back < -1 { None } else { self.next.checked_add_signed(-back) }
    }

    /// `payload` as SACK blocks of what was sent here; `None` when it is user data (PP-SACK-6).
    pub(super) fn recognise(&self, payload: &[u8]) -> Option<Sack> {
        let next = self.seq(self.next);
        let plausible = |left: SeqNumber, right: SeqNumber| {
            left.before(right) && right.at_or_before(next) && self.offset(left).is_some()
        };
        //= spec/sack.md#pp-sack-6
        //# A payload is taken for SACK only when its length is exactly 5 + 8 x count and every block lies in what was sent.
        Sack::parse_exact(payload).filter(|sack| sack.blocks().iter().all(|block| plausible(block.left, block.right)))
    }

    /// Takes an acknowledgment of everything below `una`, and SACK blocks.
    pub(super) fn acknowledge(
        &mut self,
        now: Timestamp,
        una: u64,
        sack: Option<&Sack>,
        pure: bool,
        peer_is_ours: bool,
    ) -> Progress {
        let outstanding = self.board.in_flight();
        let was_empty = self.board.is_empty();
        let mut told = Delivered::default();
        let advanced = una > self.una;
        if advanced {
            self.board.acknowledge(now, una, self.rtt.minimum(), &mut told);
            self.una = una;
            self.buffer.release(self.board.first().map_or(una, |segment| segment.start.min(una)));
            (self.backoff, self.duplicates, self.tail_probed) = (0, 0, false);
        }
        for block in sack.map(Sack::blocks).unwrap_or_default() {
            if let (Some(left), Some(right)) = (self.offset(block.left), self.offset(block.right)) {
                self.board.acknowledge_range(now, (left, right), self.rtt.minimum(), &mut told);
            }
        }
        if let Some(sample) = told.rtt {
            self.rtt.sample(sample);
        }
        //= spec/sack.md#pp-sack-9
        //# An ACK with a SACK payload counts as a duplicate acknowledgement.
        // The answers to a window probe repeat themselves without any loss.
        let duplicate = pure && !advanced && !was_empty && !self.probing;
        self.duplicates += u32::from(duplicate);
        if matches!(self.recovery, Recovery::Fast(point) | Recovery::Timeout(point) if una >= point) {
            self.recovery = Recovery::None;
        }
        let mut progress = Progress { advanced, delivered: told.bytes, duplicate, ..Progress::default() };
        if !peer_is_ours {
            self.infer_loss(&mut progress);
        }
        self.find_losses(now, outstanding, &mut progress);
        if told.bytes > 0 && !matches!(self.recovery, Recovery::Fast(_)) {
            self.control.on_ack(Acked { bytes: told.bytes, window_limited: self.window_limited });
        }
        self.pacer.set(now, self.control.window(), self.rtt.srtt(), self.control.in_slow_start());
        progress
    }

    /// Losses of a peer that sends no SACK: three duplicates, and partial acknowledgements (RFC 6582). Ours always sends SACK.
    fn infer_loss(&mut self, progress: &mut Progress) {
        if self.board.sacked_segments() > 0 {
            return;
        }
        let partial = progress.advanced && matches!(self.recovery, Recovery::Fast(_));
        //= spec/congestion.md#pp-cc-5
        //# Three duplicate acknowledgements mean that the first unacknowledged segment is lost, and it is sent again.
        let third = self.duplicates == DUPLICATE_THRESHOLD && self.recovery == Recovery::None;
        let once = self.board.first().is_some_and(|segment| segment.transmissions == 1);
        let outstanding = self.board.in_flight();
        if (third || (partial && once)) && self.board.mark_first_lost() {
            self.retransmit_now = true;
            if third {
                self.enter_recovery(outstanding, progress);
            }
        }
    }

    /// Looks for overdue segments.
    pub(super) fn find_losses(&mut self, now: Timestamp, outstanding: u64, progress: &mut Progress) {
        let srtt = self.rtt.srtt().unwrap_or_default();
        let (found, look_again) = self.board.detect(now, srtt, self.recovery != Recovery::None);
        progress.look_again = look_again;
        if found > 0 && self.recovery == Recovery::None {
            self.enter_recovery(outstanding, progress);
        }
    }

    fn enter_recovery(&mut self, outstanding: u64, progress: &mut Progress) {
        progress.entered_recovery = true;
        self.recovery = Recovery::Fast(self.next);
        self.retransmit_now = true;
        self.control.on_loss(outstanding);
    }

    /// The next data to send, written to `out`.
    pub(super) fn offer(&mut self, now: Timestamp, policy: Policy, out: &mut [u8]) -> Offer {
        if let Some(segment) = self.board.next_lost() {
            let len = segment.len as usize;
            let Some(out) = out.get_mut(..len) else { return Offer::Nothing };
            let unconditional = core::mem::take(&mut self.retransmit_now);
            if !unconditional && !self.fits(u64::from(segment.len)) {
                return Offer::Nothing;
            }
            if let Err(until) = self.pacer.allow(now) {
                return Offer::Paced(until);
            }
            self.buffer.copy(segment.start, out);
            self.board.retransmitted(now, segment.start);
            self.pacer.sent(u64::from(segment.len));
            return Offer::Segment { start: segment.start, len, retransmission: true };
        }
        if self.probing {
            return Offer::Nothing;
        }
        self.offer_new(now, policy, out)
    }

    fn offer_new(&mut self, now: Timestamp, policy: Policy, out: &mut [u8]) -> Offer {
        let available = self.buffer.end() - self.next;
        let room = self.window.room(self.una, self.next, self.board.segments(), policy.mss);
        let len = available.min(policy.mss).min(room);
        if len == 0 || (len < policy.mss && len < available && !self.board.is_empty()) {
            self.window_limited = false;
            return if available > 0 && self.board.is_empty() { Offer::Closed } else { Offer::Nothing };
        }
        //= spec/coalescing.md#pp-nagle-1
        //# A full segment is sent at once.
        //= spec/coalescing.md#pp-nagle-2
        //# A short tail is sent at once when nothing is unacknowledged.
        //= spec/coalescing.md#pp-nagle-3
        //# A short tail behind unacknowledged data waits until all is acknowledged, a segment is full, or 40 milliseconds passed.
        if len < policy.mss && len == available && !policy.push && !self.board.is_empty() {
            self.window_limited = false;
            return Offer::Coalescing;
        }
        if !self.fits(len) {
            return Offer::Nothing;
        }
        if let Err(until) = self.pacer.allow(now) {
            return Offer::Paced(until);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(out.len());
        self.emit(now, len, out)
    }

    /// Sends one segment into a window that is almost closed; into a closed one the first byte behind SND.NXT, or the outstanding probe again.
    pub(super) fn offer_probe(&mut self, now: Timestamp, mss: u64, out: &mut [u8]) -> Offer {
        if self.board.is_empty() && self.window.only_reserve_left() {
            let len = (self.buffer.end() - self.next).min(mss);
            return self.emit(now, usize::try_from(len).unwrap_or(usize::MAX).min(out.len()), out);
        }
        self.probing = true;
        //= spec/flow.md#pp-flow-8
        //# A closed window is probed with one byte of data.
        let Some(segment) = self.board.first().copied() else { return self.emit(now, out.len().min(1), out) };
        let len = segment.len as usize;
        let Some(out) = out.get_mut(..len) else { return Offer::Nothing };
        self.buffer.copy(segment.start, out);
        self.board.retransmitted(now, segment.start);
        self.board.forgive_first();
        Offer::Segment { start: segment.start, len, retransmission: true }
    }

    /// Copies up to `len` new bytes into `out` and books them as sent.
    fn emit(&mut self, now: Timestamp, len: usize, out: &mut [u8]) -> Offer {
        let Some(out) = out.get_mut(..len) else { return Offer::Nothing };
        let copied = self.buffer.copy(self.next, out);
        // A segment that looks like SACK blocks would be swallowed by the reference: cut it where it no longer does.
        //= spec/sack.md#pp-sack-7
        //# User data that begins like a SACK payload is cut after 12 bytes before it is sent.
        let len = safe_prefix_len(out).unwrap_or(copied).min(copied);
        let start = self.next;
        let Some(booked) = u32::try_from(len).ok().filter(|len| *len > 0) else { return Offer::Nothing };
        self.next += len as u64;
        self.board.sent(now, start, booked);
        self.pacer.sent(len as u64);
        Offer::Segment { start, len, retransmission: false }
    }

    /// The congestion window takes `len` bytes more.
    fn fits(&mut self, len: u64) -> bool {
        let in_flight = self.board.in_flight();
        let fits = in_flight == 0 || in_flight + len <= self.control.window();
        self.window_limited |= !fits;
        fits
    }

    /// The window opened while a probe is outstanding: the peer may have dropped it.
    pub(super) fn stop_probing(&mut self) {
        if core::mem::take(&mut self.probing) {
            self.board.mark_first_lost();
        }
    }

    /// The retransmission timer ran out. `false`: the peer does not acknowledge, give up.
    pub(super) fn on_timeout(&mut self) -> bool {
        let Some(first) = self.board.first() else { return true };
        let closed = self.window.bytes(self.una, 1) == 0;
        //= spec/reliability.md#pp-rel-13
        //# A connection ends when a segment was sent eight times without an acknowledgement.
        if first.transmissions >= MAX_TRANSMISSIONS && !closed {
            return false;
        }
        if closed {
            self.board.forgive_first();
        }
        let outstanding = self.next - self.una;
        self.control.on_timeout(outstanding, self.backoff == 0);
        self.backoff = (self.backoff + 1).min(16);
        self.recovery = Recovery::Timeout(self.next);
        self.board.mark_all_lost();
        true
    }

    /// The tail probe is due: the last segment goes again, so that the peer says what is missing (RFC 8985 section 7).
    pub(super) fn on_tail_probe(&mut self) {
        // One that waits to leave is marked already, and is a probe all the same.
        self.tail_probed |= self.board.mark_last_lost();
    }

    /// The retransmission timeout, backed off.
    pub(super) fn rto(&self) -> Duration {
        //= spec/reliability.md#pp-rel-12
        //# The timeout doubles with each expiry in a row.
        self.rtt.rto().saturating_mul(1_u32 << self.backoff).min(MAXIMUM_RTO)
    }

    /// How long after sending the tail may be probed, when it may.
    //= spec/reliability.md#pp-rel-16
    //# The last segment is sent again two round trips and 50 milliseconds after it left unanswered, once, when that is sooner than the
    //# timeout.
    pub(super) fn tail_probe_delay(&self) -> Option<Duration> {
        let srtt = self.rtt.srtt()?;
        let delay = srtt * 2 + PEER_ACK_DELAY;
        let idle = !self.tail_probed && self.recovery == Recovery::None && !self.board.is_empty();
        (idle && delay < self.rto()).then_some(delay)
    }

    pub(super) fn in_recovery(&self) -> bool {
        self.recovery != Recovery::None
    }

    /// Forgets everything that was written.
    pub(super) fn clear(&mut self) {
        self.board.clear();
        self.buffer.clear();
        self.probing = false;
    }
}
