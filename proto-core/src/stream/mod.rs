//! One connection: a reliable, ordered, flow-controlled byte stream in each direction (data-plane section 6).
//!
//! Decides what to send when, what to deliver, and when the connection is over. Refuses to know addresses, ports, keys,
//! packets, other connections and the clock: it takes [`Segment`]s and times, and gives [`SegmentHeader`]s, events and deadlines.
//!
//! It uses its sibling `congestion`, because a connection owns its controller: that is the one exception to the rule that
//! machines of this layer do not know each other. `congestion` does not know `stream`.

mod event;
pub mod segment;

pub use event::{CloseReason, ReadError, StreamEvent, WriteError};
pub use segment::{Flags, Segment, SegmentHeader};

use crate::seq::SeqNumber;
use crate::time::Timestamp;
use bytes::Bytes;
use core::time::Duration;

/// Settings of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// Payload bytes of a data segment on a path of unknown MTU, 64..=65535.
    pub mss: u16,
    /// Payload bytes of a data segment that the peer may send, told to peers of ours.
    pub max_segment_accepted: u16,
    /// Receive buffer at most, bytes.
    pub receive_buffer: usize,
    /// Send buffer at most, bytes.
    pub send_buffer: usize,
    /// Send small writes at once.
    pub no_delay: bool,
    /// Close after this long without any segment from the peer.
    pub idle_timeout: Duration,
    /// Probe an idle peer this often.
    pub keepalive: Duration,
    /// Round-trip time of the path when it is known: the handshake then retransmits sooner.
    pub initial_rtt: Option<Duration>,
    /// Capabilities to offer; `None` behaves as the published reference does.
    pub offer_capabilities: Option<crate::wire::Capabilities>,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamTimer {
    /// Repeat the SYN or SYN-ACK.
    Handshake,
    /// The retransmission timer of RFC 6298, or of the FIN.
    Retransmission,
    /// A segment is overdue although later ones arrived (RFC 8985).
    Reordering,
    /// The last segments may be lost: probe (RFC 8985 section 7).
    TailProbe,
    /// The peer's window is closed: probe it.
    WindowProbe,
    /// Acknowledge what arrived.
    DelayedAck,
    /// Send the short tail of what was written.
    Coalescing,
    /// The pacer allows the next burst.
    Pacing,
    /// Repeat the announcement that the window opened.
    WindowUpdate,
    /// Nothing was sent for long.
    Keepalive,
    /// Nothing arrived for long.
    Idle,
    /// `finish` takes too long, or the state after closing ends.
    Linger,
}

/// Counters and values of one connection, for display.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the names of the endpoint's stream status")]
pub struct Status {
    pub state: &'static str,
    pub congestion_window: u64,
    pub ssthresh: u64,
    pub in_flight: u64,
    pub srtt: Duration,
    pub rttvar: Duration,
    pub unacknowledged_segments: usize,
    pub reorder_bytes: usize,
    pub peer_window: u64,
    pub receive_window: u64,
    pub in_recovery: bool,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub segments_sent: u64,
    pub segments_received: u64,
    pub retransmits: u64,
    pub fast_retransmits: u64,
    pub sack_received: u64,
    pub sack_sent: u64,
    pub duplicate_acks: u64,
}

/// One connection. After any `&mut` call: `poll_segment` until `None`, `poll_event` until `None`, then `poll_timeout`.
#[derive(Debug)]
pub struct Connection {}

#[allow(
    unused_variables,
    clippy::todo,
    clippy::unused_self,
    clippy::needless_pass_by_value,
    clippy::needless_pass_by_ref_mut,
    clippy::missing_errors_doc,
    reason = "signatures first"
)]
impl Connection {
    /// Dials. `isn` is random and below 2^31 (data-plane section 6.2). The SYN's timer starts when it is first polled.
    #[must_use]
    pub fn connect(params: Params, isn: SeqNumber, now: Timestamp) -> Self {
        todo!()
    }
    /// Answers `syn`.
    #[must_use]
    pub fn accept(params: Params, isn: SeqNumber, now: Timestamp, syn: &Segment<'_>) -> Self {
        todo!()
    }
    /// Takes a segment of this connection that arrived.
    pub fn handle_segment(&mut self, now: Timestamp, segment: &Segment<'_>) {
        todo!()
    }
    /// Lets every due timer act.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        todo!()
    }
    /// When to call `handle_timeout`, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, StreamTimer)> {
        todo!()
    }
    /// The next segment to send; its payload is at the start of `payload`, which holds at least the segment size.
    /// `None`: nothing to send now; when only the pacer forbids it, `poll_timeout` tells until when.
    pub fn poll_segment(&mut self, now: Timestamp, payload: &mut [u8]) -> Option<SegmentHeader> {
        todo!()
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<StreamEvent> {
        todo!()
    }
    /// Takes bytes that arrived in order. `Ok(0)`: the peer finished.
    pub fn read(&mut self, now: Timestamp, out: &mut [u8]) -> Result<usize, ReadError> {
        todo!()
    }
    /// Copies bytes into the send buffer; gives how many fitted.
    pub fn write(&mut self, now: Timestamp, data: &[u8]) -> Result<usize, WriteError> {
        todo!()
    }
    /// Queues bytes without copying; takes what fits off the front of `chunk`.
    pub fn write_chunk(&mut self, now: Timestamp, chunk: &mut Bytes) -> Result<usize, WriteError> {
        todo!()
    }
    /// No more will be written: flush, then close.
    pub fn finish(&mut self, now: Timestamp) -> Result<(), WriteError> {
        todo!()
    }
    /// Ends at once; the peer is told by RST unless the connection had ended.
    pub fn reset(&mut self) {
        todo!()
    }
    /// As `reset`, with the reason told to the host.
    pub fn abort(&mut self, reason: CloseReason) {
        todo!()
    }
    /// Switches write coalescing off or on.
    pub fn set_no_delay(&mut self, on: bool) {
        todo!()
    }
    /// The path carries segments of `mss` bytes from now on; earlier ones keep their boundaries.
    pub fn set_path(&mut self, mss: u16, rtt: Option<Duration>) {
        todo!()
    }
    /// Nothing is left to do or to read.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        todo!()
    }
    /// RFC 9293 name in lower case with underscores.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        todo!()
    }
    /// Counters and values for display.
    #[must_use]
    pub fn status(&self) -> Status {
        todo!()
    }
    /// Both sides sent an options block.
    #[must_use]
    pub fn peer_is_ours(&self) -> bool {
        todo!()
    }
    /// A SYN with another sequence number may replace this connection: it only waits for late segments.
    #[must_use]
    pub fn may_be_replaced_by(&self, syn: &Segment<'_>) -> bool {
        todo!()
    }
}
