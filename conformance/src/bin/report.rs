//! Prints how far the requirements of `spec/` are covered, and writes `target/requirements.html`.

use conformance::requirements::{ENFORCED, annotations_below, judge, page, specification_of};
use std::path::Path;
use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let report = judge(&specification_of(root)?, &annotations_below(root)?, ENFORCED);
    print!("{report}");
    let file = root.join("target/requirements.html");
    std::fs::create_dir_all(root.join("target"))?;
    std::fs::write(&file, page(&report))?;
    println!("{}", file.display());
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
