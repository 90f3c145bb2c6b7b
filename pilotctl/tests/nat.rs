//! The walk-through of the public documents with every agent behind a router of its own: real NAT by nftables, real
//! processes. What `status` and `peers` say is held against what the routers are known to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, PATIENCE, befriend};
use lab::echo::Echo;
use lab::netns::{Access, Lab, Site, with_namespaces};
use lab::noise;
use lab::rendezvous::Rendezvous;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Where agent A tells its metrics, in its own namespace.
const METRICS: &str = "127.0.0.1:9464";

/// Two agents, their rendezvous server and the networks between them. The order of fields is the order of the end.
struct World {
    a: Agent,
    b: Agent,
    rendezvous: Rendezvous,
    lab: Lab,
}

impl World {
    fn new(a: Access, b: Access) -> Self {
        Self::with(a, b, &[])
    }

    /// With more options of `daemon start`.
    fn with(a: Access, b: Access, options: &[&str]) -> Self {
        let lab = Lab::new(a, b);
        let rendezvous = Rendezvous::in_lab(env!("CARGO_BIN_EXE_pilotctl"), &lab);
        let a =
            Agent::at("agent-a", &rendezvous, &lab.site(Site::A), &[options, &["--metrics-listen", METRICS]].concat());
        let b = Agent::at("agent-b", &rendezvous, &lab.site(Site::B), options);
        Self { a, b, rendezvous, lab }
    }

    /// A message with its acknowledgement; what `connect` says.
    fn message(&self) -> Value {
        let sent = self.a.ok(&["connect", "agent-b", "--message", "{\"task\":\"analyze\"}"]);
        assert_eq!((&sent["acked"], &sent["ack"]), (&true.into(), &"ACK JSON 18 bytes".into()), "{sent}");
        sent
    }

    fn file(&self) -> Value {
        self.file_to(&self.b)
    }

    /// A file of 2 MB, compared byte for byte through its digest.
    fn file_to(&self, to: &Agent) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.bin");
        let digest = noise::write_file(&path, 2);
        let before = to.received().len();
        let sent = self.a.ok(&["file", "send", to.hostname(), path.to_str().unwrap()]);
        assert_eq!((&sent["verified"], &sent["sha256"]), (&true.into(), &digest.as_str().into()), "{sent}");
        let received = to.received();
        assert_eq!(received.len(), before + 1);
        assert_eq!(noise::digest(received.last().unwrap()), digest);
        sent
    }

    /// Waits until both agents say that the other is reached this way.
    fn both_say(&self, path: &str) -> [Value; 2] {
        let ends = [(&self.a, self.b.node()), (&self.b, self.a.node())];
        ends.map(|(agent, peer)| {
            let right = |data: &Value| peer_of(data, "peer_list", peer).is_some_and(|item| item["path"] == path);
            let status = agent.until(PATIENCE, &["status"], right);
            let listed = agent.ok(&["peers"]);
            assert_eq!(peer_of(&listed, "peers", peer).unwrap()["path"], path, "`peers` and `status` agree");
            peer_of(&status, "peer_list", peer).unwrap().clone()
        })
    }

    /// The NAT class each agent has found.
    fn nat_classes(&self) -> [String; 2] {
        [&self.a, &self.b].map(|agent| {
            let known =
                |data: &Value| data["nat_type"].as_str().is_some_and(|class| !class.is_empty() && class != "unknown");
            agent.until(PATIENCE, &["status"], known)["nat_type"].as_str().unwrap().to_owned()
        })
    }
}

