//! Whole endpoints: one without protection in the fuzzer's hands, and two real ones with a bad network between.

mod pair;
mod raw;

pub use pair::endpoint_real;
pub(crate) use raw::recorded;
pub use raw::{endpoint_raw, recording};

use proto_core::{Endpoint, Event, Sink, Timestamp, Transmit, TransmitBuf, drive};
use std::net::SocketAddr;

/// Datagrams an endpoint may send because of one input.
const MOST_AT_ONCE: usize = 20_000;

/// What an endpoint sends and tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outside {
    sent: Vec<(SocketAddr, Vec<u8>)>,
    told: Vec<Event>,
}

struct Draining<'o> {
    buffer: &'o mut Vec<u8>,
    outside: &'o mut Outside,
}

impl Sink for Draining<'_> {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        Some(TransmitBuf { bytes: self.buffer, max_segments: 8 })
    }

    fn transmit(&mut self, transmit: Transmit) {
        assert!(transmit.len > 0 && transmit.len <= self.buffer.len());
        for datagram in self.buffer[..transmit.len].chunks(transmit.segment.unwrap_or(transmit.len)) {
            self.outside.sent.push((transmit.to, datagram.to_vec()));
        }
        assert!(self.outside.sent.len() < MOST_AT_ONCE, "endless sending");
    }

    fn event(&mut self, event: Event) {
        self.outside.told.push(event);
    }
}

/// Drains the endpoint; gives what came out and the next deadline.
fn drain(endpoint: &mut Endpoint, now: Timestamp, buffer: &mut Vec<u8>) -> (Outside, Option<Timestamp>) {
    buffer.resize(65_535, 0);
    let mut outside = Outside::default();
    let deadline = drive(endpoint, now, &mut Draining { buffer, outside: &mut outside });
    (outside, deadline)
}
