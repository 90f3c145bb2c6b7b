//! What due timers do. Each is consumed before it acts, so no deadline is told twice.

use super::outgoing::Progress;
use super::state::State;
use super::{CloseReason, Connection, StreamTimer};
use crate::time::Timestamp;

impl Connection {
    /// Lets every due timer act.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                StreamTimer::Handshake => self.on_handshake_timer(),
                StreamTimer::Retransmission if self.state == State::FinWait => self.on_fin_timer(),
                StreamTimer::Retransmission => self.on_retransmission_timer(now),
                StreamTimer::Reordering => self.on_reordering_timer(now),
                StreamTimer::TailProbe => self.out.on_tail_probe(),
                StreamTimer::WindowProbe => self.on_probe_timer(now),
                StreamTimer::DelayedAck => self.acks.delay_over(),
                StreamTimer::Coalescing => self.push = true,
                // Only to be polled again.
                StreamTimer::Pacing => {}
                StreamTimer::WindowUpdate => self.on_window_update_timer(now),
                StreamTimer::Keepalive => self.on_keepalive_timer(now),
                StreamTimer::Idle => self.on_idle_timer(now),
                StreamTimer::Linger => self.on_linger_timer(now),
            }
        }
    }

    /// The last segments may have been lost for a reason outside of the path: the SYN or SYN-ACK goes again, or the last segment, whose
    /// acknowledgement tells what is missing.
    pub fn repeat_outstanding(&mut self) {
        match self.state {
            State::SynSent | State::SynReceived => self.handshake.owed |= self.handshake_was_sent(),
            State::Established => self.out.on_tail_probe(),
            State::FinWait | State::TimeWait | State::Lingering | State::Closed => {}
        }
    }

    fn on_retransmission_timer(&mut self, now: Timestamp) {
        if self.out.board.is_empty() {
            return;
        }
        if self.out.on_timeout() {
            self.timers.clear(StreamTimer::TailProbe);
            self.timers.clear(StreamTimer::Reordering);
            self.timers.set(StreamTimer::Retransmission, now + self.out.rto());
        } else {
            self.abort(CloseReason::RetransmissionLimit);
        }
    }

    fn on_reordering_timer(&mut self, now: Timestamp) {
        let mut progress = Progress::default();
        self.out.find_losses(now, self.out.board.in_flight(), &mut progress);
        self.counters.fast_retransmits += u64::from(progress.entered_recovery);
        self.arm_reordering(progress.look_again);
    }

    fn on_probe_timer(&mut self, now: Timestamp) {
        if !self.state.sends_data() {
            return;
        }
        if self.out.window.only_reserve_left() {
            self.probe.look();
            self.probe_owed = true;
        } else if self.probe.probe(now) {
            self.probe_owed = true;
        } else {
            self.abort(CloseReason::RetransmissionLimit);
        }
    }

    fn on_window_update_timer(&mut self, now: Timestamp) {
        self.window_updates = self.window_updates.saturating_sub(1);
        self.acks.owe();
        self.schedule_window_update(now);
    }

    //= spec/keepalive.md#pp-ka-1
    //# An established connection on which nothing was sent for 30 seconds sends an empty ACK.
    //= spec/keepalive.md#pp-ka-2
    //# A keepalive carries the real window.
    fn on_keepalive_timer(&mut self, now: Timestamp) {
        if self.state == State::Established {
            self.acks.owe();
            // An idle connection holds no memory.
            self.receiver.shrink();
            self.timers.set(StreamTimer::Keepalive, now + self.params.keepalive);
        }
    }

    /// Restarts the retransmission timer after progress (RFC 6298 section 5.3).
    pub(super) fn rearm_retransmission(&mut self, now: Timestamp) {
        if self.out.board.is_empty() || self.out.probing {
            self.timers.clear(StreamTimer::Retransmission);
        } else {
            self.timers.set(StreamTimer::Retransmission, now + self.out.rto());
        }
        self.arm_tail_probe(now);
    }

    pub(super) fn arm_tail_probe(&mut self, now: Timestamp) {
        match self.out.tail_probe_delay() {
            Some(delay) => self.timers.set(StreamTimer::TailProbe, now + delay),
            None => self.timers.clear(StreamTimer::TailProbe),
        }
    }

    pub(super) fn arm_reordering(&mut self, at: Option<Timestamp>) {
        match at {
            Some(at) => self.timers.set(StreamTimer::Reordering, at),
            None => self.timers.clear(StreamTimer::Reordering),
        }
    }
}
