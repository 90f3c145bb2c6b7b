//! What all pairs of a run say together, as a table for people and as one object for programs.

use super::first_byte::FirstByte;
use super::pair::Pair;
use super::stats::{Ranked, percent, rounded, wilson};
use crate::oracle::{Rung, Verdict};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Over all pairs.
#[derive(Debug)]
pub struct Report {
    pairs: Vec<Pair>,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Report {
    pub(super) const fn new(pairs: Vec<Pair>) -> Self {
        Self { pairs }
    }

    /// The pairs, in the order of their numbers.
    #[must_use]
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    fn count(&self, wanted: impl Fn(&Pair) -> bool) -> usize {
        self.pairs.iter().filter(|pair| wanted(pair)).count()
    }

    fn share(&self, wanted: impl Fn(&Pair) -> bool) -> f64 {
        percent(self.count(wanted), self.pairs.len())
    }

    /// Pairs with a direct path, percent of all, pairs without UDP included.
    #[must_use]
    pub fn direct_percent(&self) -> f64 {
        self.share(|pair| pair.rung.is_some())
    }

    /// Pairs for which the boxes allow a direct path, percent of all.
    #[must_use]
    pub fn oracle_percent(&self) -> f64 {
        self.share(|pair| matches!(pair.oracle, Verdict::Direct(_)))
    }

    /// Pairs of which both have UDP and that got a message across, percent of those.
    #[must_use]
    pub fn connected_percent(&self) -> f64 {
        let of = self.count(|pair| !pair.is_blocked());
        percent(self.count(|pair| !pair.is_blocked() && pair.is_connected()), of)
    }

    /// The 95 % interval of [`Self::direct_percent`].
    #[must_use]
    pub fn ci95(&self) -> [f64; 2] {
        wilson(self.count(|pair| pair.rung.is_some()), self.pairs.len())
    }

    /// When the first bytes of pairs with UDP came, class by class.
    #[must_use]
    pub fn first_byte(&self) -> FirstByte {
        FirstByte::of(&self.pairs)
    }

    fn ranked(&self, number: impl Fn(&Pair) -> Option<u64>) -> Ranked {
        Ranked::new(self.pairs.iter().filter_map(number))
    }

    fn direct_times(&self, wanted: impl Fn(&Pair) -> bool) -> Ranked {
        self.ranked(|pair| pair.direct_after.filter(|_| pair.rung.is_some() && wanted(pair)).map(millis))
    }

    fn rung(&self, rung: Rung) -> Value {
        let is = |pair: &Pair| pair.rung == Some(rung);
        // Who could have got by with a cheaper one is none of its business.
        let due = self.count(|pair| pair.oracle == Verdict::Direct(rung));
        let hits = self.count(|pair| pair.oracle == Verdict::Direct(rung) && pair.rung.is_some());
        json!({
            "pairs": self.count(is),
            "percent": rounded(self.share(is)),
            "ci95": wilson(self.count(is), self.pairs.len()).map(rounded),
            "possible": due,
            "success_percent": rounded(percent(hits, due)),
            "success_ci95": wilson(hits, due).map(rounded),
            "time_to_direct_ms": self.direct_times(is).json(),
            "probes": self.ranked(|pair| is(pair).then_some(pair.probes)).json(),
            "sockets": self.ranked(|pair| is(pair).then_some(pair.sockets as u64)).json(),
            "relay_bytes": self.ranked(|pair| is(pair).then_some(pair.relay_bytes)).json(),
        })
    }

    /// Pairs that the oracle would have direct and that were not: kinds of box, cheapest rung, what the endpoint says; and how many.
    #[must_use]
    pub fn missed(&self) -> BTreeMap<String, usize> {
        let mut missed = BTreeMap::new();
        for pair in self.pairs.iter().filter(|pair| pair.rung.is_none()) {
            let Verdict::Direct(rung) = pair.oracle else { continue };
            let mut kinds = [0, 1].map(|host: usize| pair.hosts[host].kind());
            kinds.sort_unstable();
            let reason = pair.reason.unwrap_or("no path");
            *missed.entry(format!("{} with {} by {}: {reason}", kinds[0], kinds[1], rung.name())).or_default() += 1;
        }
        missed
    }

    /// One object, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let blocked = self.count(Pair::is_blocked);
        let rungs: Map<String, Value> =
            Rung::ALL.into_iter().map(|rung| (rung.name().to_owned(), self.rung(rung))).collect();
        json!({
            "pairs": self.pairs.len(),
            "direct_percent": rounded(self.direct_percent()),
            "ci95": self.ci95().map(rounded),
            "oracle_percent": rounded(self.oracle_percent()),
            "connected_percent": rounded(self.connected_percent()),
            "rungs": rungs,
            "relayed_percent": rounded(self.share(|pair| pair.rung.is_none() && pair.is_connected())),
            "first_byte_ms": self.ranked(|pair| pair.first_byte.map(millis)).json(),
            "relay_rtt_ms": self.ranked(|pair| Some(millis(pair.relay_rtt))).json(),
            "first_byte_bound": self.first_byte().json(),
            "time_to_direct_ms": self.direct_times(|_| true).json(),
            "time_to_direct_where_punching_suffices_ms":
                self.direct_times(|pair| pair.oracle == Verdict::Direct(Rung::Punch)).json(),
            "probes": self.ranked(|pair| Some(pair.probes)).json(),
            "sockets": self.ranked(|pair| Some(pair.sockets as u64)).json(),
            "relay_bytes": self.ranked(|pair| Some(pair.relay_bytes)).json(),
            "udp_blocked": {
                "pairs": blocked,
                "percent": rounded(percent(blocked, self.pairs.len())),
                "connected": self.count(|pair| pair.is_blocked() && pair.is_connected()),
                "direct_percent_without_them":
                    rounded(percent(self.count(|pair| pair.rung.is_some()), self.pairs.len() - blocked)),
            },
            "missed": self.missed(),
        })
    }

