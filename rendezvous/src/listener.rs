//! Accepts registry connections. Decides who may have another one, and whether it speaks TLS.

use crate::connection;
use crate::hub::Hub;
use crate::limits::{FRAME_DEADLINE, IDLE, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS};
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use rendezvous_core::Session;
use rendezvous_core::rate::source_of;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS ClientHello's record. A plaintext length below 64 KiB begins with zero.
const TLS_HANDSHAKE: u8 = 0x16;

/// A listening socket and what its connections need.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) hub: Arc<Hub>,
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) tls_only: bool,
    pub(crate) beacon: Option<SocketAddr>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Listener {
    /// Accepts until the stop, then waits for the connections to finish.
    pub(crate) async fn serve(self) {
        let mut connections = JoinSet::new();
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, peer)) => match self.admission.admit(peer.ip()) {
                    Some(place) => drop(connections.spawn(self.connection(stream, peer, place))),
                    None => self.hub.metrics.count_refused_connection(),
                },
                Err(error) => {
                    // Out of file descriptors: waiting lets connections end, retrying at once would spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr, place: Place) -> impl Future<Output = ()> + Send + use<> {
        let (hub, acceptor, stop) = (self.hub.clone(), self.acceptor.clone(), self.stop.clone());
        let beacon = self.beacon_as_seen_on(&stream);
        let tls_only = self.tls_only;
        async move {
            let session = Session::new(place.number, peer.ip()).with_beacon(beacon);
            let gauge = hub.metrics.connections().clone();
            gauge.inc();
            run(stream, session, &hub, &acceptor, tls_only, stop).await;
            gauge.dec();
            drop(place);
        }
    }

    /// Where the client of `stream` reaches the beacon: at the address it reached us, unless the beacon has its own.
    fn beacon_as_seen_on(&self, stream: &TcpStream) -> Option<SocketAddr> {
        let beacon = self.beacon?;
        if !beacon.ip().is_unspecified() {
            return Some(beacon);
        }
        stream.local_addr().ok().map(|local| SocketAddr::new(local.ip().to_canonical(), beacon.port()))
    }
}

async fn run(
    stream: TcpStream,
    session: Session,
    hub: &Hub,
    acceptor: &TlsAcceptor,
    tls_only: bool,
    mut stop: watch::Receiver<bool>,
) {
    // Replies are small and waited for.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = timeout(IDLE, stream.peek(&mut first)) => peeked,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    if !matches!(peeked, Ok(Ok(1))) {
        return;
    }
    //= spec/registry.md#pp-reg-6
    //# A connection to the registry can be TLS, its certificate pinned by the SHA-256 of its DER form.
    if !tls_only && first != [TLS_HANDSHAKE] {
        connection::serve(stream, session, hub, stop).await;
        return;
    }
    let accepted = tokio::select! {
        accepted = timeout(FRAME_DEADLINE, acceptor.accept(stream)) => accepted,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    if let Ok(Ok(stream)) = accepted {
        connection::serve(stream, session.with_encryption(), hub, stop).await;
    }
}

/// Counts connections, in all and per address.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    by_address: Mutex<Counts>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    each: BTreeMap<IpAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    number: u64,
}

impl Admission {
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        // One host has a whole network of IPv6 addresses, and must not take everybody's places with them.
        let address = source_of(address);
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = counts.each.get(&address).copied().unwrap_or(0);
        if counts.total >= MAX_CONNECTIONS || of_address >= MAX_CONNECTIONS_PER_ADDRESS {
            return None;
        }
        counts.total += 1;
        counts.each.insert(address, of_address + 1);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some(Place { admission: self.clone(), address, number })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        let left = counts.each.get(&self.address).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.each.remove(&self.address);
        } else {
            counts.each.insert(self.address, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv6Addr;

    #[test]
    fn a_network_of_ipv6_has_the_places_of_one_address() {
        let admission = Arc::new(Admission::default());
        let address = |network: u16, host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, network, 0, 0, 0, host));
        let places: Vec<_> = (0..10_000).filter_map(|host| admission.admit(address(1, host))).collect();
        assert_eq!(places.len(), MAX_CONNECTIONS_PER_ADDRESS);
        assert!(admission.admit(address(2, 1)).is_some());
        drop(places);
        assert!(admission.admit(address(1, 1)).is_some());
    }
}
