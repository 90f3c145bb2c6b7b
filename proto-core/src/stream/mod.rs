//! One connection: a reliable, ordered, flow-controlled byte stream in each direction.
//!
//! Decides what to send when, what to deliver, and when the connection is over. Refuses to know addresses, ports, keys,
//! packets, other connections and the clock: it takes [`Segment`]s and times, and gives [`SegmentHeader`]s, events and deadlines.
//!
//! It uses its sibling `congestion`, because a connection owns its controller: that is the one exception to the rule that
//! machines of this layer do not know each other. `congestion` does not know `stream`.

mod ack;
mod close;
mod event;
mod handshake;
mod input;
mod outgoing;
mod output;
mod probe;
pub mod receive;
pub mod reorder;
mod ring;
pub mod rtt;
mod scoreboard;
pub mod segment;
mod send;
pub mod state;
mod timeout;
mod timers;
mod window;

pub use event::{CloseReason, ReadError, StreamEvent, WriteError};
pub use segment::{Flags, Segment, SegmentHeader};

use crate::time::Timestamp;
use crate::wire::options::Capabilities;
use ack::AckPolicy;
use bytes::Bytes;
use core::time::Duration;
use event::EventFlags;
use handshake::Handshake;
use outgoing::Outgoing;
use probe::WindowProbe;
use receive::Receiver;
use state::State;
use timers::Timers;
use window::Unit;

/// Segments toward a peer not known to be ours are no larger, bytes.
//= spec/segmentation.md#pp-seg-5
//# A segment to a peer that is not known to be ours carries at most 4096 bytes.
const REFERENCE_MSS: u16 = 4096;

/// Settings of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// Payload bytes of a data segment on a path of unknown MTU, 64..=65535.
    pub mss: u16,
    /// Payload bytes of a data segment that the peer may send, told to peers of ours.
    pub max_segment_accepted: u16,
    /// Receive buffer at most, bytes; 8192 or more, as the draft's window counts units of 4096.
    pub receive_buffer: usize,
    /// Send buffer at most, bytes.
    pub send_buffer: usize,
    /// Send small writes at once.
    pub no_delay: bool,
    /// Close after this long without any segment from the peer.
    pub idle_timeout: Duration,
    /// Probe an idle peer this often, every millisecond at most.
    pub keepalive: Duration,
    /// Round-trip time of the path when it is known: the handshake then retransmits sooner.
    pub initial_rtt: Option<Duration>,
    /// Capabilities to offer; `None` behaves as the published reference does.
    pub offer_capabilities: Option<Capabilities>,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
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
pub struct Connection {
    params: Params,
    state: State,
    handshake: Handshake,
    out: Outgoing,
    receiver: Receiver,
    acks: AckPolicy,
    probe: WindowProbe,
    timers: Timers,
    events: EventFlags,
    counters: Counters,
    unit: Unit,
    /// Payload bytes of a new segment, and the two limits it is the smaller of.
    mss: u64,
    path_mss: u16,
    peer_mss: u16,
    /// The receive offset up to which the peer was told that it may send.
    advertised: u64,
    /// Announcements of a reopened window still to make.
    window_updates: u8,
    /// The short tail waited long enough.
    push: bool,
    /// The host will write no more.
    finishing: bool,
    /// Times our FIN was sent; and it is to be sent now.
    fins_sent: u8,
    fin_owed: bool,
    reset_owed: bool,
    probe_owed: bool,
    /// Why the connection ended, once it did.
    reason: Option<CloseReason>,
    /// The reader knows that no more comes, or nobody reads.
    reader_done: bool,
}

/// Counters for display.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    bytes_sent: u64,
    segments_sent: u64,
    segments_received: u64,
    retransmits: u64,
    fast_retransmits: u64,
    sack_received: u64,
    sack_sent: u64,
    duplicate_acks: u64,
}

impl Connection {
    /// When to call `handle_timeout`, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, StreamTimer)> {
        self.timers.next()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<StreamEvent> {
        self.events.next()
    }

    /// Takes bytes that arrived in order. `Ok(0)`: the peer finished, or `out` is empty.
    ///
    /// # Errors
    /// [`ReadError::Blocked`] when there is nothing yet, [`ReadError::Closed`] when the connection ended otherwise than by the peer's FIN.
    pub fn read(&mut self, now: Timestamp, out: &mut [u8]) -> Result<usize, ReadError> {
        let taken = self.receiver.read(out);
        if taken > 0 || out.is_empty() {
            self.update_window(now);
            return Ok(taken);
        }
        let finished = self.receiver.is_finished();
        match self.reason {
            None if !finished => {
                self.events.read_blocked();
                Err(ReadError::Blocked)
            }
            Some(reason) if !finished && reason != CloseReason::Finished => {
                self.reader_done = true;
                Err(ReadError::Closed(reason))
            }
            None | Some(_) => {
                self.reader_done = true;
                Ok(0)
            }
        }
    }

