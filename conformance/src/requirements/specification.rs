//! The requirements as they stand in Markdown: a heading with the number, a paragraph with level and words.

use std::collections::BTreeMap;

/// How binding a requirement is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Without it there is no conformance.
    Must,
    /// There may be a reason not to.
    Should,
    /// As one likes.
    May,
}

/// One numbered sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// For example `PP-SACK-3`.
    pub id: String,
    /// How binding it is.
    pub level: Level,
    /// Its words, with single spaces.
    pub text: String,
    /// The file it stands in, for example `sack.md`.
    pub file: String,
}

/// All requirements, and which of them are known to be unmet.
#[derive(Debug, Default)]
pub struct Specification {
    /// In the order of the files and of the text.
    pub requirements: Vec<Requirement>,
    /// Reasons by id, from `gaps.md`.
    pub gaps: BTreeMap<String, String>,
    /// What is wrong with the text itself.
    pub problems: Vec<String>,
}

impl Specification {
    /// Reads `files`, names and contents.
    #[must_use]
    pub fn parse<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let mut specification = Self::default();
        for (file, text) in files {
            if file == "gaps.md" {
                specification.read_gaps(text);
            } else {
                specification.read_requirements(file, text);
            }
        }
        specification.check();
        specification
    }

    /// The requirement `id`.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|requirement| requirement.id == id)
    }

    fn read_requirements(&mut self, file: &str, text: &str) {
        let mut heading: Option<&str> = None;
        for line in text.lines() {
            if let Some(id) = line.strip_prefix("### ").filter(|id| id.starts_with("PP-")) {
                if let Some(empty) = heading.replace(id.trim()) {
                    self.problems.push(format!("spec/{file}: {empty} has no words"));
                }
            } else if let Some((id, (level, words))) = heading.zip(level_and_words(line)) {
                heading = None;
                let text = one_line(words);
                let file = file.to_owned();
                self.requirements.push(Requirement { id: id.to_owned(), level, text, file });
            }
        }
        if let Some(empty) = heading {
            self.problems.push(format!("spec/{file}: {empty} has no words"));
        }
    }

    fn read_gaps(&mut self, text: &str) {
        for line in text.lines().filter(|line| line.starts_with("| PP-")) {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let (id, reason) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            if reason.is_empty() {
                self.problems.push(format!("spec/gaps.md: {id} has no reason"));
            }
            self.gaps.insert(id.to_owned(), reason.to_owned());
        }
    }

    fn check(&mut self) {
        let mut seen = BTreeMap::new();
        for requirement in &self.requirements {
            if let Some(other) = seen.insert(requirement.id.as_str(), requirement.file.as_str()) {
                let Requirement { id, file, .. } = requirement;
                self.problems.push(format!("{id} stands twice: in spec/{other} and spec/{file}"));
            }
        }
        let unknown = self.gaps.keys().filter(|id| !seen.contains_key(id.as_str()));
        self.problems.extend(unknown.map(|id| format!("spec/gaps.md: {id} is no requirement")));
    }
}

impl Requirement {
    /// The subject: `SACK` of `PP-SACK-3`.
    #[must_use]
    pub fn section(&self) -> &str {
        self.id.split('-').nth(1).unwrap_or_default()
    }
}

fn level_and_words(line: &str) -> Option<(Level, &str)> {
    let levels = [("**MUST** ", Level::Must), ("**SHOULD** ", Level::Should), ("**MAY** ", Level::May)];
    levels.into_iter().find_map(|(mark, level)| line.strip_prefix(mark).map(|words| (level, words)))
}

/// The same words with single spaces.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
