//! Decides when a registered node sends its heartbeat and collects its handshake inbox (PP-REG-13, PP-TRUST-17).
//! Refuses to know how that is done.

use crate::rng::Rng;
use crate::time::Timestamp;
use core::time::Duration;

/// Least time between two polls asked for by notifications (PP-RELAY-17).
const NOTIFIED_SPACING: Duration = Duration::from_secs(2);
/// Notifications honoured at once, and the time that earns another (PP-RELAY-17).
const NOTIFY_BURST: u32 = 3;
const NOTIFY_REFILL: Duration = Duration::from_secs(5);
/// While an answer to an own request is expected: this often, this long (PP-TRUST-17).
const FAST_POLL_INTERVAL: Duration = Duration::from_secs(2);
const FAST_POLL_SPAN: Duration = Duration::from_secs(120);

/// What is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DueNow {
    pub(super) heartbeat: bool,
    pub(super) poll: bool,
}

/// Deadlines of one registered node. Counts from [`Schedule::start`]; nothing is due before.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    heartbeat: Option<Timestamp>,
    poll: Option<Timestamp>,
    fast_until: Timestamp,
    notified_poll: Option<Timestamp>,
    notify_tokens: u32,
    notify_refilled: Timestamp,
}

impl Schedule {
    /// A heartbeat every `interval`, at least one second.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_secs(1)),
            heartbeat: None,
            poll: None,
            fast_until: Timestamp::ZERO,
            notified_poll: None,
            notify_tokens: NOTIFY_BURST,
            notify_refilled: Timestamp::ZERO,
        }
    }

    /// The node is registered: something may have waited in its inbox, so that is collected at once.
    pub(super) fn start(&mut self, now: Timestamp, rng: &mut Rng) {
        self.heartbeat = Some(now + self.next_interval(rng));
        self.poll = Some(now);
    }

    /// The node is not registered any more.
    pub(super) fn stop(&mut self) {
        self.heartbeat = None;
        self.poll = None;
    }

    /// A request for trust was sent: its answer is looked for often.
    pub(super) fn expect_answer(&mut self, now: Timestamp) {
        self.fast_until = now + FAST_POLL_SPAN;
        self.poll_by(now + FAST_POLL_INTERVAL);
    }

    /// The beacon, or the host's user, says that something waits. Too many of those are ignored.
    pub(super) fn notify(&mut self, now: Timestamp) {
        if self.heartbeat.is_none() {
            return;
        }
        self.refill(now);
        if self.notify_tokens == 0 {
            return;
        }
        self.notify_tokens -= 1;
        let at = self.notified_poll.map_or(now, |last| now.max(last + NOTIFIED_SPACING));
        self.notified_poll = Some(at);
        self.poll_by(at);
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.heartbeat.into_iter().chain(self.poll).min()
    }

    pub(super) fn take_due(&mut self, now: Timestamp, rng: &mut Rng) -> DueNow {
        let heartbeat = self.heartbeat.is_some_and(|at| at <= now);
        if heartbeat {
            self.heartbeat = Some(now + self.next_interval(rng));
        }
        let poll = heartbeat || self.poll.is_some_and(|at| at <= now);
        if poll {
            //= spec/trust.md#pp-trust-17
            //# While an answer to an own request is awaited the inbox is polled every 2 seconds, for 2 minutes.
            let fast = self.heartbeat.is_some() && now < self.fast_until;
            self.poll = fast.then(|| now + FAST_POLL_INTERVAL);
        }
        DueNow { heartbeat, poll }
    }

    fn poll_by(&mut self, at: Timestamp) {
        if self.heartbeat.is_some() {
            self.poll = Some(self.poll.map_or(at, |planned| planned.min(at)));
        }
    }

    fn refill(&mut self, now: Timestamp) {
        let earned = now.saturating_since(self.notify_refilled).as_secs() / NOTIFY_REFILL.as_secs();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned > 0 {
            self.notify_tokens = self.notify_tokens.saturating_add(earned).min(NOTIFY_BURST);
            self.notify_refilled = now;
        }
    }

    /// Up to a tenth earlier than asked for, so that nodes started together drift apart.
    fn next_interval(&self, rng: &mut Rng) -> Duration {
        let micros = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros - rng.below(micros / 10 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Times, in whole seconds from `start`, at which polls were due.
    fn polls(schedule: &mut Schedule, start: Timestamp, seconds: u64) -> Vec<u64> {
        let mut rng = Rng::new([3; 32]);
        let end = start + SECOND * u32::try_from(seconds).unwrap();
        let mut times = Vec::new();
        while let Some(at) = schedule.deadline().filter(|at| *at <= end) {
            if schedule.take_due(at, &mut rng).poll {
                times.push(at.saturating_since(start).as_secs());
            }
        }
        times
    }

    #[test]
    fn each_heartbeat_brings_a_poll_and_the_first_poll_is_at_once() {
        let mut schedule = Schedule::new(SECOND * 60);
        schedule.start(Timestamp::ZERO, &mut Rng::new([3; 32]));
        let times = polls(&mut schedule, Timestamp::ZERO, 185);
        assert_eq!(times.first(), Some(&0));
        assert_eq!(times.len(), 4, "{times:?}");
    }

    //= spec/trust.md#pp-trust-17
    //= type=test
    //# While an answer to an own request is awaited the inbox is polled every 2 seconds, for 2 minutes.
    #[test]
    fn an_expected_answer_is_looked_for_every_two_seconds_for_two_minutes() {
        let mut schedule = Schedule::new(SECOND * 1000);
        schedule.start(Timestamp::ZERO, &mut Rng::new([3; 32]));
        polls(&mut schedule, Timestamp::ZERO, 1);
        schedule.expect_answer(Timestamp::ZERO);
        let times = polls(&mut schedule, Timestamp::ZERO, 800);
        assert_eq!(times, (1..=60).map(|n| n * 2).collect::<Vec<_>>());
    }

    //= spec/relay.md#pp-relay-17
    //= type=test
    //# A notification of kind 1 makes the node poll its inbox at the registry.
    #[test]
    fn notifications_are_honoured_at_once_then_spaced_then_ignored() {
        let mut schedule = Schedule::new(SECOND * 1000);
        schedule.notify(Timestamp::ZERO);
        assert_eq!(schedule.deadline(), None, "not registered");
        schedule.start(Timestamp::ZERO, &mut Rng::new([3; 32]));
        polls(&mut schedule, Timestamp::ZERO, 0);
        let now = Timestamp::ZERO + SECOND * 100;
        schedule.notify(now);
        assert_eq!(polls(&mut schedule, now, 0), [0]);
        for _ in 0..20 {
            schedule.notify(now);
        }
        assert_eq!(polls(&mut schedule, now, 60), [2]);
    }
}
