//! What all sockets of a server share. Decides the order of locks: beacon before registry, never the other way.

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::Store;
use core::net::IpAddr;
use proto_core::{NodeId, Timestamp};
use rendezvous_core::registry::Census;
use rendezvous_core::{Beacon, Directory, Outgoing, Registry, Session};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UdpSocket;

/// The machines and their surroundings.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    registry: Mutex<Registry>,
    beacon: Mutex<Beacon>,
    sockets: Vec<Arc<UdpSocket>>,
}

impl Hub {
    pub(crate) fn new(registry: Registry, beacon: Beacon, store: Store, sockets: Vec<Arc<UdpSocket>>) -> Self {
        Self {
            clock: Clock::start(),
            store,
            metrics: Metrics::default(),
            registry: Mutex::new(registry),
            beacon: Mutex::new(beacon),
            sockets,
        }
    }

    /// Answers a registry request. Returns `None` when the reply acknowledges something that could not be stored.
    pub(crate) async fn request(&self, session: &mut Session, json: &[u8]) -> Option<Vec<u8>> {
        let (outcome, ticket) = {
            let mut registry = lock(&self.registry);
            let mut outcome = registry.handle_frame(self.clock.now(), self.clock.wall(), session, json);
            // Queued under the lock, so that the disk sees changes in the order they were made.
            let ticket = self.store.enqueue(core::mem::take(&mut outcome.changes));
            (outcome, ticket)
        };
        self.metrics.count_request(outcome.kind, outcome.refused);
        //= spec/registry.md#pp-reg-26
        //# Facts that a reply acknowledges are durable before it leaves.
        if outcome.acknowledges && self.store.committed(ticket).await.is_err() {
            return None;
        }
        if !outcome.notify.is_empty() {
            let mut beacon = lock(&self.beacon);
            for node in &outcome.notify {
                beacon.notify(self.clock.now(), *node, &mut |datagram| self.send(datagram));
            }
        }
        Some(outcome.reply)
    }

    /// Handles one datagram of UDP port number `socket`.
    pub(crate) fn datagram(&self, socket: u8, from: core::net::SocketAddr, data: &mut [u8]) {
        let now = self.clock.now();
        lock(&self.beacon).handle_datagram(now, socket, from, data, self, &mut |datagram| self.send(datagram));
    }

    /// Runs the beacon's timers; returns when they want to run next.
    pub(crate) fn beacon_timeout(&self) -> Timestamp {
        let mut beacon = lock(&self.beacon);
        beacon.handle_timeout(self.clock.now(), &mut |datagram| self.send(datagram));
        beacon.poll_timeout()
    }

    /// A full send buffer drops the datagram, as the network would.
    fn send(&self, datagram: Outgoing<'_>) {
        let sent = self.sockets.get(usize::from(datagram.socket)).map(|s| s.try_send_to(datagram.bytes, datagram.to));
        if !matches!(sent, Some(Ok(_))) {
            self.metrics.count_send_failure();
        }
    }

    pub(crate) fn census(&self) -> Census {
        lock(&self.registry).census(self.clock.now())
    }

    pub(crate) fn beacon_counts(&self) -> (rendezvous_core::beacon::BeaconCounters, usize) {
        let beacon = lock(&self.beacon);
        (beacon.counters(), beacon.endpoint_count())
    }
}

/// The beacon asks the registry one question at a time; relayed frames ask none.
impl Directory for Hub {
    fn may_resolve(&self, requester: NodeId, target: NodeId) -> bool {
        lock(&self.registry).may_resolve(requester, target)
    }

    fn is_known(&self, node: NodeId) -> bool {
        lock(&self.registry).is_known(node)
    }

    fn registered_from(&self, node: NodeId, source: IpAddr, now: Timestamp) -> bool {
        lock(&self.registry).registered_from(node, source, now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
