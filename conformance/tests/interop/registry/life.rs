//! What two daemons of the reference do in their first two minutes on our server, from strangers to strangers again.

use super::{Pair, SECTION};
use crate::case::{Case, signs_and_streams};
use crate::equipment::Equipment;
use crate::reference::{NEXT_LOOK, Reference};
use lab::agent::{PATIENCE, program_at};
use lab::{noise, process, wait};
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn case(a: String, b: String) -> Case {
    let mut rows = vec![
        ("register, with version and key", "–"),
        ("set hostname, visibility and tags", "both"),
        ("find by hostname", "both ways"),
        ("a private node hidden from strangers", "–"),
        ("trust, approved by hand, relayed by the registry", "first to second"),
        ("check_trust", "–"),
        ("heartbeats kept", "both"),
        ("ping", "both ways"),
        ("message", "both ways"),
        ("publish and subscribe", "both ways"),
        ("untrust", "first to second"),
    ];
    let files = files([&a, &b]);
    rows.extend(files.iter().map(|file| (file.row(), "first to second")));
    Case::sharing(SECTION, "life", &rows, &format!("{a} + {b}"), move |equipment| {
        let pair = Pair::new(equipment, (&a, &b), &[]);
        registers(&pair, [&a, &b]);
        sets_what_it_says_of_itself(&pair);
        finds_by_name(&pair);
        hides_the_private(&pair);
        let mut watcher = pair.stranger();
        let began = [&pair.a, &pair.b].map(|one| watcher.last_seen(one.node()).unwrap());
        pair.trust_by_hand();
        assert!(pair.stranger().trusted(pair.a.node(), pair.b.node()));
        for (one, began) in [&pair.a, &pair.b].into_iter().zip(began) {
            let number = one.node();
            wait::until("a heartbeat", NEXT_LOOK, || watcher.last_seen(number).filter(|seen| *seen > began));
        }
        pair.pings_both_ways();
        messages(&pair);
        for file in files {
            file.goes_over(&pair, equipment);
        }
        publishes(&pair);
        pair.a.ok(&["untrust", &pair.b.id()]);
        pair.b.until(PATIENCE, &["trust"], |data| data["trusted"].as_array().is_some_and(Vec::is_empty));
        let (a, b) = (pair.a.node(), pair.b.node());
        wait::until("the pair is gone", PATIENCE, || (!watcher.trusted(a, b)).then_some(()));
    })
}

/// Both ask, and nobody approves. Private ones, so that the registry carries both requests.
pub(super) fn mutual(a: String, b: String) -> Case {
    Case::new(SECTION, ("trust asked by both", "both"), &format!("{a} + {b}"), move |equipment| {
        let pair = Pair::new(equipment, (&a, &b), &[]);
        for (one, other) in pair.both_ways() {
            one.ok(&["handshake", &other.id(), "both ask"]);
        }
        // Each learns of the other's request by itself, when it next looks.
        for (one, other) in pair.both_ways() {
            let other = other.node();
            one.until(NEXT_LOOK, &["trust"], |data| data["trusted"][0]["node_id"] == other);
        }
        assert!(pair.stranger().trusted(pair.a.node(), pair.b.node()));
        pair.pings_both_ways();
    })
}

fn registers(pair: &Pair, versions: [&String; 2]) {
    for (one, version) in [&pair.a, &pair.b].into_iter().zip(versions) {
        let (info, seen) = (one.ok(&["info"]), pair.stranger().lookup(one.node()));
        for key in ["address", "public_key"] {
            assert_eq!(seen[key], info[key], "{seen}");
        }
        let told = if signs_and_streams(version) { version.as_str() } else { "dev" };
        assert_eq!(seen["version"], told, "{seen}");
    }
    assert_ne!(pair.a.node(), pair.b.node());
}

/// Public for a moment, so that everybody can see what it says.
fn sets_what_it_says_of_itself(pair: &Pair) {
    for (number, one) in [&pair.a, &pair.b].into_iter().enumerate() {
        let (name, tag) = (format!("renamed-{number}"), format!("tag-{number}"));
        assert_eq!(one.ok(&["set-hostname", &name])["hostname"], name.as_str());
        one.ok(&["extras", "set-tags", &tag, "gpu"]);
        assert_eq!(one.ok(&["set-public"])["visibility"], "public");
        let seen = pair.stranger().lookup(one.node());
        assert_eq!(
            (&seen["hostname"], &seen["tags"], &seen["public"]),
            (&json!(name), &json!([tag, "gpu"]), &json!(true))
        );
        assert!(seen["real_addr"].is_string(), "{seen}");
        assert_eq!(one.ok(&["set-private"])["visibility"], "private");
        assert_eq!(one.ok(&["set-hostname", one.hostname()])["hostname"], one.hostname());
    }
}

