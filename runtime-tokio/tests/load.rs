//! Much at once: a long stream, a thousand streams, a bad network, hostile datagrams.

#![allow(clippy::unwrap_used, reason = "a transfer that breaks off has failed")]

mod support;

use runtime_tokio::{Config, Stream};
use sha2::{Digest as _, Sha256};
use std::net::UdpSocket;
use std::sync::Arc;
use support::proxy::Weather;
use support::{PORT, Pair, at, pattern, serve_echo, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

/// Writes `total` bytes of `block` over and over, finishes, and gives their hash.
async fn send(mut stream: Stream, block: Arc<Vec<u8>>, total: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut left = total;
    while left > 0 {
        let now = &block[..block.len().min(left)];
        hash.update(now);
        stream.write_all(now).await.unwrap();
        left -= now.len();
    }
    stream.finish().await.unwrap();
    hash.finalize().into()
}

/// Reads to the end and gives the hash and the length.
async fn receive(mut stream: Stream) -> ([u8; 32], usize) {
    let mut hash = Sha256::new();
    let mut total = 0;
    let mut bytes = vec![0; 256 * 1024];
    loop {
        let count = stream.read(&mut bytes).await.unwrap();
        if count == 0 {
            return (hash.finalize().into(), total);
        }
        hash.update(&bytes[..count]);
        total += count;
    }
}

async fn transfer(pair: &Pair, total: usize, seconds: u64) {
    let (a, b) = pair.streams().await;
    let block = Arc::new(pattern(1 << 20));
    let sender = tokio::spawn(send(a, block, total));
    let (received, len) = within(seconds, "the transfer", receive(b)).await;
    assert_eq!(len, total);
    assert_eq!(within(15, "finish", sender).await.unwrap(), received);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_megabytes_arrive_unchanged() {
    transfer(&Pair::direct().await, 200_000_000, 120).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_at_once_each_echo_64_kib() {
    let pair = Pair::direct().await;
    serve_echo(&pair.b, PORT);
    let sent = Arc::new(pattern(64 * 1024));
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let (node, sent) = (pair.a.clone(), Arc::clone(&sent));
        tasks.spawn(async move {
            let mut stream = node.dial(at(2, PORT)).await.unwrap();
            stream.write_all(&sent).await.unwrap();
            let mut back = vec![0; sent.len()];
            stream.read_exact(&mut back).await.unwrap();
            stream.finish().await.unwrap();
            back == *sent
        });
    }
    let mut echoed = 0;
    let all = async {
        while let Some(same) = tasks.join_next().await {
            assert!(same.unwrap());
            echoed += 1;
        }
    };
    within(120, "a thousand echoes", all).await;
    assert_eq!(echoed, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_loses_nothing() {
    let weather = Weather { loss: 20, reorder: 50, duplication: 10, mutants: 0 };
    let pair = Pair::configured(Config::default(), Some(weather)).await;
    transfer(&pair, 5_000_000, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_copies_of_every_sealed_datagram_change_nothing() {
    let weather = Weather { mutants: 20, ..Weather::default() };
    let pair = Pair::configured(Config::default(), Some(weather)).await;
    transfer(&pair, 5_000_000, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_datagrams_do_not_disturb_a_stream() {
    let pair = Pair::direct().await;
    let (target, recording) = (pair.b.local_address(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let attack = tokio::task::spawn_blocking(move || {
        let noise = pattern(70_000);
        let magics = [*b"PILS", *b"PILA", *b"PILK", *b"PILT", *b"PILP", [0x06, 0, 0, 0], [0x02, 1, 2, 3]];
        for round in 0..100_000_usize {
            let start = (round * 31) % 60_000;
            let mut datagram = noise[start..start + 1 + round % 1500].to_vec();
            let magic = magics[round % magics.len()];
            let kept = if round % 3 == 0 { 0 } else { magic.len().min(datagram.len()) };
            datagram[..kept].copy_from_slice(&magic[..kept]);
            // The kernel may drop what comes too fast; that is its right.
            let _ = recording.send_to(&datagram, target);
        }
    });
    transfer(&pair, 20_000_000, 60).await;
    attack.await.unwrap();
    transfer(&pair, 1_000_000, 20).await;
    let drops: u64 = pair.b.status().drops.iter().map(|(_, count)| count).sum();
    assert!(drops > 1000, "{drops} hostile datagrams were counted");
}
