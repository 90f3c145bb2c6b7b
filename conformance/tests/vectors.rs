//! The published vectors against the implementation. `PILOT_VECTORS=<file>` runs another file of the same shape.

use conformance::vectors::{FAMILIES, File, Report};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn own_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/vectors.json")
}

#[allow(clippy::panic, reason = "a file that cannot be read must fail the test, loudly")]
fn read(path: &Path) -> File {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    File::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The repository's copy.
fn own() -> File {
    read(&own_path())
}

fn failures(file: &File) -> Vec<String> {
    let families: Vec<String> = file.families().map(str::to_owned).collect();
    families.iter().flat_map(|family| file.run(family).failures).collect()
}

fn assert_passes(report: &Report) {
    assert!(
        report.failures.is_empty(),
        "{} of {}:\n{}",
        report.failures.len(),
        report.checks,
        report.failures.join("\n")
    );
}

/// Runs the file `PILOT_VECTORS` names, or the repository's copy.
#[test]
fn vectors_hold() {
    let path = std::env::var_os("PILOT_VECTORS").map_or_else(own_path, PathBuf::from);
    let file = read(&path);
    let families: Vec<String> = file.families().map(str::to_owned).collect();
    assert!(!families.is_empty(), "{} has no family", path.display());
    for family in &families {
        let report = file.run(family);
        println!("{:24} {:5} comparisons, {} failed", report.family, report.checks, report.failures.len());
    }
    let failures = failures(&file);
    assert!(failures.is_empty(), "{}:\n{}", path.display(), failures.join("\n"));
}

//= spec/packet.md#pp-pkt-4
//= type=test
//# Protocol 1 is a stream, 2 a datagram, 3 control.
//= spec/packet.md#pp-pkt-2
//= type=test
//# The version is 1 and stands in the high four bits of the first byte.
//= spec/packet.md#pp-pkt-6
//= type=test
//# The checksum is CRC-32/ISO-HDLC over the header, its checksum field taken as zero, and the payload.
//= spec/packet.md#pp-pkt-8
//= type=test
//# A packet shorter than its header and its payload length is dropped.
//= spec/packet.md#pp-pkt-11
//= type=test
//# Bytes behind the declared payload are ignored and lie outside the checksum.
#[test]
fn vectors_have_every_family() {
    let file = own();
    assert_eq!(file.families().count(), FAMILIES.len());
    for family in FAMILIES {
        assert!(file.families().any(|present| present == family), "{family}");
        assert_passes(&file.run(family));
    }
}

#[test]
fn vectors_with_an_unknown_family_fail() {
    let mut value = own().into_value();
    value["martian"] = json!({});
    let file = File::parse(&value.to_string()).unwrap();
    assert_eq!(failures(&file), ["martian : unknown family"]);
}

/// An object anywhere in the file that gets another field must be noticed, except where the keys themselves are data.
#[test]
fn vectors_with_an_unknown_field_fail() {
    let whole = own().into_value();
    let mut objects = Vec::new();
    pointers(&whole, "", &mut objects, &|value| value.is_object());
    let objects: Vec<_> =
        objects.into_iter().filter(|pointer| !pointer.is_empty() && *pointer != "/about/source_labels").collect();
    assert!(objects.len() > 100);
    for pointer in objects {
        let mut value = whole.clone();
        value.pointer_mut(&pointer).unwrap()["martian"] = json!(1);
        let family = pointer.split('/').nth(1).unwrap();
        assert!(!File::parse(&value.to_string()).unwrap().run(family).failures.is_empty(), "{pointer}");
    }
}

/// A check that cannot fail is none: every expected value of the file is altered once, and some family must notice.
#[test]
fn vectors_with_one_altered_value_fail() {
    let whole = own().into_value();
    let mut leaves = Vec::new();
    pointers(&whole, "", &mut leaves, &|value| !value.is_object() && !value.is_array());
    let (mut altered, mut unnoticed) = (0, Vec::new());
    for pointer in leaves {
        let mut value = whole.clone();
        if is_prose(&pointer) || is_blunt_input(&pointer) || !alter(value.pointer_mut(&pointer).unwrap()) {
            continue;
        }
        altered += 1;
        if failures(&File::parse(&value.to_string()).unwrap()).is_empty() {
            unnoticed.push(pointer);
        }
    }
    assert!(altered > 700, "only {altered} values were altered");
    assert!(unnoticed.is_empty(), "{} of {altered} unnoticed:\n{}", unnoticed.len(), unnoticed.join("\n"));
}

/// Pointers to every value that satisfies `wanted`.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>, wanted: &dyn Fn(&Value) -> bool) {
    if wanted(value) {
        into.push(at.to_owned());
    }
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), into, wanted));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| {
                pointers(field, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), into, wanted)
            });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Words for readers, with nothing to compare.
fn is_prose(pointer: &str) -> bool {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    ["note", "why", "name", "rule", "auth_order", "after_auth", "plaintext_packet"].contains(&last)
        || pointer == "/packets/trailing_bytes/wire_hex" // ends in bytes to be ignored
        || pointer.starts_with("/about/")
        || pointer.starts_with("/observed_april_2026/")
}

/// Inputs of which many have the same outcome: what is refused stays so when altered, an order or a freshness rarely hangs on one bit, a nanosecond is rounded
/// away, and a byte that arrives twice is trimmed.
fn is_blunt_input(pointer: &str) -> bool {
    let refused = [
        "/invalid/",
        "/socket_invalid/",
        "/not_sack/",
        "/low_order_public_keys_must_be_rejected/",
        "/draft_text_examples/",
    ];
    let inputs = ["/counters/", "/accept_april_go/", "/sample_ns", "/encode_caps/blocks_in/"];
    let last = pointer.rsplit('/').next().unwrap_or_default();
    let operand = pointer.starts_with("/seq_arithmetic/") && ["a", "b"].contains(&last);
    let arrival = pointer.starts_with("/receiver_scenarios/") && ["seq", "len"].contains(&last);
    refused.iter().chain(&inputs).any(|part| pointer.contains(part)) || operand || arrival
}

/// Changes the value a little; `false` when it cannot be.
fn alter(value: &mut Value) -> bool {
    match value {
        Value::Bool(truth) => *truth = !*truth,
        Value::Number(number) => *value = json!(number.as_u64().map_or(0, |number| number ^ 1)),
        Value::String(text) => {
            let Some(last) = text.pop() else { return false };
            text.push(if last == '1' { '2' } else { '1' });
        }
        Value::Null | Value::Array(_) | Value::Object(_) => return false,
    }
    true
}