    /// Copies bytes into the send buffer; gives how many fitted. Like every call of the host it carries the time.
    ///
    /// # Errors
    /// [`WriteError::Blocked`] when none did, [`WriteError::Closed`] after `finish` or the end.
    pub fn write(&mut self, _now: Timestamp, data: &[u8]) -> Result<usize, WriteError> {
        let room = self.room_to_write()?;
        let (taken, _) = data.split_at(data.len().min(room));
        self.out.buffer.write(taken);
        Ok(taken.len())
    }

    /// Queues bytes without copying them; takes what fits off the front of `chunk` and gives how many those were.
    ///
    /// # Errors
    /// As [`Connection::write`].
    pub fn write_chunk(&mut self, _now: Timestamp, chunk: &mut Bytes) -> Result<usize, WriteError> {
        let room = self.room_to_write()?;
        let taken = chunk.split_to(chunk.len().min(room));
        let len = taken.len();
        self.out.buffer.push(taken);
        Ok(len)
    }

    fn room_to_write(&mut self) -> Result<usize, WriteError> {
        if self.reason.is_some() || self.finishing {
            return Err(WriteError::Closed(self.reason));
        }
        let held = usize::try_from(self.out.buffer.len()).unwrap_or(usize::MAX);
        match self.params.send_buffer.saturating_sub(held) {
            0 => {
                self.events.write_blocked();
                Err(WriteError::Blocked)
            }
            room => Ok(room),
        }
    }

    /// Switches write coalescing off or on.
    pub const fn set_no_delay(&mut self, on: bool) {
        self.params.no_delay = on;
    }

    /// The path carries segments of `mss` bytes from now on; earlier ones keep their boundaries.
    /// `rtt` shortens a handshake that has not begun, and nothing else.
    pub fn set_path(&mut self, mss: u16, rtt: Option<Duration>) {
        self.path_mss = mss;
        self.params.initial_rtt = rtt.or(self.params.initial_rtt);
        self.apply_segment_size();
    }

    /// Nobody will read any more: what arrived is dropped, and what will is too.
    pub fn stop_reading(&mut self) {
        self.reader_done = true;
        self.receiver.discard();
    }

    /// Nothing is left to do or to read: the connection may be removed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state == State::Closed && !self.reset_owed && self.reader_done
    }

    /// It ended, and only its numbers rest, or its reader has not read all.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::TimeWait | State::Lingering | State::Closed)
    }

    /// The peer is still to be told by RST that the connection ended.
    #[must_use]
    pub const fn owes_reset(&self) -> bool {
        self.reset_owed
    }

    /// RFC 9293 name in lower case with underscores.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        self.state.name()
    }

    /// Both sides sent an options block.
    #[must_use]
    pub const fn peer_is_ours(&self) -> bool {
        matches!(self.unit, Unit::Bytes { .. })
    }

    /// Why the connection ended, once it did.
    #[must_use]
    pub const fn close_reason(&self) -> Option<CloseReason> {
        self.reason
    }

    /// `syn` opens another connection in this one's place: this one only rests after its end, and is to be [`Self::supersede`]d.
    #[must_use]
    pub fn may_be_replaced_by(&self, syn: &Segment<'_>) -> bool {
        //= spec/session.md#pp-ses-21
        //# A new SYN on the 4-tuple of a connection that only rests begins a new connection.
        // The reference gives every SYN the number 0, so only of a peer of ours can one be told for a late copy.
        let late_copy = self.peer_is_ours() && self.handshake.is_repeated(syn);
        self.is_over() && syn.kind() == segment::Kind::Syn && !late_copy
    }

    /// Memory held in buffers, bytes.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.receiver.memory() + usize::try_from(self.out.buffer.len()).unwrap_or(usize::MAX)
    }

    /// Ranges held beyond the first hole in what arrived.
    #[must_use]
    pub fn holes(&self) -> usize {
        self.receiver.holes()
    }

    /// Bytes that the peer acknowledged in order.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.out.una
    }

    /// Counters and values for display.
    #[must_use]
    pub fn status(&self) -> Status {
        use crate::congestion::Algorithm as _;
        let (out, counters) = (&self.out, &self.counters);
        Status {
            state: self.state.name(),
            congestion_window: out.control.window(),
            ssthresh: out.control.ssthresh(),
            in_flight: out.board.in_flight(),
            srtt: out.rtt.srtt().unwrap_or_default(),
            rttvar: out.rtt.rttvar(),
            unacknowledged_segments: out.board.segments(),
            reorder_bytes: usize::try_from(self.receiver.out_of_order()).unwrap_or(usize::MAX),
            peer_window: out.window.bytes(out.una, self.mss),
            receive_window: self.receiver.window(),
            in_recovery: out.in_recovery(),
            bytes_sent: counters.bytes_sent,
            bytes_received: self.receiver.received(),
            segments_sent: counters.segments_sent,
            segments_received: counters.segments_received,
            retransmits: counters.retransmits,
            fast_retransmits: counters.fast_retransmits,
            sack_received: counters.sack_received,
            sack_sent: counters.sack_sent,
            duplicate_acks: counters.duplicate_acks,
        }
    }
}
