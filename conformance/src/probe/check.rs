//! What a check is.

use super::bench::Bench;

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The implementation did something else.
    Failed(String),
    /// Nothing can be said here.
    Skipped(String),
}

impl Stop {
    /// For `Err(Stop::failed(...))`.
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    /// For `Err(Stop::skipped(...))`.
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }
}

pub(super) type Outcome = Result<(), Stop>;

/// What must be there before a check makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// The registry.
    Registry,
    /// Registry and beacon.
    Beacon,
    /// The peer, which need not trust anybody.
    Peer,
    /// A session of the friend with the peer, trusted or not.
    Session,
    /// A session with the peer, which admits the friend.
    Friend,
}

/// One observation, and the requirements it is about.
pub(super) struct Check {
    /// `subject/words-for-it`, the name in lists of known differences.
    pub(super) name: &'static str,
    pub(super) ids: &'static [&'static str],
    pub(super) needs: Needs,
    pub(super) run: fn(&mut Bench) -> Outcome,
}

impl Check {
    pub(super) const fn new(
        needs: Needs,
        name: &'static str,
        ids: &'static [&'static str],
        run: fn(&mut Bench) -> Outcome,
    ) -> Self {
        Self { name, ids, needs, run }
    }
}

/// `Failed` with these words unless `right`.
pub(super) fn ensure(right: bool, why: impl FnOnce() -> String) -> Outcome {
    if right { Ok(()) } else { Err(Stop::Failed(why())) }
}

/// `Failed` with these words when there is nothing.
pub(super) fn expected<T>(found: Option<T>, why: &str) -> Result<T, Stop> {
    found.ok_or_else(|| Stop::failed(why))
}
