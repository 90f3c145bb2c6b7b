//! How many requests a second one server answers on this machine: `cargo run --release -p rendezvous --example throughput`.

#![allow(clippy::unwrap_used, reason = "a measurement that fails has no result")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Agent, Client, builder};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const CLIENTS: u32 = 64;
const EACH: u32 = 100;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let server = builder().data_dir(folder.path()).start().await.unwrap();
    let address = server.registry_addr();
    report("registrations, each on disk", measure(address, register_new).await);
    report("heartbeats, each signature verified", measure(address, heartbeat).await);
    relay(server.registry_addr(), server.beacon_addrs()[0]).await;
    server.shutdown().await;
}

fn report(what: &str, seconds: f64) {
    println!("{:>9.0} {what}/s ({CLIENTS} connections)", f64::from(CLIENTS * EACH) / seconds);
}

/// Seconds until all clients have done `work`.
async fn measure<F: Future<Output = ()> + Send + 'static>(address: SocketAddr, work: fn(SocketAddr, u32) -> F) -> f64 {
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(work(address, client))).collect();
    for client in clients {
        client.await.unwrap();
    }
    start.elapsed().as_secs_f64()
}

async fn register_new(address: SocketAddr, number: u32) {
    let mut client = Client::connect(address).await.unwrap();
    for request in 0..EACH {
        Agent::new(number * 10_000 + request).join(&mut client).await;
    }
}

async fn heartbeat(address: SocketAddr, number: u32) {
    let mut client = Client::connect(address).await.unwrap();
    let agent = Agent::new(number * 10_000);
    let request = agent.heartbeat(agent.join(&mut client).await);
    for _ in 1..EACH {
        client.expect(&request).await;
    }
}

/// Frames of 1200 bytes from one socket to another through the beacon, a window of 64 at a time.
async fn relay(registry: SocketAddr, beacon: SocketAddr) {
    const FRAMES: u32 = 20_000;
    const WINDOW: u32 = 64;
    let mut client = Client::connect(registry).await.unwrap();
    let (from, to) = (UdpSocket::bind(common::any()).await.unwrap(), UdpSocket::bind(common::any()).await.unwrap());
    let mut ids = Vec::new();
    for (number, socket) in [(1, &from), (2, &to)] {
        let id = u32::try_from(Agent::new(number).join(&mut client).await).unwrap().to_be_bytes();
        socket.send_to(&[&[1][..], &id].concat(), beacon).await.unwrap();
        socket.recv_from(&mut [0; 64]).await.unwrap();
        ids.push(id);
    }
    let mut frame = [&[5][..], &ids.concat()].concat();
    frame.resize(1200, 0);
    let (start, mut arrived) = (Instant::now(), 0);
    for _ in 0..FRAMES / WINDOW {
        for _ in 0..WINDOW {
            from.send_to(&frame, beacon).await.unwrap();
        }
        for _ in 0..WINDOW {
            let received = tokio::time::timeout(Duration::from_millis(20), to.recv_from(&mut [0; 2048])).await;
            arrived += u32::from(received.is_ok());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:>9.0} frames/s relayed, {arrived} of {FRAMES} arrived", f64::from(arrived) / seconds);
}
