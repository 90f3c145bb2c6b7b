//! Shares with their uncertainty, and percentiles.

use serde_json::{Value, json};

/// The share of `hits` in `of`, percent; 0 of nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of pairs are far below 2^52")]
pub(crate) fn percent(hits: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { 100.0 * hits as f64 / of as f64 }
}

/// The 95 % interval of a share after Wilson (1927), percent.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of pairs are far below 2^52")]
pub fn wilson(hits: usize, of: usize) -> [f64; 2] {
    const Z: f64 = 1.96;
    if of == 0 {
        return [0.0, 100.0];
    }
    let (n, share) = (of as f64, hits as f64 / of as f64);
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 100.0 / (1.0 + Z * Z / n);
    [(centre - spread) * scale, (centre + spread) * scale]
}

/// Numbers by rank.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranked(Vec<u64>);

impl Ranked {
    /// Sorts them.
    #[must_use]
    pub(crate) fn new(numbers: impl Iterator<Item = u64>) -> Self {
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        Self(numbers)
    }

    /// The smallest that `percent` of all do not exceed.
    #[must_use]
    pub(crate) fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// Median, 95 %, and how many there are.
    #[must_use]
    pub(crate) fn json(&self) -> Value {
        json!({"p50": self.percentile(50), "p95": self.percentile(95), "count": self.0.len()})
    }

    /// Median and 95 % for a table.
    #[must_use]
    pub(crate) fn words(&self) -> String {
        match (self.percentile(50), self.percentile(95)) {
            (Some(half), Some(most)) => format!("{half} / {most}"),
            _ => "-".to_owned(),
        }
    }
}

/// Two decimals are more than the sample is worth.
#[must_use]
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}
