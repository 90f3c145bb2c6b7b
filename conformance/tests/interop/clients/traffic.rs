//! Messages, files, events, streams and datagrams.

use super::world::{Both, PATIENT, World, file};
use super::{COMMAND_LINE, SECTION};
use crate::case::{Case, is_newer};
use lab::agent::PATIENCE;
use lab::process;
use lab::wait;
use serde_json::Value;
use std::path::Path;

/// The built-in services, at an agent that trusts.
pub(super) fn services(version: &str) -> Case {
    let rows = [
        ("ping, connect, bench, traceroute, disconnect", COMMAND_LINE),
        ("send-message: text, JSON, binary", COMMAND_LINE),
        ("send-message: --trace, --count, --reuse-conn, --data-file", COMMAND_LINE),
        ("send-file", COMMAND_LINE),
        ("subscribe, publish", COMMAND_LINE),
    ];
    let wanted = version.to_owned();
    let shown: Vec<_> = rows.into_iter().filter(|(name, _)| is_newer(version) || !name.contains("--trace")).collect();
    Case::sharing(SECTION, "services", &shown, version, move |equipment| {
        let world = World::new(equipment, &wanted);
        world.befriend();
        let home = world.ours[0].home();
        for words in [["ping", "PEER", "--count", "1"], ["ping", "NAME", "--count", "1"]] {
            world.same(&words);
        }
        assert_eq!(world.same(&["connect", "PEER", "7", "--message", "echoed"])["response"], "echoed");
        world.same(&["connect", "PEER", "4242", "--message", "to nobody"]);
        // On ours alone: 1.9.1 often never ends on its own daemon.
        let peer = world.ours[1].node().to_string();
        let echoed = process::run(world.command(0, &["bench", &peer, "1"]), PATIENT);
        assert_eq!(echoed.json()["data"]["recv_bytes"], 1024 * 1024, "{echoed}");
        let address = world.ours[1].ok(&["status"])["address"].clone();
        let traced = process::run(world.command(0, &["traceroute", address.as_str().unwrap()]), PATIENT);
        assert!(traced.json()["data"]["rtt_samples"].is_array(), "{traced}");
        world.same(&["disconnect", "4294967295"]);

        let acknowledged = |words: &[&str], ack: &str| assert_eq!(world.same(words)["ack"], ack, "{words:?}");
        acknowledged(&["send-message", "PEER", "--data", "hello"], "ACK TEXT 5 bytes");
        acknowledged(&["send-message", "NAME", "--data", "{\"k\":1}", "--type", "json"], "ACK JSON 7 bytes");
        acknowledged(&["send-message", "PEER", "--data", "bin", "--type", "binary"], "ACK BINARY 3 bytes");
        if is_newer(&wanted) {
            let traced = world.same(&["send-message", "PEER", "--data", "timed", "--trace"]);
            assert_eq!(traced["inner_ack"], "ACK TEXT 5 bytes", "{traced}");
            world.same(&["send-message", "PEER", "--data", "again", "--count", "3"]);
            world.same(&["send-message", "PEER", "--data", "again", "--count", "3", "--reuse-conn"]);
            let path = file(home, "message.txt", b"from a file");
            acknowledged(&["send-message", "PEER", "--data-file", &path], "ACK TEXT 11 bytes");
        }
        let small = file(home, "small.txt", b"some bytes");
        assert_eq!(world.same(&["send-file", "PEER", &small])["filename"], "small.txt");
        world.same(&["subscribe", "PEER", "news", "--count", "1", "--timeout", "1s"]);
        events(&world);
    })
}

