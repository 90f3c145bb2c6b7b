//! The gate: requirements, code and tests agree. And that the gate can fail, for each of its reasons.

use conformance::requirements::{
    ENFORCED, Level, Report, Specification, annotations, annotations_below, judge, page, specification_of,
};
use std::path::Path;

#[test]
fn the_repository_keeps_its_requirements() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let specification = specification_of(root).unwrap();
    assert!(specification.requirements.len() > 300, "the specification was not found");
    let annotations = annotations_below(root).unwrap();
    assert!(!annotations.is_empty(), "no annotation was found");
    let report = judge(&specification, &annotations, ENFORCED);
    println!("{report}");
    assert!(report.problems.is_empty(), "{}", report.problems.join("\n"));
}

const REQUIREMENTS: &str = "
### PP-TEA-1

**MUST** Water is boiled before the leaves are put in.

Source: ours.

### PP-TEA-2

**SHOULD** Milk is put in last.
";
const BOILED: &str = "@= spec/tea.md#pp-tea-1\n@# Water is boiled\n@# before the leaves";
const BOILED_TEST: &str = "@= spec/tea.md#pp-tea-1\n@= type=test\n@# Water is boiled before";
const MILK: &str = "@= spec/tea.md#pp-tea-2\n@# Milk is put in last.";
const MILK_TEST: &str = "@= spec/tea.md#pp-tea-2\n@= type=test\n@# Milk is put in last.";

/// Annotations are written with `@`, so that this file has none of them.
fn judged(specification: &[(&str, &str)], code: &str, tests: &str) -> Report {
    let specification = Specification::parse(specification.iter().copied());
    let source = |path, text: &str| annotations(path, &text.replace('@', "//"));
    let found = [source("kettle/src/lib.rs", code), source("kettle/tests/pot.rs", tests)].concat();
    judge(&specification, &found, &["TEA"])
}

fn problems(code: &str, tests: &str) -> Vec<String> {
    judged(&[("tea.md", REQUIREMENTS)], code, tests).problems
}

fn all(parts: &[&str]) -> String {
    parts.join("\nlet tea = 1;\n")
}

#[test]
fn what_is_implemented_and_tested_passes() {
    let report = judged(&[("tea.md", REQUIREMENTS)], &all(&[BOILED, MILK]), &all(&[BOILED_TEST, MILK_TEST]));
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(report.sections[0].coverage(Level::Must), (1, 1));
    assert_eq!(report.sections[0].rows[0].implementations, ["kettle/src/lib.rs:1"]);
    let page = page(&report);
    assert!(page.contains("kettle/tests/pot.rs:1") && page.contains("class=\"covered\""));
}

#[test]
fn a_must_without_implementation_or_test_fails() {
    assert_eq!(problems(MILK, &all(&[BOILED_TEST, MILK_TEST])), ["PP-TEA-1 has no implementation"]);
    assert_eq!(problems(&all(&[BOILED, MILK]), MILK_TEST), ["PP-TEA-1 has no test"]);
}

#[test]
fn shoulds_below_95_percent_fail() {
    assert_eq!(problems(BOILED, BOILED_TEST), ["TEA: 0 of 1 SHOULDs are covered"]);
}

#[test]
fn other_words_and_no_words_fail() {
    let inexact = BOILED.replace("boiled", "heated");
    let found = problems(&all(&[BOILED, MILK, &inexact]), &all(&[BOILED_TEST, MILK_TEST]));
    assert!(matches!(found.as_slice(), [one] if one.contains("not the words of PP-TEA-1")), "{found:?}");
    let silent = problems(&all(&[BOILED, MILK, "@= spec/tea.md#pp-tea-1"]), &all(&[BOILED_TEST, MILK_TEST]));
    assert!(matches!(silent.as_slice(), [one] if one.ends_with("PP-TEA-1 is not quoted")), "{silent:?}");
}

