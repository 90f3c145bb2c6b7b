//! Annotations in sources: comment lines that say which requirement the code beside them is about.

use super::specification::one_line;

/// What an annotation claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The behaviour is decided here.
    Implementation,
    /// This test would notice if it were otherwise.
    Test,
    /// It is not done, for this reason.
    Exception(String),
    /// A type that does not exist.
    Unknown(String),
}

/// One annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The source, relative to the repository.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    /// What stands behind `//=`: file and anchor.
    pub target: String,
    /// What it claims.
    pub kind: Kind,
    /// The words it quotes, with single spaces.
    pub quote: String,
    /// It stands in test code.
    pub in_test: bool,
}

/// The annotations of the source `text` at `path`.
#[must_use]
pub fn annotations(path: &str, text: &str) -> Vec<Annotation> {
    let mut found: Vec<Annotation> = Vec::new();
    let mut open = false;
    let mut in_test = is_test_file(path);
    let mut previous = "";
    for (index, line) in text.lines().map(str::trim).enumerate() {
        // A module of tests in this file, and not the declaration of one beside it.
        in_test |= previous == "#[cfg(test)]" && line.ends_with('{');
        previous = line;
        if let Some(meta) = line.strip_prefix("//=").map(str::trim) {
            match found.last_mut().filter(|_| open) {
                Some(last) if meta.contains('=') && !meta.starts_with("spec/") => last.qualify(meta),
                _ => found.push(Annotation::new(path, index + 1, meta, in_test)),
            }
            open = true;
        } else if let Some((words, last)) = line.strip_prefix("//#").zip(found.last_mut()).filter(|_| open) {
            last.quote = one_line(&format!("{} {words}", last.quote));
        } else {
            open = false;
        }
    }
    found
}

impl Annotation {
    fn new(path: &str, line: usize, target: &str, in_test: bool) -> Self {
        let kind = Kind::Implementation;
        Self { path: path.to_owned(), line, target: target.to_owned(), kind, quote: String::new(), in_test }
    }

    fn qualify(&mut self, meta: &str) {
        match (meta.split_once('=').map(|(name, value)| (name.trim(), value.trim())), &mut self.kind) {
            (Some(("type", "test")), _) => self.kind = Kind::Test,
            (Some(("type", "exception")), _) => self.kind = Kind::Exception(String::new()),
            (Some(("reason", words)), Kind::Exception(reason)) => *reason = one_line(&format!("{reason} {words}")),
            _ => self.kind = Kind::Unknown(meta.to_owned()),
        }
    }
}

/// Files that hold nothing but tests.
fn is_test_file(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| part == "tests" || part == "tests.rs")
}
