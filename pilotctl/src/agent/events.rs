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
/// Events a second from one publisher, and how many at once (PP-SVC-13).
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
        //= spec/services.md#pp-svc-11
        //# The first event on a stream subscribes to its topic, `*` to all; later ones publish.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::DuplexStream;

    fn event(topic: &str, payload: &'static str) -> Event {
        Event { topic: topic.to_owned(), payload: Bytes::from_static(payload.as_bytes()) }
    }

    /// A stream whose first event subscribes to `topic`.
    async fn subscriber(broker: &Broker, topic: &str) -> DuplexStream {
        let (mut ours, theirs) = tokio::io::duplex(4096);
        let (broker, known) = (broker.clone(), broker.table().entries.len());
        let table = broker.clone();
        tokio::spawn(async move { broker.serve(theirs).await });
        ours.write_all(&event(topic, "").encode()).await.unwrap();
        while table.table().entries.len() == known {
            tokio::task::yield_now().await;
        }
        ours
    }

    //= spec/services.md#pp-svc-11
    //= type=test
    //# The first event on a stream subscribes to its topic, `*` to all; later ones publish.
    //= spec/services.md#pp-svc-12
    //= type=test
    //# An event reaches every subscriber of its topic but its publisher.
    #[test]
    fn the_first_event_subscribes_and_later_ones_reach_all_others() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let broker = Broker::default();
            let mut publisher = subscriber(&broker, "news").await;
            let mut same = subscriber(&broker, "news").await;
            let mut all = subscriber(&broker, "*").await;
            let mut other = subscriber(&broker, "weather").await;
            for told in [event("news", "one"), event("weather", "two"), event("news", "three")] {
                publisher.write_all(&told.encode()).await.unwrap();
            }
            let next = async |stream: &mut DuplexStream| read_event(stream).await.unwrap();
            assert_eq!(next(&mut same).await, Some(event("news", "one")));
            assert_eq!(next(&mut same).await, Some(event("news", "three")));
            for told in [event("news", "one"), event("weather", "two"), event("news", "three")] {
                assert_eq!(next(&mut all).await, Some(told), "and no subscription");
            }
            assert_eq!(next(&mut other).await, Some(event("weather", "two")));
            // What comes back to the publisher first is what another one said.
            all.write_all(&event("news", "four").encode()).await.unwrap();
            assert_eq!(next(&mut publisher).await, Some(event("news", "four")));
        });
    }

    //= spec/services.md#pp-svc-13
    //= type=test
    //# A publisher is limited to 100 events a second, 200 at once.
    #[test]
    fn a_publisher_has_two_hundred_at_once_and_a_hundred_a_second() {
        let began = Instant::now();
        let mut rate = Rate { tokens: BURST, at: began };
        let mut allowed = |after: u64| (0..500).filter(|_| rate.allows(began + Duration::from_secs(after))).count();
        assert_eq!((allowed(0), allowed(1), allowed(1), allowed(10)), (200, 100, 0, 200));
    }
}
