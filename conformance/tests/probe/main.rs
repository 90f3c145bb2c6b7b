//! The probe against our own daemon, which must pass, and against the daemons of the published reference, each of whose failures is listed
//! in `conformance/reference/known-differences.toml` and in `spec/compatibility.md`.
//!
//! `cargo test -p conformance --test probe` runs with the versions 1.9.1 and 1.18.0, all at once; `-- ours` runs one,
//! `PILOT_REFERENCE_VERSIONS=1.17.0` names others. As in the interoperability cases the reference comes from its package index, is checked
//! against pinned hashes, and runs in network namespaces without a way out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure of the equipment fails the run")]

mod differences;
#[allow(dead_code, reason = "it serves the interoperability cases too")]
#[path = "../common/equipment.rs"]
mod equipment;
#[allow(dead_code, reason = "it serves the interoperability cases too")]
#[path = "../common/reference.rs"]
mod reference;
#[path = "../common/wheels.rs"]
mod wheels;

use conformance::probe::Known;
use equipment::Equipment;
use lab::agent::Agent;
use lab::netns::Isolated;
use lab::place::Place;
use lab::process;
use lab::rendezvous::Rendezvous;
use libtest_mimic::{Arguments, Failed, Trial};
use reference::Reference;
use serde_json::Value;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Where the daemon under test listens. Each has a network of its own.
const PEER: &str = "127.0.0.1:4000";
/// No run takes longer; the first minute may go by until a daemon of 1.9.1 looks at the registry.
const LONGEST: Duration = Duration::from_secs(200);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait most of their time.
    arguments.test_threads.get_or_insert(4);
    let versions = wheels::wanted();
    let equipment = (!arguments.list).then(|| Arc::new(Equipment::get(&versions)));
    if !arguments.list
        && let Some(status) = lab::netns::again_where_namespaces_can_be_made()
    {
        return u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let mut trials =
        vec![Trial::test("known-differences-are-in-the-document", || differences::check().map_err(Failed::from))];
    let with = |equipment: &Option<Arc<Equipment>>| equipment.clone().expect("trials run with equipment");
    let own = equipment.clone();
    trials.push(Trial::test("ours", move || ours(&with(&own))));
    for version in versions {
        let own = equipment.clone();
        trials.push(Trial::test(format!("reference-{version}"), move || theirs(&with(&own), &version)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Our daemon passes everything.
fn ours(equipment: &Equipment) -> Result<(), Failed> {
    let network = Isolated::new();
    let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &["--private-hostnames"]);
    let options = ["--trust-auto-approve", "--listen", PEER];
    let agent = Agent::at("target", &rendezvous, network.place(), &options);
    let skipped = judge(network.place(), &rendezvous, agent.node(), None)?;
    if skipped.is_empty() { Ok(()) } else { Err(format!("nothing is said about {skipped:?}").into()) }
}

/// A daemon of the reference fails what is listed for it and nothing else.
fn theirs(equipment: &Equipment, version: &str) -> Result<(), Failed> {
    let network = Isolated::new();
    let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &["--private-hostnames"]);
    let options = ["-trust-auto-approve", "-listen", PEER];
    let daemon = Reference::start_with(equipment.kit(version), "target", network.place(), &rendezvous, &options);
    judge(network.place(), &rendezvous, daemon.node(), Some(version)).map(drop)
}

/// Runs the probe as a person does; the names of checks that it skipped.
fn judge(place: &Place, rendezvous: &Rendezvous, node: u64, version: Option<&str>) -> Result<Vec<String>, Failed> {
    let known = version.map_or_else(|| Ok(Known::default()), |version| differences::known(Some(version)))?;
    let mut probe = place.command(env!("CARGO_BIN_EXE_probe"));
    probe.args(["--peer", &format!("udp://{PEER}"), "--node", &node.to_string(), "--json"]);
    probe.args(["--registry", rendezvous.registry(), "--beacon", rendezvous.beacon()]);
    if let Some(version) = version {
        probe.args(["--known", differences::FILE, "--known-version", version]);
    }
    let ended = process::run(probe, LONGEST);
    println!("{}", ended.stderr);
    let answer = ended.json();
    let rows = answer["data"]["requirements"].as_array().ok_or_else(|| ended.to_string())?;
    let of = |verdict: &str| -> Vec<&Value> { rows.iter().filter(|row| row["verdict"] == verdict).collect() };
    println!("{} rows in {} s: {} passed", rows.len(), answer["data"]["seconds"], of("pass").len());
    let said: Vec<String> =
        of("fail").iter().chain(&of("skip")).map(|row| format!("{}: {}", row["check"], row["detail"])).collect();
    println!("{}", said.join("\n"));
    let failed: Vec<&str> = of("fail").iter().filter_map(|row| row["check"].as_str()).collect();
    let wrong = known.contradictions(&failed);
    if !wrong.is_empty() {
        return Err(format!("{}\n{}", wrong.join("\n"), said.join("\n")).into());
    }
    // Unlisted failures ended this above.
    assert!(ended.status.success(), "the exit status contradicts the answer: {ended}");
    Ok(of("skip").iter().filter_map(|row| row["check"].as_str()).map(str::to_owned).collect())
}
