//! The whole network in one process and in virtual time: real endpoints and a real rendezvous, on links and behind NAT boxes that are not.
//!
//! A run is decided by its seed: same seed, same packets. Decides when each datagram arrives, through which box, and whether at all.
//! Refuses to know what the datagrams mean. It is a tool of tests and may panic where a test should fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a simulation that cannot go on is a failed test"
)]

mod gateway;
mod nat;
mod net;
mod oracle;
pub mod population;
mod rendezvous;
pub mod scenario;
mod transfer;

pub use gateway::GatewayModel;
pub use nat::{Filtering, Firewall, Mapping, NatBox, PortChoice, Rules};
pub use net::{Bursts, Flapping, Host, Link, Net, Place, Sent, address, identity, node, target};
pub use oracle::{Rung, Verdict, possible, verdict};
pub use rendezvous::Rendezvous;
pub use transfer::pattern;
