//! `demo`: the main job in one process, over real sockets on the loopback, by the daemon's own code.
//!
//! Every number and word it shows is read from the two agents; none is assumed.

use super::file::rate_mb;
use crate::agent::Agent;
use crate::cli::{CliError, Context, Kind, Result};
use crate::state::{Settings, TrustFile, new_identity, private_dir};
use bytes::Bytes;
use driver::services::exchange::MessageKind;
use driver::services::{EXCHANGE_PORT, send_file, send_message};
use proto_core::NodeId;
use proto_core::endpoint::PathKind;
use proto_core::wire::SocketAddress;
use rendezvous::Server;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of the file that is sent: 64 MiB.
const FILE_BYTES: usize = 64 * 1024 * 1024;
/// Longest wait for any one step.
const STEP: Duration = Duration::from_secs(10);
/// Round trips measured.
const PINGS: usize = 5;

pub(super) async fn run(context: &Context) -> Result<()> {
    let scratch = Scratch::new()?;
    // Its digest takes as long as all the rest before the transfer: begin now.
    let content = tokio::task::spawn_blocking(generate);
    let server = start_server().await?;
    context.output.say(&format!("rendezvous  registry {}, beacon {}", server.registry_addr(), beacons(&server)));
    let (a, b) = tokio::try_join!(
        start_agent(&server, "agent-a", scratch.0.join("a")),
        start_agent(&server, "agent-b", scratch.0.join("b")),
    )?;
    let (node_a, node_b) = (registered(&a).await?, registered(&b).await?);
    context.output.say(&format!("registered  agent-a is node {node_a}, agent-b is node {node_b}"));
    let trust = befriend(&a, node_a, &b, node_b).await?;
    context.output.say(&format!("trust       {trust}"));
    let path = direct_path(&a, node_b).await?;
    context.output.say(&format!("path        {}", path_text(path)));
    let message = message(&a, node_b).await?;
    context.output.say(&format!("message     {}", message["ack"]));
    let content = content.await.map_err(CliError::internal)?;
    let file = file(context, &a, node_b, content, &scratch.0.join("b")).await?;
    let rtt = round_trip(&a, node_b).await?;
    let encrypted = a.peers().iter().any(|peer| peer.node == node_b && peer.encrypted);
    let kind = match a.path(node_b) {
        Some(PathKind::Direct(_)) => "direct",
        Some(PathKind::Relay) => "relay",
        None => "none",
    };
    let data = json!({
        "path": kind,
        "encrypted": encrypted,
        "trust": trust,
        "message": message,
        "rtt_ms": rtt,
        "file": file,
    });
    tokio::join!(a.shutdown(), b.shutdown());
    server.shutdown().await;
    drop(scratch);
    context.output.result(&data, || {
        let secured = if encrypted { "encrypted" } else { "NOT encrypted" };
        format!("done        {kind}, {secured}, RTT {rtt:.3} ms, file verified at {} MB/s", file["mb_per_s"])
    });
    Ok(())
}

/// A folder for this run, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("pilot-demo-{}", std::process::id()));
        private_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn start_server() -> Result<Server> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let builder = Server::builder().registry_listen(any_port).beacon_listen(vec![any_port, any_port]);
    builder.start().await.map_err(|error| CliError::internal(format!("the rendezvous does not start: {error}")))
}

