//! What segments that arrive do.

use super::receive::Arrival;
use super::segment::Kind;
use super::state::{Cue, State};
use super::window::WindowNews;
use super::{Connection, Flags, Segment, StreamTimer};
use crate::seq::SeqNumber;
use crate::time::Timestamp;
use crate::wire::sack::Sack;

impl Connection {
    /// Takes a segment of this connection that arrived.
    pub fn handle_segment(&mut self, now: Timestamp, segment: &Segment<'_>) {
        if self.state == State::Closed {
            return;
        }
        self.counters.segments_received += 1;
        if self.timers.is_set(StreamTimer::Idle) {
            self.timers.set(StreamTimer::Idle, now + self.params.idle_timeout);
        }
        match segment.kind() {
            Kind::Syn => self.on_syn(now, segment),
            Kind::SynAck => self.on_syn_ack(now, segment),
            //= spec/session.md#pp-ses-27
            //# The payload of SYN, SYN-ACK, FIN and RST is not user data.
            Kind::Fin => self.on_fin(now, segment),
            Kind::Reset => self.on_reset(segment),
            Kind::Ack => self.on_ack_segment(now, segment),
            Kind::Nothing => {}
        }
    }

    fn on_ack_segment(&mut self, now: Timestamp, segment: &Segment<'_>) {
        match self.state {
            State::SynSent => return self.on_early(segment),
            State::SynReceived => {
                if !self.on_handshake_ack(now, segment) {
                    return;
                }
            }
            State::FinWait if segment.ack == self.out.seq(self.out.next) + 1 => return self.on_fin_acknowledged(now),
            State::TimeWait | State::Lingering | State::Closed => return,
            State::Established | State::FinWait => {}
        }
        let sack = self.out.recognise(segment.payload);
        //= spec/keepalive.md#pp-ka-5
        //# A keepalive is not answered.
        let data = if sack.is_some() { &[] } else { segment.payload };
        self.on_acknowledgment(now, segment, sack.as_ref(), data.is_empty());
        if !data.is_empty() {
            self.on_data(now, segment.seq, data);
        //= spec/delayed-ack.md#pp-ack-6
        //# An ACK without data is never answered, but for a probe of a window we closed.
        } else if sack.is_none() && self.window_updates > 0 {
            // An empty ACK while the news of the reopened window may be lost is a probe of the reference's kind.
            self.window_updates = 0;
            self.timers.clear(StreamTimer::WindowUpdate);
            self.acks.owe();
        }
    }

    /// The acknowledgment and window fields of a segment.
    pub(super) fn on_acknowledgment(&mut self, now: Timestamp, segment: &Segment<'_>, sack: Option<&Sack>, pure: bool) {
        //= spec/reliability.md#pp-rel-6
        //# An acknowledgment beyond what was sent is ignored.
        let Some(una) = self.out.offset(segment.ack).filter(|offset| *offset <= self.out.next) else { return };
        let outstanding = !self.out.board.is_empty();
        let ours = self.peer_is_ours();
        let progress = self.out.acknowledge(now, una, sack, pure, ours);
        self.counters.sack_received += u64::from(sack.is_some());
        self.counters.duplicate_acks += u64::from(progress.duplicate);
        self.counters.fast_retransmits += u64::from(progress.entered_recovery);
        self.probe.answered();
        if una >= self.out.una {
            let zero_counts = !pure || (outstanding && (progress.advanced || sack.is_some()));
            self.out.window.update(WindowNews { field: segment.window, una, zero_counts });
            self.after_window_update(progress.advanced);
        }
        if progress.delivered > 0 {
            self.rearm_retransmission(now);
        }
        self.arm_reordering(progress.look_again);
        if self.finishing && self.timers.is_set(StreamTimer::Linger) {
            self.linger_again(now);
        }
        if self.out.buffer.len().saturating_mul(4) <= 3 * self.params.send_buffer as u64 {
            self.events.writable();
        }
    }

    /// Ends probing when the peer has room again.
    fn after_window_update(&mut self, advanced: bool) {
        let room = self.out.window.room(self.out.una, self.out.next, self.out.board.segments(), self.mss);
        let outstanding = self.out.board.segments();
        let open = room > 0 || (outstanding > 0 && self.out.window.bytes(self.out.una, self.mss) > 1);
        if open {
            self.timers.clear(StreamTimer::WindowProbe);
            self.probe.reset();
            self.probe_owed = false;
            self.out.stop_probing();
        } else if advanced && outstanding == 0 {
            // The probe was taken but the window is still closed, or almost: the next one is a new byte, or a segment.
            self.out.probing = false;
            self.timers.clear(StreamTimer::WindowProbe);
        }
    }

    pub(super) fn on_data(&mut self, now: Timestamp, seq: SeqNumber, data: &[u8]) {
        let ours = self.peer_is_ours();
        match self.receiver.accept(seq, data) {
            Arrival::InOrder => {
                if let Some(delay) = self.acks.in_order(ours) {
                    self.timers.start(StreamTimer::DelayedAck, now + delay);
                }
                self.note_readable();
            }
            //= spec/delayed-ack.md#pp-ack-4
            //# A segment that fills a hole is acknowledged at once.
            Arrival::FilledGap => {
                self.acks.recovering(ours, self.receiver.out_of_order() > 0);
                self.note_readable();
            }
            //= spec/delayed-ack.md#pp-ack-3
            //# A segment out of order is acknowledged at once.
            Arrival::OutOfOrder => self.acks.out_of_order(ours),
            //= spec/delayed-ack.md#pp-ack-5
            //# A segment that brings nothing new is acknowledged at once.
            Arrival::Duplicate => self.acks.recovering(ours, self.receiver.out_of_order() > 0),
            Arrival::Refused => self.acks.owe(),
        }
        self.window_updates = 0;
        self.timers.clear(StreamTimer::WindowUpdate);
        if self.receiver.is_finished() {
            self.on_peer_finished(now);
        }
    }

    fn note_readable(&mut self) {
        if self.reader_done {
            self.receiver.discard();
        } else {
            self.events.readable();
        }
    }

    fn on_fin(&mut self, now: Timestamp, segment: &Segment<'_>) {
        let with_ack = segment.flags.contains(Flags::ACK);
        match self.state {
            State::SynSent | State::Closed => {}
            // Never answer FIN|ACK here: the reference would answer it again, without end.
            State::TimeWait | State::Lingering => {
                //= spec/session.md#pp-ses-18
                //# A segment with FIN and ACK is never answered in TIME_WAIT or after the peer's FIN.
                if !with_ack && self.handshake.may_repeat(now) {
                    self.acks.owe();
                }
            }
            State::FinWait if with_ack && segment.ack == self.out.seq(self.out.next) + 1 => {
                self.on_fin_acknowledged(now);
            }
            State::SynReceived | State::Established | State::FinWait => {
                // A peer of ours tells in its FIN how far it got, so that nothing seems undelivered by a lost ACK.
                if with_ack || self.peer_is_ours() {
                    self.on_acknowledgment(now, &Segment { window: 0, ..*segment }, None, false);
                }
                let waits = self.receiver.misses_data();
                if self.receiver.finish(segment.seq) {
                    self.on_peer_finished(now);
                } else if self.state != State::FinWait || !with_ack {
                    self.acks.owe();
                    // One below what has arrived is of an earlier connection between the same ports.
                    if self.receiver.misses_data() && !waits {
                        self.await_missing(now);
                    }
                }
            }
        }
    }

    /// Takes a step of the table; `false` when there is none.
    pub(super) fn move_on(&mut self, cue: Cue) -> bool {
        let next = self.state.after(cue);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }
}