/// The value of one of agent A's metrics.
fn metric(world: &World, name: &str) -> u64 {
    let text = world.a.place().inside(|| {
        let mut stream = TcpStream::connect(METRICS).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn peer_of<'v>(data: &'v Value, list: &str, peer: u64) -> Option<&'v Value> {
    data[list].as_array()?.iter().find(|item| item["node_id"] == peer)
}

#[test]
fn behind_port_keeping_routers_agents_reach_each_other_directly() {
    with_namespaces(|| {
        let began = Instant::now();
        let world = World::new(Access::Masquerade, Access::Masquerade);
        befriend(&world.a, &world.b);
        world.message();
        let [at_a, at_b] = world.both_say("direct");
        assert!(at_a["endpoint"].as_str().unwrap().starts_with(&Site::B.public().to_string()), "{at_a}");
        assert!(at_b["endpoint"].as_str().unwrap().starts_with(&Site::A.public().to_string()), "{at_b}");
        let classes = world.nat_classes();
        assert_eq!(classes, ["endpoint-independent", "endpoint-independent"]);
        let sent = world.file();
        assert_eq!(world.message()["path"], "direct");
        world.both_say("direct");

        let mut echo = Echo::open(&world.a, "agent-b");
        echo.round();
        let removed = world.a.ok(&["trust", "remove", "agent-b"]);
        assert_eq!(removed["closed_connections"], 1, "{removed}");
        echo.ends(Duration::from_secs(5));
        assert_eq!(world.a.ok(&["trust", "list"])["total"], 0);
        let refused = world.b.run(&["connect", "agent-a", "--message", "still there?"]);
        assert!([5, 6, 7].contains(&refused.code().unwrap()), "{refused}");
        assert!(refused.elapsed < Duration::from_secs(6), "{refused}");
        assert!(refused.stderr.contains("error: "), "{refused}");
        println!(
            "masquerade x masquerade: {classes:?}, direct {} and {}, file at {} MB/s, stranger turned away with {:?} in {:?}; {:?} in all",
            at_a["endpoint"],
            at_b["endpoint"],
            sent["mb_per_s"],
            refused.code(),
            refused.elapsed,
            began.elapsed()
        );
    });
}

#[test]
fn behind_randomising_routers_everything_goes_through_the_relay() {
    with_namespaces(|| {
        let began = Instant::now();
        let world = World::new(Access::FullyRandom, Access::FullyRandom);
        befriend(&world.a, &world.b);
        world.message();
        let [at_a, _] = world.both_say("relay");
        assert!(
            !at_a["relay_reason"].as_str().unwrap_or_default().is_empty(),
            "a relayed peer carries a reason: {at_a}"
        );
        let classes = world.nat_classes();
        assert_eq!(classes, ["symmetric", "symmetric"]);
        let sent = world.file();
        assert_eq!(world.message()["path"], "relay");
        // It stays so after every attempt at a direct path has failed, and says why.
        let final_reason =
            |data: &Value| data["peer_list"][0]["relay_reason"].as_str().is_some_and(|why| why.contains("symmetric"));
        world.a.until(PATIENCE, &["status"], final_reason);
        let [at_a, _] = world.both_say("relay");
        explains_itself(&world);
        println!(
            "random x random: {classes:?}, relayed because {}, file at {} MB/s; {:?} in all",
            at_a["relay_reason"],
            sent["mb_per_s"],
            began.elapsed()
        );
    });
}

//= spec/ipc.md#pp-ipc-15
//= type=test
//# Command 0xEC with a node's number tells how that peer is reached, why it is relayed, what was tried and what would help; with 0 it
//# tells so of every relayed peer.
fn explains_itself(world: &World) {
    let one = world.a.ok(&["why", "agent-b"]);
    let all = world.a.ok(&["why"]);
    for told in [&one, &all] {
        let peer = peer_of(told, "peers", world.b.node()).unwrap();
        assert_eq!(peer["path"], "relay", "{told}");
        assert!(peer["reason"].is_string() && peer["sentence"].is_string(), "{told}");
        assert!(!peer["tried"].as_array().unwrap().is_empty(), "{told}");
        assert!(peer["remedies"].is_array(), "{told}");
    }
}

#[test]
fn a_node_whose_search_for_ports_is_switched_off_says_so() {
    with_namespaces(|| {
        let world = World::with(Access::FullyRandom, Access::Masquerade, &["--no-spray"]);
        befriend(&world.a, &world.b);
        world.message();
        let off =
            |data: &Value| peer_of(data, "peers", world.b.node()).is_some_and(|peer| peer["reason"] == "spraying-off");
        let told = world.a.until(PATIENCE, &["why"], off);
        let peer = peer_of(&told, "peers", world.b.node()).unwrap();
        assert!(!peer["remedies"].as_array().unwrap().is_empty(), "{told}");
    });
}

/// One peer relayed, one direct: `status`, `why` and `/metrics` tell the same share, for people and for programs.
#[test]
fn the_share_of_the_relay_is_told() {
    with_namespaces(|| {
        let world = World::new(Access::FullyRandom, Access::FullyRandom);
        let open = Agent::at("agent-c", &world.rendezvous, &world.lab.rendezvous(), &[]);
        befriend(&world.a, &world.b);
        befriend(&world.a, &open);
        world.message();
        world.both_say("relay");
        world.a.ok(&["connect", "agent-c", "--message", "hello"]);
        let direct =
            |data: &Value| peer_of(data, "peer_list", open.node()).is_some_and(|peer| peer["path"] == "direct");
        world.a.until(PATIENCE, &["status"], direct);

        let share = || world.a.ok(&["status"])["relay_share"].clone();
        let bytes = |share: &Value| [&share["bytes"], &share["bytes_relayed"]].map(|bytes| bytes.as_u64().unwrap());
        let began = share();
        assert_eq!([&began["peers"], &began["peers_relayed"]], [2, 1], "{began}");
        assert_eq!(began["peers_percent"], 50.0, "{began}");
        world.file_to(&open);
        let direct_only = share();
        world.file_to(&world.b);
        let both = share();
        let [[b0, r0], [b1, r1], [b2, r2]] = [&began, &direct_only, &both].map(bytes);
        assert!(
            b1 - b0 > 2_000_000 && r1 - r0 < 100_000,
            "a direct file is none of the relay's: {began} {direct_only}"
        );
        assert!(r2 - r1 > 2_000_000 && b2 - b1 >= r2 - r1, "a relayed file is: {direct_only} {both}");
        let percent = both["bytes_percent"].as_f64().unwrap();
        assert!((percent - 100.0 * r2 as f64 / b2 as f64).abs() < 0.11 && (25.0..75.0).contains(&percent), "{both}");

        let relayed_bytes = metric(&world, "pilot_agent_relayed_bytes_total");
        let names = ["peers", "peers_direct", "peers_relayed"];
        assert_eq!(names.map(|name| metric(&world, &format!("pilot_agent_{name}"))), [2, 1, 1]);
        let last = world.a.ok(&["why"]);
        assert!((r2..=bytes(&last["relay_share"])[1]).contains(&relayed_bytes), "{relayed_bytes} of {last}");
        assert_eq!(last["relay_share"]["peers_percent"], 50.0, "{last}");
        let [peer] = &last["peers"].as_array().unwrap()[..] else { panic!("one peer is relayed: {last}") };
        assert_eq!(peer["node_id"], world.b.node(), "{last}");
        assert!(["still-trying", "both-symmetric"].contains(&peer["reason"].as_str().unwrap()), "{last}");
        let told = world.a.run(&["status"]);
        let line = told.stdout.lines().find(|line| line.contains("via relay")).unwrap_or_else(|| panic!("{told}"));
        let tenths = line.split_once("2 (1 via relay, ").and_then(|(_, rest)| rest.strip_suffix(" % of the bytes)"));
        let tenths: f64 = tenths.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!((tenths - percent).abs() < 1.0, "{line} and {both}");
    });
}

#[test]
fn an_open_host_and_one_behind_a_randomising_router_reach_each_other_directly() {
    with_namespaces(|| {
        let began = Instant::now();
        let world = World::new(Access::Open, Access::FullyRandom);
        befriend(&world.a, &world.b);
        world.message();
        let [at_a, at_b] = world.both_say("direct");
        let classes = world.nat_classes();
        assert_eq!(classes, ["none", "symmetric"]);
        let sent = world.file();
        println!(
            "open x random: {classes:?}, direct {} and {}, file at {} MB/s; {:?} in all",
            at_a["endpoint"],
            at_b["endpoint"],
            sent["mb_per_s"],
            began.elapsed()
        );
    });
}
