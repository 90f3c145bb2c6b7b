//! The Pilot Protocol (draft-teodor-pilot-protocol-01) of one agent, as a pure state machine.
//!
//! [`Endpoint`] owns everything of one agent: peers, tunnels, streams, trust, NAT traversal and the registry session.
//! It has no socket, no clock, no operating-system randomness, no thread and no log. The host feeds it
//! [`Input`]s with the time they happened at, and drains it with [`drive`].
//!
//! Modules are layered; a module may use only those above it:
//! `time ids seq rng limits rate` -> `wire` -> `crypto` -> (`tunnel stream datagram congestion mtu nat path trust registry`)
//! -> `endpoint`. Machines of the third layer do not know each other; [`Endpoint`] passes values between them.

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
