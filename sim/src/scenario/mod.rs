//! Scenarios: bytes decide who is where and what happens; one interpreter carries it out over real endpoints and watches them.
//!
//! Decides what is done to the network and its hosts, and judges: safety after every step, liveness when all is well again. Refuses to
//! know how endpoints work; it sees what anybody could see: datagrams, events, states, and what was sealed under which key.

mod apply;
mod attack;
mod memory;
mod op;
mod report;
mod settle;
mod spy;
mod streams;
#[cfg(test)]
mod tests;
mod wire;
mod world;

pub use op::{Attack, Kind, Op, Pair, Scenario, Stand};
pub use report::{Failure, commit};

use proto_core::rng::Rng;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use world::World;

/// What became of a scenario in which nothing was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A number that follows from every datagram sent.
    pub hash: u64,
    /// Virtual time it took.
    pub lasted: Duration,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Branches reached and how often: the interpreter's marks, and what endpoints counted as dropped.
    pub marks: BTreeMap<&'static str, u64>,
    /// Those of them that the operations reached: not the meeting before them, nor what happened when all was made well.
    pub by_ops: BTreeMap<&'static str, u64>,
}

impl Outcome {
    /// The operations reached this branch.
    #[must_use]
    pub fn reached(&self, mark: &str) -> bool {
        self.by_ops.contains_key(mark)
    }
}

/// Runs the scenario that `bytes` are.
///
/// # Errors
/// What was wrong, with the last datagrams.
pub fn run(bytes: &[u8]) -> Result<Outcome, Failure> {
    let Ok(scenario) = Scenario::decode(bytes) else {
        return Ok(Outcome::default());
    };
    run_scenario(&scenario)
}

/// Runs a scenario.
///
/// # Errors
/// What was wrong, with the last datagrams. A panic of an endpoint or of the network is such a failure too.
pub fn run_scenario(scenario: &Scenario) -> Result<Outcome, Failure> {
    spy::forget();
    let mut world = World::new(scenario);
    let judged = catch_unwind(AssertUnwindSafe(|| world.play(scenario)));
    let outcome = match judged {
        Ok(outcome) => outcome,
        Err(panic) => Err(report::words_of(panic.as_ref())),
    };
    outcome.map_err(|what| world.failure(what, scenario))
}

/// The bytes of a random scenario.
#[must_use]
pub fn bytes_of_seed(seed: u64) -> Vec<u8> {
    let mut whole = [0; 32];
    let (head, _) = whole.split_at_mut(8);
    head.copy_from_slice(&seed.to_le_bytes());
    let mut rng = Rng::new(whole);
    let len = 24 + rng.below(200);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    rng.fill(&mut bytes);
    bytes
}
