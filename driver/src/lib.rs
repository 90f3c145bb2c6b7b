//! For programs that use a running daemon: the local IPC protocol and the formats of the built-in services.
//!
//! [`Driver`] speaks to the daemon's socket (`spec/ipc.md`); [`services`] are the byte formats on ports 1001
//! and 1002 (section 5), used by both ends. Nothing here runs a node: no key, no UDP socket, no registry.

mod client;
mod conn;
mod error;
mod foreign;
mod framing;
pub mod ipc;
pub mod services;

pub use client::{Accepted, Datagram, Driver, Listener};
pub use conn::{Conn, Delivery};
pub use error::{DriverError, ErrorKind};
pub use framing::{encode_frame, read_frame};
pub use proto_core::wire::{Address, SocketAddress};
