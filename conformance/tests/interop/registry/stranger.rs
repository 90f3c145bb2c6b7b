//! Somebody who asks our registry in its own protocol and is no node of it.

use lab::agent::PATIENCE;
use lab::place::Place;
use proto_core::registry::codec::{FrameDecoder, MAX_REPLY, encode};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A connection that has proved nothing.
pub(super) struct Stranger(TcpStream);

impl Stranger {
    pub(super) fn connect(place: &Place, registry: &str) -> Self {
        let stream = place.inside(|| TcpStream::connect(registry)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// The registry's answer, whatever it is.
    pub(super) fn ask(&mut self, request: &Value) -> Value {
        self.0.write_all(&encode(request)).unwrap();
        let (mut decoder, mut buffer) = (FrameDecoder::new(MAX_REPLY), [0; 4096]);
        loop {
            if let Some(reply) = decoder.next_frame().unwrap() {
                return reply;
            }
            let length = self.0.read(&mut buffer).unwrap();
            assert!(length > 0, "the registry hangs up on {request}");
            decoder.push(&buffer[..length]);
        }
    }

    pub(super) fn lookup(&mut self, node: u64) -> Value {
        self.ask(&json!({"type": "lookup", "node_id": node}))
    }

    /// When the registry last heard of the node, Unix seconds; `None` when it has not in this run.
    pub(super) fn last_seen(&mut self, node: u64) -> Option<u64> {
        self.lookup(node)["last_seen_unix"].as_u64()
    }

    pub(super) fn trusted(&mut self, one: u64, other: u64) -> bool {
        let answer = self.ask(&json!({"type": "check_trust", "node_id": one, "peer_id": other}));
        answer["trusted"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }
}
