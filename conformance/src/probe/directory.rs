//! The registry, asked by somebody who keeps to its protocol or not.

use super::check::{Outcome, Stop, ensure};
use proto_core::NodeId;
use proto_core::crypto::Identity;
use proto_core::registry::codec::{FrameDecoder, MAX_REPLY, encode};
use proto_core::registry::{Request, refusal};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection to a registry.
#[derive(Debug)]
pub(super) struct Directory {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl Directory {
    pub(super) fn connect(address: SocketAddr) -> Result<Self, String> {
        let failed = |error| format!("the registry at {address} cannot be reached: {error}");
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Self { stream, decoder: FrameDecoder::new(MAX_REPLY) })
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Outcome {
        self.stream.write_all(bytes).map_err(|error| Stop::Failed(format!("the registry hangs up: {error}")))
    }

    /// The next reply.
    pub(super) fn reply(&mut self) -> Result<Value, Stop> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(reply) = self.decoder.next_frame().map_err(|error| Stop::Failed(error.to_string()))? {
                return Ok(reply);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Stop::failed("the registry hangs up instead of answering")),
                Ok(length) => self.decoder.push(buffer.get(..length).unwrap_or_default()),
                Err(error) => return Err(Stop::Failed(format!("no reply of the registry: {error}"))),
            }
        }
    }

    /// What the registry sends before it hangs up; it must do that.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                Err(Stop::Failed(format!("the connection stays open: {error}")))
            }
            Ok(_) | Err(_) => Ok(bytes),
        }
    }

    /// The answer to any message.
    pub(super) fn ask(&mut self, message: &Value) -> Result<Value, Stop> {
        self.send(&encode(message))?;
        self.reply()
    }

    /// The answer to a request as our own client would write it.
    pub(super) fn request(&mut self, node: NodeId, identity: &Identity, request: &Request) -> Result<Value, Stop> {
        self.ask(&request.to_json(node, identity, None))
    }

    /// The answer to a request that must succeed.
    pub(super) fn granted(&mut self, node: NodeId, identity: &Identity, request: &Request) -> Result<Value, Stop> {
        let reply = self.request(node, identity, request)?;
        let right = reply.get("type").and_then(Value::as_str) == Some(&format!("{}_ok", request.name()));
        ensure(right && refusal(&reply).is_none(), || format!("`{}` is answered {reply}", request.name()))?;
        Ok(reply)
    }
}

/// `reply` must be a refusal in the registry's form.
pub(super) fn refused(what: &str, reply: &Value) -> Outcome {
    let form = reply.get("type").and_then(Value::as_str) == Some("error");
    ensure(form && refusal(reply).is_some(), || format!("{what} is answered {reply}"))
}
