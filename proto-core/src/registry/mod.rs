//! The registry session of one agent, without the socket: what is asked, when, and what the answers mean.
//! Refuses to know who is trusted and how peers are reached.

pub mod challenge;
mod client;
pub mod codec;
pub mod envelope;
mod reply;
mod request;
mod rotation;

pub use client::{Client, ClientConfig, ClientEvent, Output, QueueFull, RequestError, Ticket};
pub use reply::{
    HandshakeRequest, HandshakeResponse, Handshakes, HostnameReply, Lookup, Registered, Resolved, refusal,
};
pub use request::{Registration, Request};
pub use rotation::{Rotation, leads};

/// What a registry of ours says to a key that was given up for another one.
pub const KEY_ROTATED: &str = "this key was rotated";

/// Programs whose registered version begins so are of this implementation: a hint before any tunnel exists.
pub const OUR_VERSION_PREFIX: &str = "pilot-rs/";
