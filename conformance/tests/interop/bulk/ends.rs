//! Two ends of a stream, each a daemon driven through its socket, whoever's it is.

use driver::{Address, Conn, Driver, Listener, SocketAddress};
use lab::agent::PATIENCE;
use lab::noise::Noise;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// A transfer in which nothing moves for so long has broken off.
const STANDSTILL: Duration = Duration::from_secs(20);

/// A daemon's user.
pub(super) struct End {
    driver: Driver,
    address: Address,
}

/// Runs asynchronous work to its end, on this thread.
pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

impl End {
    /// The user of the daemon at this socket, which has the node number `node`.
    pub(super) async fn new(socket: &Path, node: u64) -> Self {
        let driver = Driver::connect(socket).await.unwrap();
        let address: Address = driver.info().await.unwrap()["address"].as_str().unwrap().parse().unwrap();
        assert_eq!(u64::from(address.node.0), node);
        Self { driver, address }
    }

    /// Takes connections on a port.
    pub(super) async fn listen(&self, port: u16) -> Listener {
        self.driver.listen(port).await.unwrap()
    }

    /// A connection to a port of `peer`, if it comes about.
    pub(super) async fn try_dial(&self, peer: &Self, port: u16) -> Option<Conn> {
        timeout(PATIENCE, self.driver.dial(SocketAddress::new(peer.address, port))).await.unwrap().ok()
    }

    /// A connection to `peer`: the dialler's side, and the other.
    pub(super) async fn connect(&self, peer: &Self, port: u16) -> (Conn, Conn) {
        let mut listener = peer.listen(port).await;
        let to = SocketAddress::new(peer.address, port);
        let dialled = timeout(PATIENCE, self.driver.dial(to)).await.unwrap().unwrap();
        (dialled, accept(&mut listener).await)
    }

    /// How many bytes of its stream to this port have been acknowledged; this end must be ours.
    pub(super) async fn acknowledged(&self, port: u16) -> u64 {
        let info = self.driver.info().await.unwrap();
        let streams = info["conn_list"].as_array().unwrap();
        let stream = streams.iter().find(|stream| stream["remote_port"] == port).unwrap();
        let number = |name: &str| stream[name].as_u64().unwrap();
        number("bytes_sent") - number("in_flight")
    }

    /// Whether this end, which must be ours, reaches `peer` through the relay.
    pub(super) async fn relays(&self, peer: &Self) -> bool {
        let info = self.driver.info().await.unwrap();
        let peers = info["peer_list"].as_array().unwrap();
        let item = peers.iter().find(|item| item["node_id"] == u64::from(peer.address.node.0));
        item.unwrap()["relay"].as_bool().unwrap()
    }
}

/// The next connection.
pub(super) async fn accept(listener: &mut Listener) -> Conn {
    timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().conn
}

/// Sends so many bytes from one side to the other, where they must arrive as they are.
pub(super) async fn pour(from: &mut Conn, to: &mut Conn, length: usize, seed: u64) {
    let bytes = Noise::new(seed).bytes(length);
    let (sent, arrived) = tokio::join!(from.write_all(&bytes), take(to, length));
    sent.unwrap();
    assert!(arrived == bytes, "{length} bytes arrived, and they are others");
}

/// Reads until `expected` has arrived, nothing more comes, or the time is over: how much of it came. What comes must be right.
pub(super) async fn take_what_comes(from: &mut Conn, expected: &[u8], within: Duration) -> usize {
    let (mut block, mut done) = (vec![0; 1 << 16], 0);
    let end = Instant::now() + within;
    while done < expected.len() {
        match timeout_at(end.min(Instant::now() + STANDSTILL), from.read(&mut block)).await {
            Ok(Ok(read @ 1..)) => {
                assert!(expected[done..].starts_with(&block[..read]), "after {done} bytes others arrive");
                done += read;
            }
            Ok(Ok(_) | Err(_)) | Err(_) => break,
        }
    }
    done
}

/// Reads so many bytes.
pub(super) async fn take(from: &mut Conn, length: usize) -> Vec<u8> {
    let (mut bytes, mut done) = (vec![0; length], 0);
    while done < length {
        let read = timeout(STANDSTILL, from.read(&mut bytes[done..])).await;
        let read =
            read.unwrap_or_else(|_| panic!("nothing for {STANDSTILL:?} after {done} of {length} bytes")).unwrap();
        assert!(read > 0, "the end after {done} of {length} bytes");
        done += read;
    }
    bytes
}
