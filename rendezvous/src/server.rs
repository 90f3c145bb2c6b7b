//! Decides in which order a server starts and stops. Refuses to know the protocol.

#![allow(clippy::todo, clippy::unused_async, clippy::needless_pass_by_value, reason = "signatures first; removed with the bodies")]

use crate::builder::Builder;
use core::net::SocketAddr;

/// A running server. Dropping it stops everything at once; [`Server::shutdown`] lets connections finish first.
#[derive(Debug)]
pub struct Server {
    registry: SocketAddr,
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
        source: std::io::Error,
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

    pub(crate) async fn start(_builder: Builder) -> Result<Self, StartError> {
        todo!()
    }

    /// Where the registry listens.
    #[must_use]
    pub fn registry_addr(&self) -> SocketAddr {
        self.registry
    }

    /// Where the TLS-only listener is, if there is one.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// Where the beacon's UDP ports are, in the order they were asked for.
    #[must_use]
    pub fn beacon_addrs(&self) -> &[SocketAddr] {
        todo!()
    }

    /// Where `/healthz` and `/metrics` are, if asked for.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// SHA-256 of the TLS certificate's DER, 64 lower-case hex digits: what clients pin.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        todo!()
    }

    /// Stops accepting, lets requests under way finish (at most 5 s), closes the store.
    pub async fn shutdown(self) {
        todo!()
    }
}
