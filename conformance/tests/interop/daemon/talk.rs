//! What friends exchange: probes, messages, files, events.

use super::{OURS_TO_THEIRS, SECTION, THEIRS_TO_OURS, World};
use crate::case::{Case, signs_and_streams};
use data_encoding::BASE64;
use lab::agent::PATIENCE;
use lab::{noise, wait};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

/// Bytes of the files.
const FILE: usize = 20 << 20;
/// The most that 1.9.1's command line can send, to its own kind too; what comes in one frame may have 16 MiB at ours.
const SMALL_FILE: usize = 240 << 10;

pub(super) fn cases(version: &str) -> Vec<Case> {
    let case = |feature, direction, run: fn(&World)| {
        let owned = version.to_owned();
        Case::new(SECTION, (feature, direction), version, move |equipment| run(&World::of_friends(equipment, &owned)))
    };
    let file = |direction, length, run: fn(&World, usize)| {
        let owned = version.to_owned();
        Case::new(SECTION, ("file", direction), version, move |equipment| {
            run(&World::of_friends(equipment, &owned), length);
        })
    };
    vec![
        case("ping", OURS_TO_THEIRS, we_ping),
        case("ping", THEIRS_TO_OURS, they_ping),
        case("echo", OURS_TO_THEIRS, we_echo),
        case("echo", THEIRS_TO_OURS, they_echo),
        case("messages: text, JSON, binary", OURS_TO_THEIRS, we_send_messages),
        case("messages: text, JSON, binary", THEIRS_TO_OURS, they_send_messages),
        file(OURS_TO_THEIRS, FILE, we_send_a_file),
        file(THEIRS_TO_OURS, if signs_and_streams(version) { FILE } else { SMALL_FILE }, they_send_a_file),
        case("event stream", OURS_TO_THEIRS, we_use_their_broker),
        case("event stream", THEIRS_TO_OURS, they_use_our_broker),
    ]
}

fn we_ping(world: &World) {
    let data = world.ours.ok(&["ping", &world.theirs.id(), "-c", "3"]);
    let results = data["results"].as_array().unwrap();
    assert!(results.len() == 3 && results.iter().all(|one| one["rtt_ms"].is_f64()), "{data}");
}

fn they_ping(world: &World) {
    let data = world.theirs.ok(&["ping", &world.our_id(), "--count", "3"]);
    let results = data["results"].as_array().unwrap();
    assert!(results.len() == 3 && results.iter().all(|one| one["rtt_ms"].is_f64()), "{data}");
}

fn we_echo(world: &World) {
    let data = world.ours.ok(&["connect", &world.theirs.id(), "7", "--message", "echo of ours"]);
    assert_eq!(data["response"], "echo of ours");
}

fn they_echo(world: &World) {
    let data = world.theirs.ok(&["connect", &world.our_id(), "7", "--message", "echo of theirs"]);
    assert_eq!(data["response"], "echo of theirs");
}

/// What a person may send, as which type, and how many bytes that are.
const MESSAGES: [(&str, &str, usize); 3] =
    [("text", "grüße", 7), ("json", "{\"task\":\"analyze\"}", 18), ("binary", "raw bytes", 9)];

fn we_send_messages(world: &World) {
    let from = world.ours.ok(&["status"])["address"].clone();
    for (kind, content, length) in MESSAGES {
        let sent = world.ours.ok(&["msg", "send", &world.theirs.id(), "--data", content, "--type", kind]);
        assert_eq!(sent["ack"], format!("ACK {} {length} bytes", kind.to_uppercase()), "{sent}");
        let arrived = world.theirs.message(kind, |message| message["type"] == kind.to_uppercase().as_str());
        let plain = arrived["data"] == content;
        assert!(plain || arrived["data_b64"] == BASE64.encode(content.as_bytes()), "{arrived}");
        assert_eq!(arrived["from"], from, "{arrived}");
    }
    assert_eq!(world.theirs.ok(&["inbox"])["total"], MESSAGES.len(), "and its command line lists them");
}

