//! How long this NAT keeps a mapping that is not used, and how often a path must therefore be.
//!
//! Decides by leaving a fresh socket alone for longer and longer, and asking a beacon each time whether it still has its port. Refuses to
//! judge a NAT that gives every mapping the inside port: it shows the same port whether it forgot or not.

use crate::ids::SocketId;
use crate::time::Timestamp;
use core::time::Duration;

/// Interval of keepalives while nothing was measured: half of 30 s, the shortest UDP timeout in the field.
pub const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(15);
/// A path in use this long is worth measuring for; shorter ones end before it matters.
const WORTHWHILE_AFTER: Duration = Duration::from_secs(60);
/// Times without traffic that are tried, longer and longer.
const GAPS: [Duration; 3] = [Duration::from_secs(30), Duration::from_secs(60), Duration::from_secs(120)];
/// Tried when the first of them was too long.
const SHORT_GAP: Duration = Duration::from_secs(20);
/// Taken for granted when even that was: no NAT that works forgets faster.
const SHORTEST: Duration = Duration::from_secs(15);
/// A question is repeated after this, and so often in all.
const AGAIN: Duration = Duration::from_secs(1);
const QUESTIONS: u8 = 3;

/// What the measurement wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeAction {
    /// Ask the host for one socket; tell [`Lifetime::opened`].
    Open,
    /// Ask a beacon what it sees of this socket; tell [`Lifetime::observed`].
    Observe(SocketId),
    /// This socket is not needed any more.
    Close(SocketId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was asked for.
    Idle,
    /// Begins then.
    Waiting(Timestamp),
    Opening,
    /// Asked so often, the next time then.
    Asking(u8, Timestamp),
    /// Left alone until then.
    Resting(Timestamp),
    Over,
}

/// The measurement of one network's NAT.
#[derive(Debug)]
pub struct Lifetime {
    state: State,
    socket: Option<SocketId>,
    port: Option<u16>,
    gap: Duration,
    survived: Option<Duration>,
    action: Option<LifetimeAction>,
}

impl Default for Lifetime {
    fn default() -> Self {
        let first = GAPS.first().copied().unwrap_or(DEFAULT_KEEPALIVE);
        Self { state: State::Idle, socket: None, port: None, gap: first, survived: None, action: None }
    }
}

impl Lifetime {
    /// A path leads through the NAT: a minute from now it is measured, once.
    pub fn begin(&mut self, now: Timestamp) {
        if self.state == State::Idle {
            self.state = State::Waiting(now + WORTHWHILE_AFTER);
        }
    }

    /// Another network has another NAT.
    pub fn network_changed(&mut self) {
        let close = self.socket.map(LifetimeAction::Close);
        *self = Self { action: close, ..Self::default() };
    }

    /// The host opened it, or no more sockets.
    pub fn opened(&mut self, now: Timestamp, socket: Option<SocketId>) {
        match socket {
            Some(socket) if self.state == State::Opening => {
                self.socket = Some(socket);
                self.ask(now, 1);
            }
            Some(socket) => self.action = Some(LifetimeAction::Close(socket)),
            None => self.state = State::Over,
        }
    }

    /// A beacon saw `port` of `socket`.
    pub fn observed(&mut self, now: Timestamp, socket: SocketId, port: u16) {
        if self.socket != Some(socket) || !matches!(self.state, State::Asking(..)) {
            return;
        }
        match self.port.replace(port) {
            None => self.rest(now, self.gap),
            Some(before) if before == port => self.kept(now),
            Some(_) if self.survived.is_some() => self.end(),
            Some(_) if self.gap > SHORT_GAP => self.rest(now, SHORT_GAP),
            Some(_) => {
                self.survived = Some(SHORTEST);
                self.end();
            }
        }
    }

    fn kept(&mut self, now: Timestamp) {
        self.survived = Some(self.gap);
        match GAPS.iter().find(|gap| **gap > self.gap) {
            Some(&longer) if self.gap > SHORT_GAP => self.rest(now, longer),
            Some(_) | None => self.end(),
        }
    }

    fn rest(&mut self, now: Timestamp, gap: Duration) {
        self.gap = gap;
        self.state = State::Resting(now + gap);
    }

    fn ask(&mut self, now: Timestamp, number: u8) {
        self.state = State::Asking(number, now + AGAIN);
        self.action = self.socket.map(LifetimeAction::Observe);
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.action = self.socket.take().map(LifetimeAction::Close);
    }

    /// How often a path through this NAT is to be used: half of what a mapping is known to survive.
    #[must_use]
    pub fn keepalive(&self) -> Duration {
        //= spec/keepalive.md#pp-ka-6
        //# A direct path without a send for 15 seconds, or for half the time that the NAT was seen to keep an unused mapping, gets a packet that
        //# keeps it, while the peer was used within 2 minutes.
        self.survived.map_or(DEFAULT_KEEPALIVE, |survived| survived / 2)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<LifetimeAction> {
        self.action.take()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting(at) | State::Asking(_, at) | State::Resting(at) => Some(at),
            State::Idle | State::Opening | State::Over => None,
        }
    }

    /// Begins, asks, asks again, or gives up.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            State::Waiting(_) => {
                self.state = State::Opening;
                self.action = Some(LifetimeAction::Open);
            }
            State::Asking(number, _) if number < QUESTIONS => self.ask(now, number + 1),
            State::Asking(..) => self.end(),
            State::Resting(_) => self.ask(now, 1),
            State::Idle | State::Opening | State::Over => {}
        }
    }
}
