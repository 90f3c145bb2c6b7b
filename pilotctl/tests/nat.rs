//! The walk-through of the public documents with every agent behind a router of its own: real NAT by nftables, real
//! processes. What `status` and `peers` say is held against what the routers are known to do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use lab::agent::{Agent, PATIENCE, befriend};
use lab::echo::Echo;
use lab::netns::{Access, Lab, Site, with_namespaces};
use lab::noise;
use lab::rendezvous::Rendezvous;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Two agents, their rendezvous server and the networks between them. The order of fields is the order of the end.
struct World {
    a: Agent,
    b: Agent,
    _rendezvous: Rendezvous,
    _lab: Lab,
}

impl World {
    fn new(a: Access, b: Access) -> Self {
        let lab = Lab::new(a, b);
        let rendezvous = Rendezvous::in_lab(env!("CARGO_BIN_EXE_pilotctl"), &lab);
        let a = Agent::in_lab("agent-a", &rendezvous, &lab, Site::A);
        let b = Agent::in_lab("agent-b", &rendezvous, &lab, Site::B);
        Self { a, b, _rendezvous: rendezvous, _lab: lab }
    }

    /// A message with its acknowledgement; what `connect` says.
    fn message(&self) -> Value {
        let sent = self.a.ok(&["connect", "agent-b", "--message", "{\"task\":\"analyze\"}"]);
        assert_eq!((&sent["acked"], &sent["ack"]), (&true.into(), &"ACK JSON 18 bytes".into()), "{sent}");
        sent
    }

    /// A file of 2 MB, compared byte for byte through its digest.
    fn file(&self) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.bin");
        let digest = noise::write_file(&path, 2);
        let before = self.b.received().len();
        let sent = self.a.ok(&["file", "send", "agent-b", path.to_str().unwrap()]);
        assert_eq!((&sent["verified"], &sent["sha256"]), (&true.into(), &digest.as_str().into()), "{sent}");
        let received = self.b.received();
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
