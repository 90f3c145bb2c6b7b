//! When key-exchange frames go out: the schedule of an exchange, and the rates of everything sent because somebody else sent something.
//! Decides times only; refuses to know keys.

use crate::time::Timestamp;
use core::time::Duration;

/// When an exchange sends, after it was started. The reference (1 s, 3 s, then every 4 s) would outlast a dial, which must end within 5 s.
//= spec/exchange.md#pp-kex-13
//# An exchange we start is sent at 0, 0.25, 0.75, 1.75 and 3.75 seconds and has failed at 4.75 seconds.
pub const EXCHANGE_SCHEDULE: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_millis(750),
    Duration::from_millis(1750),
    Duration::from_millis(3750),
];
/// When an unanswered exchange has failed, after it was started: a second after the last send, and within a dial.
pub const EXCHANGE_GIVE_UP: Duration = Duration::from_millis(4750);
/// Between frames asking a peer we cannot understand for its key (PP-KEX-23, PP-KEX-24).
pub const NUDGE_INTERVAL: Duration = Duration::from_secs(3);
/// Between answers to repeated exchanges (PP-KEX-15).
const DUPLICATE_REPLY_INTERVAL: Duration = Duration::from_secs(1);
/// A peer whose frames opened this recently has our key and needs no answer to a repeated exchange.
const DUPLICATE_REPLY_SILENCE: Duration = Duration::from_secs(6);
/// A repeated exchange so soon after any of ours crossed it on the way.
const DUPLICATE_REPLY_QUIET: Duration = Duration::from_millis(200);
/// Between answers to exchanges with new keys.
const NEW_KEY_REPLY_INTERVAL: Duration = Duration::from_millis(250);

/// How long frames may go unanswered before the peer is told our key again: the April reference stays silent when it has none (D-15).
pub(super) const DEAF_AFTER: Duration = Duration::from_millis(1500);
/// Between such tellings; one-way traffic is legal, and each makes the April reference draw a new prefix.
const DEAF_INTERVAL: Duration = Duration::from_secs(15);

/// An exchange that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    started: Timestamp,
    sent: usize,
}

/// What a due exchange wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeStep {
    Send,
    GiveUp,
}

impl Exchange {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { started: now, sent: 0 }
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.started + EXCHANGE_SCHEDULE.get(self.sent).copied().unwrap_or(EXCHANGE_GIVE_UP)
    }

    /// What is due at `now`; several missed sends become one, and when all were missed nothing is left to wait for.
    pub(super) fn advance(&mut self, now: Timestamp) -> Option<ExchangeStep> {
        if now < self.deadline() {
            return None;
        }
        if self.sent >= EXCHANGE_SCHEDULE.len() || now >= self.started + EXCHANGE_GIVE_UP {
            return Some(ExchangeStep::GiveUp);
        }
        while self.sent < EXCHANGE_SCHEDULE.len() && self.deadline() <= now {
            self.sent += 1;
        }
        Some(ExchangeStep::Send)
    }
}

/// Remembers when frames went out, and says whether another may.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pacing {
    last_emitted: Option<Timestamp>,
    last_nudge: Option<Timestamp>,
    last_deaf_nudge: Option<Timestamp>,
    last_duplicate_reply: Option<Timestamp>,
    last_new_key_reply: Option<Timestamp>,
}

impl Pacing {
    /// An exchange frame was written, for whatever reason.
    pub(super) const fn emitted(&mut self, now: Timestamp) {
        self.last_emitted = Some(now);
    }

    pub(super) fn allow_nudge(&mut self, now: Timestamp) -> bool {
        take(&mut self.last_nudge, now, NUDGE_INTERVAL)
    }

    pub(super) fn allow_deaf_nudge(&mut self, now: Timestamp) -> bool {
        take(&mut self.last_deaf_nudge, now, DEAF_INTERVAL)
    }

    pub(super) fn allow_new_key_reply(&mut self, now: Timestamp) -> bool {
        take(&mut self.last_new_key_reply, now, NEW_KEY_REPLY_INTERVAL)
    }

    /// `last_fresh` is when the session in question last opened a frame.
    //= spec/exchange.md#pp-kex-15
    //# A repeated PILA is answered at most once a second, and not when the peer was heard of under that key within 6 seconds.
    pub(super) fn allow_duplicate_reply(&mut self, now: Timestamp, last_fresh: Option<Timestamp>) -> bool {
        elapsed(last_fresh, now, DUPLICATE_REPLY_SILENCE)
            && elapsed(self.last_emitted, now, DUPLICATE_REPLY_QUIET)
            && take(&mut self.last_duplicate_reply, now, DUPLICATE_REPLY_INTERVAL)
    }

    /// The own key changed: what was said before says nothing about it.
    pub(super) const fn reset_replies(&mut self) {
        self.last_duplicate_reply = None;
        self.last_new_key_reply = None;
    }
}

fn elapsed(last: Option<Timestamp>, now: Timestamp, span: Duration) -> bool {
    last.is_none_or(|last| now >= last + span)
}

fn take(last: &mut Option<Timestamp>, now: Timestamp, span: Duration) -> bool {
    let allowed = elapsed(*last, now, span);
    if allowed {
        *last = Some(now);
    }
    allowed
}
