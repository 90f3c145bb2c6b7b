//! What a failure says: enough to see it again and to begin looking.

use super::Scenario;
use proto_core::Timestamp;
use std::any::Any;
use std::fmt;
use std::process::Command;

/// Something was wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub what: String,
    /// When, on the world's clock.
    pub at: Timestamp,
    /// The scenario.
    pub scenario: Box<Scenario>,
    /// How many of its operations had begun.
    pub begun: usize,
    /// The last events and datagrams, oldest first.
    pub tail: Vec<String>,
}

impl Failure {
    /// The report of a random scenario's failure.
    #[must_use]
    pub fn of_seed(&self, seed: u64) -> String {
        format!(
            "seed {seed}, commit {}\n{self}\nreplay: SIM_SEED={seed} cargo test -p sim --test random one_seed",
            commit()
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { seed, stands, delay, ops } = &*self.scenario;
        writeln!(f, "{stands:?}, delay {delay:?}, network seed {seed:#x}")?;
        for (index, op) in ops.iter().enumerate().take(self.begun) {
            writeln!(f, "  {index:2} {op:?}")?;
        }
        self.tail.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "at {}: {}", self.at, self.what)
    }
}

/// The commit of the sources, as far as git knows.
#[must_use]
pub fn commit() -> String {
    let asked = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let told = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    told.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}

/// The words of a panic.
pub(super) fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without words"))
}
