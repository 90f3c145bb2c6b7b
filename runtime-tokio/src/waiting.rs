//! Decides who is woken by what the endpoint tells. Refuses to know sockets and to call the endpoint.

use crate::datagram::Datagram;
use crate::pipe::PipeCommand;
use core::task::{Context, Waker};
use proto_core::endpoint::{CloseReason, DialError, Event, Outcome};
use proto_core::ids::{RequestId, StreamId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Everybody who waits for the endpoint, and what must happen once its lock is released.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) streams: BTreeMap<StreamId, StreamWait>,
    pub(crate) listeners: BTreeMap<u16, Option<Waker>>,
    pub(crate) requests: BTreeMap<RequestId, oneshot::Sender<Outcome>>,
    pub(crate) datagrams: BTreeMap<u16, DatagramPort>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) pipe: Vec<PipeCommand>,
    pub(crate) trust_changed: bool,
    to_wake: Vec<Waker>,
}

/// Who waits for one stream, and what was told about it.
#[derive(Debug, Default)]
pub(crate) struct StreamWait {
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    pub(crate) opened: Option<Result<(), DialError>>,
    /// The end was queued behind the last byte.
    pub(crate) finishing: bool,
    pub(crate) finished: bool,
    pub(crate) closed: Option<CloseReason>,
}

impl StreamWait {
    /// The peer has everything and knows that no more comes.
    pub(crate) fn is_delivered(&self) -> bool {
        self.finished || self.closed == Some(CloseReason::Finished)
    }

    pub(crate) fn await_reading(&mut self, cx: &Context<'_>) {
        remember(&mut self.reader, cx);
    }

    pub(crate) fn await_writing(&mut self, cx: &Context<'_>) {
        remember(&mut self.writer, cx);
    }
}

/// A bounded way to whoever reads the datagrams of a port.
#[derive(Debug)]
pub(crate) struct DatagramPort {
    pub(crate) sender: mpsc::Sender<Datagram>,
    pub(crate) dropped: Arc<AtomicU64>,
}

/// Keeps the waker of `cx` in `place`.
pub(crate) fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

impl Waiting {
    pub(crate) fn new(events: broadcast::Sender<Event>) -> Self {
        Self {
            streams: BTreeMap::new(),
            listeners: BTreeMap::new(),
            requests: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            events,
            pipe: Vec::new(),
            trust_changed: false,
            to_wake: Vec::new(),
        }
    }

    /// Tells whom it concerns.
    pub(crate) fn dispatch(&mut self, event: Event) {
        match event {
            Event::Connected(id) => self.on_stream(id, |wait| wait.opened = Some(Ok(()))),
            Event::DialFailed(id, error) => self.on_stream(id, |wait| wait.opened = Some(Err(error))),
            Event::Finished(id) => self.on_stream(id, |wait| wait.finished = true),
            Event::Closed(id, reason) => self.on_stream(id, |wait| wait.closed = Some(reason)),
            Event::Writable(id) => {
                let writer = self.streams.get_mut(&id).and_then(|wait| wait.writer.take());
                self.to_wake.extend(writer);
            }
            Event::Readable(id) => {
                let reader = self.streams.get_mut(&id).and_then(|wait| wait.reader.take());
                self.to_wake.extend(reader);
            }
            Event::Incoming(port) => self.to_wake.extend(self.listeners.get_mut(&port).and_then(Option::take)),
            Event::Datagram { from, to_port, data } => self.deliver(to_port, Datagram { from, data }),
            Event::Completed(id, outcome) => {
                if let Some(answer) = self.requests.remove(&id) {
                    let _ = answer.send(outcome);
                }
            }
            Event::RegistryConnect => self.pipe.push(PipeCommand::Connect),
            Event::RegistrySend(bytes) => self.pipe.push(PipeCommand::Send(bytes)),
            Event::RegistryDisconnect => self.pipe.push(PipeCommand::Disconnect),
            Event::TrustSnapshotChanged => self.trust_changed = true,
            Event::Registered { .. }
            | Event::RegistrationFailed(_)
            | Event::Discovered(_)
            | Event::PeerUp(_)
            | Event::PathChanged { .. }
            | Event::PeerDown(_)
            | Event::TrustRequested { .. }
            | Event::TrustRejected { .. }
            | Event::TrustChanged { .. }
            | Event::KeyMismatch(_) => {
                let _ = self.events.send(event);
            }
        }
    }

    fn on_stream(&mut self, id: StreamId, note: impl FnOnce(&mut StreamWait)) {
        let Some(wait) = self.streams.get_mut(&id) else { return };
        note(wait);
        self.to_wake.extend(wait.reader.take());
        self.to_wake.extend(wait.writer.take());
    }

    fn deliver(&mut self, port: u16, datagram: Datagram) {
        let Some(receiver) = self.datagrams.get(&port) else { return };
        if receiver.sender.try_send(datagram).is_err() {
            receiver.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Wakers to be woken after the lock was released: a woken task wants it at once.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        core::mem::take(&mut self.to_wake)
    }

    /// Everybody, because nothing will come any more.
    pub(crate) fn abandon(&mut self) -> Vec<Waker> {
        self.requests.clear();
        self.datagrams.clear();
        let mut all = self.take_wakers();
        for wait in self.streams.values_mut() {
            all.extend(wait.reader.take());
            all.extend(wait.writer.take());
        }
        all.extend(self.listeners.values_mut().filter_map(Option::take));
        all
    }
}
