//! Counting comparisons, and the encodings the vector file uses.

use core::fmt::Debug;
use data_encoding::HEXLOWER;
use serde::de::{Deserialize, Deserializer, Error};

/// What came of one family.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub family: String,
    /// Comparisons made.
    pub checks: usize,
    /// Those that failed: where, what was expected, what was computed.
    pub failures: Vec<String>,
}

/// Collects comparisons of one family, under the path of the entry at hand.
#[derive(Debug)]
pub(super) struct Checker {
    report: Report,
    entry: String,
}

impl Checker {
    pub(super) fn new(family: &str) -> Self {
        let report = Report { family: family.to_owned(), checks: 0, failures: Vec::new() };
        Self { report, entry: String::new() }
    }

    /// A family in which nothing was compared has failed.
    pub(super) fn finish(mut self) -> Report {
        if self.report.checks == 0 && self.report.failures.is_empty() {
            self.fail("nothing was compared");
        }
        self.report
    }

    /// Names the entry the next comparisons belong to.
    pub(super) fn entry(&mut self, name: impl Into<String>) {
        self.entry = name.into();
    }

    /// Computed and expected must be equal.
    pub(super) fn equal<A: Debug + PartialEq<E>, E: Debug>(&mut self, field: &str, computed: A, expected: E) {
        self.report.checks += 1;
        if computed != expected {
            self.fail(&format!("{field}: computed {computed:?}, expected {expected:?}"));
        }
    }

    /// Something must hold.
    pub(super) fn holds(&mut self, claim: &str, truth: bool) {
        self.report.checks += 1;
        if !truth {
            self.fail(&format!("does not hold: {claim}"));
        }
    }

    /// The computed value; its absence is a failure.
    pub(super) fn some<T>(&mut self, claim: &str, value: Option<T>) -> Option<T> {
        self.holds(claim, value.is_some());
        value
    }

    pub(super) fn fail(&mut self, what: &str) {
        self.report.failures.push(format!("{} {}: {what}", self.report.family, self.entry));
    }
}

/// Bytes, in the file as lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

/// Exactly `N` bytes, in the file as lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HexArray<const N: usize>(pub(super) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for HexArray<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Hex::deserialize(deserializer)?.0;
        let len = bytes.len();
        bytes.try_into().map(Self).map_err(|_| D::Error::custom(format!("{len} bytes instead of {N}")))
    }
}

/// Names, reasons and remarks of an entry: prose, so only their being text is checked.
#[derive(Clone, Debug)]
pub(super) struct Prose;

impl<'de> Deserialize<'de> for Prose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}
