//! Section `cli`: our command line and driver on the socket of the reference's daemon.

use crate::case::{Case, is_newer};
use crate::equipment::{Equipment, Kit};
use crate::reference::{NEXT_LOOK, Reference};
use lab::agent::{PATIENCE, program_at};
use lab::netns::Isolated;
use lab::noise;
use lab::process::{self, Ended, Running};
use lab::rendezvous::Rendezvous;
use lab::wait;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SECTION: &str = "cli";
/// Who does it in all cases.
const OURS: &str = "ours on theirs";
/// Megabytes of a file.
const FILE: usize = 10;
/// A command that is refused says so within this time, on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 4;
const REFUSED: [i32; 3] = [5, 6, 7];

/// Its cases, for each version.
pub(crate) fn cases(versions: &[String]) -> Vec<Case> {
    versions.iter().flat_map(|version| [alone(version.clone()), together(version.clone())]).collect()
}

/// What needs no peer.
fn alone(version: String) -> Case {
    let rows = [
        ("`status`, `identity show`, `health`", OURS),
        ("`name`, `visibility`, `tags`, `find`", OURS),
        ("what their daemon cannot do is an error that says so", OURS),
        ("`identity rotate`, `deregister`", OURS),
    ];
    let title = version.clone();
    Case::sharing(SECTION, "alone", &rows, &title, move |equipment| {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let ours = Ours::start(equipment, equipment.kit(&version), "reference-a", &network, &rendezvous);
        shows_itself(&ours);
        changes_what_the_registry_tells(&ours);
        lacks(&ours);
        let before = ours.ok(&["identity", "show"])["public_key"].clone();
        let rotated = ours.ok(&["identity", "rotate"])["public_key"].clone();
        assert_ne!(rotated, before);
        // 1.18.0 answers before it has changed over.
        ours.until(PATIENCE, &["identity", "show"], |data| data["public_key"] == rotated);
        assert_eq!(ours.ok(&["deregister"])["type"], "deregister_ok");
    })
}

fn shows_itself(ours: &Ours<'_>) {
    let status = ours.ok(&["status"]);
    assert_eq!((&status["node_id"], &status["hostname"]), (&ours.daemon.node().into(), &"reference-a".into()));
    assert!(status["warnings"][0].as_str().is_some_and(|words| words.contains("does not tell")), "{status}");
    let page = process::run(ours.command(&["status"]), PATIENCE).ok().stdout;
    assert!(!page.contains("NAT  ") && !page.contains("not registered yet"), "{page}");
    assert_eq!(ours.ok(&["identity", "show"])["file"], Value::Null);
    assert_eq!(ours.ok(&["health"])["status"], "ok");
}

fn changes_what_the_registry_tells(ours: &Ours<'_>) {
    assert_eq!(ours.ok(&["name", "set", "another-name"])["hostname"], "another-name");
    assert_eq!(ours.ok(&["find", "another-name"])["node_id"], ours.daemon.node());
    assert_eq!(ours.ok(&["name", "clear"])["hostname"], "");
    for visibility in ["public", "private"] {
        assert_eq!(ours.ok(&["visibility", visibility])["visibility"], visibility);
    }
    assert_eq!(ours.ok(&["tags", "set", "one", "two"])["tags"], serde_json::json!(["one", "two"]));
    assert_eq!(ours.ok(&["tags", "clear"])["tags"], serde_json::json!([]));
}

fn lacks(ours: &Ours<'_>) {
    for (words, code) in [
        (&["netcheck"][..], USAGE),
        (&["lookup", "1"], USAGE),
        (&["connect", "nobody-here", "--message", "x"], NOT_FOUND),
    ] {
        let began = Instant::now();
        let ended = ours.run(words);
        assert!(began.elapsed() < PROMPT, "{ended}");
        assert_eq!(ended.code(), Some(code), "{ended}");
        assert!(ended.json()["message"].is_string(), "{ended}");
    }
}

