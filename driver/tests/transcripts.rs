//! What the published clients and daemons said to each other, replayed through the codecs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test that cannot go on has failed the test")]

use bytes::Bytes;
use driver::encode_frame;
use driver::ipc::{Frame, Reply, Request, RequestError, never_answered};
use driver::services::exchange::{Frame as Exchange, RawFrame};
use serde_json::Value;

fn transcript(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The frames that were recorded whole.
fn frames(name: &str) -> Vec<(bool, Frame, Bytes)> {
    let transcript = transcript(name);
    let events = transcript["events"].as_array().unwrap();
    let whole = events.iter().filter(|event| !event["hex"].as_str().unwrap().ends_with("..."));
    whole
        .map(|event| {
            let bytes = Bytes::from(data_encoding::HEXLOWER.decode(event["hex"].as_str().unwrap().as_bytes()).unwrap());
            let frame = Frame { command: bytes[4], payload: bytes.slice(5..) };
            (event["dir"] == "client_to_daemon", frame, bytes)
        })
        .collect()
}

#[test]
fn every_recorded_frame_survives_a_round_trip() {
    let mut seen = 0;
    for name in ["ipc-pilotctl-1.9.1.json", "ipc-pilotctl-1.18.0.json", "ipc-pilotctl-1.18.0-filestream.json"] {
        for (from_client, frame, bytes) in frames(name) {
            let again = if from_client {
                Request::decode(&frame).unwrap_or_else(|error| panic!("{name}: {error}")).encode()
            } else {
                Reply::decode(&frame).unwrap().encode()
            };
            assert_eq!(encode_frame(&again), bytes, "{name}");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} frames");
}

#[test]
fn an_empty_payload_fails_in_the_references_words() {
    let probe = transcript("ipc-command-probe.json");
    for (command, recorded) in probe["replies"]["1.18.0"].as_object().unwrap() {
        let command = u8::from_str_radix(command.trim_start_matches("0x"), 16).unwrap();
        let recorded = recorded.as_str().unwrap();
        let outcome = Request::decode(&Frame { command, payload: Bytes::new() });
        let Err(error) = outcome else {
            // These act on nothing, or parse their JSON later.
            assert!(!recorded.contains("unknown command") || [0x1D, 0x27].contains(&command), "0x{command:02X}");
            continue;
        };
        if recorded == "no reply" {
            assert!(never_answered(command), "0x{command:02X}");
        } else if error == RequestError::Unknown(command) || recorded.contains("missing") {
            assert_eq!(recorded, format!("0a b'\\x00\\x01{error}'"));
        }
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
