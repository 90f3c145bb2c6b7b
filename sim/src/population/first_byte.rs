//! Whether the first byte comes in time, for every class of pairs.
//!
//! A class is two classes of hosts of the mix, whoever of them dials. Pairs without UDP are left out; a byte that never came is late.

use super::pair::Pair;
use super::stats::{percent, rounded};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A first byte may take twice the relay's round trip and this.
const EXTRA: Duration = Duration::from_millis(200);
/// The share of a class's pairs that may be later, percent: the bound is for the 95th percentile.
const LATE: f64 = 5.0;

/// The first bytes of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    pairs: usize,
    late: usize,
}

impl Class {
    fn late_percent(self) -> f64 {
        percent(self.late, self.pairs)
    }

    fn holds(self) -> bool {
        self.late_percent() <= LATE
    }
}

/// The first bytes of all classes.
#[derive(Clone, Debug, Default)]
pub struct FirstByte {
    classes: BTreeMap<String, Class>,
}

impl FirstByte {
    pub(super) fn of(pairs: &[Pair]) -> Self {
        let mut classes = BTreeMap::<String, Class>::new();
        for pair in pairs.iter().filter(|pair| !pair.is_blocked()) {
            let mut names = [0, 1].map(|host: usize| pair.hosts[host].class.as_str());
            names.sort_unstable();
            let class = classes.entry(names.join(" with ")).or_default();
            class.pairs += 1;
            class.late += usize::from(pair.first_byte.is_none_or(|after| after > 2 * pair.relay_rtt + EXTRA));
        }
        Self { classes }
    }

    /// In each class at most 5 % of the first bytes come later than after two round trips through the relay and 200 ms.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.classes.values().all(|class| class.holds())
    }

    fn all(&self) -> Class {
        self.classes
            .values()
            .fold(Class::default(), |sum, class| Class { pairs: sum.pairs + class.pairs, late: sum.late + class.late })
    }

    /// One object, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let object = |class: Class| {
            let late = rounded(class.late_percent());
            json!({"pairs": class.pairs, "late": class.late, "late_percent": late, "holds": class.holds()})
        };
        let classes: Map<String, Value> =
            self.classes.iter().map(|(name, class)| (name.clone(), object(*class))).collect();
        json!({"holds": self.holds(), "all": object(self.all()), "classes": classes})
    }

    /// Lines of a table, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let verdict = |holds: bool| if holds { "holds" } else { "FAILS" };
        let title = format!(
            "first byte within 2 relay round trips + 200 ms for 95 % of every class of pairs: {}",
            verdict(self.holds())
        );
        let classes = self.classes.iter().map(|(name, class)| {
            let (late, verdict) = (class.late_percent(), verdict(class.holds()));
            format!("  {name:<28} {verdict}  {late:>5.1} % of {} are later", class.pairs)
        });
        std::iter::once(title).chain(classes).collect()
    }
}
