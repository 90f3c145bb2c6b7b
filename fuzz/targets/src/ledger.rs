//! How long every target has been fuzzed without a finding, per code that it reaches: `fuzz/ledger.tsv`, a row a target.

use crate::{TARGETS, corpus, reach};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

const FILE: &str = "fuzz/ledger.tsv";
const HEAD: &str = "target\tcode\tcpu_seconds\tinputs";

/// What was spent on one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spent {
    /// The hash of the code it was spent on.
    code: String,
    cpu_seconds: u64,
    inputs: u64,
}

type Rows = BTreeMap<String, Spent>;

fn parse(text: &str) -> Option<Rows> {
    let mut lines = text.lines();
    (lines.next() == Some(HEAD)).then_some(())?;
    let row = |line: &str| {
        let mut columns = line.split('\t');
        let (target, code) = (columns.next()?.to_owned(), columns.next()?.to_owned());
        let (cpu_seconds, inputs) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
        columns.next().is_none().then_some((target, Spent { code, cpu_seconds, inputs }))
    };
    lines.map(row).collect()
}

fn emit(rows: &Rows) -> String {
    let mut text = format!("{HEAD}\n");
    for (target, Spent { code, cpu_seconds, inputs }) in rows {
        let _ = writeln!(text, "{target}\t{code}\t{cpu_seconds}\t{inputs}");
    }
    text
}

fn read(root: &Path) -> io::Result<Rows> {
    let text = std::fs::read_to_string(root.join(FILE))?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{FILE} is not a ledger")))
}

/// What was spent on the code that `target` reaches today.
fn spent(root: &Path, rows: &Rows, target: &str) -> io::Result<Spent> {
    let module = crate::module_of(target).ok_or_else(|| io::Error::other(format!("no target {target}")))?;
    let (_, code) = reach::reach(root, module)?;
    let kept = rows.get(target).filter(|row| row.code == code).cloned();
    Ok(kept.unwrap_or(Spent { code, ..Spent::default() }))
}

/// Adds clean fuzzing to the row of `target`; what was spent on other code is forgotten.
///
/// # Errors
/// The file's, and for a target that does not exist.
pub fn credit(target: &str, cpu_seconds: u64, inputs: u64) -> io::Result<String> {
    let root = corpus::repository();
    let mut rows = read(&root)?;
    let mut row = spent(&root, &rows, target)?;
    row.cpu_seconds += cpu_seconds;
    row.inputs += inputs;
    let told = format!("{target}: {} s of processor time on {}", row.cpu_seconds, row.code);
    rows.insert(target.to_owned(), row);
    std::fs::write(root.join(FILE), emit(&rows))?;
    Ok(told)
}

/// Every target with the processor seconds spent on the code it reaches today, and the inputs tried; least first.
///
/// # Errors
/// The files'.
pub fn standing() -> io::Result<String> {
    let root = corpus::repository();
    let rows = read(&root)?;
    let mut table = Vec::new();
    for (target, _) in TARGETS {
        let Spent { code, cpu_seconds, inputs } = spent(&root, &rows, target)?;
        table.push((cpu_seconds, format!("{target}\t{code}\t{cpu_seconds}\t{inputs}")));
    }
    table.sort();
    Ok(table.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_as_it_was_written() {
        let spent = Spent { code: "0123456789abcdef".to_owned(), cpu_seconds: 7, inputs: 9 };
        let rows: Rows = [("header".to_owned(), spent)].into();
        assert_eq!(parse(&emit(&rows)), Some(rows));
        for wrong in [
            "",
            "target",
            "target\tcode\tcpu_seconds\tinputs\nheader\tx\t1",
            "target\tcode\tcpu_seconds\tinputs\nheader\tx\t1\t2\t3",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_committed_ledger_is_one_and_names_targets_only() {
        let rows = read(&corpus::repository()).unwrap();
        assert!(rows.keys().all(|target| crate::find(target).is_some()), "{rows:?}");
    }

    #[test]
    fn time_spent_on_other_code_does_not_count() {
        let root = corpus::repository();
        let code = spent(&root, &Rows::new(), "header").unwrap().code;
        let row = |code: &str| {
            Rows::from([("header".to_owned(), Spent { code: code.to_owned(), cpu_seconds: 7, inputs: 9 })])
        };
        assert_eq!(spent(&root, &row(&code), "header").unwrap().cpu_seconds, 7);
        assert_eq!(spent(&root, &row("another"), "header").unwrap().cpu_seconds, 0);
    }
}