#[test]
fn unknown_requirements_types_and_places_fail() {
    let covered = (all(&[BOILED, MILK]), all(&[BOILED_TEST, MILK_TEST]));
    for (wrong, words) in [
        ("@= spec/tea.md#pp-tea-9\n@# Milk is put in last.", "is no requirement"),
        ("@= spec/coffee.md#pp-tea-1\n@# Water is boiled", "is no requirement"),
        ("@= spec/tea.md#pp-tea-1\n@= type=hope\n@# Water is boiled", "unknown"),
        ("@= spec/tea.md#pp-tea-1\n@= type=test\n@# Water is boiled", "outside of tests"),
        ("@= spec/tea.md#pp-tea-1\n@= type=exception\n@# Water is boiled", "without a reason"),
    ] {
        let found = problems(&all(&[&covered.0, wrong]), &covered.1);
        assert!(matches!(found.as_slice(), [one] if one.contains(words)), "{words}: {found:?}");
    }
    let found = problems(&covered.0, &all(&[&covered.1, BOILED]));
    assert!(matches!(found.as_slice(), [one] if one.contains("without type=test")), "{found:?}");
}

#[test]
fn a_number_that_stands_twice_or_says_nothing_fails() {
    let twice = judged(
        &[("tea.md", REQUIREMENTS), ("pot.md", "### PP-TEA-1\n\n**MAY** Pots are warmed.\n")],
        &all(&[BOILED, MILK]),
        &all(&[BOILED_TEST, MILK_TEST]),
    );
    assert_eq!(twice.problems, ["PP-TEA-1 stands twice: in spec/tea.md and spec/pot.md"]);
    let empty = Specification::parse([("tea.md", "### PP-TEA-1\n\nWater.\n")]);
    assert_eq!(empty.problems, ["spec/tea.md: PP-TEA-1 has no words"]);
}

#[test]
fn exceptions_count_with_their_reason_and_end_with_it() {
    let excepted = "@= spec/tea.md#pp-tea-1\n@= type=exception\n@= reason=no kettle\n@# Water is boiled";
    let report = judged(&[("tea.md", REQUIREMENTS)], &all(&[excepted, MILK]), MILK_TEST);
    assert_eq!(report.problems, [""; 0]);
    assert!(report.to_string().contains("exception PP-TEA-1: no kettle"));

    let gaps = ("gaps.md", "| PP-TEA-1 | no kettle | the next issue |\n");
    let report = judged(&[gaps, ("tea.md", REQUIREMENTS)], MILK, MILK_TEST);
    assert_eq!((report.problems.len(), report.sections[0].exceptions()), (0, 1));
    let stale = judged(&[gaps, ("tea.md", REQUIREMENTS)], &all(&[BOILED, MILK]), &all(&[BOILED_TEST, MILK_TEST]));
    assert!(stale.problems[0].ends_with("PP-TEA-1 is implemented and tested, and yet an exception"));

    let unknown = Specification::parse([("gaps.md", "| PP-TEA-7 | | |\n")]);
    assert_eq!(unknown.problems, ["spec/gaps.md: PP-TEA-7 has no reason", "spec/gaps.md: PP-TEA-7 is no requirement"]);
}

#[test]
fn a_subject_that_is_not_enforced_is_shown_as_such() {
    let specification = Specification::parse([("tea.md", REQUIREMENTS)]);
    let report = judge(&specification, &[], &[]);
    assert_eq!(report.problems, [""; 0]);
    assert!(report.to_string().contains("not enforced yet"));
    assert_eq!(judge(&specification, &[], &["MATE", "TEA"]).problems[0], "MATE is enforced and has no requirement");
}

#[test]
fn a_module_of_tests_is_recognised_in_a_source() {
    let beside = "#[cfg(test)]\nmod tests;\n@= spec/tea.md#pp-tea-1\n@# Water is boiled";
    assert!(!annotations("kettle/src/lib.rs", &beside.replace('@', "//"))[0].in_test);
    let text =
        "//\n#[cfg(test)]\nmod tests {\n    @= spec/tea.md#pp-tea-1\n    @= type=test\n    @# Water is boiled\n}";
    let found = annotations("kettle/src/lib.rs", &text.replace('@', "//"));
    assert!(found[0].in_test && found[0].line == 4);
}
