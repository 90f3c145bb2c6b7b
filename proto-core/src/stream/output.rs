//! What is sent next.

use super::outgoing::{Offer, Policy};
use super::state::State;
use super::{Connection, Flags, SegmentHeader, StreamTimer};
use crate::seq::SeqNumber;
use crate::time::Timestamp;
use core::time::Duration;

/// How long a short tail waits for company (PP-NAGLE-3).
const COALESCING: Duration = Duration::from_millis(40);
/// The window told to the reference while a segment is missing, at least, bytes: none at all would stop it from sending that one.
const HOLE_WINDOW: u64 = 2 * super::window::REFERENCE_UNIT;
/// The news of a reopened window is repeated after these times (PP-FLOW-12).
//= spec/flow.md#pp-flow-12
//# The announcement is repeated after 0.2 seconds and after one more second unless data comes.
const UPDATE_REPEATS: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(200)];

impl Connection {
    /// The next segment to send; its payload is at the start of `payload`, which holds at least the segment size and 64 bytes.
    /// `None`: nothing to send now. When only the pacer forbids it, `poll_timeout` tells until when.
    pub fn poll_segment(&mut self, now: Timestamp, payload: &mut [u8]) -> Option<SegmentHeader> {
        let header = self.next_segment(now, payload)?;
        self.counters.segments_sent += 1;
        self.counters.retransmits += u64::from(header.retransmission);
        if matches!(self.state, State::SynReceived | State::Established) {
            self.timers.set(StreamTimer::Keepalive, now + self.params.keepalive);
        }
        Some(header)
    }

    fn next_segment(&mut self, now: Timestamp, payload: &mut [u8]) -> Option<SegmentHeader> {
        if core::mem::take(&mut self.reset_owed) {
            return Some(self.reset_segment());
        }
        if let Some(header) = self.poll_handshake(now, payload) {
            return Some(header);
        }
        if self.state == State::SynSent {
            return None;
        }
        // With a hole in what arrived, data does not tell all that an acknowledgement does.
        if self.acks.is_owed() && self.receiver.out_of_order() > 0 {
            return Some(self.acknowledgement(payload));
        }
        if self.state.sends_data() {
            if let Some(header) = self.poll_data(now, payload) {
                return Some(header);
            }
            if self.fin_is_due() {
                self.start_fin(now);
                // The reference's FIN carries no acknowledgment, so ours goes ahead of it.
                if self.timers.is_set(StreamTimer::DelayedAck) {
                    self.acks.owe();
                }
            }
        }
        if self.acks.is_owed() {
            return Some(self.acknowledgement(payload));
        }
        self.poll_fin(now)
    }

    fn poll_data(&mut self, now: Timestamp, payload: &mut [u8]) -> Option<SegmentHeader> {
        //= spec/coalescing.md#pp-nagle-4
        //# A connection with no_delay sends small writes at once.
        //= spec/coalescing.md#pp-nagle-5
        //# A held tail is sent before the FIN.
        let policy = Policy { mss: self.mss, push: self.push || self.params.no_delay || self.finishing };
        let offer = if core::mem::take(&mut self.probe_owed) {
            self.out.offer_probe(now, policy.mss, payload)
        } else {
            self.out.offer(now, policy, payload)
        };
        match offer {
            Offer::Segment { start, len, retransmission } => Some(self.data_sent(now, start, len, retransmission)),
            Offer::Paced(until) => {
                self.timers.set(StreamTimer::Pacing, until);
                None
            }
            Offer::Coalescing => {
                self.timers.start(StreamTimer::Coalescing, now + COALESCING);
                None
            }
            Offer::Closed => {
                self.timers.start(StreamTimer::WindowProbe, now + self.window_probe_delay());
                None
            }
            Offer::Nothing => None,
        }
    }

    //= spec/reliability.md#pp-rel-3
    //# A data segment carries ACK and the number of its first byte.
    //= spec/reliability.md#pp-rel-4
    //# The acknowledgment field is the number of the next byte expected.
    fn data_sent(&mut self, now: Timestamp, start: u64, len: usize, retransmission: bool) -> SegmentHeader {
        self.counters.bytes_sent += if retransmission { 0 } else { len as u64 };
        self.push &= retransmission;
        self.timers.clear(StreamTimer::Coalescing);
        if self.out.probing {
            self.timers.clear(StreamTimer::Retransmission);
            self.timers.set(StreamTimer::WindowProbe, now + self.probe.interval(self.out.rto()));
        } else {
            self.timers.start(StreamTimer::Retransmission, now + self.out.rto());
            self.arm_tail_probe(now);
        }
        self.timers.clear(StreamTimer::DelayedAck);
        //= spec/delayed-ack.md#pp-ack-7
        //# Data that leaves carries the acknowledgement and cancels the delay.
        self.acks.piggybacked();
        let window = self.advertise();
        SegmentHeader {
            flags: Flags::ACK,
            seq: self.out.seq(start),
            ack: self.acknowledgment(),
            window,
            payload_len: len,
            retransmission,
        }
    }

