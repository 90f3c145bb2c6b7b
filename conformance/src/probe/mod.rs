//! Conformance of any implementation, seen from outside: a raw peer that registers, exchanges keys and then sends what no
//! well-behaved peer would, and holds the reactions against the requirements of `spec/`.
//!
//! Decides what is sent and which reaction is right. Uses the codecs and the cryptography of `proto-core` and none of its
//! machines, so that nothing here corrects what is under test. Every wait has a limit.

mod actor;
mod bench;
mod check;
mod checks;
mod directory;
mod known;
mod report;
mod stream;
mod tunnel;

pub use bench::{Fixed, Options};
pub use known::{Difference, Known};
pub use report::{Report, Row, Verdict};

use bench::Bench;
use check::{Check, Needs, Stop};
use std::time::Instant;

/// Runs every check against the implementation that `options` name. `say` is told what a person should know meanwhile.
///
/// # Errors
/// In words, when nothing could be judged: no socket, no registry, no peer.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Report, String> {
    let began = Instant::now();
    let mut bench = Bench::prepare(options, say)?;
    let mut report = Report::new(bench.peer.node);
    let mut all = checks::all();
    all.retain(|check| options.wants(check.name));
    bench.ask_for_trust(say)?;
    let of = |needs: Needs| all.iter().filter(move |check| check.needs == needs);
    for check in [Needs::Registry, Needs::Beacon, Needs::Peer].into_iter().flat_map(of) {
        report.record(check, perform(check, &mut bench));
    }
    // Trust may take a minute; who exchanges keys with anybody can be asked much meanwhile.
    let mut ready = if bench.meet_early() { Ok(()) } else { bench.await_trust(say).and_then(|()| bench.meet()) };
    for check in of(Needs::Session) {
        report.record(check, perform_after(&ready, check, &mut bench));
    }
    ready = ready.and_then(|()| bench.await_trust(say));
    bench.open_idle_stream();
    for check in of(Needs::Friend) {
        report.record(check, perform_after(&ready, check, &mut bench));
    }
    report.took(began.elapsed());
    Ok(report)
}

/// The first check that needs a session says why there is none; the others have nothing to say.
fn perform_after(ready: &Result<(), String>, check: &Check, bench: &mut Bench) -> Result<(), Stop> {
    match ready {
        Ok(()) => perform(check, bench),
        Err(why) if check.name == checks::FIRST_CONTACT => Err(Stop::Failed(why.clone())),
        Err(why) => Err(Stop::Skipped(why.clone())),
    }
}

/// What fails once may have lost a datagram; what fails twice does not do what is required.
fn perform(check: &Check, bench: &mut Bench) -> Result<(), Stop> {
    match attempt(check, bench) {
        Err(Stop::Failed(_)) if !bench.options.known.lists(check.name) => attempt(check, bench),
        outcome => outcome,
    }
}

fn attempt(check: &Check, bench: &mut Bench) -> Result<(), Stop> {
    match check.needs {
        Needs::Registry if bench.options.registry.is_none() => return Err(Stop::skipped("no registry was named")),
        Needs::Beacon if bench.options.beacon.is_none() || bench.options.registry.is_none() => {
            return Err(Stop::skipped("no beacon was named"));
        }
        Needs::Session | Needs::Friend => bench.recover()?,
        Needs::Registry | Needs::Beacon | Needs::Peer => {}
    }
    bench.turn_the_page();
    (check.run)(bench)
}
