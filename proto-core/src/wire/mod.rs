//! Bytes to types and back, and nothing else: no state, no policy, no keys.

pub mod addr;

pub use addr::{Address, SocketAddress};
