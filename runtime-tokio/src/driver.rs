//! Decides the order in which one node's loop serves its socket, its endpoint, its registry pipe and its timers.
//! Refuses to know the protocol, and to hold the lock while it waits or sends.

use crate::pipe::{Pipe, Report};
use crate::shared::{Inner, Phase, Shared};
use crate::sockets::Sockets;
use crate::upnp::Upnp;
use crate::waiting::Waiting;
use core::time::Duration;
use proto_core::nat::Gateway;
use proto_core::trust::Snapshot;
use proto_core::{Event, Input, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
use runtime_common::clock::wall_clock_seconds;
use runtime_common::gateway::default_gateway;
use runtime_common::interfaces::candidates;
use runtime_common::{BootClock, Outbox, Queued, UdpBatch, UdpIo};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// Fills of the outbox before the socket is read again: acknowledgements must not wait behind a bulk transfer.
const ROUNDS: usize = 4;
/// Rounds of work after which other tasks of this thread get their turn.
const ROUNDS_BEFORE_YIELD: u32 = 8;
/// How often interfaces, suspend and the wall clock are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// A deadline that is due although it was just served waits this long: a mistake must not become a busy loop.
const OVERDUE_PAUSE: Duration = Duration::from_millis(1);

/// How long a full socket may hold up the resets and releases of a node that is closed.
const GOODBYE: Duration = Duration::from_millis(500);

/// Keeps what was recorded since the last call.
pub(crate) type RecordingCallback = Box<dyn FnMut(&[u8]) + Send>;

/// What the loop hands to its host.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) trust: Option<TrustCallback>,
    pub(crate) recording: Option<RecordingCallback>,
}

/// Saves the trust store.
pub(crate) type TrustCallback = Box<dyn FnMut(Snapshot) + Send>;

/// The loop of one node.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    sockets: Sockets,
    batch: UdpBatch,
    outbox: Outbox,
    pipe: Pipe,
    upnp: Upnp,
    clock: BootClock,
    callbacks: Callbacks,
    candidates: Vec<SocketAddr>,
    /// As last told; `None` before the first look.
    gateway: Option<Option<Gateway>>,
    next_housekeeping: Timestamp,
}

