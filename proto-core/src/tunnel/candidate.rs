//! A session that a key exchange offered but no frame has proved. Decides when it is asked for proof and what its silence means; refuses to know keys.
//!
//! A PILA carries no freshness: it can be an old one, replayed. So a new key replaces a working one only after a frame sealed under it arrived
//! (PP-KEX-16, PP-KEX-17).

use super::session::SessionId;
use crate::time::Timestamp;
use core::time::Duration;

/// How long a candidate may stay silent.
pub const CANDIDATE_PATIENCE: Duration = Duration::from_secs(3);
/// Between probes of the candidate and of the session it would replace.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: SessionId,
    decide_at: Timestamp,
    next_probe: Timestamp,
    /// The session sent under opened a fresh frame since the candidate appeared.
    pub(super) old_confirmed: bool,
}

/// What a due candidate wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CandidateStep {
    /// Send a ping under each of the two keys.
    Probe,
    /// The old key works and the candidate is silent.
    Discard,
    /// Neither was heard of: the newer key is the better guess.
    Use,
}

impl Candidate {
    pub(super) fn new(id: SessionId, now: Timestamp) -> Self {
        Self { id, decide_at: now + CANDIDATE_PATIENCE, next_probe: now, old_confirmed: false }
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.next_probe.min(self.decide_at)
    }

    pub(super) fn advance(&mut self, now: Timestamp) -> Option<CandidateStep> {
        if now >= self.decide_at {
            //= spec/exchange.md#pp-kex-16
            //# A PILA with a new key while a session works makes a candidate that is not sent under until a frame under it opens or the present
            //# session stays silent for 3 seconds.
            //= spec/exchange.md#pp-kex-17
            //# A candidate that stays silent for 3 seconds while the present session is heard of is discarded.
            return Some(if self.old_confirmed { CandidateStep::Discard } else { CandidateStep::Use });
        }
        if now < self.next_probe {
            return None;
        }
        self.next_probe = now + PROBE_INTERVAL;
        Some(CandidateStep::Probe)
    }
}
