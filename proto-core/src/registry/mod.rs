//! The registry session of one agent, without the socket: what is asked, when, and what the answers mean.
//! Refuses to know who is trusted and how peers are reached.

pub mod challenge;
pub mod codec;

/// Programs whose registered version begins so are of this implementation: a hint before any tunnel exists.
pub const OUR_VERSION_PREFIX: &str = "pilot-rs/";
/// A request.
#[derive(Debug)]
pub struct Request;
