//! Bytes on their way out, and the one order in which an endpoint is drained.

use super::{Endpoint, Event};
use crate::ids::SocketId;
use crate::time::Timestamp;
use core::net::{IpAddr, SocketAddr};

/// Explicit congestion notification codepoint (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// ECN-capable, codepoint 1.
    Ect1,
    /// ECN-capable, codepoint 0.
    Ect0,
    /// Congestion experienced.
    Ce,
}

/// Describes datagrams written at the start of the caller's buffer. All go to one address; one value may be a GSO batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The host's socket to send from.
    pub via: SocketId,
    /// Where to.
    pub to: SocketAddr,
    /// The source address to use, `None` to let the host choose.
    pub from: Option<IpAddr>,
    /// Hop limit for these datagrams only, `None` for the default.
    pub ttl: Option<u8>,
    /// Codepoint to mark them with.
    pub ecn: Option<Ecn>,
    /// Bytes written.
    pub len: usize,
    /// `Some(n)`: the bytes are datagrams of `n` bytes each, the last one possibly shorter. `None`: one datagram.
    pub segment: Option<usize>,
}

/// Room for one [`Transmit`].
#[derive(Debug)]
pub struct TransmitBuf<'a> {
    /// Where the bytes go. At least 65,535 bytes are never refused.
    pub bytes: &'a mut [u8],
    /// Datagrams that one `Transmit` may carry, at least 1.
    pub max_segments: usize,
}

/// The host's side of [`drive`].
pub trait Sink {
    /// Room for the next batch; `None` while the host cannot take more (then call [`drive`] again when it can).
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>>;
    /// Sends the bytes written to the buffer last handed out.
    fn transmit(&mut self, transmit: Transmit);
    /// Takes one event.
    fn event(&mut self, event: Event);
}

/// Drains `endpoint`: transmits, then events, then the next deadline. Call it after every `&mut` call on the endpoint.
///
/// An event handler that issues commands calls it again afterwards.
pub fn drive(endpoint: &mut Endpoint, now: Timestamp, sink: &mut impl Sink) -> Option<Timestamp> {
    while let Some(mut buf) = sink.transmit_buffer() {
        let Some(transmit) = endpoint.poll_transmit(now, &mut buf) else { break };
        sink.transmit(transmit);
    }
    while let Some(event) = endpoint.poll_event() {
        sink.event(event);
    }
    endpoint.poll_timeout().map(|(at, _)| at)
}
