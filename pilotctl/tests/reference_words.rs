//! The words of the reference's command line with ours: every recorded command line that is offered here answers with the
//! recorded JSON keys, and every other one says that it is not offered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, PATIENCE};
use lab::place::Place;
use lab::rendezvous::Rendezvous;
use lab::{noise, wait};
use proto_core::registry::codec::encode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use tempfile::TempDir;

/// The administrator's, who alone makes networks.
const TOKEN: &str = "a token of the registry's administrator";

/// Words that are not offered; `LEFT_OUT` in `cli/words.rs` has the reasons.
const NOT_OFFERED: &[&str] = &[
    "task",
    "enable-tasks",
    "my-polo",
    "config",
    "sign-request",
    "prefer-direct",
    "managed",
    "policy",
    "member-tags",
    "verify",
];

/// Offered, because daemons of the reference do it; ours refuses it in words.
const REFUSED: &str = "rotate-key";

/// Keys that ours lacks, by word: what they tell does not exist here.
const LACKING: &[(&str, &[&str])] = &[
    // Messages go without a header of their own.
    ("send-message", &["message_id", "reused", "seq", "tagged"]),
    ("lookup", &["polo_score"]),
];

/// Recorded keys of one word, of all versions together; those of the first item of a list under the list's name.
type Keys = BTreeSet<String>;

/// Every recorded command line's words, and what it answered.
fn recorded() -> Vec<(Vec<String>, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/data/transcripts");
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let recording: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for run in recording["runs"].as_array().into_iter().flatten() {
            let words = run["args"].as_str().unwrap().split(' ').filter(|word| *word != "--json" && *word != "extras");
            runs.push((words.map(str::to_owned).collect(), run["output"].clone()));
        }
    }
    assert!(runs.len() > 90, "{} runs", runs.len());
    runs
}

/// The word that names a command: the first, or two where one is a noun.
fn verb(words: &[String]) -> String {
    let noun = ["network", "daemon"].contains(&words[0].as_str());
    words.iter().take(1 + usize::from(noun)).cloned().collect::<Vec<_>>().join(" ")
}

fn keys(data: &Value) -> Keys {
    let mut found = Keys::new();
    for (name, value) in data.as_object().unwrap_or_else(|| panic!("{data}")) {
        found.insert(name.clone());
        let first = value.as_array().and_then(|list| list.first()).and_then(Value::as_object);
        found.extend(first.into_iter().flat_map(|item| item.keys().map(|key| format!("{name}.{key}"))));
    }
    found
}

/// What was answered to each word that worked.
fn wanted() -> BTreeMap<String, Keys> {
    let mut wanted: BTreeMap<String, Keys> = BTreeMap::new();
    for (words, output) in recorded() {
        let verb = verb(&words);
        if output["status"] == "ok" && !NOT_OFFERED.contains(&verb.as_str()) {
            wanted.entry(verb).or_default().extend(keys(&output["data"]));
        }
    }
    assert!(wanted.remove(REFUSED).is_some(), "{REFUSED} was not recorded");
    for (verb, lacking) in LACKING {
        let keys = wanted.get_mut(*verb).unwrap_or_else(|| panic!("{verb} was not recorded"));
        assert!(lacking.iter().all(|key| keys.remove(*key)), "{verb}: a key that nobody asks for");
    }
    wanted
}

/// Two agents as in the recordings, and what was not answered yet.
struct Stage {
    alpha: Agent,
    beta: Agent,
    wanted: BTreeMap<String, Keys>,
    _rendezvous: Rendezvous,
    _folder: TempDir,
}

