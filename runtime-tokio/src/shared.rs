//! Decides how tasks and the loop share one endpoint: a mutex that is never held across an await, and a wake-up for
//! the loop. Refuses to know what is done under it.

use crate::waiting::{News, Waiting};
use core::task::{Context, Poll};
use proto_core::{Endpoint, Event, Timestamp};
use runtime_common::BootClock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, broadcast, watch};

/// Events kept for a slow subscriber.
const EVENT_QUEUE: usize = 1024;

/// What the loop and all handles of a node have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    wake: Notify,
    closed: watch::Sender<bool>,
}

/// What the mutex guards.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) endpoint: Endpoint,
    pub(crate) waiting: Waiting,
    pub(crate) phase: Phase,
    /// Gone when the node is closed: then subscribers see the end.
    pub(crate) events: Option<broadcast::Sender<Event>>,
}

/// How far the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// No new streams; the loop ends when what was finished is delivered, at this time at the latest.
    Stopping(Timestamp),
    Closed,
}

impl Shared {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let inner = Inner {
            endpoint,
            waiting: Waiting::new(),
            phase: Phase::Running,
            events: Some(broadcast::Sender::new(EVENT_QUEUE)),
        };
        Self { inner: Mutex::new(inner), wake: Notify::new(), closed: watch::Sender::new(false) }
    }

    /// Only looks, or belongs to the loop.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic of a task elsewhere left the endpoint between two calls, where it is always whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the endpoint a command, and lets the loop see what came of it.
    pub(crate) fn command<T>(&self, command: impl FnOnce(&mut Inner, Timestamp) -> T) -> T {
        let result = command(&mut self.lock(), BootClock::now());
        self.wake.notify_one();
        result
    }

    /// As [`Shared::command`], where a command that has to wait changed nothing worth telling the loop.
    pub(crate) fn poll_command<T>(&self, command: impl FnOnce(&mut Inner, Timestamp) -> Poll<T>) -> Poll<T> {
        let result = command(&mut self.lock(), BootClock::now());
        if result.is_ready() {
            self.wake.notify_one();
        }
        result
    }

    pub(crate) async fn command_given(&self) {
        self.wake.notified().await;
    }

    /// Asks the loop to end, `patience` from now at the latest.
    pub(crate) fn stop(&self, patience: core::time::Duration) {
        self.command(|inner, now| {
            if inner.phase == Phase::Running {
                inner.phase = Phase::Stopping(now + patience);
            }
        });
    }

    /// Tells `news` to those whom it concerns.
    pub(crate) fn tell(&self, mut news: News) {
        if !news.events.is_empty()
            && let Some(subscribers) = self.lock().events.as_ref()
        {
            for event in news.events.drain(..) {
                let _ = subscribers.send(event);
            }
        }
        news.tell();
    }

    /// The loop has ended.
    pub(crate) fn close(&self) {
        let news = {
            let mut inner = self.lock();
            inner.phase = Phase::Closed;
            inner.waiting.abandon()
        };
        self.tell(news);
        self.lock().events = None;
        self.closed.send_replace(true);
    }

    pub(crate) async fn closed(&self) {
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

impl Inner {
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }
}

/// A reference that keeps the loop running.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    alive: Arc<Alive>,
}

#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.stop(core::time::Duration::ZERO);
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { alive: Arc::new(Alive(shared)) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.alive.0
    }
}

/// Gives other tasks their turn: a stream that always has data must not keep its task on the thread for ever.
pub(crate) fn spend_budget(cx: &mut Context<'_>) -> Poll<tokio::task::coop::RestoreOnPending> {
    tokio::task::coop::poll_proceed(cx)
}
