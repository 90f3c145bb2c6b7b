//! Decides where datagrams wait between the endpoint, which writes them under its lock, and the socket, which takes
//! them without it. Refuses to know either's state.

use crate::udp::UdpIo;
use core::fmt;
use proto_core::limits::MAX_DATAGRAM;
use proto_core::{SocketId, Transmit, TransmitBuf};
use std::io;
use std::os::fd::AsFd;

/// Batches that wait at most: 1 MiB, half a millisecond of encryption, so that nobody waits long for the lock.
const SLOTS: usize = 16;

/// A ring of [`Transmit`]s with their bytes, first in first out. The half of a [`Sink`](proto_core::Sink) that all runtimes share.
pub struct Outbox {
    slots: [Slot; SLOTS],
    first: usize,
    waiting: usize,
}

struct Slot {
    bytes: Box<[u8]>,
    transmit: Option<Transmit>,
    sent: usize,
}

/// Whether everything was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// Nothing waits.
    Nothing,
    /// This socket is full; wait until it is writable.
    Behind(SocketId),
}

impl Outbox {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        let slot = |_| Slot { bytes: vec![0; MAX_DATAGRAM].into_boxed_slice(), transmit: None, sent: 0 };
        Self { slots: core::array::from_fn(slot), first: 0, waiting: 0 }
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// [`Outbox::buffer`] would give none.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting == SLOTS
    }

    /// Room for one more batch of up to `max_segments` datagrams ([`UdpIo::max_segments`]); `None` when full.
    pub fn buffer(&mut self, max_segments: usize) -> Option<TransmitBuf<'_>> {
        let slot = self.free_slot()?;
        Some(TransmitBuf { bytes: &mut slot.bytes, max_segments })
    }

    /// Queues what was written to the buffer last handed out.
    pub fn push(&mut self, transmit: Transmit) {
        if let Some(slot) = self.free_slot() {
            slot.transmit = Some(transmit);
            slot.sent = 0;
            self.waiting += 1;
        }
    }

    /// Sends what waits, in order, through the socket that `socket` names; what names none is dropped.
    ///
    /// # Errors
    ///
    /// When a socket is unusable.
    pub fn flush<'s, S: AsFd + 's>(
        &mut self,
        mut socket: impl FnMut(SocketId) -> Option<&'s UdpIo<S>>,
        mut send: impl FnMut(&UdpIo<S>, &Transmit, &[u8]) -> io::Result<crate::udp::Sent>,
    ) -> io::Result<Queued> {
        while let Some(slot) = self.first_slot() {
            let Some(transmit) = slot.transmit else {
                self.pop();
                continue;
            };
            let rest = slot.bytes.get(slot.sent..transmit.len).unwrap_or_default();
            let Some(io) = socket(transmit.via).filter(|_| !rest.is_empty()) else {
                self.pop();
                continue;
            };
            match send(io, &transmit, rest) {
                Ok(sent) if sent.bytes >= rest.len() => self.pop(),
                Ok(sent) => slot.sent += sent.bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Queued::Behind(transmit.via)),
                Err(error) => return Err(error),
            }
        }
        Ok(Queued::Nothing)
    }

    fn free_slot(&mut self) -> Option<&mut Slot> {
        if self.is_full() {
            return None;
        }
        self.slots.get_mut((self.first + self.waiting) % SLOTS)
    }

    fn first_slot(&mut self) -> Option<&mut Slot> {
        if self.is_empty() {
            return None;
        }
        self.slots.get_mut(self.first)
    }

    fn pop(&mut self) {
        self.first = (self.first + 1) % SLOTS;
        self.waiting = self.waiting.saturating_sub(1);
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::Sent;

    fn transmit(len: usize) -> Transmit {
        let to = "127.0.0.1:9".parse().unwrap();
        Transmit { via: SocketId(0), to, from: None, ttl: None, ecn: None, len, segment: None }
    }

    fn queue(outbox: &mut Outbox, text: &[u8]) {
        outbox.buffer(1).unwrap().bytes[..text.len()].copy_from_slice(text);
        outbox.push(transmit(text.len()));
    }

    #[test]
    fn what_a_full_socket_left_goes_first_next_time() {
        let (io, _) = UdpIo::bind(SocketId(0), "127.0.0.1:0".parse().unwrap()).unwrap();
        let mut outbox = Outbox::new();
        queue(&mut outbox, b"abcdef");
        queue(&mut outbox, b"gh");
        let mut taken = Vec::new();
        let mut room = 4;
        let mut send = |_: &UdpIo<_>, _: &Transmit, bytes: &[u8]| {
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let now = room.min(bytes.len());
            room -= now;
            taken.extend_from_slice(&bytes[..now]);
            Ok(Sent { bytes: now, lost: 0 })
        };
        assert_eq!(outbox.flush(|_| Some(&io), &mut send).unwrap(), Queued::Behind(SocketId(0)));
        assert!(!outbox.is_empty());
        let mut rest = Vec::new();
        let all = |_: &UdpIo<_>, _: &Transmit, bytes: &[u8]| {
            rest.extend_from_slice(bytes);
            Ok(Sent { bytes: bytes.len(), lost: 0 })
        };
        assert_eq!(outbox.flush(|_| Some(&io), all).unwrap(), Queued::Nothing);
        assert_eq!((taken.as_slice(), rest.as_slice()), (b"abcd".as_slice(), b"efgh".as_slice()));
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_full_ring_gives_no_room_and_unknown_sockets_lose_theirs() {
        let mut outbox = Outbox::new();
        for _ in 0..SLOTS {
            queue(&mut outbox, b"x");
        }
        assert!(outbox.is_full() && outbox.buffer(1).is_none());
        let nobody = |_: SocketId| -> Option<&'static UdpIo> { None };
        assert_eq!(outbox.flush(nobody, UdpIo::send).unwrap(), Queued::Nothing);
        assert!(outbox.buffer(1).is_some());
    }
}
