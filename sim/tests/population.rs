//! The population report: mixes are sound, results follow from the seed alone, and the measured shares are where they belong.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use proto_core::endpoint::Ladder;
use sim::population::{Mix, Options, Pair, Report, run, wilson};
use sim::{Rung, Verdict};

fn options(pairs: u64, jobs: usize) -> Options {
    Options { seed: 7, pairs, like_dcutr: false, ladder: Ladder::default(), jobs }
}

fn report(mix: &str, options: Options) -> Report {
    run(&Mix::named(mix).unwrap(), &options, |_| ())
}

#[test]
fn every_mix_reads_and_an_unknown_one_is_told_the_names() {
    for name in ["A", "b", "C"] {
        let mix = Mix::named(name).unwrap();
        assert_eq!(mix.class.len(), 4);
    }
    let error = Mix::named("D").unwrap_err();
    assert!(error.contains("A, B, C"), "{error}");
}

#[test]
fn a_mix_without_sources_or_with_wrong_shares_is_refused() {
    let good = include_str!("../mixes/A.toml");
    assert!(Mix::parse(good).is_ok());
    let shares = Mix::parse(&good.replace("share = { value = 55,", "share = { value = 56,")).unwrap_err();
    assert!(shares.contains("101"), "{shares}");
    let source = Mix::parse(&good.replace("few =", "fewer =")).unwrap_err();
    assert!(source.contains("\"few\""), "{source}");
    assert!(Mix::parse(&good.replace(", source = \"few\"", "")).is_err(), "a number without a source");
}

#[test]
fn the_report_depends_on_the_seed_and_not_on_the_number_of_jobs() {
    let words = |jobs, seed| report("A", Options { seed, ..options(12, jobs) }).json().to_string();
    assert_eq!(words(1, 7), words(3, 7));
    assert_ne!(words(1, 7), words(1, 8));
}

#[test]
fn intervals_are_wilsons() {
    let [low, high] = wilson(70, 100);
    assert!((60.4..60.5).contains(&low) && (78.1..78.2).contains(&high), "{low} {high}");
    assert_eq!(wilson(0, 0), [0.0, 100.0]);
}

#[test]
fn everybody_with_udp_is_connected_and_nobody_beats_the_oracle() {
    let report = report("A", options(60, 2));
    assert!((report.connected_percent() - 100.0).abs() < 1e-9, "{}", report.table());
    let impossible = |pair: &&Pair| pair.rung.is_some() && !matches!(pair.oracle, Verdict::Direct(_));
    let beaten: Vec<&Pair> = report.pairs().iter().filter(impossible).collect();
    assert!(beaten.is_empty(), "the oracle knows too little: {beaten:?}");
    let punched = |pair: &&Pair| pair.oracle == Verdict::Direct(Rung::Punch) && pair.rung.is_none();
    assert_eq!(report.pairs().iter().filter(punched).count(), 0, "{}", report.table());
}

#[test]
fn every_mix_has_its_first_byte_in_time_and_comes_close_to_what_its_boxes_allow() {
    for mix in ["A", "B", "C"] {
        let report = report(mix, options(60, 2));
        assert!(report.first_byte().holds(), "{mix}: {}", report.table());
        assert!(report.oracle_percent() - report.direct_percent() <= 3.0, "{mix}: {}", report.table());
        assert!((report.connected_percent() - 100.0).abs() < 1e-9, "{mix}: {}", report.table());
        let punching = &report.json()["time_to_direct_where_punching_suffices_ms"];
        assert!(punching["p95"].as_u64().unwrap() < 3_000, "{mix}: {punching}");
        let mut relayed = report.pairs().iter().filter(|pair| pair.rung.is_none() && pair.is_connected());
        assert!(relayed.all(|pair| pair.reason.is_some()), "{mix}: a relayed pair without a reason");
    }
}

#[test]
fn restricted_to_punching_it_lands_where_libp2p_was_measured() {
    // 70 % +- 7.1 % (arXiv 2510.27500), and the uncertainty of 150 pairs.
    let report = report("A", Options { like_dcutr: true, ..options(150, 2) });
    let [low, high] = report.ci95();
    assert!(low < 77.1 && high > 62.9, "{}", report.table());
    let spread = |pair: &&Pair| pair.sockets > 1 || pair.rung.is_some_and(|rung| rung != Rung::Punch);
    assert_eq!(report.pairs().iter().filter(spread).count(), 0);
}
