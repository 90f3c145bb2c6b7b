//! Bytes to types and back, and nothing else: no state, no policy, no keys.
//!
//! Each codec has two levels. A *representation* is an ordinary value with `parse`, `emit` and `encoded_len`; a *view* (`&'a [u8]` inside
//! a representation) is left undecoded until somebody needs it. `parse` never panics, never reads beyond what it was given and never allocates more
//! than it was given; `emit` writes into the caller's buffer. Whether a well-formed value is welcome is for other modules to say.

#![warn(clippy::indexing_slicing)]

pub mod addr;
pub mod base64;
pub mod beacon;
mod bytes;
pub mod candidate;
pub mod compat;
pub mod demux;
mod error;
pub mod frame;
pub mod header;
pub mod meet;
pub mod nat_pmp;
pub mod options;
pub mod pcp;
pub mod sack;
pub mod secure;
pub mod trust;

pub use addr::{Address, SocketAddress};
pub use beacon::BeaconMessage;
pub use demux::{Datagram, classify};
pub use error::{EmitError, ParseError};
pub use frame::{AuthenticatedKeyExchange, Frame, KeyExchange, Secure, SecureHeader};
pub use header::{Flags, HEADER_LEN, Header, Protocol};
pub use meet::{Meet, Step};
pub use nat_pmp::{NatPmpReply, NatPmpRequest};
pub use options::{Capabilities, Options};
pub use pcp::{PcpReply, PcpRequest};
pub use sack::{Sack, SackBlock};
pub use trust::{TrustKind, TrustMessage};

#[cfg(test)]
mod tests;
