//! Streams from the host's side: reading, writing and ending them; and the endpoint's own small services.

use super::dial::dial_error;
use super::inner::Endpoint;
use super::recording::{Command, Entry};
use super::streams::{Owner, Stream};
use super::timers::TimerKind;
use super::{Event, ReadError, StreamStatus, WriteError};
use crate::ids::StreamId;
use crate::limits;
use crate::stream::{self, CloseReason, StreamEvent};
use crate::time::Timestamp;
use bytes::Bytes;

/// What the echo service has read and not yet written.
#[derive(Debug, Default)]
pub(super) struct Echo {
    pending: Bytes,
}

impl Endpoint {
    /// Reads what arrived in order. `Ok(0)` says that the peer finished.
    ///
    /// # Errors
    /// [`ReadError::Blocked`] until [`Event::Readable`]; [`ReadError::Closed`] when the stream broke off.
    pub fn read(&mut self, now: Timestamp, id: StreamId, out: &mut [u8]) -> Result<usize, ReadError> {
        self.record(now, || Entry::Read { id, room: out.len() });
        self.advance(now);
        let stream = self.streams.get_mut(id).ok_or(ReadError::Unknown)?;
        let outcome = stream.connection.read(self.now, out);
        self.touch_stream(id);
        outcome.map_err(|error| match error {
            stream::ReadError::Blocked => ReadError::Blocked,
            stream::ReadError::Closed(reason) => ReadError::Closed(reason),
        })
    }

    /// Takes as many bytes of `data` as the send buffer has room for.
    ///
    /// # Errors
    /// [`WriteError::Blocked`] until [`Event::Writable`]; [`WriteError::Closed`] when nothing can be written any more.
    pub fn write(&mut self, now: Timestamp, id: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        let outcome = self.write_unrecorded(now, id, |connection, now| connection.write(now, data));
        self.record_write(now, id, data, outcome, false);
        outcome
    }

