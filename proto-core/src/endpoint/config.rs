//! What a host decides about its endpoint.

use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Settings of one endpoint. `Config::default()` is private, encrypted and works without a registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The beacon's UDP addresses. The first is used for discovery, punching and relay; a second port or address makes NAT classification possible.
    pub beacons: Vec<SocketAddr>,
    /// A registry will be connected on [`super::Event::RegistryConnect`].
    pub registry: bool,
    /// A fixed public endpoint; discovery is then skipped.
    pub endpoint: Option<SocketAddr>,
    /// Hostname to claim at registration.
    pub hostname: Option<String>,
    /// Everyone may reach this node. Default `false`: only trusted peers get an answer.
    pub public: bool,
    /// Owner's e-mail, told to the registry when set.
    pub owner: Option<String>,
    /// Program name and version told to the registry. Must begin with [`crate::registry::OUR_VERSION_PREFIX`] to be recognised by peers of ours.
    pub version: String,
    /// Never try direct paths.
    pub relay_only: bool,
    /// Every handshake request is approved. Default `false`.
    pub trust_auto_approve: bool,
    /// Answer on port 7 with what was received. Default `true`.
    pub echo: bool,
    /// Punch commands may name private, loopback and link-local targets (closed networks and tests). Default `false`.
    pub punch_private_targets: bool,
    /// Interval of registry heartbeats. Default 60 s.
    pub heartbeat: Duration,
    /// What is given up of security, for closed testbeds. Default nothing.
    pub insecure: Insecure,
    /// How far to go for a direct path. Default all the way.
    pub ladder: Ladder,
    /// The host answers [`super::Event::Upnp`]. Default `false`.
    pub upnp: bool,
    /// Streams.
    pub stream: StreamConfig,
}

/// What is tried for a direct path beyond punching toward the addresses that are known. The default is everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ladder {
    /// Tell peers of ours all own addresses inside the tunnel, and try theirs: interfaces, IPv6, mapped ports.
    pub candidates: bool,
    /// Predict the ports of a symmetric NAT from what the beacon saw of fresh sockets, and probe where a peer predicts its own.
    pub prediction: bool,
    /// Look for each other with up to 256 sockets on the symmetric side and random ports on the other, for 12 s at most.
    pub spraying: bool,
    /// Use the ports that the router mapped on the host's request ([`super::Input::PortMapped`]).
    pub port_mapping: bool,
}

impl Ladder {
    /// Only synchronised punching toward what the registry and the beacon tell: for comparison with systems that stop there.
    pub const PUNCHING_ONLY: Self = Self { candidates: false, prediction: false, spraying: false, port_mapping: false };
}

impl Default for Ladder {
    fn default() -> Self {
        Self { candidates: true, prediction: true, spraying: true, port_mapping: true }
    }
}

/// What a closed testbed may give up, each by a word of its own (`spec/deviations.md`, D-4). The default gives up nothing.
///
/// A peer that proved its identity once is never spoken to in any of these ways again while this endpoint lives, and neither is a peer in
/// the trust store: its records name keys, and here no key is proven. So only public nodes, and peers the host itself told
/// ([`super::Endpoint::add_peer_without_identity`]), talk like this, and whoever can send a datagram can pass for such a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Insecure {
    /// Exchange keys by PILK with peers whose identity nobody knows: the traffic is encrypted, for whoever was first to answer.
    pub anonymous_exchange: bool,
    /// Speak PILT with peers that leave three key exchanges unanswered, or with whom none is possible: everything is in clear and
    /// can be altered.
    pub plaintext: bool,
}

impl Insecure {
    /// Anything is given up.
    #[must_use]
    pub const fn any(self) -> bool {
        self.anonymous_exchange || self.plaintext
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            beacons: Vec::new(),
            registry: false,
            endpoint: None,
            hostname: None,
            //= spec/privacy.md#pp-priv-1
            //# A node is private unless told otherwise.
            public: false,
            owner: None,
            version: concat!("pilot-rs/", env!("CARGO_PKG_VERSION")).to_owned(),
            relay_only: false,
            trust_auto_approve: false,
            echo: true,
            punch_private_targets: false,
            heartbeat: Duration::from_secs(60),
            insecure: Insecure::default(),
            ladder: Ladder::default(),
            upnp: false,
            stream: StreamConfig::default(),
        }
    }
}

/// Settings of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamConfig {
    /// Payload bytes of a data segment on a path of unknown MTU, 256..=4096. Default 1152 (PP-SEG-2).
    pub mss: u16,
    /// Payload bytes of a data segment to a peer of ours on the same host (loopback), up to what it accepts and 65,000. Default 8832.
    pub loopback_mss: u16,
    /// Receive buffer at most, bytes; 8192 or more, as the draft's window counts units of 4096. Default 8 MiB: 1 Gbit/s over 50 ms.
    pub receive_buffer: usize,
    /// Send buffer at most, bytes. Default 8 MiB.
    pub send_buffer: usize,
    /// Send small writes at once. Default `false`: the tail waits up to 40 ms for an acknowledgement (PP-NAGLE-3).
    pub no_delay: bool,
    /// Close a stream whose peer was silent this long. Default 120 s.
    pub idle_timeout: Duration,
    /// Probe an idle stream this often, every millisecond at most. Default 30 s.
    pub keepalive: Duration,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            //= spec/segmentation.md#pp-seg-1
            //# The size of a data segment is configurable.
            //= spec/segmentation.md#pp-seg-2
            //# A data segment to any peer on a path of unknown size carries at most 1152 bytes by default.
            mss: 1152,
            loopback_mss: 8832,
            receive_buffer: 8 * 1024 * 1024,
            send_buffer: 8 * 1024 * 1024,
            no_delay: false,
            idle_timeout: Duration::from_secs(120),
            keepalive: Duration::from_secs(30),
        }
    }
}