/// What is left to do after the endpoint was drained.
#[derive(Clone, Copy, Debug, Default)]
struct Drained {
    deadline: Option<Timestamp>,
    /// This socket is full.
    blocked: Option<SocketId>,
    /// There is more to send at once.
    more: bool,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, io: UdpIo<UdpSocket>, pipe: Pipe, callbacks: Callbacks) -> Self {
        Self {
            shared,
            sockets: Sockets::new(io),
            batch: UdpBatch::new(),
            outbox: Outbox::new(),
            pipe,
            upnp: Upnp::default(),
            clock: BootClock::new(),
            callbacks,
            candidates: Vec::new(),
            gateway: None,
            next_housekeeping: Timestamp::ZERO,
        }
    }

    /// Runs until the node is stopped or its socket is unusable.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.serve().await {
            tracing::error!(%error, "the UDP socket is unusable; the node is closed");
        }
        self.shared.close();
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut rounds = 0;
        loop {
            self.keep_house();
            let received = self.receive()?;
            let drained = self.drain()?;
            if self.is_over() {
                return self.say_goodbye().await;
            }
            if received || drained.more {
                rounds += 1;
                if rounds % ROUNDS_BEFORE_YIELD == 0 {
                    tokio::task::yield_now().await;
                }
            } else {
                rounds = 0;
                self.wait(drained).await;
            }
        }
    }

    /// Takes one batch from the sockets. `true` when there may be more.
    fn receive(&mut self) -> io::Result<bool> {
        if !self.sockets.receive(&mut self.batch)? {
            return Ok(false);
        }
        for received in self.batch.received() {
            // Locked per buffer: what one system call brings may take milliseconds to decrypt.
            let mut inner = self.shared.lock();
            let now = BootClock::now();
            for datagram in received.datagrams() {
                inner.endpoint.handle_input(now, datagram);
            }
        }
        Ok(true)
    }

    /// Serves due timers, collects what the endpoint wants sent and told, and sends it.
    fn drain(&mut self) -> io::Result<Drained> {
        let mut drained = Drained::default();
        for _ in 0..ROUNDS {
            let (deadline, full) = self.collect();
            self.carry_out_pipe_commands();
            self.carry_out_upnp_requests();
            let (sockets, outbox) = (&self.sockets, &mut self.outbox);
            let queued = outbox.flush(|via| sockets.find(via), Sockets::send)?;
            let blocked = match queued {
                Queued::Nothing => None,
                Queued::Behind(socket) => Some(socket),
            };
            drained = Drained { deadline, blocked, more: full };
            // After what was to leave through sockets that are closed now.
            drained.more |= self.carry_out_socket_commands();
            if drained.blocked.is_some() {
                drained.more = false;
            }
            if !drained.more {
                break;
            }
        }
        Ok(drained)
    }

    /// The part of [`Driver::drain`] that needs the lock. Tells the next deadline and whether the outbox is full.
    fn collect(&mut self) -> (Option<Timestamp>, bool) {
        let mut guard = self.shared.lock();
        let now = BootClock::now();
        let Inner { endpoint, waiting, .. } = &mut *guard;
        if endpoint.poll_timeout().is_some_and(|(deadline, _)| deadline <= now) {
            endpoint.handle_timeout(now);
        }
        let mut sink =
            LoopSink { outbox: &mut self.outbox, max_segments: self.sockets.first().max_segments(), waiting };
        let deadline = drive(endpoint, now, &mut sink);
        let trust = core::mem::take(&mut guard.waiting.trust_changed).then(|| guard.endpoint.trust_snapshot());
        let recorded = guard.endpoint.take_recording();
        let news = guard.waiting.take_news();
        drop(guard);
        // Before the outbox is sent and anybody is told: nobody acts on trust that a crash would undo.
        if let (Some(save), Some(snapshot)) = (self.callbacks.trust.as_mut(), trust) {
            save(snapshot);
        }
        if let Some(keep) = self.callbacks.recording.as_mut().filter(|_| !recorded.is_empty()) {
            keep(&recorded);
        }
        self.shared.tell(news);
        let deadline = deadline.map(|deadline| if deadline <= now { now + OVERDUE_PAUSE } else { deadline });
        (deadline, self.outbox.is_full())
    }

    fn carry_out_pipe_commands(&mut self) {
        let commands = core::mem::take(&mut self.shared.lock().waiting.pipe);
        for command in commands {
            if !self.pipe.command(command) {
                self.input(Input::RegistryClosed);
            }
        }
    }

    fn carry_out_upnp_requests(&mut self) {
        let requests = core::mem::take(&mut self.shared.lock().waiting.upnp);
        for request in requests {
            self.upnp.ask(request);
        }
    }

    /// Whether the endpoint was told something.
    fn carry_out_socket_commands(&mut self) -> bool {
        let commands = core::mem::take(&mut self.shared.lock().waiting.sockets);
        let opened: Vec<_> = commands.into_iter().filter_map(|command| self.sockets.command(command)).collect();
        for sockets in &opened {
            self.input(Input::SocketsOpened(sockets));
        }
        !opened.is_empty()
    }

    fn input(&self, input: Input<'_>) {
        // The loop drains the endpoint before it waits again, but an input may come after that.
        self.shared.command(|inner, now| inner.endpoint.handle_input(now, input));
    }

    async fn wait(&mut self, drained: Drained) {
        let deadline =
            drained.deadline.unwrap_or(Timestamp::FAR_FUTURE).min(self.next_housekeeping).min(self.stops_at());
        let pause = deadline.saturating_since(BootClock::now());
        let report = tokio::select! {
            () = self.shared.command_given() => None,
            () = self.sockets.ready(drained.blocked) => None,
            report = self.pipe.next() => Some(report),
            (gateway, answer) = self.upnp.answer() => {
                self.input(Input::Upnp(gateway, answer));
                None
            }
            () = tokio::time::sleep(pause) => None,
        };
        match report {
            None => {}
            Some(Report::Connected) => self.input(Input::RegistryConnected),
            Some(Report::Data(bytes)) => self.input(Input::RegistryData(&bytes)),
            Some(Report::Closed) => self.input(Input::RegistryClosed),
        }
    }

    /// Tells the endpoint what only the host can see.
    fn keep_house(&mut self) {
        let now = BootClock::now();
        if now < self.next_housekeeping {
            return;
        }
        let first = self.next_housekeeping == Timestamp::ZERO;
        self.next_housekeeping = now + HOUSEKEEPING;
        self.input(Input::WallClock(wall_clock_seconds()));
        let found = candidates(self.sockets.first().local_address()).unwrap_or_default();
        let moved = found != self.candidates;
        if moved {
            self.input(Input::LocalAddresses(&found));
            self.candidates = found;
        }
        self.look_for_gateway();
        if self.clock.woke_from_suspend() || (moved && !first) {
            self.input(Input::NetworkChanged);
        }
    }

    /// Tells the default gateway when it is another one, or when the endpoint asked.
    fn look_for_gateway(&mut self) {
        let asked = core::mem::take(&mut self.shared.lock().waiting.gateway_wanted);
        let found = Some(default_gateway(self.sockets.first().local_address()));
        if asked || found != self.gateway {
            self.gateway = found;
            self.input(Input::Gateway(found.flatten()));
        }
    }

    /// When a node that is being closed waits no longer.
    fn stops_at(&self) -> Timestamp {
        if let Phase::Stopping(deadline) = self.shared.lock().phase { deadline } else { Timestamp::FAR_FUTURE }
    }

    fn is_over(&self) -> bool {
        let inner = self.shared.lock();
        match inner.phase {
            Phase::Running => false,
            Phase::Closed => true,
            Phase::Stopping(deadline) => {
                let undelivered = inner
                    .waiting
                    .streams
                    .values()
                    .any(|wait| wait.finishing && !wait.is_delivered() && wait.closed.is_none());
                !undelivered || BootClock::now() >= deadline
            }
        }
    }

    /// Gives the port at the router back, and resets what is still open, so that peers need not wait for their timeouts.
    async fn say_goodbye(&mut self) -> io::Result<()> {
        self.shared.command(|inner, now| {
            let open: Vec<_> = inner.waiting.streams.keys().copied().collect();
            for id in open {
                inner.reset(now, id);
            }
            inner.endpoint.release_port_mapping(now);
        });
        let sent = self.drain_all().await;
        self.upnp.finish().await;
        sent
    }

    /// Sends all there is to send, as far as the sockets take it within [`GOODBYE`].
    async fn drain_all(&mut self) -> io::Result<()> {
        let until = BootClock::now() + GOODBYE;
        loop {
            let drained = self.drain()?;
            if (!drained.more && drained.blocked.is_none()) || BootClock::now() >= until {
                return Ok(());
            }
            if drained.blocked.is_some() {
                // Nobody reads any more, so that what comes in would wake at once.
                tokio::time::sleep(OVERDUE_PAUSE).await;
            }
        }
    }
}

/// Where the endpoint's outputs go while the lock is held.
struct LoopSink<'a> {
    outbox: &'a mut Outbox,
    max_segments: usize,
    waiting: &'a mut Waiting,
}

impl Sink for LoopSink<'_> {
    fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
        self.outbox.buffer(self.max_segments)
    }

    fn transmit(&mut self, transmit: Transmit) {
        self.outbox.push(transmit);
    }

    fn event(&mut self, event: Event) {
        self.waiting.dispatch(event);
    }
}
