//! Decides what a node needs before it runs, and brings it up. Refuses to know where settings and keys are kept.

use crate::driver::{Callbacks, Driver};
use crate::error::StartError;
use crate::node::Node;
use crate::pipe::{Pipe, RegistryAddress};
use crate::shared::{Handle, Shared};
use crate::tls::Fingerprint;
use core::fmt;
use proto_core::crypto::{CryptoProvider, Identity, rust_crypto};
use proto_core::endpoint::Insecure;
use proto_core::trust::Snapshot;
use proto_core::{Config, Endpoint, SocketId};
use runtime_common::{BootClock, UdpIo, entropy};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;

/// How the pipe to the registry is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistryTls {
    /// Not at all: whoever is between reads names and endpoints, and may forge answers.
    #[default]
    None,
    /// TLS to the holder of exactly this certificate.
    Pinned(Fingerprint),
}

/// Settings of a node; [`Builder::start`] brings it up.
pub struct Builder {
    identity: Identity,
    crypto: &'static CryptoProvider,
    config: Config,
    listen: SocketAddr,
    registry: Option<String>,
    registry_tls: RegistryTls,
    beacons: Vec<String>,
    trust: Option<Snapshot>,
    callbacks: Callbacks,
    /// Bytes of a recording at most; none is made without.
    record: Option<u64>,
}

impl Builder {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            crypto: rust_crypto(),
            config: Config::default(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            registry: None,
            registry_tls: RegistryTls::None,
            beacons: Vec::new(),
            trust: None,
            callbacks: Callbacks::default(),
            record: None,
        }
    }

    /// Everything the core can be told. Call it first: the other methods change single settings of it.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Where to send and receive UDP. Default `0.0.0.0:0`; `[::]:PORT` serves IPv6 and IPv4.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The registry, `HOST:PORT`. Default: none.
    #[must_use]
    pub fn registry(mut self, authority: impl Into<String>) -> Self {
        self.registry = Some(authority.into());
        self
    }

    /// How the pipe to the registry is protected.
    #[must_use]
    pub fn registry_tls(mut self, tls: RegistryTls) -> Self {
        self.registry_tls = tls;
        self
    }

    /// One of the beacon's UDP addresses, `HOST:PORT`; resolved at start. Two of them make NAT classification possible.
    #[must_use]
    pub fn beacon(mut self, authority: impl Into<String>) -> Self {
        self.beacons.push(authority.into());
        self
    }

    /// The hostname to claim at registration.
    #[must_use]
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.config.hostname = Some(hostname.into());
        self
    }

    /// Everyone may reach this node. Default `false`.
    #[must_use]
    pub fn public(mut self, public: bool) -> Self {
        self.config.public = public;
        self
    }

    /// Gives up security, for closed testbeds only; see [`Insecure`]. Default: nothing is given up.
    #[must_use]
    pub fn insecure(mut self, insecure: Insecure) -> Self {
        self.config.insecure = insecure;
        self
    }

    /// What an earlier run saved.
    #[must_use]
    pub fn trust(mut self, snapshot: Snapshot) -> Self {
        self.trust = Some(snapshot);
        self
    }

    /// Saves the trust store. Called on every change, before anything that follows from it is sent or told.
    ///
    /// The node's loop waits for it, so it should return within milliseconds.
    #[must_use]
    pub fn on_trust_change(mut self, save: impl FnMut(Snapshot) + Send + 'static) -> Self {
        self.callbacks.trust = Some(Box::new(save));
        self
    }

    /// Records everything that decides what this node does, at most `limit` bytes of it, for [`proto_core::endpoint::replay`].
    ///
    /// `keep` appends what it is given to a file that only the node's owner may read: it holds the identity and every secret drawn.
    /// The node's loop waits for it.
    #[must_use]
    pub fn record(mut self, limit: u64, keep: impl FnMut(&[u8]) + Send + 'static) -> Self {
        self.record = Some(limit);
        self.callbacks.recording = Some(Box::new(keep));
        self
    }

    /// Another implementation of the cryptography.
    #[must_use]
    pub fn crypto(mut self, crypto: &'static CryptoProvider) -> Self {
        self.crypto = crypto;
        self
    }

    /// Opens the socket and starts the loop. Registration goes on in the background: see [`Node::events`].
    ///
    /// Cancel-safe: the loop starts in the last step, so a dropped future leaves neither socket nor task.
    ///
    /// # Errors
    ///
    /// When the UDP address is taken or a beacon's name does not resolve.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn start(mut self) -> Result<Node, StartError> {
        for name in &self.beacons {
            let address = resolve(name, self.listen).await?;
            self.config.beacons.push(address);
        }
        self.config.registry = self.registry.is_some();
        self.config.upnp = crate::upnp::SPOKEN;
        let (io, buffers) = bind(self.listen).map_err(|error| StartError::Listen(self.listen, error))?;
        if let Some(warning) = buffers.warning() {
            tracing::warn!("{warning}");
        }
        let local = io.local_address();
        let seed = entropy::seed().map_err(StartError::Entropy)?;
        let (config, now) = (Arc::new(self.config), BootClock::now());
        let mut endpoint = match self.record {
            Some(limit) => Endpoint::recorded(config, self.identity, self.crypto, seed, now, limit),
            None => Endpoint::new(config, self.identity, self.crypto, seed, now),
        };
        if let Some(snapshot) = self.trust {
            endpoint.restore_trust(snapshot);
        }
        let shared = Arc::new(Shared::new(endpoint));
        let pin = match self.registry_tls {
            RegistryTls::None => None,
            RegistryTls::Pinned(pin) => Some(pin),
        };
        let pipe = Pipe::new(self.registry.map(|authority| RegistryAddress { authority, pin }));
        let driver = Driver::new(Arc::clone(&shared), io, pipe, self.callbacks);
        tokio::spawn(driver.run());
        Ok(Node::new(Handle::new(shared), local, buffers))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

fn bind(listen: SocketAddr) -> std::io::Result<(UdpIo<UdpSocket>, runtime_common::BufferReport)> {
    let (io, buffers) = UdpIo::bind(SocketId(0), listen)?;
    Ok((io.wrap(UdpSocket::from_std)?, buffers))
}

/// The first address of `name` that a socket bound to `listen` can reach.
async fn resolve(name: &str, listen: SocketAddr) -> Result<SocketAddr, StartError> {
    let failed = |error| StartError::Resolve(name.to_owned(), error);
    let mut found = tokio::net::lookup_host(name).await.map_err(failed)?;
    found
        .find(|address| listen.is_ipv6() || address.is_ipv4())
        .ok_or_else(|| failed(std::io::Error::new(std::io::ErrorKind::NotFound, "no address of this family")))
}
