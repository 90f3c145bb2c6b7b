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

mod nat;
mod net;
mod rendezvous;
mod transfer;

pub use nat::{Filtering, Mapping, NatBox};
pub use net::{Host, Link, Net, Sent, address, identity, node, target};
pub use rendezvous::{Rendezvous, wall};
pub use transfer::pattern;
