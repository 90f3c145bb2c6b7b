//! Interoperability with the published reference: its real programs and ours, in network namespaces without a way out.
//!
//! `cargo test -p conformance --test interop` runs every case with the versions 1.9.1 and 1.18.0;
//! `-- daemon/echo` runs some, and `PILOT_REFERENCE_VERSIONS=1.17.0` runs them with others. The reference comes from
//! its package index, checked against the hashes in `conformance/reference/wheels.txt`; it is a black box here.
//! What is measured stands in `spec/compatibility.md`, a row for every case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure of the equipment fails the run")]

mod bulk;
mod case;
mod cli;
mod clients;
mod daemon;
#[path = "../common/equipment.rs"]
mod equipment;
#[allow(dead_code, reason = "every section uses its own part of it")]
#[path = "../common/reference.rs"]
mod reference;
mod registry;
mod table;
#[path = "../common/wheels.rs"]
mod wheels;

use case::Case;
use equipment::Equipment;
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// Cases wait most of their time, so more of them run at once than there are processors.
const THREADS: usize = 6;

/// All cases, section by section as in `spec/compatibility.md`.
fn catalogue(versions: &[String]) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(registry::cases(versions));
    cases.extend(daemon::cases(versions));
    cases.extend(bulk::cases(versions));
    cases.extend(clients::cases(versions));
    cases.extend(cli::cases(versions));
    cases
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let versions = wheels::wanted();
    // Fetched and built before entering a namespace, which has no way out.
    let equipment = (!arguments.list).then(|| Arc::new(Equipment::get(&versions)));
    if !arguments.list
        && let Some(status) = lab::netns::again_where_namespaces_can_be_made()
    {
        return u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let mut trials = vec![Trial::test("table/every-case-has-a-row-and-every-row-a-case", || {
        table::check(&catalogue(&wheels::DEFAULT.map(str::to_owned))).map_err(Failed::from)
    })];
    trials.extend(catalogue(&versions).into_iter().map(|case| case.into_trial(equipment.clone())));
    libtest_mimic::run(&arguments, trials).exit_code()
}