/// Network 1, as an administrator makes it: node 1 is in it.
fn make_network(rendezvous: &Rendezvous) {
    let mut registry = TcpStream::connect(rendezvous.registry()).unwrap();
    registry.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = json!({"type": "create_network", "admin_token": TOKEN, "node_id": 1, "name": "recorded"});
    registry.write_all(&encode(&request)).unwrap();
    let mut length = [0; 4];
    registry.read_exact(&mut length).unwrap();
    let mut reply = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    registry.read_exact(&mut reply).unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!(reply["network_id"], 1, "{reply}");
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&token);
        file.unwrap().write_all(TOKEN.as_bytes()).unwrap();
        let options = ["--admin-token-file", token.to_str().unwrap()];
        let rendezvous = Rendezvous::at(env!("CARGO_BIN_EXE_pilotctl"), &Place::here(), &options);
        let alpha = Agent::on_loopback("alpha", &rendezvous);
        let beta = Agent::on_loopback("beta", &rendezvous);
        assert_eq!((alpha.node(), beta.node()), (1, 2));
        make_network(&rendezvous);
        Self { alpha, beta, wanted: wanted(), _rendezvous: rendezvous, _folder: folder }
    }

    /// One answer has all the keys that were recorded for its word.
    fn answers(&mut self, line: &str, data: &Value) {
        let words: Vec<String> = line.split(' ').filter(|word| *word != "extras").map(str::to_owned).collect();
        let verb = verb(&words);
        let wanted = self.wanted.remove(&verb).unwrap_or_else(|| panic!("{verb} was not recorded, or is shown twice"));
        let ours = keys(data);
        let lacking: Vec<&String> = wanted.difference(&ours).collect();
        assert!(lacking.is_empty(), "`{line}` lacks {lacking:?}: {data}");
    }

    fn alpha(&mut self, line: &str) {
        let data = self.alpha.ok(&line.split(' ').collect::<Vec<_>>());
        self.answers(line, &data);
    }

    fn beta(&mut self, line: &str) {
        let data = self.beta.ok(&line.split(' ').collect::<Vec<_>>());
        self.answers(line, &data);
    }

    /// Types `heard` into `listener`, then `said` into alpha until it was heard.
    fn hears(&mut self, listener: fn(&Self) -> &Agent, heard: &str, said: &str) {
        let mut listening = listener(self).start_json(&heard.split(' ').collect::<Vec<_>>());
        wait::until("it listens", PATIENCE, || listening.stderr().contains("listening").then_some(()));
        let mut answer = None;
        wait::until("what was said is heard", PATIENCE, || {
            // Who has heard enough leaves, perhaps between two of these.
            let ended = self.alpha.start_json(&said.split(' ').collect::<Vec<_>>()).wait(PATIENCE);
            answer = Some(ended)
                .filter(|ended| ended.status.success())
                .map(|ended| self.alpha.data(ended))
                .or(answer.take());
            listening.has_ended().then_some(())
        });
        self.answers(said, &answer.expect("it was said once"));
        let data = listener(self).data(listening.wait(PATIENCE));
        self.answers(heard, &data);
    }
}

#[test]
fn recorded_command_lines_answer_with_the_recorded_keys() {
    let mut stage = Stage::new();
    stage.alpha("handshake 2 hello there");
    stage.beta.until(PATIENCE, &["pending"], |data| data["total"] == 1);
    stage.beta("pending");
    stage.beta("approve 1");
    stage.alpha.until(PATIENCE, &["trust"], |data| data["trusted"][0]["mutual"] == true);
    stage.alpha("trust");
    for line in ["find beta", "lookup 2", "daemon status", "ping 2 --count 2", "extras health"] {
        stage.alpha(line);
    }
    let file = tempfile::tempdir().unwrap().keep().join("big.bin");
    noise::write_file(&file, 1);
    for line in [
        "send-message 2 --data {\"k\":1} --type json",
        &format!("send-file 2 {}", file.display()),
        "connect 2 7 --message hi",
    ] {
        stage.alpha(line);
    }
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    stage.beta("inbox");
    stage.beta("received");
    stage.hears(|stage| &stage.beta, "listen 2000 --count 1 --timeout 30s", "extras dgram 2 2000 --data dg");
    stage.hears(|stage| &stage.beta, "recv 2001 --count 1 --timeout 30s", "send 2 2001 --data strm --timeout 2s");
    // Everybody who listens hears it, also on the speaker's side.
    stage.hears(|stage| &stage.alpha, "subscribe 2 news --count 1 --timeout 30s", "publish 2 news --data evt1");
    for line in ["bench 2 1", "peers", "info", "network list", "extras network members 1"] {
        stage.alpha(line);
    }
    for line in ["set-public", "set-hostname alpha2", "clear-hostname", "extras set-tags x y"] {
        stage.alpha(line);
    }
    let refused = stage.alpha.start_json(&[REFUSED]).wait(PATIENCE);
    let body = refused.json();
    assert!(!refused.status.success() && body["status"] == "error", "{refused}");
    assert!(body["message"].as_str().is_some_and(|why| why.contains("not supported")), "{refused}");
    stage.alpha("untrust 2");
    stage.alpha("deregister");
    assert!(stage.wanted.is_empty(), "recorded, and shown by nobody: {:?}", stage.wanted);
}

#[test]
fn every_other_recorded_word_is_refused_with_a_reason() {
    let refused: BTreeSet<String> =
        recorded().iter().map(|(words, _)| verb(words)).filter(|verb| NOT_OFFERED.contains(&verb.as_str())).collect();
    assert_eq!(refused.len(), NOT_OFFERED.len(), "{refused:?}");
    for word in refused {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pilotctl"))
            .args(["--json", "extras", &word])
            .output()
            .unwrap();
        let body: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &body["code"]), (Some(2), &"invalid_argument".into()), "{word}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| message.contains("not offered")), "{body}");
    }
}
