//! What was found, for people and for programs.

use super::check::{Check, Stop};
use super::known::Known;
use proto_core::NodeId;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// What a check says about a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The implementation does what is required, as far as this check sees.
    Pass,
    /// It does something else.
    Fail,
    /// Nothing can be said, for the reason given.
    Skip,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// One requirement, seen by one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The requirement's number, such as `PP-KEX-14`.
    pub id: &'static str,
    /// The check's name, such as `exchange/replayed`.
    pub check: &'static str,
    /// What it says.
    pub verdict: Verdict,
    /// What went wrong, or why nothing can be said; empty for a pass.
    pub detail: String,
}

/// All rows of one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The peer under test.
    pub peer: NodeId,
    /// In the order of the checks.
    pub rows: Vec<Row>,
    elapsed: Duration,
}

impl Report {
    pub(super) const fn new(peer: NodeId) -> Self {
        Self { peer, rows: Vec::new(), elapsed: Duration::ZERO }
    }

    pub(super) fn record(&mut self, check: &Check, outcome: Result<(), Stop>) {
        let (verdict, detail) = match outcome {
            Ok(()) => (Verdict::Pass, String::new()),
            Err(Stop::Failed(why)) => (Verdict::Fail, why),
            Err(Stop::Skipped(why)) => (Verdict::Skip, why),
        };
        let row = |id: &&'static str| Row { id, check: check.name, verdict, detail: detail.clone() };
        self.rows.extend(check.ids.iter().map(row));
    }

    pub(super) const fn took(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    /// How many rows have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// The checks with this verdict, each once.
    #[must_use]
    pub fn checks(&self, verdict: Verdict) -> Vec<&'static str> {
        let mut names: Vec<_> = self.rows.iter().filter(|row| row.verdict == verdict).map(|row| row.check).collect();
        names.dedup();
        names
    }

    /// Failures that `known` does not list.
    #[must_use]
    pub fn unexpected<'r>(&'r self, known: &Known) -> Vec<&'r Row> {
        let failed = self.rows.iter().filter(|row| row.verdict == Verdict::Fail);
        failed.filter(|row| !known.lists(row.check)).collect()
    }

    /// The answer for programs: `{"status": .., "data": {..}}`, with status `ok` when nothing unexpected failed.
    #[must_use]
    pub fn to_json(&self, known: &Known) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({"id": row.id, "check": row.check, "verdict": row.verdict.word(), "detail": row.detail,
                "known": row.verdict == Verdict::Fail && known.lists(row.check)})
        });
        json!({
            "status": if self.unexpected(known).is_empty() { "ok" } else { "error" },
            "data": {
                "peer": self.peer.0,
                "passed": self.count(Verdict::Pass),
                "failed": self.count(Verdict::Fail),
                "skipped": self.count(Verdict::Skip),
                "seconds": self.elapsed.as_secs_f64(),
                "requirements": rows.collect::<Vec<_>>(),
            },
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.check.len()).max().unwrap_or(0);
        for row in &self.rows {
            let line = format!("{:<13} {} {:<width$}  {}", row.id, row.verdict.word(), row.check, row.detail);
            writeln!(f, "{}", line.trim_end())?;
        }
        let counts = [Verdict::Pass, Verdict::Fail, Verdict::Skip].map(|verdict| self.count(verdict));
        let [passed, failed, skipped] = counts;
        write!(f, "node {}: {passed} passed, {failed} failed, {skipped} skipped", self.peer.0)?;
        writeln!(f, " in {:.1} s", self.elapsed.as_secs_f64())
    }
}