/// One subscribes at the other's broker, and hears what is published there.
fn events(world: &World) {
    let peer = world.ours[1].node().to_string();
    let words = ["subscribe", &peer, "news", "--count", "1", "--timeout", "60s"];
    let subscriber = process::start(world.command(0, &words));
    let mut subscriber = Some(subscriber);
    wait::until("an event is delivered", PATIENT, || {
        let published = process::run(world.command(0, &["publish", &peer, "news", "--data", "extra"]), PATIENT);
        assert!(published.status.success(), "{published}");
        subscriber.as_mut().is_some_and(process::Running::has_ended).then_some(())
    });
    let heard = subscriber.take().map(|running| running.wait(PATIENCE)).unwrap();
    let event = &heard.json()["data"]["events"][0];
    assert_eq!((&event["topic"], &event["data"]), (&"news".into(), &"extra".into()), "{heard}");
}

/// A connection that one program holds is ended by another one.
pub(super) fn disconnect(version: &str) -> Case {
    let wanted = version.to_owned();
    let row = ("disconnect of another program's connection", COMMAND_LINE);
    Case::new(SECTION, row, version, move |equipment| {
        let world = World::new(equipment, &wanted);
        world.befriend();
        let (ours, theirs) = (world.sockets(), world.their_sockets());
        let echo = |address: &Value| format!("{}:7", address.as_str().unwrap());
        let [to_ours, to_theirs] =
            [echo(&world.ours[1].ok(&["status"])["address"]), echo(&world.theirs[1].ok(&["info"])["address"])];
        let hold = include_str!("hold.py");
        let mut holders = [
            process::start(world.python(0, hold, &[&ours[0], &to_ours])),
            process::start(world.theirs[0].python(hold, &[&theirs[0], &to_theirs])),
        ];
        let open = |ended: &process::Ended| {
            let listed = ended.json()["data"]["connections"].as_array().cloned().unwrap_or_default();
            listed.into_iter().find(|item| item["remote_port"] == 7 && item["state"] == "ESTABLISHED")
        };
        wait::until("both connections are held", PATIENT, || {
            holders.iter().all(|holder| holder.stdout().contains("held")).then_some(())
        });
        let listed = world.run(0, &["connections"]);
        let number = |ended| open(ended).unwrap_or_else(|| panic!("{ended}"))["id"].to_string();
        let (of_ours, of_theirs) = (number(&listed.ours), number(&listed.theirs));
        let both = Both {
            ours: process::run(world.command(0, &["disconnect", &of_ours]), PATIENT),
            theirs: world.theirs[0].run(&["disconnect", &of_theirs]),
        };
        both.same(&["disconnect"]);
        wait::until("both holders hear of it", PATIENT, || {
            holders.iter_mut().all(process::Running::has_ended).then_some(())
        });
        let listed = world.run(0, &["connections"]);
        assert!(open(&listed.ours).is_none() && open(&listed.theirs).is_none(), "{}{}", listed.ours, listed.theirs);
    })
}

/// Datagrams and streams to ports of the client; it listens for datagrams without binding.
pub(super) fn datagrams(version: &str) -> Case {
    let rows = [("dgram, listen", COMMAND_LINE), ("send, recv", COMMAND_LINE)];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "datagrams", &rows, version, move |equipment| {
        let dgram: &[&str] = if is_newer(&wanted) { &["dgram"] } else { &["extras", "dgram"] };
        let world = World::new(equipment, &wanted);
        world.befriend();
        let words = [dgram, &["PEER", "2000", "--data", "dg"]].concat();
        let message = heard_by_listener(&world, &["listen", "2000"], &words);
        assert_eq!((&message["data"], &message["bytes"]), (&"dg".into(), &2.into()), "{message}");
        assert_eq!(message["src_addr"], world.ours[0].ok(&["status"])["address"], "{message}");
        let message = heard_by_listener(&world, &["recv", "2001"], &["send", "PEER", "2001", "--data", "stream"]);
        assert_eq!((&message["data"], &message["port"]), (&"stream".into(), &2001.into()), "{message}");
    })
}

