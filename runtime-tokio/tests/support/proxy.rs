//! A bad network in user space: two UDP sockets that lose, reorder and repeat what passes between two nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// In per mille of the datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) loss: usize,
    pub(crate) reorder: usize,
    pub(crate) duplication: usize,
    /// Damaged copies of every sealed datagram, sent before it.
    pub(crate) mutants: usize,
}

/// Puts a network between `a` and `b`; gives the addresses they know each other by: (of `a`, of `b`).
pub(crate) async fn between(a: SocketAddr, b: SocketAddr, weather: Weather) -> (SocketAddr, SocketAddr) {
    // What `a` sends to `stands_for_b` leaves from `stands_for_a` toward `b`, and back.
    let stands_for_a = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let stands_for_b = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let addresses = (stands_for_a.local_addr().unwrap(), stands_for_b.local_addr().unwrap());
    tokio::spawn(carry(Arc::clone(&stands_for_b), Arc::clone(&stands_for_a), b, weather, 1));
    tokio::spawn(carry(stands_for_a, stands_for_b, a, weather, 2));
    addresses
}

async fn carry(from: Arc<UdpSocket>, through: Arc<UdpSocket>, to: SocketAddr, weather: Weather, seed: u32) {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    let mut held: Option<Vec<u8>> = None;
    let mut datagram = vec![0; 65_535];
    loop {
        let Ok(len) = from.recv(&mut datagram).await else { continue };
        let bytes = &datagram[..len];
        if random() % 1000 < weather.loss {
            continue;
        }
        if held.is_none() && random() % 1000 < weather.reorder {
            held = Some(bytes.to_vec());
            continue;
        }
        // Key exchanges are limited per source before anybody looks at them: damaged ones would shut out the real one, by design.
        let mutants = if bytes.starts_with(b"PILS") { weather.mutants } else { 0 };
        for mutant in 0..mutants {
            let _ = through.send_to(&damaged(bytes, &mut random, mutant), to).await;
        }
        let copies = if random() % 1000 < weather.duplication { 2 } else { 1 };
        for _ in 0..copies {
            let _ = through.send_to(bytes, to).await;
        }
        if let Some(late) = held.take() {
            let _ = through.send_to(&late, to).await;
        }
    }
}

/// `bytes` with a flipped bit, cut short, or with a stretch of noise.
fn damaged(bytes: &[u8], random: &mut impl FnMut() -> usize, kind: usize) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let at = random() % copy.len().max(1);
    match kind % 3 {
        0 => copy[at] ^= 1 << (random() % 8),
        1 => copy.truncate(at),
        _ => copy[at..].iter_mut().take(16).for_each(|byte| *byte = random() as u8),
    }
    copy
}
