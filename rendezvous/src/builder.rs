//! Decides a server's defaults. Refuses to know what is done with them.

use crate::server::{Server, StartError};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use rendezvous_core::{BeaconConfig, RegistryConfig};
use std::path::PathBuf;

/// Where a server listens and what it keeps; see [`Server::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) registry_listen: SocketAddr,
    pub(crate) tls_listen: Option<SocketAddr>,
    pub(crate) beacon_listen: Vec<SocketAddr>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) registry: RegistryConfig,
    pub(crate) beacon: BeaconConfig,
}

impl Default for Builder {
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            //= spec/registry.md#pp-reg-5
            //# The registry listens on TCP port 9000 by default.
            registry_listen: SocketAddr::new(any, 9000),
            tls_listen: None,
            //= spec/relay.md#pp-relay-19
            //# The beacon listens on UDP port 9001 by default.
            beacon_listen: vec![SocketAddr::new(any, 9001), SocketAddr::new(any, 9002)],
            data_dir: None,
            metrics_listen: None,
            registry: RegistryConfig::default(),
            beacon: BeaconConfig::default(),
        }
    }
}

impl Builder {
    /// TCP address of the registry, default `0.0.0.0:9000`. It serves TLS and plaintext clients alike.
    #[must_use]
    pub fn registry_listen(mut self, address: SocketAddr) -> Self {
        self.registry_listen = address;
        self
    }

    /// A further TCP address that serves TLS only, default none.
    #[must_use]
    pub fn tls_listen(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.tls_listen = address.into();
        self
    }

    /// UDP addresses of the beacon, default `0.0.0.0:9001` and `0.0.0.0:9002`. Two ports let clients classify their NAT.
    #[must_use]
    pub fn beacon_listen(mut self, addresses: impl Into<Vec<SocketAddr>>) -> Self {
        self.beacon_listen = addresses.into();
        self
    }

    /// Folder of the store and the TLS key, created when missing. Default none: everything is forgotten at the end.
    #[must_use]
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// TCP address of `/healthz` and `/metrics`, default none. Must be a loopback address.
    #[must_use]
    pub fn metrics_listen(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.metrics_listen = address.into();
        self
    }

    /// The secret of administrative requests, default none: they are refused.
    #[must_use]
    pub fn admin_token(mut self, token: impl Into<String>) -> Self {
        self.registry.admin_token = Some(token.into());
        self
    }

    /// The registry's rules and rates. Replaces an admin token given before.
    #[must_use]
    pub fn registry_config(mut self, config: RegistryConfig) -> Self {
        self.registry = config;
        self
    }

    /// The beacon's rates and peers.
    #[must_use]
    pub fn beacon_config(mut self, config: BeaconConfig) -> Self {
        self.beacon = config;
        self
    }

    /// Opens the store and the sockets and serves until [`Server::shutdown`] or drop.
    ///
    /// # Errors
    ///
    /// [`StartError`] when a file or a socket refuses.
    pub async fn start(self) -> Result<Server, StartError> {
        Server::start(self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/registry.md#pp-reg-5
    //= type=test
    //# The registry listens on TCP port 9000 by default.
    //= spec/relay.md#pp-relay-19
    //= type=test
    //# The beacon listens on UDP port 9001 by default.
    #[test]
    fn default_ports_are_9000_and_9001() {
        let server = Server::builder();
        assert_eq!(server.registry_listen.port(), 9000);
        assert_eq!(server.beacon_listen.first().map(SocketAddr::port), Some(9001));
    }
}
