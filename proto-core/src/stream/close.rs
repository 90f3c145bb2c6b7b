//! Ending, in all its ways (`spec/session.md`). There is no half-close, and no segment with both FIN and ACK.

use super::state::{Cue, State};
use super::{CloseReason, Connection, Flags, Segment, SegmentHeader, StreamTimer, WriteError};
use crate::time::Timestamp;
use core::time::Duration;

/// Without any progress for this long, `finish` gives up; and our FIN is repeated for this long at most.
const LINGER: Duration = Duration::from_secs(10);
/// How long the numbers rest after the end.
//= spec/session.md#pp-ses-20
//# TIME_WAIT lasts 10 seconds.
const REST: Duration = Duration::from_secs(10);
/// Our FIN is sent once and repeated this often.
const FIN_REPEATS: u8 = 5;

impl Connection {
    /// No more will be written: flush, then close. The end is told by [`super::StreamEvent::Finished`].
    ///
    /// # Errors
    /// [`WriteError::Closed`] when the connection ended with data undelivered, or was finished before.
    pub fn finish(&mut self, now: Timestamp) -> Result<(), WriteError> {
        if core::mem::replace(&mut self.finishing, true) {
            return Err(WriteError::Closed(self.reason));
        }
        match self.reason {
            None => self.linger_again(now),
            Some(CloseReason::Finished) => self.events.finished(),
            Some(reason) => return Err(WriteError::Closed(Some(reason))),
        }
        Ok(())
    }

    /// Ends at once; the peer is told by RST unless the connection had ended. Nothing more can be read.
    pub fn reset(&mut self) {
        // After the end it goes on resting: the peer may not have heard yet that its FIN arrived.
        if !matches!(self.state, State::TimeWait | State::Lingering) {
            self.abort(CloseReason::Local);
        }
        self.stop_reading();
    }

    /// Another connection begins in the place of this one, which is over: it says nothing more. What arrived can still be read.
    pub fn supersede(&mut self) {
        self.move_on(Cue::RestOver);
        self.timers.clear_all();
        self.acks = super::AckPolicy::default();
        self.reset_owed = false;
    }

    /// Ends at once with the reason told to the host; what arrived can still be read.
    pub fn abort(&mut self, reason: CloseReason) {
        let told_peer = self.handshake_was_sent()
            && matches!(self.state, State::SynSent | State::SynReceived | State::Established | State::FinWait);
        //= spec/reliability.md#pp-rel-14
        //# The peer is told the end after eight sends by RST.
        if self.cut(reason) {
            self.reset_owed = told_peer;
        }
    }

    pub(super) fn on_reset(&mut self, segment: &Segment<'_>) {
        // The reference sends zeros, so nothing can be checked (PP-SES-22); but an RST that names another SYN is not ours.
        //= spec/session.md#pp-ses-22
        //# An RST on a known 4-tuple from the authenticated peer ends the connection at once.
        //= spec/session.md#pp-ses-23
        //# An RST in SYN_SENT means that the dial was refused.
        //= spec/session.md#pp-ses-24
        //# An RST in SYN_SENT that acknowledges another SYN is ignored.
        let foreign = self.state == State::SynSent && segment.ack.0 != 0 && segment.ack != self.handshake.isn + 1;
        if !foreign && self.cut(CloseReason::Reset) {
            self.reset_owed = false;
        }
    }

    /// Closes without another word. A dial that failed has nothing to read.
    fn cut(&mut self, reason: CloseReason) -> bool {
        self.reader_done |= self.state == State::SynSent;
        let cut = self.move_on(Cue::Aborted);
        if cut {
            self.end(reason);
        }
        cut
    }

    /// The peer's FIN and everything before it is here.
    pub(super) fn on_peer_finished(&mut self, now: Timestamp) {
        let opening = self.state == State::SynReceived;
        if !self.move_on(Cue::PeerFinished) {
            return;
        }
        if opening {
            // What acknowledges our SYN-ACK was lost, or is late: whoever accepts has to hear of the stream all the same.
            self.events.connected();
        }
        self.acks.owe();
        self.events.readable();
        if self.state == State::Lingering {
            let delivered = self.out.buffer.len() == 0;
            if delivered && self.finishing {
                self.events.finished();
            }
            //= spec/session.md#pp-ses-26
            //# Data written before the end that the peer did not acknowledge is reported to its writer as not delivered.
            self.end(if delivered { CloseReason::Finished } else { CloseReason::Unsent });
            self.timers.set(StreamTimer::Linger, now + REST);
        }
    }

    /// The peer's FIN is here and data before it is not: it may still come for a while.
    pub(super) fn await_missing(&mut self, now: Timestamp) {
        //= spec/session.md#pp-ses-19
        //# A FIN ahead of missing data waits for it; after 10 seconds the connection ends as truncated.
        if self.state != State::FinWait {
            self.timers.set(StreamTimer::Linger, now + LINGER);
        }
    }