    fn window_probe_delay(&self) -> Duration {
        if self.out.window.only_reserve_left() {
            self.probe.look_interval(self.out.rtt.srtt().unwrap_or_default())
        } else {
            self.probe.interval(self.out.rto())
        }
    }

    /// A segment that only acknowledges, with SACK blocks when there is a hole.
    fn acknowledgement(&mut self, payload: &mut [u8]) -> SegmentHeader {
        let sack = self.receiver.sack();
        //= spec/sack.md#pp-sack-1
        //# An ACK sent while data is held beyond a hole carries SACK blocks.
        let payload_len = sack.emit(payload).unwrap_or(0);
        self.timers.clear(StreamTimer::DelayedAck);
        self.acks.sent();
        if payload_len > 0 {
            self.counters.sack_sent += 1;
            if self.receiver.sack_sent() {
                self.acks.owe();
            }
        }
        let window = self.advertise();
        let fin = u32::from(self.fins_sent > 0);
        SegmentHeader {
            flags: Flags::ACK,
            seq: self.out.seq(self.out.next) + fin,
            ack: self.acknowledgment(),
            window,
            payload_len,
            retransmission: false,
        }
    }

    fn reset_segment(&self) -> SegmentHeader {
        SegmentHeader {
            flags: Flags::RST,
            seq: self.out.seq(self.out.next),
            ack: SeqNumber(0),
            window: 0,
            payload_len: 0,
            retransmission: false,
        }
    }

    /// RCV.NXT; the peer's FIN counts as one.
    pub(super) fn acknowledgment(&self) -> SeqNumber {
        //= spec/session.md#pp-ses-14
        //# A FIN takes one sequence number.
        //= spec/session.md#pp-ses-15
        //# A FIN in order is answered with an ACK of its number plus one, after which nothing more is sent but repetitions of that ACK.
        self.receiver.next() + u32::from(self.receiver.is_finished())
    }

    /// The window field, which commits to an edge. The reference holds it against what it sent and nobody has acknowledged, selectively or
    /// not, so with a hole it would run beyond the edge by all that arrived behind the hole.
    fn advertise(&mut self) -> u16 {
        let (window, beyond) = (self.receiver.window(), self.receiver.out_of_order());
        let room =
            if self.peer_is_ours() || beyond == 0 { window } else { window.saturating_sub(beyond).max(HOLE_WINDOW) };
        let (field, granted) = self.unit.advertise(room);
        self.advertised = self.advertised.max(self.receiver.received() + granted);
        field
    }

    /// After the reader took something: does the peer need to know? Toward the reference every update counts as a duplicate
    /// acknowledgement, so it gets one only when it may be waiting.
    pub(super) fn update_window(&mut self, now: Timestamp) {
        if !matches!(self.state, State::SynReceived | State::Established) {
            return;
        }
        let segments = 2 * if self.peer_is_ours() { self.mss } else { super::window::REFERENCE_UNIT };
        let known = self.advertised.saturating_sub(self.receiver.received());
        let (open, limit) = (self.receiver.window(), self.receiver.limit());
        //= spec/flow.md#pp-flow-11
        //# A window that was closed and opens again is announced at once.
        //= spec/flow.md#pp-flow-13
        //# No window update is sent to a published implementation that is not waiting for one.
        if known < segments && open >= segments.max(limit / 8).min(limit) {
            self.acks.owe();
            self.window_updates = 2;
            self.schedule_window_update(now);
        } else if self.peer_is_ours() && open >= known + limit / 2 {
            self.acks.owe();
        }
    }

    /// Arms the next repetition of the news that the window opened.
    pub(super) fn schedule_window_update(&mut self, now: Timestamp) {
        let Some(left) = self.window_updates.checked_sub(1) else { return };
        if let Some(delay) = UPDATE_REPEATS.get(usize::from(left)) {
            self.timers.set(StreamTimer::WindowUpdate, now + *delay);
        }
    }

    pub(super) fn handshake_was_sent(&self) -> bool {
        self.counters.segments_sent > 0 || self.state != State::SynSent
    }
}
