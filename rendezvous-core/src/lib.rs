//! Registry and beacon as pure machines: who exists, who may find whom, and how their datagrams meet.
//!
//! [`Registry`] answers JSON requests (`spec/registry.md`), [`Beacon`] answers datagrams (`spec/relay.md`). Neither has a
//! socket, a clock, randomness or a file: the host passes bytes and the time in, carries bytes out, and persists the
//! [`Change`]s a request made before it lets the reply go.

pub mod beacon;
pub mod limits;
pub mod rate;
pub mod registry;
mod text;
mod validate;

pub use beacon::{Beacon, BeaconConfig, Directory, Outgoing};
pub use registry::{Change, Outcome, Registry, RegistryConfig, Session};