    pub(super) fn on_fin_acknowledged(&mut self, now: Timestamp) {
        if self.move_on(Cue::FinAcknowledged) {
            if self.reason.is_none() {
                self.events.finished();
            }
            self.end(CloseReason::Finished);
            self.timers.set(StreamTimer::Linger, now + REST);
        }
    }

    /// `finish` waits on, as long as the peer shows life and did not say its last word.
    pub(super) fn linger_again(&mut self, now: Timestamp) {
        if self.state != State::FinWait && !self.receiver.misses_data() {
            self.timers.set(StreamTimer::Linger, now + LINGER);
        }
    }

    /// How long `finish` waits for a peer whose window is closed: it was asked nothing that it left unanswered.
    fn closed_window_until(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.timers.at(StreamTimer::WindowProbe)?;
        let until = self.probe.asked_at().map_or(next + LINGER, |asked| asked + self.out.rto());
        (until > now).then_some(until)
    }

    pub(super) fn on_linger_timer(&mut self, now: Timestamp) {
        match self.state {
            State::TimeWait | State::Lingering => {
                self.move_on(Cue::RestOver);
                self.timers.clear_all();
            }
            State::FinWait => self.give_up_on_fin(),
            State::SynReceived | State::Established if self.receiver.misses_data() => {
                self.abort(CloseReason::Truncated);
            }
            State::SynReceived | State::Established if self.finishing => match self.closed_window_until(now) {
                Some(until) => self.timers.set(StreamTimer::Linger, until),
                None => self.abort(CloseReason::RetransmissionLimit),
            },
            State::SynSent if self.finishing => self.abort(CloseReason::RetransmissionLimit),
            State::SynSent | State::SynReceived | State::Established | State::Closed => {}
        }
    }

    /// Silence for the idle timeout: say goodbye to whoever may be there.
    //= spec/keepalive.md#pp-ka-3
    //# A connection whose peer was silent for 120 seconds is closed.
    //= spec/keepalive.md#pp-ka-4
    //# An idle timeout closes with FIN.
    //= spec/keepalive.md#pp-ka-7
    //# An idle timeout with data that was not acknowledged closes with RST, as a FIN would say that all of it was sent.
    pub(super) fn on_idle_timer(&mut self, now: Timestamp) {
        match self.state {
            State::Established if self.out.buffer.len() == 0 => {
                self.end(CloseReason::IdleTimeout);
                self.start_fin(now);
            }
            State::SynSent | State::SynReceived | State::Established | State::FinWait => {
                self.abort(CloseReason::IdleTimeout);
            }
            State::TimeWait | State::Lingering | State::Closed => {}
        }
    }

    /// Everything is acknowledged and the host is done: the FIN is due.
    pub(super) fn fin_is_due(&self) -> bool {
        //= spec/session.md#pp-ses-13
        //# A FIN is sent only after all data before it was acknowledged.
        self.finishing && self.state == State::Established && self.out.buffer.len() == 0
    }

    pub(super) fn start_fin(&mut self, now: Timestamp) {
        if self.move_on(Cue::FinSent) {
            self.fin_owed = true;
            self.timers.set(StreamTimer::Linger, now + LINGER);
        }
    }

    /// The FIN that is owed. Toward a peer of ours its acknowledgment field counts; the reference gets the zero it expects.
    pub(super) fn poll_fin(&mut self, now: Timestamp) -> Option<SegmentHeader> {
        if !core::mem::take(&mut self.fin_owed) {
            return None;
        }
        let backoff = 1_u32 << self.fins_sent.min(FIN_REPEATS);
        self.fins_sent += 1;
        self.timers.set(StreamTimer::Retransmission, now + self.out.rto().saturating_mul(backoff));
        let ack = if self.peer_is_ours() { self.acknowledgment() } else { crate::seq::SeqNumber(0) };
        Some(SegmentHeader {
            //= spec/session.md#pp-ses-17
            //# A segment with both FIN and ACK is never sent.
            flags: Flags::FIN,
            seq: self.out.seq(self.out.next),
            ack,
            window: 0,
            payload_len: 0,
            retransmission: self.fins_sent > 1,
        })
    }

    pub(super) fn on_fin_timer(&mut self) {
        //= spec/session.md#pp-ses-16
        //# A FIN is repeated with the retransmission timeout's backoff, five times and for 10 seconds at most.
        if self.fins_sent > FIN_REPEATS {
            self.give_up_on_fin();
        } else {
            self.fin_owed = true;
        }
    }

    /// Nobody acknowledges our FIN. All data was acknowledged before it, so nothing is lost but the peer's word.
    fn give_up_on_fin(&mut self) {
        self.cut(CloseReason::RetransmissionLimit);
    }

    /// Tells the end, once, and stops everything that belongs to a living connection.
    fn end(&mut self, reason: CloseReason) {
        self.timers.clear_all();
        self.out.clear();
        (self.handshake.owed, self.fin_owed, self.probe_owed) = (false, false, false);
        if self.reason.is_none() {
            self.reason = Some(reason);
            self.events.closed(reason);
        }
    }
}