/// What needs a peer: another daemon of the same version, driven by our command line too.
fn together(version: String) -> Case {
    let mut rows = vec![
        ("`trust add`, `pending`, `list`, `remove`", OURS),
        ("`ping`, `traceroute`", OURS),
        ("message: `connect --message`, `msg send`, `msg inbox`", OURS),
        ("bytes to a port and a reply: `connect PORT`, `listen`", OURS),
        ("`file send`, `file list`", OURS),
        ("`topic sub`, `topic pub`", OURS),
        ("datagrams", OURS),
        ("`peers`, `conns`", OURS),
    ];
    // Megabytes through an echo stall between two 1.9.1, with their own command line too.
    let echoes = is_newer(&version);
    rows.extend(echoes.then_some(("`bench` of 2 MB", OURS)));
    let title = version.clone();
    Case::sharing(SECTION, "together", &rows, &title, move |equipment| {
        let kit = equipment.kit(&version);
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let a = Ours::start(equipment, kit, "reference-a", &network, &rendezvous);
        let b = Ours::start(equipment, kit, "reference-b", &network, &rendezvous);
        trusts(&a, &b);
        reaches(&a, &b);
        delivers_messages(&a, &b);
        carries_bytes(&a, &b);
        if echoes {
            assert_eq!(a.ok(&["bench", "reference-b", "2"])["complete"], true);
        }
        delivers_a_file(&a, &b, kit.is_at_least("1.12.0"));
        publishes(&a, &b);
        sends_datagrams(&a, &b);
        lists(&a, &b);
        parts(&a, &b);
    })
}

fn trusts(a: &Ours<'_>, b: &Ours<'_>) {
    let asked = a.ok(&["trust", "add", "reference-b", "--reason", "a test"]);
    assert_eq!(asked["node_id"], b.daemon.node(), "{asked}");
    let waiting = b.until(NEXT_LOOK, &["trust", "pending"], |data| data["total"] == 1);
    assert_eq!(waiting["pending"][0]["justification"], "a test");
    b.ok(&["trust", "add", &a.daemon.id()]);
    for (one, other) in [(a, b), (b, a)] {
        one.until(NEXT_LOOK, &["trust", "list"], |data| data["trusted"][0]["node_id"] == other.daemon.node());
    }
}

fn reaches(a: &Ours<'_>, b: &Ours<'_>) {
    let pinged = a.ok(&["ping", "reference-b", "-c", "2"]);
    let answers = pinged["results"].as_array().unwrap();
    assert!(answers.len() == 2 && answers.iter().all(|answer| answer["rtt_ms"].as_f64() > Some(0.0)), "{pinged}");
    let traced = a.ok(&["traceroute", &b.daemon.id()]);
    assert_eq!(traced["rtt_samples"].as_array().unwrap().len(), 3, "{traced}");
}

fn delivers_messages(a: &Ours<'_>, b: &Ours<'_>) {
    let sent = a.ok(&["connect", "reference-b", "--message", "{\"k\":1}"]);
    assert_eq!(sent["ack"], "ACK JSON 7 bytes", "{sent}");
    let sent = a.ok(&["msg", "send", &b.daemon.id(), "--data", "hello", "--type", "text"]);
    assert_eq!(sent["ack"], "ACK TEXT 5 bytes", "{sent}");
    b.daemon.message("the message arrives", |message| message["data"] == "hello");
    assert_eq!(b.ok(&["msg", "inbox"])["total"], 2);
}

fn carries_bytes(a: &Ours<'_>, b: &Ours<'_>) {
    let echoed = a.ok(&["connect", "reference-b", "7", "--message", "echo this"]);
    assert_eq!(echoed["response"], "echo this", "{echoed}");
    let listening = b.listening(&["listen", "4000", "--count", "1"]);
    let sent = a.ok(&["connect", "reference-b", "4000", "--message", "no reply", "--timeout", "3s"]);
    assert_eq!(sent["ended_by"], "no_reply", "{sent}");
    let heard = listening.wait(PATIENCE).ok().json();
    assert_eq!(heard["data"]["messages"][0]["data"], "no reply", "{heard}");
    let closed = a.run(&["connect", "reference-b", "4001", "--message", "x"]);
    assert!(closed.code().is_some_and(|code| REFUSED.contains(&code)), "{closed}");
}

/// Streamed transfer came with 1.12. Without it the whole file is one frame, on which two daemons of 1.9.1 stall at times,
/// with their own command line too: it is sent again.
fn delivers_a_file(a: &Ours<'_>, b: &Ours<'_>, streamed: bool) {
    let file = a.daemon.home().join("noise.bin");
    let digest = noise::write_file(&file, if streamed { FILE } else { 1 });
    let words = ["file", "send", "reference-b", file.to_str().unwrap(), "--timeout", "30s"];
    let attempts = if streamed { 1 } else { 5 };
    let sent = (0..attempts).map(|_| a.run(&words)).find(|ended| ended.status.success());
    let sent =
        sent.unwrap_or_else(|| panic!("not sent in {attempts} attempts\n{}", b.daemon.log())).json()["data"].clone();
    assert_eq!((&sent["sha256"], &sent["verified"]), (&digest.as_str().into(), &streamed.into()), "{sent}");
    let listed = b.ok(&["file", "list"]);
    let path = listed["files"][0]["path"].as_str().map(PathBuf::from).unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(noise::digest(&path), digest);
}

