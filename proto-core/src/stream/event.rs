//! What one connection tells its owner: events, reasons and refusals.

/// What became true of a connection. Each is edge-triggered and kept as one flag, so the set is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The handshake is complete, in either role.
    Connected,
    /// Reading makes sense again; told once until a read returned [`ReadError::Blocked`].
    Readable,
    /// Writing makes sense again; told once after a write returned [`WriteError::Blocked`].
    Writable,
    /// Everything written before `finish` was acknowledged and the peer knows that no more comes.
    Finished,
    /// The connection ended. What arrived before can still be read.
    Closed(CloseReason),
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides are done.
    Finished,
    /// The peer reset it; while dialling: the peer refused it.
    Reset,
    /// The host reset it, or dropped it unfinished.
    Local,
    /// The peer stopped acknowledging.
    RetransmissionLimit,
    /// Silence for the idle timeout.
    IdleTimeout,
    /// The peer closed with data missing.
    Truncated,
    /// The peer closed before it acknowledged everything written here (there is no half-close).
    Unsent,
    /// Trust was withdrawn.
    Revoked,
}

/// Why a read gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing yet; [`StreamEvent::Readable`] will tell.
    Blocked,
    /// The connection ended before the peer finished it.
    Closed(CloseReason),
}

/// Why a write took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The send buffer is full; [`StreamEvent::Writable`] will tell.
    Blocked,
    /// Finished by the host (`None`), or ended.
    Closed(Option<CloseReason>),
}

/// Edge-triggered events as flags, told in the order of a connection's life.
#[derive(Debug, Default)]
pub(super) struct EventFlags {
    connected: bool,
    readable: bool,
    writable: bool,
    finished: bool,
    closed: Option<CloseReason>,
    /// A reader was told to wait, or never read yet.
    reader_told: bool,
    /// A writer was told to wait.
    writer_waits: bool,
}

impl EventFlags {
    pub(super) const fn connected(&mut self) {
        self.connected = true;
    }

    /// Data or the end of the stream became readable.
    pub(super) const fn readable(&mut self) {
        if !self.reader_told {
            self.reader_told = true;
            self.readable = true;
        }
    }

    pub(super) const fn read_blocked(&mut self) {
        self.reader_told = false;
        self.readable = false;
    }

    /// Room to write appeared.
    pub(super) const fn writable(&mut self) {
        if self.writer_waits {
            self.writer_waits = false;
            self.writable = true;
        }
    }

    pub(super) const fn write_blocked(&mut self) {
        self.writer_waits = true;
        self.writable = false;
    }

    pub(super) const fn finished(&mut self) {
        self.finished = true;
    }

    pub(super) const fn closed(&mut self, reason: CloseReason) {
        self.closed = Some(reason);
    }

    pub(super) fn next(&mut self) -> Option<StreamEvent> {
        let told = |flag: &mut bool, event| core::mem::take(flag).then_some(event);
        told(&mut self.connected, StreamEvent::Connected)
            .or_else(|| told(&mut self.readable, StreamEvent::Readable))
            .or_else(|| told(&mut self.writable, StreamEvent::Writable))
            .or_else(|| told(&mut self.finished, StreamEvent::Finished))
            .or_else(|| self.closed.take().map(StreamEvent::Closed))
    }
}
