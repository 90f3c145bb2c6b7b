//! What can be wrong with a command, in words for a person.

use super::CloseReason;
use crate::ids::NodeId;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A trust command; the answer comes as [`super::Outcome::Trust`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrustCommand {
    /// Ask a peer for trust, or approve it when it already asked.
    Request {
        /// The peer.
        node: NodeId,
        /// At most 1024 bytes.
        justification: String,
    },
    /// Approve a waiting request.
    Approve(NodeId),
    /// Refuse a waiting request.
    Reject {
        /// The peer.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// Withdraw trust; its streams are closed at once.
    Revoke(NodeId),
}

/// Why a dial did not become a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialError {
    /// Not registered yet and no peer endpoint known.
    NotRegistered,
    /// The peer is unknown, or it does not trust this node: the two look the same by design.
    UnknownOrUntrusted,
    /// The registry cannot be asked who the peer is.
    RegistryUnavailable,
    /// The peer's identity key could not be had or does not match the pinned one.
    Identity,
    /// No answer to the key exchange on any path.
    Unreachable,
    /// The tunnel is up but nothing answers on that port: not trusted there, or dropped.
    Timeout,
    /// The peer refused: nothing listens on that port, or it is full.
    Refused,
    /// Too many streams here.
    TooManyStreams,
    /// Port 0 cannot be dialled, nor this node itself.
    InvalidTarget,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRegistered => "this node is not registered yet",
            Self::UnknownOrUntrusted => "the peer is unknown or does not trust this node",
            Self::RegistryUnavailable => "the registry cannot be reached to look the peer up",
            Self::Identity => "the peer's identity key is missing or is not the one pinned earlier",
            Self::Unreachable => "no answer from the peer, neither directly nor through the relay",
            Self::Timeout => "the peer is reachable but did not answer on this port",
            Self::Refused => "the peer refused the connection: nothing listens on this port",
            Self::TooManyStreams => "too many open streams",
            Self::InvalidTarget => "not a target that can be dialled",
        })
    }
}

impl core::error::Error for DialError {}

/// Why a read gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing yet; [`super::Event::Readable`] will tell.
    Blocked,
    /// The stream ended before the peer finished it.
    Closed(CloseReason),
    /// No such stream.
    Unknown,
}

/// Why a write took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The send buffer is full; [`super::Event::Writable`] will tell.
    Blocked,
    /// The stream was finished or has ended.
    Closed(Option<CloseReason>),
    /// No such stream.
    Unknown,
}

/// Why a port cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// Somebody listens there already.
    InUse,
    /// Port 0, or one this endpoint serves itself.
    Reserved,
}

/// Why a datagram was not accepted for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramError {
    /// Larger than one packet carries on this path (bytes).
    TooLarge(usize),
    /// Empty; receivers drop those.
    Empty,
    /// Not registered yet.
    NotRegistered,
    /// Not a target.
    InvalidTarget,
    /// Too many waiting for this peer.
    QueueFull,
}
