//! The list of known differences, and the document that renders it.

use conformance::probe::Known;
use std::path::Path;

/// Where the list is.
pub(crate) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/reference/known-differences.toml");

const LIST: &str = include_str!("../../reference/known-differences.toml");

/// The differences of one version, or of all.
pub(crate) fn known(version: Option<&str>) -> Result<Known, String> {
    Known::parse(LIST, version)
}

/// The table of `spec/compatibility.md` is the list.
pub(crate) fn check() -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/compatibility.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let known = known(None)?;
    if known.differences().is_empty() {
        return Err("no difference is listed at all".to_owned());
    }
    let missing: Vec<String> = known.table().lines().filter(|row| !text.contains(*row)).map(str::to_owned).collect();
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.contains("| PP-")).count();
    if missing.is_empty() && rows == known.differences().len() {
        return Ok(());
    }
    Err(format!("{}: {rows} rows, and of the list these are missing:\n{}", path.display(), missing.join("\n")))
}