    /// A table, for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let [low, high] = self.ci95();
        let mut line = |words: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{words}");
        };
        line(format_args!("pairs       {}", self.pairs.len()));
        line(format_args!("direct      {:.1} %  (95 %: {low:.1} to {high:.1})", self.direct_percent()));
        line(format_args!("oracle      {:.1} %  the boxes allow no more", self.oracle_percent()));
        line(format_args!("connected   {:.2} %  of pairs with UDP, relay included", self.connected_percent()));
        let blocked = self.count(Pair::is_blocked);
        let arrived = self.count(|pair| pair.is_blocked() && pair.is_connected());
        line(format_args!("without UDP {blocked} pairs, {arrived} of them connected"));
        let first = self.ranked(|pair| pair.first_byte.map(millis));
        line(format_args!("first byte  {} ms (p50 / p95)", first.words()));
        let punched = self.direct_times(|pair| pair.oracle == Verdict::Direct(Rung::Punch));
        line(format_args!(
            "direct in   {} ms; {} ms where punching suffices",
            self.direct_times(|_| true).words(),
            punched.words()
        ));
        line(format_args!(""));
        for words in self.first_byte().lines() {
            line(format_args!("{words}"));
        }
        line(format_args!(""));
        line(format_args!(
            "{:<11} {:>6} {:>7} {:>15} {:>8} {:>8}  {:>14} {:>12} {:>9} {:>15}",
            "rung", "pairs", "share", "95 %", "due", "success", "ms p50 / p95", "probes", "sockets", "relay bytes"
        ));
        for rung in Rung::ALL {
            let is = |pair: &Pair| pair.rung == Some(rung);
            let [low, high] = wilson(self.count(is), self.pairs.len());
            let due = self.count(|pair| pair.oracle == Verdict::Direct(rung));
            let hits = self.count(|pair| pair.oracle == Verdict::Direct(rung) && pair.rung.is_some());
            line(format_args!(
                "{:<11} {:>6} {:>6.1}% {:>15} {:>8} {:>7.1}%  {:>14} {:>12} {:>9} {:>15}",
                rung.name(),
                self.count(is),
                self.share(is),
                format!("{low:.1} to {high:.1}"),
                due,
                percent(hits, due),
                self.direct_times(is).words(),
                self.ranked(|pair| is(pair).then_some(pair.probes)).words(),
                self.ranked(|pair| is(pair).then_some(pair.sockets as u64)).words(),
                self.ranked(|pair| is(pair).then_some(pair.relay_bytes)).words(),
            ));
        }
        for (what, count) in self.missed() {
            line(format_args!("missed {count:>5}  {what}"));
        }
        text
    }
}
