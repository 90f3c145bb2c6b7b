//! The recordings are whole: every file is of a kind that somebody replays, and every datagram survives our codec.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a recording that cannot be read is a failed test")]

use data_encoding::HEXLOWER;
use proto_core::wire::beacon::BeaconMessage;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Who replays what; see `data/transcripts/README.md`.
const REPLAYED_BY: [(&str, &[&str]); 4] = [
    ("daemons", &["rendezvous-core/tests/transcripts.rs", "proto-core/tests/registry_transcripts.rs"]),
    ("ipc", &["driver/tests/transcripts.rs"]),
    ("probe", &["driver/tests/transcripts.rs"]),
    ("command lines", &["pilotctl/tests/reference_words.rs"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn recordings() -> Vec<(PathBuf, Value)> {
    let entries = fs::read_dir(root().join("conformance/data/transcripts")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("README.md"));
    files.map(|path| (path.clone(), serde_json::from_slice(&fs::read(&path).unwrap()).unwrap())).collect()
}

/// Decided by content alone, as those do who replay.
fn kind(recording: &Value) -> Option<&'static str> {
    let events = recording["events"].as_array();
    let all = |key: &str| {
        events.is_some_and(|events| !events.is_empty() && events.iter().all(|event| event[key].is_string()))
    };
    let [daemons, ipc, probe, command_lines] = REPLAYED_BY.map(|(kind, _)| kind);
    match (all("ev"), all("dir"), recording["replies"].is_object(), recording["runs"].is_array()) {
        (true, false, false, false) => Some(daemons),
        (false, true, false, false) => Some(ipc),
        (false, false, true, false) => Some(probe),
        (false, false, false, true) => Some(command_lines),
        _ => None,
    }
}

#[test]
fn every_recording_is_of_a_kind_that_is_replayed() {
    let recordings = recordings();
    assert!(recordings.len() >= 19, "{} recordings", recordings.len());
    for (path, recording) in &recordings {
        assert_eq!(path.extension().unwrap(), "json", "{}: not looked at by anybody", path.display());
        assert!(kind(recording).is_some(), "{}: of no kind", path.display());
    }
    for (kind, programs) in REPLAYED_BY {
        for program in programs {
            let source = fs::read_to_string(root().join(program)).unwrap();
            assert!(source.contains("data/transcripts"), "{program} does not replay {kind}");
        }
    }
}

#[test]
fn a_recording_of_no_kind_is_noticed() {
    for text in ["{}", "{\"events\":[]}", "{\"events\":[{\"ev\":\"x\"},{\"dir\":\"y\"}]}"] {
        assert_eq!(kind(&serde_json::from_str(text).unwrap()), None, "{text}");
    }
}

#[test]
fn every_datagram_survives_a_round_trip() {
    let mut seen = 0;
    for (path, recording) in recordings() {
        let events = recording["events"].as_array().cloned().unwrap_or_default();
        for event in events.iter().filter(|event| event["ev"].as_str().is_some_and(|kind| kind.ends_with("_udp"))) {
            let bytes = HEXLOWER.decode(event["hex"].as_str().unwrap().as_bytes()).unwrap();
            let message =
                BeaconMessage::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}: {event}", path.display()));
            assert_eq!(message.to_vec().unwrap(), bytes, "{}: {event}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 200, "only {seen} datagrams");
}
