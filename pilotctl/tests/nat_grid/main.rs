//! Every class of NAT against every other one, in Linux and in the simulator, which must come to the same verdict.
//!
//! A cell is two agents behind the boxes of that cell: our real programs behind nftables routers in network namespaces,
//! and real endpoints behind the simulator's boxes. They meet, trust, exchange a message, and climb the ladder to its end.
//! `cargo test -p pilotctl --test nat_grid -- open-x-` runs some.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod linux;
mod simulated;

use lab::netns::Access;
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// Cells wait most of their time, so more of them run at once than there are processors.
const THREADS: usize = 4;

/// The five classes of the grid.
const CLASSES: [(&str, Access); 5] = [
    ("open", Access::Open),
    ("full-cone", Access::FullCone),
    ("port-restricted", Access::Masquerade),
    ("symmetric-sequential", Access::Sequential),
    ("symmetric-random", Access::FullyRandom),
];

/// Where the two agents are.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// Each behind its own access.
    Apart(Access, Access),
    /// Both behind one full-cone router that keeps them apart inside.
    Hairpin,
}

/// How the two reach each other when the ladder is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Straight, in both directions.
    Direct,
    /// Through the beacon.
    Relay,
}

fn cells() -> Vec<(String, Cell)> {
    let grid = CLASSES
        .iter()
        .flat_map(|(a, left)| CLASSES.iter().map(move |(b, right)| (format!("{a}-x-{b}"), Cell::Apart(*left, *right))));
    let double = [("open", Access::Open), ("port-restricted", Access::Masquerade), ("double", Access::Double)]
        .map(|(name, access)| (format!("double-x-{name}"), Cell::Apart(Access::Double, access)));
    grid.chain(double).chain([("hairpin".to_owned(), Cell::Hairpin)]).collect()
}

fn agree(name: &str, cell: Cell) -> Result<(), Failed> {
    let expected = simulated::verdict(cell);
    let (seen, told) = linux::verdict(cell);
    println!("{name}: simulator {expected:?}, Linux {seen:?} ({told})");
    if seen == expected {
        Ok(())
    } else {
        Err(format!("{name}: simulator {expected:?}, Linux {seen:?} ({told})").into())
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    if !arguments.list
        && let Some(status) = lab::netns::again_where_namespaces_can_be_made()
    {
        return u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let trials = cells().into_iter().map(|(name, cell)| Trial::test(name.clone(), move || agree(&name, cell)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
