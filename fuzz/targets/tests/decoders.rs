//! Every decoder of the sources has a target. What a decoder is, is found by the names and signatures functions have; what covers it, says one table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

/// Folders whose decoders read what somebody else wrote.
const SCANNED: [&str; 5] =
    ["proto-core/src", "rendezvous-core/src", "driver/src", "pilotctl/src/server", "runtime-tokio/src"];

/// A decoder by its file and name, and the target that reaches it; behind `-` stands why none does.
const TABLE: &str = include_str!("decoders.txt");

/// How functions are called that make values of foreign bytes or texts.
const NAMES: [&str; 5] = ["parse", "decode", "from_str", "from_value", "read_frame"];
/// More of them, by their whole name.
const WHOLE_NAMES: [&str; 3] = ["read_event", "next_frame", "frame_len"];
/// What gives a decoder away that is called otherwise.
const CALLS: [&str; 2] = ["serde_json::from_slice", "serde_json::from_str"];
/// Or that it takes one of the first and gives one of the second.
const TAKEN: [&str; 6] = ["&[u8]", "&'a [u8]", "&str", "&Value", "&Map<String, Value>", "&Bytes"];
const GIVEN: [&str; 3] = ["Option<Self>", "Result<Self,", "Result<Option<Self>,"];

/// `file::Type::function` of each decoder in `text`; tests are none.
fn decoders(file: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let (mut found, mut owner, mut function) = (BTreeSet::new(), String::new(), String::new());
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        if line.starts_with("impl") {
            owner = owner_of(line);
        } else if line.starts_with('}') {
            owner.clear();
        }
        let is_definition = line.contains("fn ");
        if is_definition {
            let name = line.split("fn ").nth(1).unwrap_or_default();
            function = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        }
        let by_name = is_definition && is_decoder_name(&function);
        let by_type = is_definition && (makes_itself(line) || function == "open" && line.contains("[u8]"));
        if by_name || by_type || CALLS.iter().any(|call| line.contains(call)) {
            let of = if owner.is_empty() { String::new() } else { format!("{owner}::") };
            found.insert(format!("{file} {of}{function}"));
        }
    }
    found.into_iter().collect()
}

fn is_decoder_name(name: &str) -> bool {
    WHOLE_NAMES.contains(&name)
        || NAMES
            .iter()
            .any(|known| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}

fn makes_itself(line: &str) -> bool {
    let (taken, given) = line.split_once("->").unwrap_or((line, ""));
    TAKEN.iter().any(|kind| taken.contains(kind)) && GIVEN.iter().any(|kind| given.trim().starts_with(kind))
}

/// The type an `impl` line is for, without its parameters.
fn owner_of(line: &str) -> String {
    let body = line.split(" for ").nth(1).unwrap_or_else(|| {
        let after = line.trim_start_matches("impl");
        if after.starts_with('<') { after.split_once("> ").map_or(after, |(_, rest)| rest) } else { after }
    });
    body.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all_decoders() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut files = Vec::new();
    for folder in SCANNED {
        let before = files.len();
        sources(&root.join(folder), &mut files);
        assert!(files.len() > before, "no source below {folder}: this check would prove nothing");
    }
    let prefix = format!("{}/", root.display());
    files.iter().flat_map(|(path, text)| decoders(path.strip_prefix(&prefix).unwrap_or(path), text)).collect()
}

/// The rows of a table: decoder, and target or `-` and a reason.
fn rows(table: &str) -> Vec<(&str, &str)> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no row: {line}"))).collect()
}

/// What is wrong with `table` where `found` are the decoders there are.
fn faults(table: &str, found: &[String]) -> Vec<String> {
    let rows = rows(table);
    let mut faults = Vec::new();
    for decoder in found {
        if !rows.iter().any(|(known, _)| known == decoder) {
            faults.push(format!("{decoder} has no target"));
        }
    }
    for (decoder, target) in rows {
        if !found.iter().any(|known| known == decoder) {
            faults.push(format!("{decoder} does not exist"));
        }
        let excused = target.strip_prefix("- ").is_some_and(|reason| reason.len() > 10);
        if !excused && fuzz_targets::find(target).is_none() {
            faults.push(format!("{decoder}: no target {target}"));
        }
    }
    faults
}

#[test]
fn every_decoder_has_a_target() {
    let found = all_decoders();
    assert!(found.len() > 40, "only {} decoders were found", found.len());
    let faults = faults(TABLE, &found);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_decoder_without_a_target_is_noticed() {
    let source = "impl<'a> Thing<'a> {\n    pub fn parse(bytes: &'a [u8]) -> Self {\n    }\n}\nimpl FromStr for Name {\n    fn from_str(t: &str) {}\n}\n\
                  fn load(text: &str) {\n    serde_json::from_str(text)\n}\nfn parser() {}\n#[cfg(test)]\nmod tests {\n    fn parse_all() {}\n}\n";
    let found = decoders("new.rs", source);
    assert_eq!(found, ["new.rs Name::from_str", "new.rs Thing::parse", "new.rs load"]);
    assert_eq!(faults("", &found).len(), 3);
    let table =
        "new.rs Name::from_str: address_text\nnew.rs Thing::parse: nonsense\nnew.rs load: - \nnew.rs gone: header\n";
    let faults = faults(table, &found);
    assert_eq!(faults.len(), 3, "{faults:?}");
}

/// Each target is a program for libFuzzer, and is in its manifest.
#[test]
fn every_target_is_a_program() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let programs = std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!(programs, fuzz_targets::TARGETS.len());
    for (name, _) in fuzz_targets::TARGETS {
        let program = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("fuzz_targets::{name}(data)")), "{name} runs something else");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
