//! The broker of the event stream (port 1002): exact topics and `*`, no history, no acknowledgement.

use bytes::Bytes;
use driver::services::events::{Event, read_event};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Subscribers at once.
const MAX_SUBSCRIBERS: usize = 1024;
/// Events waiting for one subscriber.
const QUEUE: usize = 256;
/// Events a second from one publisher, and how many at once (control-plane section 5.3).
const RATE: f64 = 100.0;
const BURST: f64 = 200.0;
/// Undelivered events in a row after which a subscriber is dropped.
const PATIENCE: u8 = 3;

/// Who wants what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broker {
    subscribers: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: BTreeMap<u64, Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    topic: String,
    queue: mpsc::Sender<Bytes>,
    missed: u8,
}

impl Broker {
    /// Serves one stream of a trusted peer until either side ends it.
    pub(crate) async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let Some(subscription) = read_event(&mut reader).await? else { return Ok(()) };
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let Some(id) = self.subscribe(subscription.topic, queue) else { return Ok(()) };
        let publishing = async {
            let mut rate = Rate { tokens: BURST, at: Instant::now() };
            while let Some(event) = read_event(&mut reader).await? {
                //= spec/services.md#pp-svc-13
                //# A publisher is limited to 100 events a second, 200 at once.
                if rate.allows(Instant::now()) {
                    self.publish(id, &event);
                }
            }
            Ok(())
        };
        let delivering = async {
            while let Some(event) = waiting.recv().await {
                writer.write_all(&event).await?;
            }
            Ok(())
        };
        let outcome = tokio::select! { ended = publishing => ended, ended = delivering => ended };
        self.table().entries.remove(&id);
        outcome
    }

    fn subscribe(&self, topic: String, queue: mpsc::Sender<Bytes>) -> Option<u64> {
        let mut table = self.table();
        if table.entries.len() >= MAX_SUBSCRIBERS {
            return None;
        }
        let id = table.next;
        table.next += 1;
        table.entries.insert(id, Subscriber { topic, queue, missed: 0 });
        Some(id)
    }

    /// To everybody who wants it but the one who said it.
    fn publish(&self, publisher: u64, event: &Event) {
        let bytes = event.encode();
        self.table().entries.retain(|id, subscriber| {
            //= spec/services.md#pp-svc-12
            //# An event reaches every subscriber of its topic but its publisher.
            if *id == publisher || (subscriber.topic != "*" && subscriber.topic != event.topic) {
                return true;
            }
            subscriber.missed = match subscriber.queue.try_send(bytes.clone()) {
                Ok(()) => 0,
                Err(_) => subscriber.missed + 1,
            };
            subscriber.missed < PATIENCE
        });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token bucket.
struct Rate {
    tokens: f64,
    at: Instant,
}

impl Rate {
    fn allows(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.at = now;
        self.tokens = (self.tokens + gained).min(BURST);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}
