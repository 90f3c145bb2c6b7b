//! Corpora in and out of their files, and fuzzing without libFuzzer: `cargo run --release -p fuzz-targets -- mutate all 10`.

#![allow(clippy::panic, reason = "a broken property ends the program")]

use fuzz_targets::mutate::Mutator;
use fuzz_targets::{TARGETS, Target, corpus, find, ledger};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: fuzz-targets names
       fuzz-targets seed FOLDER            seeds of every target into FOLDER/TARGET
       fuzz-targets unpack TARGET FOLDER   the committed corpus as files
       fuzz-targets pack TARGET FOLDER     files into the committed corpus
       fuzz-targets run TARGET FILE        one input
       fuzz-targets standing               time spent on each target's code as it is today, least first
       fuzz-targets credit TARGET CPU_SECONDS INPUTS
       fuzz-targets mutate TARGET|all SECONDS [SEED]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match command(&words) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn command(words: &[&str]) -> io::Result<String> {
    let usage = || io::Error::new(io::ErrorKind::InvalidInput, USAGE);
    match *words {
        ["names"] => Ok(TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("\n")),
        ["seed", folder] => Ok(format!("{} files", corpus::seed(Path::new(folder))?)),
        ["unpack", target, folder] => Ok(format!("{target}: {} files", corpus::unpack(target, Path::new(folder))?)),
        ["pack", target, folder] => Ok(format!("{target}: {} inputs", corpus::pack(target, Path::new(folder))?)),
        ["standing"] => ledger::standing(),
        ["credit", target, seconds, inputs] => {
            ledger::credit(target, seconds.parse().map_err(|_| usage())?, inputs.parse().map_err(|_| usage())?)
        }
        ["run", target, file] => {
            find(target).ok_or_else(usage)?(&std::fs::read(file)?);
            Ok("nothing found".to_owned())
        }
        ["mutate", target, seconds] => mutate(target, seconds.parse().map_err(|_| usage())?, 0),
        ["mutate", target, seconds, seed] => {
            mutate(target, seconds.parse().map_err(|_| usage())?, seed.parse().map_err(|_| usage())?)
        }
        _ => Err(usage()),
    }
}

fn mutate(wanted: &str, seconds: u64, seed: u64) -> io::Result<String> {
    let picked: Vec<_> = TARGETS.iter().filter(|(name, _)| wanted == "all" || wanted == *name).collect();
    if picked.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no target {wanted}")));
    }
    for (name, target) in picked {
        let inputs = corpus::read(&corpus::file_of(name))?;
        let runs = run_for(name, *target, inputs, Duration::from_secs(seconds), seed);
        println!("{name}: {runs} inputs");
    }
    Ok("nothing found".to_owned())
}

/// Runs changed inputs until the time is over; the one that fails is printed before the program ends.
fn run_for(name: &str, target: Target, inputs: Vec<Vec<u8>>, span: Duration, seed: u64) -> u64 {
    let mut mutator = Mutator::new(inputs, seed);
    let (began, mut runs) = (Instant::now(), 0);
    while began.elapsed() < span {
        let input = mutator.next_input();
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            panic!("{name} fails with {}", data_encoding::HEXLOWER.encode(&input));
        }
        runs += 1;
    }
    runs
}