fn they_send_messages(world: &World) {
    let from = world.theirs.ok(&["info"])["address"].clone();
    for (kind, content, length) in MESSAGES {
        let sent = world.theirs.ok(&["send-message", &world.our_id(), "--data", content, "--type", kind]);
        assert_eq!(sent["ack"], format!("ACK {} {length} bytes", kind.to_uppercase()), "{sent}");
    }
    let inbox = world.ours.ok(&["msg", "inbox"]);
    let messages = inbox["messages"].as_array().unwrap();
    assert_eq!(messages.len(), MESSAGES.len(), "{inbox}");
    for (kind, content, _) in MESSAGES {
        let arrived = messages.iter().find(|one| one["type"] == kind.to_uppercase().as_str()).unwrap();
        assert_eq!((&arrived["data"], &arrived["from"]), (&content.into(), &from), "{arrived}");
    }
}

fn we_send_a_file(world: &World, length: usize) {
    let (folder, content) = (tempfile::tempdir().unwrap(), noise::Noise::new(1).bytes(length));
    let path = folder.path().join("from-ours.bin");
    std::fs::write(&path, &content).unwrap();
    let sent = world.ours.ok(&["file", "send", &world.theirs.id(), path.to_str().unwrap()]);
    assert_eq!(sent["bytes"], length, "{sent}");
    let files = wait::until("their list shows the file", PATIENCE, || {
        Some(world.theirs.received()).filter(|files| !files.is_empty())
    });
    assert!(std::fs::read(&files[0]).unwrap() == content, "it arrives as it was");
}

fn they_send_a_file(world: &World, length: usize) {
    let content = noise::Noise::new(2).bytes(length);
    let path = world.theirs.home().join("from-theirs.bin");
    std::fs::write(&path, &content).unwrap();
    let sent = world.theirs.ok(&["send-file", &world.our_id(), path.to_str().unwrap()]);
    assert_eq!(sent["bytes"], length, "{sent}");
    let files = world.ours.received();
    assert!(std::fs::read(&files[0]).unwrap() == content, "it arrives as it was");
}

fn we_use_their_broker(world: &World) {
    let port = "1002";
    let mut subscriber = Pipe::open(world, port);
    subscriber.write(&event("news", b""));
    let mut other = Pipe::open(world, port);
    other.write(&event("weather", b""));
    let mut publisher = Pipe::open(world, port);
    publisher.write(&event("news", b""));
    // Nothing tells a subscriber that it is one, so the publisher repeats itself.
    wait::until("the event arrives", PATIENCE, || {
        publisher.write(&event("news", b"rain"));
        publisher.pause();
        let expected = event("news", b"rain");
        subscriber.read().starts_with(&expected).then_some(())
    });
    assert!(other.read().is_empty(), "nobody gets what he did not ask for: {:?}", other.read());
}

fn they_use_our_broker(world: &World) {
    let subscribe = ["subscribe", &world.our_id(), "news", "--count", "1", "--timeout", "25s"];
    let mut subscriber = world.theirs.start_json(&subscribe);
    wait::until("the event arrives", PATIENCE, || {
        world.theirs.ok(&["publish", &world.our_id(), "news", "--data", "rain"]);
        subscriber.has_ended().then_some(())
    });
    let ended = subscriber.wait(PATIENCE);
    let events = world.theirs.data(&ended)["events"].clone();
    assert_eq!((&events[0]["topic"], &events[0]["data"]), (&"news".into(), &"rain".into()), "{ended}");
}

/// An event as it travels.
fn event(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A stream to a port of theirs that stays open, through `nc`.
struct Pipe {
    process: Child,
    input: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Pipe {
    fn open(world: &World, port: &str) -> Self {
        let mut command = world.ours.command(&["nc", &world.theirs.id(), port]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let output = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut block) {
                shared.lock().unwrap().extend_from_slice(&block[..length]);
            }
        });
        Self { process, input, output }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).unwrap();
        self.input.flush().unwrap();
    }

    /// What has come so far.
    fn read(&self) -> Vec<u8> {
        self.output.lock().unwrap().clone()
    }

    /// Keeps a publisher below the broker's rate.
    fn pause(&self) {
        let _ = wait::within(std::time::Duration::from_millis(100), || None::<()>);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
