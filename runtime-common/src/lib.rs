//! What every runtime needs from the operating system and what is not async: UDP in batches, the boot clock, the
//! seed, the interfaces, the default gateway, and which of the system's errors matter.
//!
//! Refuses to know an executor and the protocol: it moves datagrams between sockets and
//! [`Input`](proto_core::Input) / [`Transmit`](proto_core::Transmit) and waits for nothing.

pub mod buffers;
pub mod clock;
pub mod entropy;
pub mod error;
pub mod gateway;
pub mod interfaces;
pub mod outbox;
pub mod udp;

pub use buffers::BufferReport;
pub use clock::BootClock;
pub use error::{ErrorClass, classify};
pub use outbox::{Outbox, Queued};
pub use udp::{UdpBatch, UdpIo};
