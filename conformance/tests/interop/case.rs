//! One case: what it shows, with which version, and how. Knows nothing of what the cases do.

use crate::equipment::{Equipment, at_least};
use libtest_mimic::Trial;
use std::sync::Arc;

/// What a row of the compatibility table says is possible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// The section's key, in the section's heading.
    pub(crate) section: String,
    /// What is done.
    pub(crate) feature: String,
    /// Who does it to whom.
    pub(crate) direction: String,
    /// With which version of the reference, or which pair of versions.
    pub(crate) version: String,
}

/// A trial that shows what one row says, or several that share a set-up worth sharing.
pub(crate) struct Case {
    name: String,
    rows: Vec<Row>,
    run: Box<dyn FnOnce(&Equipment) + Send>,
}

impl Case {
    /// A case that shows one row.
    pub(crate) fn new(
        section: &str,
        (feature, direction): (&str, &str),
        version: &str,
        run: impl FnOnce(&Equipment) + Send + 'static,
    ) -> Self {
        let name = [section, feature, direction, version].map(slug).join("/");
        Self { name, rows: vec![row(section, (feature, direction), version)], run: Box::new(run) }
    }

    /// A case that shows all of `rows`, each a feature with its direction, one after the other with one set-up.
    pub(crate) fn sharing(
        section: &str,
        title: &str,
        rows: &[(&str, &str)],
        version: &str,
        run: impl FnOnce(&Equipment) + Send + 'static,
    ) -> Self {
        let rows = rows.iter().map(|shown| row(section, *shown, version)).collect();
        Self { name: [section, title, version].map(slug).join("/"), rows, run: Box::new(run) }
    }

    /// The rows it shows.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Ready to be listed, and to be run when there is equipment.
    pub(crate) fn into_trial(self, equipment: Option<Arc<Equipment>>) -> Trial {
        Trial::test(self.name, move || {
            (self.run)(&equipment.expect("trials run with equipment"));
            Ok(())
        })
    }
}

/// Whether a version is of the generation that came after 1.9.1.
pub(crate) fn is_newer(version: &str) -> bool {
    at_least(version, "1.10.0")
}

/// Whether a version signs its registrations and says its number in them, and streams files: so from 1.12 on, as far as was looked.
pub(crate) fn signs_and_streams(version: &str) -> bool {
    at_least(version, "1.12.0")
}

fn row(section: &str, (feature, direction): (&str, &str), version: &str) -> Row {
    let [section, feature, direction, version] = [section, feature, direction, version].map(str::to_owned);
    Row { section, feature, direction, version }
}

/// A name that needs no quotes on a command line.
fn slug(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let plain: String = text.chars().map(|c| if allowed(c) { c.to_ascii_lowercase() } else { '-' }).collect();
    plain.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}
