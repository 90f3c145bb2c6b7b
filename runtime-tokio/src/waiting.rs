//! Decides who is woken by what the endpoint tells. Refuses to know sockets and to call the endpoint.

use crate::datagram::{Datagram, UNCLAIMED};
use crate::pipe::PipeCommand;
use crate::sockets::SocketCommand;
use core::task::{Context, Waker};
use proto_core::endpoint::{CloseReason, DialError, Event, Outcome};
use proto_core::ids::{RequestId, StreamId};
use proto_core::nat::UpnpRequest;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Everybody who waits for the endpoint, and what must happen once its lock is released.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) streams: BTreeMap<StreamId, StreamWait>,
    pub(crate) listeners: BTreeMap<u16, Option<Waker>>,
    pub(crate) requests: BTreeMap<RequestId, oneshot::Sender<Outcome>>,
    pub(crate) datagrams: BTreeMap<u16, DatagramPort>,
    pub(crate) pipe: Vec<PipeCommand>,
    pub(crate) sockets: Vec<SocketCommand>,
    pub(crate) gateway_wanted: bool,
    pub(crate) upnp: Vec<UpnpRequest>,
    pub(crate) trust_changed: bool,
    news: News,
}

/// What is told once the endpoint's lock is released: whoever hears of it wants the lock at once.
#[derive(Debug, Default)]
pub(crate) struct News {
    wakers: Vec<Waker>,
    answers: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    pub(crate) events: Vec<Event>,
}

impl News {
    /// All but the events.
    pub(crate) fn tell(self) {
        for (asker, outcome) in self.answers {
            let _ = asker.send(outcome);
        }
        for waker in self.wakers {
            waker.wake();
        }
    }
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
    pub(crate) fn new() -> Self {
        Self {
            streams: BTreeMap::new(),
            listeners: BTreeMap::new(),
            requests: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            pipe: Vec::new(),
            sockets: Vec::new(),
            gateway_wanted: false,
            upnp: Vec::new(),
            trust_changed: false,
            news: News::default(),
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
                self.news.wakers.extend(writer);
            }
            Event::Readable(id) => {
                let reader = self.streams.get_mut(&id).and_then(|wait| wait.reader.take());
                self.news.wakers.extend(reader);
            }
            Event::Incoming(port) => self.news.wakers.extend(self.listeners.get_mut(&port).and_then(Option::take)),
            Event::Datagram { from, to_port, data } => self.deliver(Datagram { from, to_port, data }),
            Event::Completed(id, outcome) => {
                self.news.answers.extend(self.requests.remove(&id).map(|asker| (asker, outcome)));
            }
            Event::RegistryConnect => self.pipe.push(PipeCommand::Connect),
            Event::RegistrySend(bytes) => self.pipe.push(PipeCommand::Send(bytes)),
            Event::RegistryDisconnect => self.pipe.push(PipeCommand::Disconnect),
            Event::TrustSnapshotChanged => self.trust_changed = true,
            Event::GatewayWanted => self.gateway_wanted = true,
            Event::Upnp(request) => self.upnp.push(request),
            Event::OpenSockets(count) => self.sockets.push(SocketCommand::Open(count)),
            Event::CloseSockets(ids) => self.sockets.push(SocketCommand::Close(ids)),
            Event::Registered { .. }
            | Event::RegistrationFailed(_)
            | Event::Discovered(_)
            | Event::PeerUp(_)
            | Event::PathChanged { .. }
            | Event::PeerDown(_)
            | Event::TrustRequested { .. }
            | Event::TrustRejected { .. }
            | Event::TrustChanged { .. }
            | Event::KeyMismatch(_) => self.news.events.push(event),
        }
    }

    fn on_stream(&mut self, id: StreamId, note: impl FnOnce(&mut StreamWait)) {
        let Some(wait) = self.streams.get_mut(&id) else { return };
        note(wait);
        self.news.wakers.extend(wait.reader.take());
        self.news.wakers.extend(wait.writer.take());
    }

    fn deliver(&mut self, datagram: Datagram) {
        let receiver = self.datagrams.get(&datagram.to_port).or_else(|| self.datagrams.get(&UNCLAIMED));
        let Some(receiver) = receiver else { return };
        if receiver.sender.try_send(datagram).is_err() {
            receiver.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn take_news(&mut self) -> News {
        core::mem::take(&mut self.news)
    }

    /// Wakes everybody, because nothing will come any more.
    pub(crate) fn abandon(&mut self) -> News {
        self.requests.clear();
        self.datagrams.clear();
        let mut news = self.take_news();
        for wait in self.streams.values_mut() {
            news.wakers.extend(wait.reader.take());
            news.wakers.extend(wait.writer.take());
        }
        news.wakers.extend(self.listeners.values_mut().filter_map(Option::take));
        news
    }
}