    /// As [`Self::write`], sharing the bytes instead of copying them: all of `data`, or as much as there is room for. What was taken is
    /// split off its front.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_chunk(&mut self, now: Timestamp, id: StreamId, data: &mut Bytes) -> Result<usize, WriteError> {
        let offered = data.clone();
        let outcome = self.write_unrecorded(now, id, |connection, now| connection.write_chunk(now, data));
        self.record_write(now, id, &offered, outcome, true);
        outcome
    }

    fn write_unrecorded(
        &mut self,
        now: Timestamp,
        id: StreamId,
        write: impl FnOnce(&mut stream::Connection, Timestamp) -> Result<usize, stream::WriteError>,
    ) -> Result<usize, WriteError> {
        self.advance(now);
        let stream = self.streams.get_mut(id).ok_or(WriteError::Unknown)?;
        let outcome = write(&mut stream.connection, self.now);
        self.touch_stream(id);
        if self.seek_way(id) {
            self.settle();
        }
        outcome.map_err(write_error)
    }

    /// Only what was taken is kept, and whether there was more.
    fn record_write(
        &mut self,
        now: Timestamp,
        id: StreamId,
        data: &[u8],
        taken: Result<usize, WriteError>,
        shared: bool,
    ) {
        let (taken, left) = data.split_at(taken.unwrap_or(0).min(data.len()));
        self.record(now, || Entry::Write { id, taken, more: !left.is_empty(), shared });
    }

    /// No more writes. What was written is delivered, then the peer sees the end; [`Event::Finished`] tells when it was acknowledged.
    ///
    /// Pilot has no half-close: a peer that has seen the end sends nothing more (PP-SES-15).
    ///
    /// # Errors
    /// The stream is gone.
    pub fn finish(&mut self, now: Timestamp, id: StreamId) -> Result<(), WriteError> {
        self.record(now, || Command::Finish(id).into());
        self.advance(now);
        let stream = self.streams.get_mut(id).ok_or(WriteError::Unknown)?;
        let outcome = stream.connection.finish(self.now);
        self.touch_stream(id);
        outcome.map_err(write_error)
    }

    /// Lets go of the stream. One that is finished on both sides ends quietly; any other is reset, and the peer is told.
    pub fn reset(&mut self, now: Timestamp, id: StreamId) {
        self.record(now, || Command::Reset(id).into());
        self.advance(now);
        self.reset_stream(id);
        self.settle();
    }

    pub(super) fn reset_stream(&mut self, id: StreamId) {
        self.streams.release(id);
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.connection.reset();
        self.touch_stream(id);
    }

    /// Small writes leave at once (`true`) or wait for acknowledgements (`false`).
    pub fn set_no_delay(&mut self, id: StreamId, on: bool) {
        self.record(self.now, || Command::NoDelay(id, on).into());
        if let Some(stream) = self.streams.get_mut(id) {
            stream.connection.set_no_delay(on);
        }
        self.touch_stream(id);
    }

    /// State and counters of one stream.
    #[must_use]
    pub fn stream_status(&self, id: StreamId) -> Option<StreamStatus> {
        self.streams.get(id).map(|stream| status(id, stream))
    }

    /// All streams of the host, those of the endpoint's own services included.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        self.streams.iter().map(|(id, stream)| status(id, stream)).collect()
    }

    /// After anything happened to a stream: hears it, lets it send, keeps its deadline, and removes it when it is done.
    pub(super) fn touch_stream(&mut self, id: StreamId) {
        loop {
            let Some(stream) = self.streams.get_mut(id) else { return };
            let Some(event) = stream.connection.poll_event() else { break };
            self.stream_event(id, event);
        }
        self.streams.mark_ready(id);
        self.schedule_stream(id);
    }

    /// After a turn to send: another turn if it was used.
    pub(super) fn touch_stream_after_send(&mut self, id: StreamId, sent: bool) {
        if sent {
            self.streams.mark_ready(id);
        }
        self.schedule_stream(id);
    }

    fn schedule_stream(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(id) else { return };
        if stream.released && stream.connection.is_gone() {
            self.drop_stream(id);
            return;
        }
        let at = stream.connection.poll_timeout().map(|(at, _)| at);
        if stream.released && stream.connection.owes_reset() {
            self.timers.start(TimerKind::Dial(id), self.now + limits::RESET_PATIENCE);
        }
        self.timers.set(TimerKind::Stream(id), at);
    }

    fn stream_event(&mut self, id: StreamId, event: StreamEvent) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if event == StreamEvent::Connected && stream.dialling {
            stream.dialling = false;
            self.timers.set(TimerKind::Dial(id), None);
        } else if let StreamEvent::Closed(reason) = event
            && stream.dialling
        {
            return self.fail_dial(id, dial_error(reason));
        }
        match &stream.owner {
            Owner::Host => self.host_stream_event(id, event),
            Owner::Echo(_) => self.serve_echo(id),
            Owner::TrustReceiver { .. } => self.receive_trust_message(id),
            Owner::TrustSender { .. } => self.send_trust_message(id, event),
        }
        let served_here = self.streams.get(id).is_some_and(|stream| !matches!(stream.owner, Owner::Host));
        if served_here && matches!(event, StreamEvent::Closed(_)) {
            // Nobody reads what is left; without this the stream would stay for ever.
            self.reset_stream(id);
        }
    }

    fn host_stream_event(&mut self, id: StreamId, event: StreamEvent) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let (unaccepted, port) = (stream.unaccepted, stream.local_port);
        match event {
            StreamEvent::Connected if unaccepted => self.incoming_established(id, port),
            StreamEvent::Connected => self.event(Event::Connected(id)),
            // Whoever accepts or dials tries first; the edge would be told to nobody.
            StreamEvent::Readable | StreamEvent::Writable if unaccepted => {}
            StreamEvent::Readable => self.event(Event::Readable(id)),
            StreamEvent::Writable => self.event(Event::Writable(id)),
            StreamEvent::Finished => self.event(Event::Finished(id)),
            StreamEvent::Closed(reason) => {
                if unaccepted && reason != CloseReason::Finished {
                    // The host never heard of it; the peer still gets its RST.
                    self.disown(id);
                } else {
                    self.event(Event::Closed(id, reason));
                }
            }
        }
    }

    fn disown(&mut self, id: StreamId) {
        self.streams.release(id);
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.connection.reset();
        let (port, node) = (stream.local_port, stream.peer());
        if core::mem::take(&mut stream.unaccepted) {
            self.forget_accept(port, id, node);
        }
    }

    /// Port 7: writes back what it reads, and no faster than that is taken.
    //= spec/ports.md#pp-port-5
    //# Port 7 returns every byte it receives, until the stream ends, unless the host switched it off.
    fn serve_echo(&mut self, id: StreamId) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(id) else { return };
        let Stream { connection, owner: Owner::Echo(echo), .. } = stream else { return };
        loop {
            while !echo.pending.is_empty() {
                if connection.write_chunk(now, &mut echo.pending).is_err() {
                    return;
                }
            }
            match connection.read(now, &mut self.scratch) {
                Ok(0) | Err(stream::ReadError::Closed(_)) => {
                    // Fails only when the stream is over already.
                    let _ = connection.finish(now);
                    return;
                }
                Ok(len) => echo.pending = Bytes::copy_from_slice(self.scratch.get(..len).unwrap_or_default()),
                Err(stream::ReadError::Blocked) => return,
            }
        }
    }

    /// Port 444: one JSON object, then the end (PP-TRUST-2).
    fn receive_trust_message(&mut self, id: StreamId) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(id) else { return };
        let node = stream.peer();
        let Stream { connection, owner: Owner::TrustReceiver { message, tries }, .. } = stream else { return };
        let ended = loop {
            match connection.read(now, &mut self.scratch) {
                Ok(0) | Err(stream::ReadError::Closed(_)) => break true,
                Ok(len) => message.extend_from_slice(self.scratch.get(..len).unwrap_or_default()),
                Err(stream::ReadError::Blocked) => break false,
            }
            //= spec/trust.md#pp-trust-2
            //# A trust message is one JSON object of at most 64 KiB on a stream to port 444.
            if message.len() > limits::TRUST_MESSAGE_BYTES {
                self.drops.count("trust_message_too_long");
                return self.reset_stream(id);
            }
        };
        // The reference closes half a second after writing; the object is complete before. A message in crumbs has to wait for its end:
        // reading it anew with each would cost the square of its length.
        let may_be_complete = message.last() == Some(&b'}') && *tries < limits::TRUST_MESSAGE_PIECES;
        *tries += usize::from(may_be_complete);
        let complete = may_be_complete && serde_json::from_slice::<serde::de::IgnoredAny>(message).is_ok();
        if complete || ended {
            let message = core::mem::take(message);
            let _ = connection.finish(now);
            if !message.is_empty() {
                self.handle_trust_message(node, &message);
            }
        }
    }

    /// From now on a trust message, in or out, has this long.
    pub(super) fn limit_trust_message(&mut self, id: StreamId) {
        self.timers.set(TimerKind::Dial(id), Some(self.now + limits::TRUST_MESSAGE_TIMEOUT));
    }

    pub(super) fn trust_message_timed_out(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(id) else { return };
        if stream.connection.close_reason().is_none() {
            self.drops.count("trust_message_timed_out");
            self.reset_stream(id);
        } else if stream.released && stream.connection.owes_reset() {
            self.drops.count("reset_undeliverable");
            self.drop_stream(id);
        }
    }

    fn send_trust_message(&mut self, id: StreamId, event: StreamEvent) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(id) else { return };
        let node = stream.peer();
        let Stream { connection, owner: Owner::TrustSender { kind, message }, .. } = stream else { return };
        match event {
            StreamEvent::Connected => {
                if connection.write(now, message).is_ok() {
                    let _ = connection.finish(now);
                }
                self.limit_trust_message(id);
            }
            StreamEvent::Closed(reason) if reason != CloseReason::Finished => {
                let kind = *kind;
                self.trust_delivery_failed(node, kind);
            }
            StreamEvent::Closed(_) | StreamEvent::Readable | StreamEvent::Writable | StreamEvent::Finished => {}
        }
    }
}

fn write_error(error: stream::WriteError) -> WriteError {
    match error {
        stream::WriteError::Blocked => WriteError::Blocked,
        stream::WriteError::Closed(reason) => WriteError::Closed(reason),
    }
}

fn status(id: StreamId, stream: &Stream) -> StreamStatus {
    StreamStatus { id, local_port: stream.local_port, remote: stream.remote, stats: stream.connection.status() }
}
