//! Holds the tables of `spec/compatibility.md` against the cases: neither may have what the other lacks.

use crate::case::{Case, Row};
use std::collections::BTreeSet;
use std::path::Path;

/// A cell of a combination that has no meaning, and therefore no case.
const NOTHING: &str = "–";

/// Compares the cases with the document's rows.
///
/// # Errors
/// Names every case without a row and every row without a case.
pub(crate) fn check(cases: &[Case]) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/compatibility.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let written = rows(&text);
    let shown: BTreeSet<Row> = cases.iter().flat_map(|case| case.rows().iter().cloned()).collect();
    let count: usize = cases.iter().map(|case| case.rows().len()).sum();
    let mut wrong: Vec<String> =
        shown.difference(&written).map(|row| format!("a case without a row: {row:?}")).collect();
    wrong.extend(written.difference(&shown).map(|row| format!("a row without a case: {row:?}")));
    if count != shown.len() {
        wrong.push(format!("{count} rows are shown by cases, but only {} different ones", shown.len()));
    }
    if wrong.is_empty() && !written.is_empty() {
        Ok(())
    } else {
        Err(format!("{}\n{}", path.display(), wrong.join("\n")))
    }
}

/// Every combination that has a cell. A section's key stands in its heading in backquotes; a table's columns after the
/// second are versions.
fn rows(text: &str) -> BTreeSet<Row> {
    let (mut found, mut section, mut versions) = (BTreeSet::new(), String::new(), Vec::new());
    for line in text.lines() {
        if line.starts_with('#') {
            section = line.split('`').nth(1).unwrap_or_default().to_owned();
            versions = Vec::new();
        }
        let Some(inner) = line.strip_prefix('|').and_then(|line| line.trim_end().strip_suffix('|')) else { continue };
        let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["Feature", "Direction", names @ ..] => versions = names.iter().map(ToString::to_string).collect(),
            [feature, direction, results @ ..] if !feature.starts_with("--") => {
                for (version, _) in versions.iter().zip(results).filter(|(_, result)| **result != NOTHING) {
                    let [feature, direction] = [feature, direction].map(|text| (*text).to_owned());
                    found.insert(Row { section: section.clone(), feature, direction, version: version.clone() });
                }
            }
            _ => {}
        }
    }
    found
}
