//! How often two hosts of a population get a direct path, and at what price (`cargo run --release -p sim --bin population`).
//!
//! Each pair is a run of its own, from its own seed: results do not depend on how many run at once.

mod draw;
mod first_byte;
mod mix;
mod pair;
mod report;
mod stats;

pub use draw::Drawn;
pub use first_byte::FirstByte;
pub use mix::Mix;
pub use pair::Pair;
pub use report::Report;
pub use stats::wilson;

use proto_core::endpoint::Ladder;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides every draw.
    pub seed: u64,
    /// Pairs to run.
    pub pairs: u64,
    /// As DCUtR was measured: no port mappings, no IPv6, and nothing but punching.
    pub like_dcutr: bool,
    /// How far the endpoints go, unless `like_dcutr` says otherwise.
    pub ladder: Ladder,
    /// Threads.
    pub jobs: usize,
}

/// Runs all pairs; `progress` is told how many are done, now and then.
///
/// # Panics
/// Where a run does: that is a bug, and its seed was printed.
pub fn run(mix: &Mix, options: &Options, progress: impl Fn(u64) + Sync) -> Report {
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let mut met = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.pairs {
                return met;
            }
            met.push((number, Pair::meet(mix, options, number)));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let mut met = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no run panics")).collect::<Vec<_>>()
    });
    met.sort_by_key(|(number, _)| *number);
    Report::new(met.into_iter().map(|(_, pair)| pair).collect())
}