fn publishes(a: &Ours<'_>, b: &Ours<'_>) {
    let mut listening = a.listening(&["topic", "sub", "reference-b", "news", "--count", "2", "--timeout", "60s"]);
    // Nothing tells when a subscription is in force.
    wait::until("two events arrive", PATIENCE, || {
        assert_eq!(a.ok(&["topic", "pub", &b.daemon.id(), "news", "--data", "tick"])["bytes"], 4);
        listening.has_ended().then_some(())
    });
    let heard = listening.wait(PATIENCE).ok().json()["data"].clone();
    let event = serde_json::json!({"topic": "news", "data": "tick", "bytes": 4});
    assert_eq!(heard, serde_json::json!({"events": [event, event], "timeout": false}));
}

fn sends_datagrams(a: &Ours<'_>, b: &Ours<'_>) {
    let mut listening = b.listening(&["listen", "4002", "--count", "1", "--timeout", "60s"]);
    wait::until("a datagram arrives", PATIENCE, || {
        a.ok(&["dgram", "reference-b", "4002", "--data", "small"]);
        listening.has_ended().then_some(())
    });
    assert_eq!(listening.wait(PATIENCE).ok().json()["data"]["messages"][0]["data"], "small");
    let lost = a.run(&["dgram", "4000000", "4002", "--data", "small"]);
    // 1.18.0 and 1.9.1 both say that there is no such node, in different ways.
    assert_eq!(lost.code(), Some(NOT_FOUND), "{lost}");
}

fn lists(a: &Ours<'_>, b: &Ours<'_>) {
    let peers = a.ok(&["peers"]);
    let peer = &peers["peers"][0];
    assert_eq!(
        (&peer["node_id"], &peer["encrypted"], &peer["trusted"]),
        (&b.daemon.node().into(), &true.into(), &true.into())
    );
    assert!(a.ok(&["conns"])["total"].as_u64() > Some(0));
}

fn parts(a: &Ours<'_>, b: &Ours<'_>) {
    a.ok(&["trust", "remove", "reference-b"]);
    assert_eq!(a.ok(&["trust", "list"])["total"], 0);
    // Whether the peer still gets in for a while is their daemon's affair.
    let again = a.run(&["trust", "remove", &b.daemon.id()]);
    assert_eq!(again.code(), Some(NOT_FOUND), "{again}");
}

/// Our command line in the hands of a daemon's user.
struct Ours<'e> {
    daemon: Reference,
    equipment: &'e Equipment,
    network: &'e Isolated,
}

impl<'e> Ours<'e> {
    fn start(
        equipment: &'e Equipment,
        kit: &Kit,
        hostname: &str,
        network: &'e Isolated,
        rendezvous: &Rendezvous,
    ) -> Self {
        let daemon = Reference::start(kit, hostname, network.place(), rendezvous);
        Self { daemon, equipment, network }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program_at(self.network.place(), self.equipment.pilotctl(), self.daemon.home());
        command.arg("--socket").arg(self.daemon.socket()).args(words);
        command
    }

    fn start_json(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        command.env("PILOT_JSON", "1");
        process::start(command)
    }

    /// A command that has begun to listen.
    fn listening(&self, words: &[&str]) -> Running {
        let mut running = self.start_json(words);
        wait::until("it listens", PATIENCE, || {
            (running.has_ended() || running.stderr().contains("listening")).then_some(())
        });
        running
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.start_json(words).wait(4 * PATIENCE)
    }

    fn ok(&self, words: &[&str]) -> Value {
        let ended = self.run(words);
        assert!(ended.status.success(), "{ended}\n{}", self.daemon.log());
        ended.json()["data"].clone()
    }

    fn until(&self, limit: Duration, words: &[&str], right: impl Fn(&Value) -> bool) -> Value {
        let found = wait::within(limit, || Some(self.ok(words)).filter(&right));
        found.unwrap_or_else(|| panic!("still after {limit:?}: {}\n{}", self.run(words), self.daemon.log()))
    }
}