/// Private nodes and no trust yet: asking for trust by name is how strangers meet.
fn finds_by_name(pair: &Pair) {
    for (one, other) in pair.both_ways() {
        // Its daemon answers its user before it has set its name.
        one.until(PATIENCE, &["find", other.hostname()], |found| found["node_id"] == other.node());
        // More often than 1.18.0 has connections: it asks on one after the other.
        for _ in 0..5 {
            let found = one.ok(&["find", other.hostname()]);
            assert_eq!((&found["node_id"], &found["public"]), (&json!(other.node()), &json!(false)), "{found}");
        }
    }
}

fn hides_the_private(pair: &Pair) {
    let refused = pair.a.run(&["connect", &pair.b.id(), "7", "--message", "x", "--timeout", "5s"]);
    assert!(!refused.status.success(), "{refused}");
    let (a, b) = (pair.a.node(), pair.b.node());
    let mut stranger = pair.stranger();
    let seen = stranger.lookup(b);
    assert!(["hostname", "tags", "real_addr"].iter().all(|key| seen[key].is_null()), "{seen}");
    assert!(!stranger.trusted(a, b));
    for unsigned in [
        json!({"type": "resolve", "node_id": b, "requester_id": a}),
        json!({"type": "punch", "requester_id": a, "node_a": a, "node_b": b}),
        json!({"type": "heartbeat", "node_id": b}),
    ] {
        let refused = stranger.ask(&unsigned);
        assert_eq!(refused["error"], "signature required for authenticated node", "{unsigned}");
    }
}

fn messages(pair: &Pair) {
    for (one, other) in pair.both_ways() {
        let text = format!("from {}", one.hostname());
        let sent = one.ok(&["send-message", &other.id(), "--data", &text]);
        assert_eq!(sent["ack"], format!("ACK TEXT {} bytes", text.len()), "{sent}");
        let arrived = other.message("the message arrives", |message| message["data"] == text.as_str());
        assert_eq!(arrived["from"], one.ok(&["info"])["address"], "{arrived}");
    }
}

/// A file, and whose command line sends it through the first's daemon.
enum Sent {
    /// 20 MB, theirs.
    Large,
    /// 20 MB, ours, as a stream of acknowledged chunks.
    LargeByOurs,
    /// 240 KiB, theirs.
    Small,
}

/// What the first can send to the second. Daemons of 1.9.1 stall when a program gives them more than 256 KiB that is
/// not acknowledged, whoever receives; their command line always does, ours does not if the receiver knows streams. Two of
/// 1.10.4 take no 20 MB either, in the one frame that they know.
fn files([first, second]: [&str; 2]) -> Vec<Sent> {
    match (signs_and_streams(first), signs_and_streams(second)) {
        (false, false) => vec![Sent::Small],
        (false, true) => vec![Sent::Small, Sent::LargeByOurs],
        (true, _) => vec![Sent::Large],
    }
}

impl Sent {
    fn row(&self) -> &'static str {
        match self {
            Self::Large => "file of 20 MB, verified",
            Self::LargeByOurs => "file of 20 MB, verified, sent by our command line through their daemon",
            Self::Small => "file of 240 KiB, verified",
        }
    }

    fn goes_over(&self, pair: &Pair, equipment: &Equipment) {
        let length = if matches!(self, Self::Small) { 240 << 10 } else { 20 << 20 };
        let file = pair.a_file(length);
        if matches!(self, Self::LargeByOurs) {
            let mut ours = program_at(pair.network.place(), equipment.pilotctl(), pair.a.home());
            ours.arg("--json").arg("--socket").arg(pair.a.socket()).args(["file", "send", &pair.b.id()]).arg(&file);
            process::run(ours, 4 * PATIENCE).ok();
        } else {
            let sent = pair.a.ok(&["send-file", &pair.b.id(), file.to_str().unwrap()]);
            assert_eq!(sent["bytes"], length, "{sent}");
        }
        arrives(&pair.b, &file);
    }
}

fn arrives(receiver: &Reference, sent: &Path) {
    let digest = noise::digest(sent);
    wait::until("the file arrives whole", PATIENCE, || {
        receiver.received().into_iter().find(|path| path.is_file() && noise::digest(path) == digest)
    });
}

/// Both roles at the other's broker; published again until it has arrived, as nothing says when a subscription stands.
fn publishes(pair: &Pair) {
    for (one, broker) in pair.both_ways() {
        let mut subscriber = one.start_json(&["subscribe", &broker.id(), "news", "--count", "1", "--timeout", "30s"]);
        // Two dials at the same moment get one stream from 1.9.1 now and then, on which both commands fail.
        one.until(PATIENCE, &["connections"], |data| {
            let streams = data["connections"].as_array();
            streams
                .is_some_and(|all| all.iter().any(|item| item["remote_port"] == 1002 && item["state"] == "ESTABLISHED"))
        });
        wait::until("the event arrives", PATIENCE, || {
            one.ok(&["publish", &broker.id(), "news", "--data", "event"]);
            subscriber.has_ended().then_some(())
        });
        let heard: Value = one.data(&subscriber.wait(PATIENCE));
        let event = &heard["events"][0];
        assert_eq!((&event["topic"], &event["data"]), (&json!("news"), &json!("event")), "{heard}");
    }
}
