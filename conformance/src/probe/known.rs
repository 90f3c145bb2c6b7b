//! Differences of an implementation that are known, so that only news fails a run.

use serde::Deserialize;

/// One check that an implementation is known to fail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The check's name.
    pub check: String,
    /// Whose: versions of the published reference, or any word.
    pub versions: Vec<String>,
    /// What it does instead.
    pub reason: String,
    /// Why it does not always fail; without this it must.
    #[serde(default)]
    pub flaky: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    difference: Vec<Difference>,
}

/// The differences that count for one implementation.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<Difference>);

impl Known {
    /// Reads `[[difference]]` tables of a TOML text, for one version or for all.
    ///
    /// # Errors
    /// In words, when the text is not as it should be.
    pub fn parse(text: &str, version: Option<&str>) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.to_string())?;
        let counts = |difference: &Difference| {
            version.is_none_or(|version| difference.versions.iter().any(|listed| listed == version))
        };
        Ok(Self(document.difference.into_iter().filter(counts).collect()))
    }

    /// The differences.
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        &self.0
    }

    /// The check is known to fail.
    #[must_use]
    pub fn lists(&self, check: &str) -> bool {
        self.0.iter().any(|difference| difference.check == check)
    }

    /// What contradicts the list when these checks failed, in words: failures that are not listed, and what is listed, not
    /// flaky, and did not fail.
    #[must_use]
    pub fn contradictions(&self, failed: &[&str]) -> Vec<String> {
        let unexpected = failed.iter().filter(|check| !self.lists(check));
        let mut wrong: Vec<String> = unexpected.map(|check| format!("{check} fails and is not listed")).collect();
        let stale = self.0.iter().filter(|known| known.flaky.is_none() && !failed.contains(&known.check.as_str()));
        wrong.extend(stale.map(|known| format!("{} is listed and did not fail", known.check)));
        wrong.dedup();
        wrong
    }

    /// The list as rows of a Markdown table: check, requirements, versions, what is done instead.
    #[must_use]
    pub fn table(&self) -> String {
        let row = |known: &Difference| {
            let ids = super::checks::all().into_iter().find(|check| check.name == known.check);
            let ids = ids.map_or("no such check".to_owned(), |check| check.ids.join(", "));
            let flaky = known.flaky.as_ref().map(|why| format!("; not always: {why}")).unwrap_or_default();
            format!("| `{}` | {ids} | {} | {}{flaky} |", known.check, known.versions.join(", "), known.reason)
        };
        self.0.iter().map(row).collect::<Vec<_>>().join("\n")
    }
}
