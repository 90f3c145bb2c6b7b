//! A registry client for the tests: frames, signatures, and TLS with a pin.

#![allow(dead_code, reason = "each test program uses its own part")]

use data_encoding::BASE64;
use proto_core::crypto::Identity;
use rendezvous::{Builder, RegistryConfig, Server};
use rendezvous_core::rate::Rate;
use serde_json::{Value, json};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Any free port of 127.0.0.1.
pub(crate) fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A server on free ports, without rate limits.
pub(crate) fn builder() -> Builder {
    let config = RegistryConfig {
        registrations: Rate::UNLIMITED,
        requests_per_address: Rate::UNLIMITED,
        requests_per_node: Rate::UNLIMITED,
        admin_token: Some("root".to_owned()),
        ..RegistryConfig::default()
    };
    Server::builder().registry_listen(any()).beacon_listen(vec![any(), any()]).registry_config(config)
}

/// A connection to the registry.
pub(crate) struct Client<S = TcpStream>(pub(crate) S);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends `request`, returns the reply.
    pub(crate) async fn ask(&mut self, request: &Value) -> io::Result<Value> {
        let text = request.to_string();
        let mut frame = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await?;
        self.0.flush().await?;
        let length = self.0.read_u32().await?;
        let mut reply = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut reply).await?;
        Ok(serde_json::from_slice(&reply)?)
    }

    /// As [`Client::ask`], for requests that must succeed.
    pub(crate) async fn expect(&mut self, request: &Value) -> Value {
        let reply = self.ask(request).await.unwrap();
        assert_eq!(reply["type"], format!("{}_ok", request["type"].as_str().unwrap()), "{request} -> {reply}");
        reply
    }
}

/// A node's key and what it signs.
pub(crate) struct Agent {
    key: Identity,
}

impl Agent {
    /// The agent number `seed`.
    pub(crate) fn new(seed: u32) -> Self {
        let mut bytes = [0x5a; 32];
        bytes[..4].copy_from_slice(&seed.to_be_bytes());
        Self { key: Identity::from_seed(bytes) }
    }

    pub(crate) fn public_key(&self) -> String {
        self.key.public().to_string()
    }

    fn sign(&self, text: &str) -> String {
        BASE64.encode(&self.key.sign(text.as_bytes()))
    }

    pub(crate) fn register(&self) -> Value {
        let (address, key) = ("127.0.0.1:4000", self.public_key());
        let signature = self.sign(&format!("register:{address}:{key}"));
        json!({"type": "register", "listen_addr": address, "public_key": key, "signature": signature, "version": "pilot-rs/test"})
    }

    pub(crate) fn heartbeat(&self, id: u64) -> Value {
        json!({"type": "heartbeat", "node_id": id, "signature": self.sign(&format!("heartbeat:{id}"))})
    }

    pub(crate) fn set_hostname(&self, id: u64, name: &str) -> Value {
        let signature = self.sign(&format!("set_hostname:{id}"));
        json!({"type": "set_hostname", "node_id": id, "hostname": name, "signature": signature})
    }

    pub(crate) fn set_visibility(&self, id: u64, public: bool) -> Value {
        let signature = self.sign(&format!("set_visibility:{id}"));
        json!({"type": "set_visibility", "node_id": id, "public": public, "signature": signature})
    }

    pub(crate) fn report_trust(&self, id: u64, peer: u64) -> Value {
        let signature = self.sign(&format!("report_trust:{id}:{peer}"));
        json!({"type": "report_trust", "node_id": id, "peer_id": peer, "signature": signature})
    }

    pub(crate) fn request_handshake(&self, id: u64, peer: u64) -> Value {
        let signature = self.sign(&format!("handshake:{id}:{peer}"));
        json!({"type": "request_handshake", "from_node_id": id, "to_node_id": peer, "justification": "why not", "signature": signature})
    }

    pub(crate) fn poll(&self, id: u64) -> Value {
        json!({"type": "poll_handshakes", "node_id": id, "signature": self.sign(&format!("poll_handshakes:{id}"))})
    }

    /// Registers on `client`; returns the id.
    pub(crate) async fn join<S: AsyncRead + AsyncWrite + Unpin>(&self, client: &mut Client<S>) -> u64 {
        client.expect(&self.register()).await["node_id"].as_u64().unwrap()
    }
}
