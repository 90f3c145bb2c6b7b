//! Decides in which order a server starts and stops. Refuses to know the protocol.

use crate::builder::Builder;
use crate::hub::Hub;
use crate::limits::STOP_DEADLINE;
use crate::listener::{Admission, Listener};
use crate::store::Store;
use crate::{http, tls, udp};
use core::net::SocketAddr;
use rendezvous_core::{Beacon, Registry, RegistryConfig};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// File of the durable facts in the data folder.
const STORE_FILE: &str = "registry.redb";

/// A running server. Dropping it stops everything at once; [`Server::shutdown`] lets requests finish first.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    fingerprint: String,
    hub: Arc<Hub>,
    stop: watch::Sender<bool>,
    /// End at the stop, after their connections.
    listeners: JoinSet<()>,
    /// Never end by themselves.
    services: JoinSet<()>,
}

#[derive(Debug)]
struct Addresses {
    registry: SocketAddr,
    tls: Option<SocketAddr>,
    beacons: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listening socket refused.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The data folder, the key or the store refused.
    #[error("cannot use the data folder: {0}")]
    Data(String),
    /// `/metrics` was asked for on an address others can reach.
    #[error("metrics must listen on a loopback address, not {0}")]
    MetricsNotLoopback(SocketAddr),
}

impl Server {
    /// A server with the defaults of [`Builder`].
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(builder: Builder) -> Result<Self, StartError> {
        if let Some(address) = builder.metrics_listen.filter(|address| !address.ip().is_loopback()) {
            return Err(StartError::MetricsNotLoopback(address));
        }
        let registry_socket = listen(builder.registry_listen).await?;
        let tls_socket = match builder.tls_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let metrics_socket = match builder.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let beacon_sockets = bind_beacons(&builder.beacon_listen)?;
        let addresses = Addresses {
            registry: bound(&registry_socket, builder.registry_listen)?,
            tls: tls_socket.as_ref().zip(builder.tls_listen).map(|(s, a)| bound(s, a)).transpose()?,
            beacons: beacon_addresses(&beacon_sockets, &builder.beacon_listen)?,
            metrics: metrics_socket.as_ref().zip(builder.metrics_listen).map(|(s, a)| bound(s, a)).transpose()?,
        };
        let Builder { data_dir, registry, beacon, .. } = builder;
        let (store, registry, tls) = tokio::task::spawn_blocking(move || open_data(data_dir.as_deref(), registry))
            .await
            .map_err(|error| StartError::Data(error.to_string()))??;
        let hub = Arc::new(Hub::new(registry, Beacon::new(beacon), store, beacon_sockets.clone()));
        let (stop, stopped) = watch::channel(false);
        let (mut listeners, mut services) = (JoinSet::new(), JoinSet::new());
        let admission = Arc::new(Admission::default());
        let sockets = [Some((registry_socket, false)), tls_socket.map(|socket| (socket, true))];
        for (socket, tls_only) in sockets.into_iter().flatten() {
            let listener = Listener {
                socket,
                hub: hub.clone(),
                acceptor: tls.acceptor.clone(),
                tls_only,
                beacon: addresses.beacons.first().copied(),
                admission: admission.clone(),
                stop: stopped.clone(),
            };
            listeners.spawn(listener.serve());
        }
        if let Some(socket) = metrics_socket {
            listeners.spawn(http::serve(socket, hub.clone(), stopped));
        }
        for (number, socket) in (0..=u8::MAX).zip(beacon_sockets) {
            services.spawn(udp::serve(number, socket, hub.clone()));
        }
        services.spawn(udp::run_timers(hub.clone()));
        Ok(Self { addresses, fingerprint: tls.fingerprint, hub, stop, listeners, services })
    }

    /// Where the registry listens.
    #[must_use]
    pub const fn registry_addr(&self) -> SocketAddr {
        self.addresses.registry
    }

    /// Where the TLS-only listener is, if there is one.
    #[must_use]
    pub const fn tls_addr(&self) -> Option<SocketAddr> {
        self.addresses.tls
    }

    /// Where the beacon's UDP ports are, in the order they were asked for.
    #[must_use]
    pub fn beacon_addrs(&self) -> &[SocketAddr] {
        &self.addresses.beacons
    }

    /// Where `/healthz` and `/metrics` are, if asked for.
    #[must_use]
    pub const fn metrics_addr(&self) -> Option<SocketAddr> {
        self.addresses.metrics
    }

    /// SHA-256 of the TLS certificate's DER, 64 lower-case hex digits: what clients pin.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Stops accepting, answers the requests that were received whole (at most 5 s), closes the store.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let finished = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_DEADLINE, finished).await.is_err() {
            tracing::warn!("some connections did not finish in time");
        }
        self.listeners.shutdown().await;
        self.services.shutdown().await;
        let hub = self.hub.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || hub.store.close()).await {
            tracing::error!(%error, "the store was not closed");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn bound(socket: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    socket.local_addr().map_err(|source| StartError::Listen { address, source })
}

fn bind_beacons(addresses: &[SocketAddr]) -> Result<Vec<Arc<UdpSocket>>, StartError> {
    let bind = |&address| udp::bind(address).map(Arc::new).map_err(|source| StartError::Listen { address, source });
    addresses.iter().take(usize::from(u8::MAX)).map(bind).collect()
}

fn beacon_addresses(sockets: &[Arc<UdpSocket>], asked: &[SocketAddr]) -> Result<Vec<SocketAddr>, StartError> {
    let address = |(socket, &address): (&Arc<UdpSocket>, &SocketAddr)| {
        socket.local_addr().map_err(|source| StartError::Listen { address, source })
    };
    sockets.iter().zip(asked).map(address).collect()
}

/// Opens key and store, and rebuilds the registry from what it holds. Blocks.
fn open_data(folder: Option<&Path>, config: RegistryConfig) -> Result<(Store, Registry, tls::Tls), StartError> {
    let refused = |error: &dyn core::fmt::Display| StartError::Data(error.to_string());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|error| refused(&error))?;
    }
    let tls = tls::load_or_create(folder).map_err(|error| refused(&error))?;
    let (store, facts) = match folder {
        Some(folder) => Store::open(&folder.join(STORE_FILE)).map_err(|error| refused(&error))?,
        None => (Store::in_memory(), Vec::new()),
    };
    Ok((store, Registry::restore(config, facts), tls))
}
