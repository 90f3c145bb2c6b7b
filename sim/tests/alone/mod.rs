//! One endpoint and a registry that answers as a test says.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "each test file uses its part of this support code"
)]

use proto_core::crypto::rust_crypto;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Endpoint, Event, Input, NodeId, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use sim::identity;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub struct Drain {
    pub buffer: Vec<u8>,
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
    pub events: Vec<Event>,
}

impl Sink for Drain {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 1 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        self.sent.push((transmit.to, self.buffer[..transmit.len].to_vec()));
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// One endpoint whose registry answers as the test says; `None` is silence.
pub struct Alone {
    pub endpoint: Endpoint,
    pub now: Timestamp,
    pub drain: Drain,
    pub answer: fn(&str) -> Option<String>,
}

impl Alone {
    pub fn new(config: Config, answer: fn(&str) -> Option<String>) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let config = Arc::new(Config { registry: true, ..config });
        let endpoint = Endpoint::new(config, identity(0), rust_crypto(), [3; 32], now);
        let drain = Drain { buffer: vec![0; 65_536], sent: Vec::new(), events: Vec::new() };
        let mut alone = Self { endpoint, now, drain, answer };
        alone.run(Duration::from_secs(1));
        alone
    }

    pub fn settle(&mut self) {
        let mut seen = self.drain.events.len();
        loop {
            drive(&mut self.endpoint, self.now, &mut self.drain);
            let Some(event) = self.drain.events.get(seen).cloned() else { return };
            seen += 1;
            if event == Event::RegistryConnect {
                self.endpoint.handle_input(self.now, Input::RegistryConnected);
            } else if let Event::RegistrySend(request) = event {
                let reply = (self.answer)(core::str::from_utf8(&request[4..]).unwrap());
                if let Some(reply) = reply {
                    self.endpoint.handle_input(self.now, Input::RegistryData(&framed(&reply)));
                }
            }
        }
    }

    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        self.settle();
        while let Some((at, _)) = self.endpoint.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    pub fn receive(&mut self, from: SocketAddr, mut data: Vec<u8>) {
        let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data: &mut data };
        self.endpoint.handle_input(self.now, input);
        self.settle();
    }

    pub fn dial(&mut self, number: u32) {
        let target = SocketAddress::new(Address::backbone(NodeId(number)), 1000);
        self.endpoint.dial(self.now, target).unwrap();
        self.settle();
    }
}

pub fn is(request: &str, kind: &str) -> bool {
    request.contains(&format!("\"type\":\"{kind}\""))
}

pub fn registers(request: &str) -> Option<String> {
    let ok = "{\"type\":\"register_ok\",\"node_id\":1}";
    is(request, "register").then(|| ok.to_owned())
}

pub fn framed(text: &str) -> Vec<u8> {
    let mut frame = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(text.as_bytes());
    frame
}
