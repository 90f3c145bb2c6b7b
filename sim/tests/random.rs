//! Random scenarios. `SIM_SEED=n cargo test -p sim --test random one_seed` runs one again; `SIM_SEEDS=n` runs that many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here is a failed test")]

use sim::scenario::{bytes_of_seed, run};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Scenarios of every run; the same ones, so that a commit is good or not.
const SCENARIOS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn judge(seed: u64) -> Result<(), String> {
    run(&bytes_of_seed(seed)).map(|_| ()).map_err(|failure| failure.of_seed(seed))
}

#[test]
fn many_seeds() {
    let (next, count) = (AtomicU64::new(0), number("SIM_SEEDS").unwrap_or(SCENARIOS));
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count || failed.len() > 3 {
                return failed;
            }
            failed.extend(judge(seed).err());
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let failed: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} of {count} scenarios failed\n\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn one_seed() {
    if let Err(failure) = judge(number("SIM_SEED").unwrap_or(0)) {
        panic!("{failure}");
    }
}

/// Each found a defect of the core in a `soak`.
#[test]
fn seeds_that_soak_found() {
    for seed in [30_119_425_839_465_017, 2_026_119_153] {
        judge(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn the_same_bytes_give_the_same_packets() {
    for seed in [3, 17, 40] {
        let bytes = bytes_of_seed(seed);
        let [one, other] = [run(&bytes), run(&bytes)].map(|outcome| outcome.map_err(|failure| failure.of_seed(seed)));
        assert_eq!(one.unwrap(), other.unwrap());
    }
}
