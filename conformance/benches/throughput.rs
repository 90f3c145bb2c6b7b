//! Throughput of one stream between daemons of ours and of the published reference, as ratios in one run.
//!
//! `cargo bench -p conformance --bench throughput` prints a table with the machine and its load. All daemons run at once on the loopback of a network namespace without a way out; pairs take turns, round by
//! round, so that what else the machine does meets all of them alike. `PILOT_REFERENCE_VERSIONS` names versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure of the equipment fails the run")]

#[path = "../tests/interop/bulk/ends.rs"]
#[allow(dead_code, reason = "cases use more of it")]
mod ends;
#[path = "../tests/common/equipment.rs"]
#[allow(dead_code, reason = "cases use more of it")]
mod equipment;
#[path = "../tests/common/reference.rs"]
#[allow(dead_code, reason = "cases use more of it")]
mod reference;
#[path = "../tests/common/wheels.rs"]
mod wheels;

use driver::Conn;
use ends::{End, run};
use equipment::Equipment;
use lab::agent::Agent;
use lab::netns::Isolated;
use lab::noise::Noise;
use lab::rendezvous::Rendezvous;
use reference::Reference;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Bytes of one transfer. Two daemons of 1.9.1 often do not get so far, which the table says.
const LENGTH: usize = 20_000_000;
/// Every pair has so many turns.
const ROUNDS: usize = 5;
/// A transfer in which nothing arrives for so long has broken off.
const STANDSTILL: Duration = Duration::from_secs(10);

/// Who sends to whom, and what came of it: MB/s of each turn, `None` where it broke off.
struct Pair {
    version: String,
    name: &'static str,
    from: usize,
    to: usize,
    turns: Vec<Option<f64>>,
}

fn main() -> ExitCode {
    let versions = wheels::wanted();
    // Fetched and built before entering a namespace, which has no way out.
    let equipment = Equipment::get(&versions);
    if let Some(status) = lab::netns::again_where_namespaces_can_be_made() {
        return u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let network = Isolated::new();
    let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
    let ours = ["ours-a", "ours-b"].map(|name| Agent::at(name, &rendezvous, network.place(), &["--public"]));
    let theirs: Vec<Reference> = versions
        .iter()
        .flat_map(|version| ["a", "b"].map(|end| (equipment.kit(version), format!("theirs-{end}"))))
        .zip(1..)
        .map(|((kit, name), number)| {
            Reference::start_with(kit, &format!("{name}-{number}"), network.place(), &rendezvous, &["-public"])
        })
        .collect();
    let mut sockets: Vec<_> = ours.iter().map(|agent| (agent.socket(), agent.node())).collect();
    sockets.extend(theirs.iter().map(|daemon| (daemon.socket(), daemon.node())));
    let mut pairs = pairs(&versions);
    println!("Before: {}", machine());
    run(async {
        let mut ends = Vec::new();
        for (socket, node) in &sockets {
            ends.push(End::new(socket, *node).await);
        }
        let bytes = Noise::new(1).bytes(LENGTH);
        let mut port = 5000;
        for _ in 0..ROUNDS {
            for pair in &mut pairs {
                let (mut near, mut far) = ends[pair.from].connect(&ends[pair.to], port).await;
                let took = transfer(&mut near, &mut far, &bytes).await;
                eprintln!("{} {}: {took:?}", pair.version, pair.name);
                pair.turns.push(took.map(|took| LENGTH as f64 / 1e6 / took.as_secs_f64()));
                port += 1;
            }
        }
    });
    println!("After: {}\n", machine());
    print_table(&pairs);
    ExitCode::SUCCESS
}

/// Ours among themselves once, and for each version the three pairs with it. Numbers are places in the list of ends.
fn pairs(versions: &[String]) -> Vec<Pair> {
    let pair = |version: &str, name, from, to| Pair { version: version.to_owned(), name, from, to, turns: Vec::new() };
    let mut pairs = vec![pair("–", "ours to ours", 0, 1)];
    for (version, first) in versions.iter().zip((2..).step_by(2)) {
        pairs.push(pair(version, "theirs to theirs", first, first + 1));
        pairs.push(pair(version, "ours to theirs", 0, first));
        pairs.push(pair(version, "theirs to ours", first, 0));
    }
    pairs
}

/// From the first byte given to the sender's daemon until the last one is read; bytes must arrive as they are.
async fn transfer(from: &mut Conn, to: &mut Conn, bytes: &[u8]) -> Option<Duration> {
    let begun = Instant::now();
    let reading = async {
        let (mut block, mut done) = (vec![0; 1 << 16], 0);
        while done < bytes.len() {
            let read = timeout(STANDSTILL, to.read(&mut block)).await.ok()?.ok().filter(|&read| read > 0)?;
            assert_eq!(block[..read], bytes[done..done + read], "after {done} bytes others arrived");
            done += read;
        }
        Some(begun.elapsed())
    };
    let writing = async {
        // One that breaks off is seen by the reader.
        let _ = from.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        took = reading => took,
        () = writing => None,
    }
}

/// The rows of `spec/compatibility.md`: medians, and how many times the median of two of theirs that is.
fn print_table(pairs: &[Pair]) {
    let ours = median(&pairs[0].turns);
    println!("| Version | Pair | Median, MB/s | Lowest to highest | Against theirs to theirs | Broken off |");
    println!("|---|---|---|---|---|---|");
    let mut baseline = None;
    for pair in pairs {
        if pair.name == "theirs to theirs" {
            baseline = median(&pair.turns);
        }
        let done: Vec<f64> = pair.turns.iter().copied().flatten().collect();
        let (low, high) = done.iter().fold((f64::MAX, 0_f64), |(low, high), &rate| (low.min(rate), high.max(rate)));
        let median = median(&pair.turns);
        let shown = median.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}"));
        let range = if done.is_empty() { "–".to_owned() } else { format!("{low:.1} to {high:.1}") };
        let ratio = ratio(median, baseline);
        println!(
            "| {} | {} | {shown} | {range} | {ratio} | {} of {} |",
            pair.version,
            pair.name,
            pair.turns.len() - done.len(),
            pair.turns.len()
        );
        if pair.name == "theirs to ours" {
            println!("| {} | ours to ours | | | {} | |", pair.version, self::ratio(ours, baseline));
        }
    }
}

fn ratio(rate: Option<f64>, baseline: Option<f64>) -> String {
    rate.zip(baseline).map_or_else(|| "–".to_owned(), |(rate, baseline)| format!("{:.2}", rate / baseline))
}

/// Of the turns that came to an end.
fn median(turns: &[Option<f64>]) -> Option<f64> {
    let mut done: Vec<f64> = turns.iter().copied().flatten().collect();
    done.sort_by(f64::total_cmp);
    let middle = done.len() / 2;
    match done.len() {
        0 => None,
        count if count % 2 == 1 => Some(done[middle]),
        _ => Some(f64::midpoint(done[middle - 1], done[middle])),
    }
}

/// What the figures were measured on.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{processors} processors ({}), Linux {}, load {load}", model.unwrap_or_default(), kernel.trim())
}
