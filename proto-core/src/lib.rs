//! The Pilot Protocol (draft-teodor-pilot-protocol-01) of one agent, as a pure state machine.
//!
//! [`Endpoint`] owns everything of one agent: peers, tunnels, streams, trust, NAT traversal and the registry session.
//! It has no socket, no clock, no operating-system randomness, no thread and no log. The host feeds it
//! [`Input`]s with the time they happened at, and drains it with [`drive`].
//!
//! Modules are layered; a module may use only those before it:
//! `time ids seq rng limits rate` -> `wire` -> `crypto` -> (`congestion mtu nat path registry stream trust tunnel`)
//! -> `endpoint`. Machines of the fourth layer do not know each other, but that a stream owns its congestion controller;
//! [`Endpoint`] passes values between them.
//!
//! # Two agents without a network
//!
//! The loop below is all there is to a host; a real one has a socket and a clock where the comments say so, and random seeds.
//!
//! ```
//! use proto_core::crypto::{Identity, rust_crypto};
//! use proto_core::wire::{Address, SocketAddress};
//! use proto_core::{Config, Endpoint, Event, Input, NodeId, Sink, SocketId, Timestamp, Transmit, TransmitBuf, drive};
//! use std::net::SocketAddr;
//! use std::sync::Arc;
//!
//! struct Host { endpoint: Endpoint, at: SocketAddr, sent: Vec<Vec<u8>>, events: Vec<Event> }
//! struct Outside<'h> { buffer: Vec<u8>, sent: &'h mut Vec<Vec<u8>>, events: &'h mut Vec<Event> }
//!
//! impl Sink for Outside<'_> {
//!     fn transmit_buffer(&mut self) -> Option<TransmitBuf<'_>> {
//!         Some(TransmitBuf { bytes: &mut self.buffer, max_segments: 1 })
//!     }
//!     fn transmit(&mut self, transmit: Transmit) {
//!         self.sent.push(self.buffer[..transmit.len].to_vec()); // the socket's send
//!     }
//!     fn event(&mut self, event: Event) {
//!         self.events.push(event);
//!     }
//! }
//!
//! let mut now = Timestamp::ZERO;
//! let [a, b] = [1, 2].map(|seed| Identity::from_seed([seed; 32]));
//! let keys = [a.public(), b.public()];
//! let mut hosts = [(a, 3, "10.0.0.1:4000"), (b, 4, "10.0.0.2:4000")].map(|(identity, seed, at)| Host {
//!     endpoint: Endpoint::new(Arc::new(Config::default()), identity, rust_crypto(), [seed; 32], now), // a random seed
//!     at: at.parse().unwrap(),
//!     sent: Vec::new(),
//!     events: Vec::new(),
//! });
//! for (own, peer, node, other) in [(0, 1, NodeId(1), NodeId(2)), (1, 0, NodeId(2), NodeId(1))] {
//!     let there = hosts[peer].at;
//!     hosts[own].endpoint.set_node(now, node); // with a registry, that tells number, key and address
//!     hosts[own].endpoint.add_static_peer(now, other, keys[peer], Some(there), true);
//! }
//! hosts[1].endpoint.listen(1000).unwrap();
//! let stream = hosts[0].endpoint.dial(now, SocketAddress::new(Address::backbone(NodeId(2)), 1000)).unwrap();
//!
//! while !hosts[1].events.contains(&Event::Incoming(1000)) {
//!     let deadlines = hosts.each_mut().map(|Host { endpoint, sent, events, .. }| {
//!         drive(endpoint, now, &mut Outside { buffer: vec![0; 65_535], sent, events })
//!     });
//!     now = deadlines.into_iter().flatten().min().unwrap().max(now); // the clock
//!     for (own, peer) in [(0, 1), (1, 0)] {
//!         let from = hosts[own].at;
//!         for mut data in std::mem::take(&mut hosts[own].sent) {
//!             let input = Input::Datagram { via: SocketId(0), from, to: None, ecn: None, data: &mut data };
//!             hosts[peer].endpoint.handle_input(now, input);
//!         }
//!     }
//!     hosts.iter_mut().for_each(|host| host.endpoint.handle_timeout(now));
//! }
//! assert!(hosts[0].events.contains(&Event::Connected(stream)));
//! assert!(hosts[1].endpoint.accept(1000).is_some());
//! ```

pub mod ids;
pub mod limits;
pub mod rate;
pub mod rng;
pub mod seq;
pub mod time;

pub mod wire;

pub mod crypto;

pub mod congestion;
pub mod mtu;
pub mod nat;
pub mod path;
pub mod registry;
pub mod stream;
pub mod trust;
pub mod tunnel;

pub mod endpoint;

pub use endpoint::{Config, Endpoint, Event, Input, Sink, Transmit, TransmitBuf, drive};
pub use ids::{NetworkId, NodeId, RequestId, SocketId, StreamId};
pub use time::Timestamp;