fn beacons(server: &Server) -> String {
    server.beacon_addrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn start_agent(server: &Server, name: &str, state: PathBuf) -> Result<Agent> {
    private_dir(&state)?;
    let settings = Settings {
        hostname: Some(name.to_owned()),
        registry: server.registry_addr(),
        registry_fingerprint: Some(server.fingerprint().to_owned()),
        beacons: server.beacon_addrs().to_vec(),
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        endpoint: None,
        public: false,
        relay_only: false,
        no_spray: false,
        port_mapping: false,
        metrics_listen: None,
        lan: true,
        trust_auto_approve: false,
        insecure: runtime_tokio::Insecure::default(),
        email: None,
        quota: 1024 * 1024 * 1024,
        admin_token: None,
        compat_socket: None,
        record: None,
    };
    Agent::start(&settings, new_identity()?, TrustFile::at(state.join("trust.json")), &state).await
}

/// Waits for a condition, and names it when it does not come.
async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + STEP;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(CliError::new(Kind::Timeout, format!("{what} did not happen within {STEP:?}")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn registered(agent: &Agent) -> Result<NodeId> {
    until("registration", || agent.node_id().filter(|_| agent.status().registered)).await
}

/// One asks, the other sees the request and approves it.
async fn befriend(a: &Agent, node_a: NodeId, b: &Agent, node_b: NodeId) -> Result<&'static str> {
    a.trust_request(node_b, "demo").await.map_err(CliError::internal)?;
    let asked = || b.trust_pending().into_iter().find(|request| request.node == node_a);
    until("the request for trust", asked).await?;
    b.trust_approve(node_a).await.map_err(CliError::internal)?;
    until("mutual trust", || (a.is_mutual(node_b) && b.is_mutual(node_a)).then_some("mutual")).await
}

async fn direct_path(agent: &Agent, peer: NodeId) -> Result<Option<PathKind>> {
    let deadline = Instant::now() + STEP;
    loop {
        agent.ping(peer, STEP).await.map_err(CliError::internal)?;
        let path = agent.path(peer);
        if matches!(path, Some(PathKind::Direct(_))) || Instant::now() >= deadline {
            return Ok(path);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn path_text(path: Option<PathKind>) -> String {
    match path {
        Some(PathKind::Direct(address)) => format!("direct {address}"),
        Some(PathKind::Relay) => "via relay".to_owned(),
        None => "none".to_owned(),
    }
}

async fn exchange(agent: &Agent, peer: NodeId) -> Result<runtime_tokio::Stream> {
    let to = SocketAddress::new(driver::Address::backbone(peer), EXCHANGE_PORT);
    agent.dial(to).await.map_err(CliError::internal)
}

async fn message(agent: &Agent, peer: NodeId) -> Result<Value> {
    let text = Bytes::from_static(b"{\"task\":\"analyze\"}");
    let bytes = text.len();
    let mut stream = exchange(agent, peer).await?;
    let ack = send_message(&mut stream, MessageKind::Json, text).await?;
    let _ = stream.finish().await;
    Ok(json!({"acked": ack == format!("ACK JSON {bytes} bytes"), "ack": ack, "bytes": bytes}))
}

/// Sends a generated file. The receiver checks its digest; what is in its folder then is counted.
async fn file(context: &Context, agent: &Agent, peer: NodeId, content: Content, receiver: &Path) -> Result<Value> {
    let Content { bytes: content, sha256 } = content;
    let size = u64::try_from(content.len()).map_err(CliError::internal)?;
    let bar = context.output.bar(size, "file       ");
    let started = Instant::now();
    let mut stream = exchange(agent, peer).await?;
    let mut source = std::io::Cursor::new(content);
    let sent = send_file(&mut stream, "demo.bin", size, sha256, &mut source, |at| bar.set_position(at)).await?;
    let elapsed = started.elapsed();
    let _ = stream.finish().await;
    bar.finish_and_clear();
    let rate = rate_mb(size, elapsed);
    let received = arrived(&receiver.join("received"))?;
    context.output.say(&format!("file        {received} bytes at {rate:.1} MB/s"));
    Ok(json!({
        "bytes": received,
        "verified": sent.verified && received == size,
        "mb_per_s": rate,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }))
}

/// A file and its digest.
struct Content {
    bytes: Vec<u8>,
    sha256: [u8; 32],
}

/// Bytes without a pattern that anything on the way could compress.
fn generate() -> Content {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    while bytes.len() < FILE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let sha256 = Sha256::digest(&bytes).into();
    Content { bytes, sha256 }
}

/// Length of the one file in a folder.
fn arrived(folder: &Path) -> Result<u64> {
    let mut entries = std::fs::read_dir(folder)?.flatten();
    let entry = entries.next().ok_or_else(|| CliError::internal("the file did not arrive"))?;
    Ok(entry.metadata()?.len())
}

/// The shortest of a few round trips, milliseconds.
async fn round_trip(agent: &Agent, peer: NodeId) -> Result<f64> {
    let mut shortest = Duration::MAX;
    for _ in 0..PINGS {
        shortest = shortest.min(agent.ping(peer, STEP).await.map_err(CliError::internal)?.rtt);
    }
    Ok((shortest.as_secs_f64() * 1_000_000.0).round() / 1_000.0)
}
