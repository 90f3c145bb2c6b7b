//! The server is killed without warning, again and again; what it acknowledged must still be there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Agent, Client, any, builder};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Set for the process that plays the server: its data folder.
const FOLDER: &str = "RENDEZVOUS_CRASH_TEST_FOLDER";
const ADDRESS_LINE: &str = "serving at ";

/// What a reply acknowledged.
#[derive(Debug)]
enum Fact {
    Id { agent: u32, id: u64 },
    Name { id: u64, name: String },
    Trust { a: u64, b: u64 },
}

/// Not a test by itself: the server, in a process of its own.
#[tokio::test]
async fn serve_until_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let server = builder().registry_listen(any()).data_dir(folder).start().await.unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\n{ADDRESS_LINE}{}", server.registry_addr()).unwrap();
    out.flush().unwrap();
    std::future::pending::<()>().await;
}

struct Victim {
    process: Child,
    address: SocketAddr,
}

impl Victim {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve_until_killed", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| line.unwrap().strip_prefix(ADDRESS_LINE).map(str::to_owned));
        Self { process, address: line.expect("the server tells its address").parse().unwrap() }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Registers agents, names them and makes them trust their predecessor until the connection dies; returns what was
/// acknowledged.
async fn work(address: SocketAddr, worker: u32, round: u32, acknowledged: Arc<Semaphore>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let Ok(mut client) = Client::connect(address).await else { return facts };
    let mut previous: Option<(Agent, u64)> = None;
    for step in 0.. {
        let seed = worker * 1_000_000 + round * 10_000 + step;
        let (agent, name) = (Agent::new(seed), format!("n{seed}"));
        let Ok(reply) = client.ask(&agent.register()).await else { break };
        let id = reply["node_id"].as_u64().unwrap();
        facts.push(Fact::Id { agent: seed, id });
        acknowledged.add_permits(1);
        if client.ask(&agent.set_hostname(id, &name)).await.is_err() {
            break;
        }
        facts.push(Fact::Name { id, name });
        if let Some((peer, peer_id)) = previous {
            let halves = [agent.report_trust(id, peer_id), peer.report_trust(peer_id, id)];
            for half in &halves {
                if client.ask(half).await.is_err() {
                    return facts;
                }
            }
            facts.push(Fact::Trust { a: id, b: peer_id });
        }
        previous = Some((agent, id));
    }
    facts
}

async fn check(address: SocketAddr, facts: &[Fact]) {
    let mut client = Client::connect(address).await.unwrap();
    for fact in facts {
        let (request, field, expected): (Value, &str, Value) = match fact {
            Fact::Id { agent, id } => (Agent::new(*agent).register(), "node_id", (*id).into()),
            Fact::Name { name, .. } => {
                (json!({"type": "resolve_hostname", "hostname": name, "admin_token": "root"}), "node_id", Value::Null)
            }
            Fact::Trust { a, b } => {
                (json!({"type": "check_trust", "node_id": a, "peer_id": b}), "trusted", true.into())
            }
        };
        let reply = client.expect(&request).await;
        let expected = if let Fact::Name { id, .. } = fact { (*id).into() } else { expected };
        assert_eq!(reply[field], expected, "{fact:?} was acknowledged");
    }
}

//= spec/registry.md#pp-reg-26
//= type=test
//# Facts that a reply acknowledges are durable before it leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    const ROUNDS: u32 = 12;
    const WORKERS: u32 = 6;
    let folder = tempfile::tempdir().unwrap();
    let mut facts = Vec::new();
    for round in 0..ROUNDS {
        let mut victim = Victim::start(folder.path());
        let address = victim.address;
        check(address, &facts).await;
        let acknowledged = Arc::new(Semaphore::new(0));
        let workers: Vec<_> =
            (0..WORKERS).map(|worker| tokio::spawn(work(address, worker, round, Arc::clone(&acknowledged)))).collect();
        // Anywhere between the first registration and deep in the work; no two rounds alike.
        acknowledged.acquire_many(round * round * 2).await.unwrap().forget();
        victim.kill();
        for worker in workers {
            facts.extend(worker.await.unwrap());
        }
    }
    let victim = Victim::start(folder.path());
    check(victim.address, &facts).await;
    assert!(facts.len() > 100, "the work was interrupted too early to show anything: {}", facts.len());
}
