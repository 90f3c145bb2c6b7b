//! Decides which request is next and how long each may take. Refuses to know connections and replies.

use super::super::request::Request;
use crate::limits::{MAX_REGISTRY_REQUESTS, REGISTRY_REPLY_TIMEOUT};
use crate::time::Timestamp;
use core::fmt;
use std::collections::VecDeque;

/// Names one request of the caller. Never reused within the life of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Too many requests wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many requests wait for the registry")
    }
}

impl core::error::Error for QueueFull {}

/// Who wants the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Register,
    Heartbeat,
    Poll,
    /// Sent for its effect, such as a repeated trust report.
    Housekeeping,
    Caller(Ticket),
}

/// One request and what became of it so far.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) purpose: Purpose,
    pub(super) request: Request,
    /// A caller's request is given up when it was not sent by then.
    expires: Timestamp,
    repeated: bool,
}

impl Task {
    pub(super) fn own(purpose: Purpose, request: Request) -> Self {
        Self { purpose, request, expires: Timestamp::FAR_FUTURE, repeated: false }
    }
}

/// Callers' requests in their order, the client's own behind them, and the one that is outstanding.
#[derive(Debug, Default)]
pub(super) struct Queue {
    callers: VecDeque<Task>,
    own: VecDeque<Task>,
    outstanding: Option<(Task, Timestamp)>,
    tickets: u64,
}

impl Queue {
    pub(super) fn push(&mut self, now: Timestamp, request: Request) -> Result<Ticket, QueueFull> {
        if self.callers.len() >= MAX_REGISTRY_REQUESTS {
            return Err(QueueFull);
        }
        let ticket = Ticket(self.tickets);
        self.tickets = self.tickets.wrapping_add(1);
        let expires = now + REGISTRY_REPLY_TIMEOUT;
        self.callers.push_back(Task { purpose: Purpose::Caller(ticket), request, expires, repeated: false });
        Ok(ticket)
    }

    /// Adds a request of the client's own. A heartbeat or poll goes before housekeeping, and waits once at most.
    pub(super) fn push_own(&mut self, purpose: Purpose, request: Request) {
        if purpose == Purpose::Housekeeping {
            self.own.push_back(Task::own(purpose, request));
        } else if !self.own.iter().any(|task| task.purpose == purpose) {
            self.own.push_front(Task::own(purpose, request));
        }
    }

    /// Forgets the client's own waiting requests; registration makes them anew.
    pub(super) fn clear_own(&mut self) {
        self.own.clear();
    }

    pub(super) fn pop(&mut self) -> Option<Task> {
        self.callers.pop_front().or_else(|| self.own.pop_front())
    }

    pub(super) fn is_busy(&self) -> bool {
        self.outstanding.is_some()
    }

    pub(super) fn sent(&mut self, now: Timestamp, task: Task) {
        self.outstanding = Some((task, now + REGISTRY_REPLY_TIMEOUT));
    }

    /// The request whose reply came, or will not come.
    pub(super) fn finish(&mut self) -> Option<Task> {
        self.outstanding.take().map(|(task, _)| task)
    }

    /// The connection was lost under the outstanding request. A caller's is sent once more on the next connection if
    /// that cannot do harm; otherwise it comes back, to be failed.
    pub(super) fn interrupt(&mut self) -> Option<Task> {
        let task = self.finish().filter(|task| matches!(task.purpose, Purpose::Caller(_)))?;
        if task.request.is_repeatable() { self.repeat(task) } else { Some(task) }
    }

    /// Puts a request that was not carried out first in line again, once; the second time it comes back.
    pub(super) fn repeat(&mut self, mut task: Task) -> Option<Task> {
        if task.repeated {
            return Some(task);
        }
        task.repeated = true;
        let line = if matches!(task.purpose, Purpose::Caller(_)) { &mut self.callers } else { &mut self.own };
        line.push_front(task);
        None
    }

    pub(super) fn reply_is_overdue(&self, now: Timestamp) -> bool {
        self.outstanding.as_ref().is_some_and(|(_, deadline)| *deadline <= now)
    }

    /// The next caller's request that waited too long. Requests expire in the order they came in.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Option<Task> {
        self.callers.pop_front_if(|task| task.expires <= now)
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let reply = self.outstanding.as_ref().map(|(_, deadline)| *deadline);
        self.callers.front().map(|task| task.expires).into_iter().chain(reply).min()
    }
}
