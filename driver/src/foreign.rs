//! What a daemon of the reference lacks, done with what it has: decides by the words of its refusals, and by whether it
//! knew `Hello`. Knows nothing of what a command is for.

use crate::client::Driver;
use crate::error::DriverError;
use crate::ipc::{HandshakeCommand, Request};
use proto_core::NodeId;
use proto_core::wire::{Address, SocketAddress};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The echo service.
const ECHO_PORT: u16 = 7;
/// What is echoed; as many bytes as a ping of the reference.
const PROBE: &[u8; 6] = b"pilot?";
/// Between two looks at something that changes by itself.
const LOOK: Duration = Duration::from_millis(100);
/// How long a connection may take to deliver its rest before it is closed.
const LINGER: Duration = Duration::from_secs(30);

/// An error that no request waits for: version 1.9.1 answers a `Send` that fails, and only then.
pub(crate) fn is_stray(text: &str) -> bool {
    text.starts_with("send: ") || lost_connection(text).is_some()
}

/// The connection a failed `Send` was for.
pub(crate) fn lost_connection(text: &str) -> Option<u32> {
    text.strip_prefix("connection ")?.strip_suffix(" not found")?.parse().ok()
}

impl Driver {
    /// Pings a node: inside its tunnel, or through its echo port by a daemon that cannot do that.
    ///
    /// The answer has `rtt_ms`, and `path` with `kind` and `address`; the kind is `unknown` where the daemon does not tell.
    ///
    /// # Errors
    ///
    /// [`DriverError::Timeout`], and as [`Self::request`].
    pub async fn ping(&self, node: u32, timeout: Duration) -> Result<Value, DriverError> {
        if self.is_extended() {
            let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
            return self.request(Request::Ping { node, timeout_ms }).await;
        }
        tokio::time::timeout(timeout, self.echo(node)).await.unwrap_or(Err(DriverError::Timeout))
    }

    async fn echo(&self, node: u32) -> Result<Value, DriverError> {
        let mut conn = self.dial(SocketAddress::new(Address::backbone(NodeId(node)), ECHO_PORT)).await?;
        let mut answer = [0; PROBE.len()];
        let asked = Instant::now();
        conn.write_all(PROBE).await?;
        conn.read_exact(&mut answer).await?;
        let rtt = asked.elapsed();
        conn.close().await?;
        let peer = listed(&self.info().await?, "peer_list", "node_id", node).cloned().unwrap_or_default();
        let kind = match peer.get("relay").and_then(Value::as_bool) {
            Some(true) => "relay",
            Some(false) => "direct",
            None => "unknown",
        };
        let rtt_ms = (rtt.as_secs_f64() * 1e6).round() / 1e3;
        Ok(json!({"node_id": node, "rtt_ms": rtt_ms, "path": {"kind": kind, "address": peer.get("endpoint")}}))
    }

    /// Sends a datagram; returns when the daemon has sent it.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub async fn send_to(&self, to: SocketAddress, data: bytes::Bytes) -> Result<(), DriverError> {
        match self.request(Request::SendToConfirm { to, data: data.clone() }).await {
            Err(error) if error.is_unknown_command() => {}
            outcome => return outcome.map(|_| ()),
        }
        // Version 1.9.1 says only what went wrong, and works in order: any answer behind it means that it went well.
        self.raw(Some(Request::SendTo { to, data }), Request::Health).await.map(|_| ())
    }

    /// Waits until a node is trusted, at most `timeout`; whether it is.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub async fn wait_for_trust(&self, node: u32, timeout: Duration) -> Result<bool, DriverError> {
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        match self.handshake(HandshakeCommand::Wait { node, timeout_ms }).await {
            Err(error) if error.is_unknown_command() => {}
            outcome => return Ok(outcome?.get("trusted") == Some(&Value::Bool(true))),
        }
        let began = Instant::now();
        loop {
            let trusted = self.handshake(HandshakeCommand::Trusted).await?;
            // Its list has those whom this agent trusts; `mutual` tells who asked whom first.
            let found = listed(&trusted, "trusted", "node_id", node).is_some();
            if found || began.elapsed() >= timeout {
                return Ok(found);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How many bytes of a connection the peer has acknowledged; a lower bound once it has ended.
    pub(crate) async fn acknowledged(&self, conn: u32) -> Result<u64, DriverError> {
        if self.is_extended() {
            let payload = self.raw(None, Request::Acknowledged(conn)).await?;
            let count = payload.first_chunk().ok_or(DriverError::Protocol("a count that is too short"))?;
            return Ok(u64::from_be_bytes(*count));
        }
        let info = self.info().await?;
        Ok(listed(&info, "conn_list", "id", conn)
            .map_or(0, |item| number(item, "bytes_sent").saturating_sub(missing(item))))
    }

    /// Tells the peer that no more comes, in either direction; returns when it acknowledged everything.
    pub(crate) async fn finish(self, conn: u32) -> Result<(), DriverError> {
        if self.is_extended() {
            return self.request(Request::Finish(conn)).await.map(|_| ());
        }
        // Its close abandons what is not acknowledged yet.
        let began = Instant::now();
        let delivered = loop {
            let info = self.info().await?;
            let Some(item) = listed(&info, "conn_list", "id", conn) else { break true };
            let open = item.get("state").and_then(Value::as_str) == Some("ESTABLISHED");
            if missing(item) == 0 || !open || began.elapsed() >= LINGER {
                break missing(item) == 0;
            }
            tokio::time::sleep(LOOK).await;
        };
        self.close(conn).await?;
        if delivered { Ok(()) } else { Err(DriverError::Daemon("reset: the peer has not taken everything".to_owned())) }
    }
}

/// Bytes of a connection under way; at least one while any segment is.
fn missing(item: &Value) -> u64 {
    number(item, "in_flight").max(number(item, "unacked"))
}

/// The item of `list` whose `key` is `value`.
fn listed<'a>(reply: &'a Value, list: &str, key: &str, value: u32) -> Option<&'a Value> {
    reply.get(list)?.as_array()?.iter().find(|item| number(item, key) == u64::from(value))
}

fn number(item: &Value, name: &str) -> u64 {
    item.get(name).and_then(Value::as_u64).unwrap_or(0)
}