/// Sends until the peer's listener has heard one, on ours and on theirs; gives what ours heard.
fn heard_by_listener(world: &World, listen: &[&str], send: &[&str]) -> Value {
    let words = [listen, &["--count", "1", "--timeout", "60s"]].concat();
    let mut listeners = vec![process::start(world.command(1, &words)), world.theirs[1].start_json(&words)];
    wait::until("both listeners have heard something", 2 * PATIENT, || {
        world.run(0, send);
        listeners.iter_mut().all(process::Running::has_ended).then_some(())
    });
    let mut heard = listeners.drain(..).map(|listener| listener.wait(PATIENCE));
    let both = Both { ours: heard.next().unwrap(), theirs: heard.next().unwrap() };
    both.same(&words)["messages"][0].clone()
}

/// With `--compat-socket` the clients find everything where they look for it by themselves.
pub(super) fn compat_socket(version: &str) -> Case {
    let rows = [
        ("inbox, received", COMMAND_LINE),
        ("send-message --wait, answered", COMMAND_LINE),
        ("daemon status, daemon stop", COMMAND_LINE),
    ];
    let wanted = version.to_owned();
    let shown: Vec<_> = rows.into_iter().filter(|(name, _)| is_newer(version) || !name.contains("--wait")).collect();
    Case::sharing(SECTION, "compat socket", &shown, version, move |equipment| {
        let world = World::new(equipment, &wanted);
        world.befriend();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("compat.sock");
        let agent = &world.ours[1];
        agent.ok(&["daemon", "restart", "--public", &format!("--compat-socket={}", socket.display())]);
        let theirs = |words: &[&str]| {
            let mut command = world.command(1, words);
            command.env("PILOT_SOCKET", &socket);
            process::run(command, PATIENT)
        };
        world.same(&["send-message", "PEER", "--data", "kept"]);
        world.same(&["send-file", "PEER", &file(folder.path(), "kept.txt", b"x")]);
        Both { ours: theirs(&["inbox"]), theirs: world.theirs[1].run(&["inbox"]) }.same(&["inbox"]);
        let received = Both { ours: theirs(&["received"]), theirs: world.theirs[1].run(&["received"]) };
        assert_eq!(received.same(&["received"])["total"], 1);
        assert_eq!(agent.received().len(), 1, "our own command line looks there too");
        if is_newer(&wanted) {
            answered(&world, &socket);
        }
        let status = theirs(&["daemon", "status"]).json();
        assert_eq!(status["data"]["pid"].as_u64(), agent.pid().map(u64::from), "{status}");
        let stopped = theirs(&["daemon", "stop"]);
        assert!(stopped.status.success(), "{stopped}");
        wait::until("the daemon has ended", PATIENCE, || agent.pid().is_none().then_some(()));
        assert!(!socket.exists() && !Path::new(agent.home()).join(".pilot/pilot.pid").exists());
    })
}

/// A question of the reference's client, and an answer as the reference's service agents send it.
fn answered(world: &World, socket: &Path) {
    let [asked, asker] = &world.ours;
    let node = asked.node().to_string();
    let mut question = world.command(1, &["send-message", &node, "--data", "how much", "--wait", "60s"]);
    question.env("PILOT_SOCKET", socket);
    let question = process::start(question);
    let id = wait::until("the question arrives", PATIENT, || {
        let messages = asked.ok(&["msg", "inbox"])["messages"].as_array().cloned().unwrap_or_default();
        let question = messages.into_iter().find(|message| message["data"] == "how much")?;
        question["message_id"].as_str().map(str::to_owned)
    });
    let address = asker.ok(&["status"])["address"].as_str().unwrap().to_owned();
    let from = asked.socket().display().to_string();
    let program = include_str!("reply.py");
    let replied = process::run(world.python(0, program, &[&from, &address, &id, "forty-two"]), PATIENT);
    assert!(replied.stdout.contains("ACK TEXT 9 bytes"), "{replied}");
    let heard = question.wait(PATIENT);
    assert!(heard.status.success() && heard.stdout.contains("forty-two"), "{heard}");
}
