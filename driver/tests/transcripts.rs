//! What the published clients and daemons said to each other, replayed through the codecs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test that cannot go on has failed the test")]

use bytes::Bytes;
use driver::encode_frame;
use driver::ipc::{Frame, Reply, Request, RequestError, never_answered};
use driver::services::exchange::{Frame as Exchange, RawFrame};
use serde_json::Value;

/// All recordings in `conformance/data/transcripts`, by name.
fn recordings() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/data/transcripts");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    };
    files.map(read).collect()
}

/// A frame as far as it was recorded.
struct Recorded {
    from_client: bool,
    whole: bool,
    bytes: Bytes,
}

/// Every frame between a command line and a daemon, by recording.
fn frames() -> Vec<(String, Vec<Recorded>)> {
    let mut found = Vec::new();
    for (name, recording) in recordings() {
        let Some(events) = recording["events"].as_array().filter(|events| events.iter().all(|e| e["dir"].is_string()))
        else {
            continue;
        };
        let recorded = events.iter().map(|event| {
            let hex = event["hex"].as_str().unwrap();
            let bytes = data_encoding::HEXLOWER.decode(hex.trim_end_matches('.').as_bytes()).unwrap();
            let from_client = event["dir"] == "client_to_daemon";
            Recorded { from_client, whole: !hex.ends_with("..."), bytes: bytes.into() }
        });
        found.push((name, recorded.collect()));
    }
    assert!(found.len() >= 3, "{} recordings", found.len());
    found
}

#[test]
fn every_recorded_frame_survives_a_round_trip() {
    for (name, recorded) in frames() {
        let mut whole = 0;
        for Recorded { from_client, whole: is_whole, bytes } in recorded {
            let frame = Frame { command: bytes[4], payload: bytes.slice(5..) };
            let again = if from_client {
                Request::decode(&frame).unwrap_or_else(|error| panic!("{name}: {error}")).encode()
            } else {
                Reply::decode(&frame).unwrap().encode()
            };
            assert_eq!(again, frame, "{name}");
            // What was cut has another length in front.
            assert_eq!(encode_frame(&again) == bytes, is_whole, "{name}");
            whole += usize::from(is_whole);
        }
        assert!(whole > 40, "{name}: only {whole} frames");
    }
}

#[test]
fn every_recorded_json_answer_is_json() {
    let mut seen = 0;
    for (name, recorded) in frames() {
        for Recorded { whole, bytes, .. } in recorded.into_iter().filter(|recorded| !recorded.from_client) {
            let frame = Frame { command: bytes[4], payload: bytes.slice(5..) };
            if let Reply::Answer { payload, .. } = Reply::decode(&frame).unwrap()
                && whole
                && !payload.is_empty()
            {
                let answer: Value = serde_json::from_slice(&payload).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(answer.is_object(), "{name}: {answer}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} answers");
}

#[test]
fn an_empty_payload_fails_in_the_references_words() {
    let mut seen = 0;
    for (name, recording) in recordings() {
        let Some(versions) = recording["replies"].as_object() else { continue };
        for (version, replies) in versions {
            for (command, recorded) in replies.as_object().unwrap() {
                seen += 1;
                let command = u8::from_str_radix(command.trim_start_matches("0x"), 16).unwrap();
                check_empty(&format!("{name} {version}"), command, recorded.as_str().unwrap(), version == "1.18.0");
            }
        }
    }
    assert!(seen > 80, "only {seen} commands");
}

/// The latest version's words are ours; of an older one only what both have is.
fn check_empty(context: &str, command: u8, recorded: &str, latest: bool) {
    let context = format!("{context} 0x{command:02X}: {recorded}");
    let Err(error) = Request::decode(&Frame { command, payload: Bytes::new() }) else {
        // These act on nothing, or parse their JSON later.
        let gone = [0x1D, 0x27].contains(&command);
        assert!(!recorded.contains("unknown command") || gone || !latest, "{context}");
        return;
    };
    if recorded == "no reply" {
        assert!(never_answered(command), "{context}");
    } else if error == RequestError::Unknown(command) || (recorded.contains("missing") && latest) {
        assert_eq!(recorded, format!("0a b'\\x00\\x01{error}'"), "{context}");
    }
}

#[test]
fn recorded_acknowledgements_are_ours() {
    let sent = |kind, payload: &'static [u8]| {
        Exchange::parse(RawFrame { kind, payload: Bytes::from_static(payload) }).unwrap().ack()
    };
    assert_eq!(sent(1, b"hi"), "ACK TEXT 2 bytes");
    assert_eq!(sent(3, b"{\"k\":1}"), "ACK JSON 7 bytes");
    assert_eq!(sent(4, b"\x00\x05f.txtfiledata\n"), "ACK FILE 9 bytes");
    assert_eq!(sent(77, b"abc"), "ACK UNKNOWN(77) 3 bytes");
}
