//! Two nodes on loopback that know and trust each other, without a registry, and a bad network between them.
#![allow(dead_code, reason = "every test file uses another part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

pub(crate) mod proxy;

use runtime_tokio::{Address, Builder, Config, Identity, Node, NodeId, SocketAddress, Stream};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The port tests listen on.
pub(crate) const PORT: u16 = 1000;

/// Two nodes: numbers 1 and 2.
pub(crate) struct Pair {
    pub(crate) a: Node,
    pub(crate) b: Node,
}

impl Pair {
    /// Directly connected.
    pub(crate) async fn direct() -> Self {
        Self::configured(Config::default(), None).await
    }

    pub(crate) async fn configured(config: Config, proxy: Option<proxy::Weather>) -> Self {
        let (a, b) = (builder(&config, 1).start().await.unwrap(), builder(&config, 2).start().await.unwrap());
        let (mut a_at, mut b_at) = (a.local_address(), b.local_address());
        if let Some(weather) = proxy {
            (a_at, b_at) = proxy::between(a_at, b_at, weather).await;
        }
        a.set_node(NodeId(1));
        b.set_node(NodeId(2));
        a.add_static_peer(NodeId(2), b.public_key(), Some(b_at), true);
        b.add_static_peer(NodeId(1), a.public_key(), Some(a_at), true);
        Self { a, b }
    }

    /// A stream from `a` to `b`, both ends.
    pub(crate) async fn streams(&self) -> (Stream, Stream) {
        let mut listener = self.b.listen(PORT).unwrap();
        let (dialled, accepted) = tokio::join!(self.a.dial(at(2, PORT)), listener.accept());
        (dialled.unwrap(), accepted.unwrap().0)
    }
}

fn builder(config: &Config, seed: u8) -> Builder {
    Node::builder(Identity::from_seed([seed; 32])).config(config.clone()).listen(loopback())
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(crate) fn at(node: u32, port: u16) -> SocketAddress {
    SocketAddress::new(Address::backbone(NodeId(node)), port)
}

/// Serves an echo on `port` of `node`: everything that comes back until the peer ends.
pub(crate) fn serve_echo(node: &Node, port: u16) {
    let mut listener = node.listen(port).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
}

async fn echo(mut stream: Stream) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        if stream.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Bytes that differ from place to place, the same for the same length.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Fails instead of hanging.
pub(crate) async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took more than {seconds} s"),
    }
}
