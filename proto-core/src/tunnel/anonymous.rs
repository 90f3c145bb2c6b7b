//! Keys that nobody vouches for (PILK), for closed testbeds. Decides that they never stand beside a proven identity; refuses to know whether
//! the host wants them at all.

use super::Tunnel;
use super::session::SessionId;
use super::types::{Context, ExchangeError};
use crate::ids::NodeId;
use crate::time::Timestamp;
use crate::wire::KeyExchange;
use crate::wire::frame::Frame;

impl Tunnel {
    /// The session sent under is with whom the peer's identity vouched for.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        self.authenticated && self.is_established()
    }

    /// Takes up a key without identity. The caller has limited the rate of its source, and knows that the peer has no identity.
    ///
    /// # Errors
    /// [`ExchangeError`]; nothing was changed. [`ExchangeError::Downgrade`] once the peer has proved an identity.
    pub fn handle_anonymous_exchange(
        &mut self,
        now: Timestamp,
        exchange: &KeyExchange,
        context: &mut Context<'_>,
    ) -> Result<(), ExchangeError> {
        self.observe(now);
        if exchange.sender != self.peer || self.peer == self.local || self.peer == NodeId::UNASSIGNED {
            return Err(ExchangeError::WrongSender);
        }
        if self.authenticated {
            return Err(ExchangeError::Downgrade);
        }
        self.take_up(exchange.public, context).map(|_| ())
    }

    /// Writes our key without identity (PILK) to the front of `out`, and returns its length; `None` when there is no room.
    pub fn emit_anonymous_exchange(&mut self, context: &mut Context<'_>, out: &mut [u8]) -> Option<usize> {
        let sender = self.local;
        let public = self.key_to_tell(context).public;
        let len = Frame::KeyExchange(KeyExchange { sender, public }).emit(out).ok()?;
        self.pacing.emitted(self.now);
        Some(len)
    }

    /// The peer's identity vouched for session `id`: every other one is of somebody who had none.
    pub(super) fn authenticate(&mut self, id: SessionId) {
        if core::mem::replace(&mut self.authenticated, true) {
            return;
        }
        self.candidate = None;
        self.sending = self.sending.filter(|sending| *sending == id);
        while let Some(other) = self.sessions.iter().map(|session| session.id).find(|other| *other != id) {
            self.forget(other);
        }
        self.offer(id);
    }
}
