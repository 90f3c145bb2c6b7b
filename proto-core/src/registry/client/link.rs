//! Decides when the connection to the registry is opened, and when an attempt or a wait is over.
//! Refuses to know what is sent on it.

use crate::limits::REGISTRY_MAX_BACKOFF;
use crate::rng::Rng;
use crate::time::Timestamp;
use core::time::Duration;

/// First wait between attempts; doubles up to [`REGISTRY_MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// How long the host may take to open a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody needs a connection yet.
    Idle,
    /// Next attempt at this time.
    Waiting(Timestamp),
    /// The host is opening one; given up at this time.
    Connecting(Timestamp),
    /// Open.
    Connected,
}

/// What the owner must do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask the host for a connection.
    Connect,
    /// Tell the host to abandon its attempt.
    Abandon,
}

/// One connection at a time, opened again as long as it is needed.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    failures: u32,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { state: State::Idle, failures: 0 }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// A connection is needed from now on: the first attempt is due at once.
    pub(super) fn need(&mut self, now: Timestamp) {
        if self.state == State::Idle {
            self.state = State::Waiting(now);
        }
    }

    /// The host opened a connection, even one that was no longer expected.
    pub(super) fn connected(&mut self) {
        self.state = State::Connected;
    }

    /// The connection proved useful: the next loss is answered quickly.
    pub(super) fn proved(&mut self) {
        self.failures = 0;
    }

    /// The connection, or the attempt, is over. Late news about an earlier one change nothing.
    pub(super) fn lost(&mut self, now: Timestamp, rng: &mut Rng) {
        match self.state {
            State::Idle | State::Waiting(_) => {}
            State::Connecting(_) | State::Connected => {
                self.state = State::Waiting(now + back_off(self.failures, rng));
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Idle | State::Connected => None,
            State::Waiting(at) | State::Connecting(at) => Some(at),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp, rng: &mut Rng) -> Option<Due> {
        match self.state {
            State::Waiting(at) if at <= now => {
                self.state = State::Connecting(now + CONNECT_TIMEOUT);
                Some(Due::Connect)
            }
            State::Connecting(at) if at <= now => {
                self.lost(now, rng);
                Some(Due::Abandon)
            }
            State::Idle | State::Waiting(_) | State::Connecting(_) | State::Connected => None,
        }
    }
}

/// Half of the wait is random, so that a restarted registry is not met by all its nodes at once.
fn back_off(failures: u32, rng: &mut Rng) -> Duration {
    let longest = (FIRST_BACKOFF * 2_u32.saturating_pow(failures.min(8))).min(REGISTRY_MAX_BACKOFF);
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros / 2 + rng.below(micros / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_jitter_and_stay_below_two_seconds() {
        let mut rng = Rng::new([1; 32]);
        for (failures, longest) in [(0, 200), (1, 400), (2, 800), (3, 1600), (4, 2000), (u32::MAX, 2000)] {
            for _ in 0..50 {
                let wait = back_off(failures, &mut rng);
                assert!(wait >= Duration::from_millis(longest / 2) && wait <= Duration::from_millis(longest));
            }
        }
    }

    #[test]
    fn an_attempt_that_never_ends_is_abandoned_and_tried_again() {
        let (mut link, mut rng) = (Link::new(), Rng::new([1; 32]));
        let mut now = Timestamp::ZERO;
        assert_eq!(link.deadline(), None);
        link.need(now);
        assert_eq!(link.handle_timeout(now, &mut rng), Some(Due::Connect));
        assert_eq!(link.handle_timeout(now, &mut rng), None);
        now = now + CONNECT_TIMEOUT;
        assert_eq!(link.handle_timeout(now, &mut rng), Some(Due::Abandon));
        assert!(link.deadline().unwrap() > now);
        now = link.deadline().unwrap();
        assert_eq!(link.handle_timeout(now, &mut rng), Some(Due::Connect));
        link.connected();
        assert_eq!(link.deadline(), None);
    }
}
