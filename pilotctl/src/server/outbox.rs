//! Frames on their way to a client, bounded in number and in bytes.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Frames waiting for a client to read them.
const FRAMES: usize = 256;
/// Bytes of them; a longer frame waits alone.
const BYTES: u32 = 1 << 20;

/// The way to a client.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// A frame, and the room it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) frame: Bytes,
    _room: OwnedSemaphorePermit,
}

/// A frame for which there is room.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    place: mpsc::Permit<'a, Waiting>,
    waiting: Waiting,
}

impl Reserved<'_> {
    /// Does not wait.
    pub(super) fn push(self) {
        self.place.send(self.waiting);
    }
}

fn needed(frame: &Bytes) -> u32 {
    u32::try_from(frame.len()).unwrap_or(BYTES).min(BYTES)
}

impl Outbox {
    /// The way, and its end.
    pub(super) fn new() -> (Self, mpsc::Receiver<Waiting>) {
        let (frames, waiting) = mpsc::channel(FRAMES);
        (Self { frames, room: Arc::new(Semaphore::new(BYTES as usize)) }, waiting)
    }

    /// Waits for room. Whether somebody still takes frames.
    pub(super) async fn push(&self, frame: Bytes) -> bool {
        self.reserve(frame).await.map(Reserved::push).is_some()
    }

    /// Waits for room; nothing when nobody takes frames any more.
    pub(super) async fn reserve(&self, frame: Bytes) -> Option<Reserved<'_>> {
        let room = Arc::clone(&self.room).acquire_many_owned(needed(&frame)).await.ok()?;
        let place = self.frames.reserve().await.ok()?;
        Some(Reserved { place, waiting: Waiting { frame, _room: room } })
    }

    /// Whether there was room.
    pub(super) fn try_push(&self, frame: Bytes) -> bool {
        let room = Arc::clone(&self.room).try_acquire_many_owned(needed(&frame));
        room.is_ok_and(|room| self.frames.try_send(Waiting { frame, _room: room }).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_client_does_not_read_is_bounded_in_bytes_and_then_goes_on() {
        let (outbox, mut waiting) = Outbox::new();
        let frame = Bytes::from(vec![0; 128 * 1024]);
        let taken = (0..100).take_while(|_| outbox.try_push(frame.clone())).count();
        assert_eq!(taken, 8);
        assert!(!outbox.try_push(Bytes::from_static(b"x")));
        drop(waiting.recv().await);
        assert!(outbox.push(frame).await);
        drop(waiting);
        assert!(!outbox.push(Bytes::from(vec![0; 4 << 20])).await, "nobody takes it");
    }
}
