//! Fresh random scenarios for as long as told, on all cores. Ends with status 1 and a replay line when one fails.
//!
//! `soak --minutes N [--seed FIRST] [--json]`; `soak --hash SEED` prints the packet hash of one scenario, which is the same in every
//! build; `soak --file PATH` runs the scenario that a file's bytes are.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line")]

use sim::scenario::{Failure, bytes_of_seed, commit, run};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "soak --minutes N [--seed FIRST] [--json] | soak --hash SEED | soak --file PATH";

#[derive(Debug, Default)]
struct Arguments {
    minutes: f64,
    seed: Option<u64>,
    json: bool,
    hash: Option<u64>,
    file: Option<String>,
}

fn arguments() -> Option<Arguments> {
    let mut parsed = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => parsed.json = true,
            "--minutes" => parsed.minutes = words.next()?.parse().ok()?,
            "--seed" => parsed.seed = Some(words.next()?.parse().ok()?),
            "--hash" => parsed.hash = Some(words.next()?.parse().ok()?),
            "--file" => parsed.file = Some(words.next()?),
            _ => return None,
        }
    }
    (parsed.minutes > 0.0 || parsed.hash.is_some() || parsed.file.is_some()).then_some(parsed)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(seed) = arguments.hash {
        return one(&bytes_of_seed(seed), &|failure| failure.of_seed(seed));
    }
    if let Some(path) = &arguments.file {
        return match std::fs::read(path) {
            Ok(bytes) => {
                one(&bytes, &|failure| format!("{failure}\nreplay: cargo run -p sim --bin soak -- --file {path}"))
            }
            Err(error) => {
                eprintln!("{path}: {error}");
                ExitCode::from(2)
            }
        };
    }
    soak(&arguments)
}

fn one(bytes: &[u8], words: &dyn Fn(&Failure) -> String) -> ExitCode {
    match run(bytes) {
        Ok(outcome) => {
            println!("{:016x}", outcome.hash);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{}", words(&failure));
            ExitCode::FAILURE
        }
    }
}

fn soak(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let limit = Duration::from_secs_f64(arguments.minutes * 60.0);
    let fresh = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let first = arguments.seed.unwrap_or_else(|| fresh() << 24);
    let (next, datagrams, over) = (AtomicU64::new(first), AtomicU64::new(0), AtomicBool::new(false));
    let failure = Mutex::new(None);
    let work = || {
        while !over.load(Ordering::Relaxed) && began.elapsed() < limit {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            match run(&bytes_of_seed(seed)) {
                Ok(outcome) => {
                    datagrams.fetch_add(outcome.datagrams, Ordering::Relaxed);
                }
                Err(failed) => {
                    over.store(true, Ordering::Relaxed);
                    if let Ok(mut slot) = failure.lock() {
                        slot.get_or_insert(failed.of_seed(seed));
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let scenarios = next.load(Ordering::Relaxed) - first;
    let seconds = began.elapsed().as_secs_f64();
    let rate = scenarios as f64 / seconds;
    let failure = failure.into_inner().ok().flatten();
    if arguments.json {
        let (commit, ok) = (commit(), failure.is_none());
        let datagrams = datagrams.into_inner();
        println!(
            "{{\"scenarios\":{scenarios},\"seconds\":{seconds:.1},\"scenarios_per_second\":{rate:.2},\"datagrams\":{datagrams},\"first_seed\":{first},\"commit\":\"{commit}\",\"ok\":{ok}}}"
        );
    } else {
        println!("{scenarios} scenarios in {seconds:.1} s, {rate:.2} a second, from seed {first}");
    }
    match failure {
        Some(words) => {
            eprintln!("{words}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}
