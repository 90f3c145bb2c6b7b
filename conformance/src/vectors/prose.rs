//! The families and fields that describe the file itself.

use super::File;
use super::check::Checker;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    title: String,
    refers_to: String,
    conventions: String,
    source_labels: BTreeMap<String, String>,
    golden_corpus_note: String,
}

pub(super) fn about(file: &File, check: &mut Checker) {
    let Some(about) = file.entry::<About>("about", check) else { return };
    for (field, text) in [
        ("title", &about.title),
        ("refers_to", &about.refers_to),
        ("conventions", &about.conventions),
        ("golden_corpus_note", &about.golden_corpus_note),
    ] {
        check.holds(&format!("{field} says something"), !text.is_empty());
    }
    let labels = &about.source_labels;
    check.holds("every source label is explained", !labels.is_empty() && labels.values().all(|text| !text.is_empty()));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Observed {
    source: String,
    facts: Vec<String>,
}

/// Observations of another implementation, in words: nothing of ours can be compared with them.
pub(super) fn observed(file: &File, check: &mut Checker) {
    let Some(observed) = file.entry::<Observed>("observed_april_2026", check) else { return };
    check.holds("the source is named", !observed.source.is_empty());
    check.holds("there are facts", !observed.facts.is_empty() && observed.facts.iter().all(|fact| !fact.is_empty()));
}

/// Every `source` of a family is one of the labels the file explains, when it explains any.
pub(super) fn sources(file: &File, family: &str, check: &mut Checker) {
    let (Some(labels), false) = (file.at("about", "/source_labels"), family == "observed_april_2026") else { return };
    let mut used = Vec::new();
    collect_sources(file.at(family, "").unwrap_or(&Value::Null), &mut used);
    for label in used {
        check.holds(&format!("source label {label:?} is explained in `about`"), labels.get(label).is_some());
    }
}

fn collect_sources<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    if let Some(label) = value.get("source").and_then(Value::as_str) {
        into.push(label);
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_sources(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect_sources(field, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
