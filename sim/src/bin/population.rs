//! Measures how often two hosts of a population get a direct path.

use clap::Parser;
use proto_core::endpoint::Ladder;
use sim::population::{Mix, Options, run};
use std::process::ExitCode;

/// Lets pairs of hosts behind drawn NAT boxes meet, with real endpoints and a real rendezvous in virtual time.
#[derive(Debug, Parser)]
struct Arguments {
    /// Who they are: A (today), B (offices and clouds), C (mobile)
    #[arg(long, default_value = "A")]
    mix: String,
    /// Pairs to run
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pairs: u64,
    /// Decides every draw: the same seed gives the same report
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As libp2p's DCUtR was measured: no IPv6, no port mappings, nothing but punching
    #[arg(long)]
    like_dcutr: bool,
    /// Without telling each other own addresses (interfaces, IPv6, mapped ports) inside the tunnel
    #[arg(long)]
    no_candidates: bool,
    /// Without guessing ports that follow a rule
    #[arg(long)]
    no_prediction: bool,
    /// Without guessing ports by the hundred
    #[arg(long)]
    no_spraying: bool,
    /// Without ports that routers forward
    #[arg(long)]
    no_port_mapping: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,
    /// Threads; the report does not depend on them [default: one per processor]
    #[arg(long)]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mix = match Mix::named(&arguments.mix) {
        Ok(mix) => mix,
        Err(error) => {
            eprintln!("population: {error}");
            return ExitCode::from(2);
        }
    };
    let ladder = Ladder {
        candidates: !arguments.no_candidates,
        prediction: !arguments.no_prediction,
        spraying: !arguments.no_spraying,
        port_mapping: !arguments.no_port_mapping,
    };
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (seed, pairs, like_dcutr) = (arguments.seed, arguments.pairs, arguments.like_dcutr);
    let options = Options { seed, pairs, like_dcutr, ladder, jobs };
    eprintln!("mix {}: {}; {pairs} pairs, seed {seed}, {jobs} threads", arguments.mix, mix.title);
    let step = (pairs / 10).max(1);
    let report = run(&mix, &options, |done| {
        if done % step == 0 {
            eprintln!("{done} of {pairs}");
        }
    });
    print!("{}", report.table());
    if arguments.json {
        let mut object = report.json();
        object["mix"] = arguments.mix.to_uppercase().into();
        object["seed"] = seed.into();
        object["like_dcutr"] = like_dcutr.into();
        println!("{object}");
    }
    ExitCode::SUCCESS
}
