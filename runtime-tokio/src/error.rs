//! Decides what a program is told when something cannot be done, with the remedy in the text.
//! Refuses to know exit codes.

use core::fmt;
use proto_core::endpoint::{self, CloseReason, DatagramError, ListenError};
use std::io;
use std::net::SocketAddr;

/// The node was shut down, or its loop ended with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeClosed;

impl fmt::Display for NodeClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this node was shut down; start a new one")
    }
}

impl core::error::Error for NodeClosed {}

/// Why a node did not start.
#[derive(Debug)]
pub enum StartError {
    /// The UDP address cannot be used.
    Listen(SocketAddr, io::Error),
    /// A name of a beacon or the registry does not resolve; the text is that name.
    Resolve(String, io::Error),
    /// The operating system has no randomness.
    Entropy(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                write!(f, "UDP {address} cannot be used ({error}); choose another port, or port 0 for any")
            }
            Self::Resolve(name, error) => {
                write!(f, "{name} does not resolve ({error}); check the name and the network, the form is HOST:PORT")
            }
            Self::Entropy(error) => write!(f, "the operating system gives no randomness ({error})"),
        }
    }
}

impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Listen(_, error) | Self::Resolve(_, error) | Self::Entropy(error) => Some(error),
        }
    }
}

/// Why a dial gave no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialError {
    /// The protocol's reason.
    Protocol(endpoint::DialError),
    /// The hostname could not be resolved.
    Resolve(ResolveError),
    /// The node is closed.
    NodeClosed,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(reason) => write!(f, "{reason}; {}", dial_remedy(*reason)),
            Self::Resolve(reason) => reason.fmt(f),
            Self::NodeClosed => NodeClosed.fmt(f),
        }
    }
}

impl core::error::Error for DialError {}

impl From<endpoint::DialError> for DialError {
    fn from(reason: endpoint::DialError) -> Self {
        Self::Protocol(reason)
    }
}

fn dial_remedy(reason: endpoint::DialError) -> &'static str {
    match reason {
        endpoint::DialError::NotRegistered => "wait until it is, or check the registry's address",
        endpoint::DialError::RegistryUnavailable => "check the registry's address and that it runs",
        endpoint::DialError::UnknownOrUntrusted => {
            "check the address, and that both sides added each other to their trust"
        }
        endpoint::DialError::Identity => {
            "if the peer made a new identity on purpose, remove its trust and add it again"
        }
        endpoint::DialError::Unreachable => "check that the peer runs and that UDP passes both firewalls",
        endpoint::DialError::Timeout => "check that the peer trusts this node and listens there",
        endpoint::DialError::Refused => "start the service on the peer, or choose another port",
        endpoint::DialError::TooManyStreams => "close some and try again",
        endpoint::DialError::InvalidTarget => "choose a port from 1 to 65535 of another node",
    }
}

/// Why a hostname has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The registry refused, in its words: no such name, or it is private to others.
    Refused(String),
    /// There is no connection to a registry.
    RegistryUnavailable,
    /// The answer made no sense.
    BadReply,
    /// The node is closed.
    NodeClosed,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(words) => {
                write!(f, "the registry does not resolve this name ({words}); check the spelling, or dial the address")
            }
            Self::RegistryUnavailable => {
                f.write_str("no connection to the registry; dial the address, or check the registry")
            }
            Self::BadReply => f.write_str("the registry gave an answer without a node; dial the address"),
            Self::NodeClosed => NodeClosed.fmt(f),
        }
    }
}

impl core::error::Error for ResolveError {}

/// Why a stream no longer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// It ended, and why.
    Closed(CloseReason),
    /// It was finished on this side: no more writes.
    Finished,
    /// The node is closed.
    NodeClosed,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(CloseReason::Finished) => "the stream has ended; open a new one",
            Self::Closed(CloseReason::Reset) => "the peer reset the stream; what it had not confirmed may be lost",
            Self::Closed(CloseReason::Unsent) => {
                "the peer closed before it confirmed what was written here; send it before the peer finishes"
            }
            Self::Closed(CloseReason::Local) => "this side reset the stream",
            Self::Closed(CloseReason::RetransmissionLimit) => {
                "the peer stopped answering; check its network and dial again"
            }
            Self::Closed(CloseReason::IdleTimeout) => "the peer was silent for too long; dial again",
            Self::Closed(CloseReason::Truncated) => "the peer closed with data missing; ask it to send again",
            Self::Closed(CloseReason::Revoked) => "trust was withdrawn; add it again on both sides",
            Self::Finished => "the stream was finished here; nothing more can be written",
            Self::NodeClosed => "this node was shut down; start a new one",
        })
    }
}

impl core::error::Error for StreamError {}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Closed(CloseReason::Reset) => io::ErrorKind::ConnectionReset,
            StreamError::Closed(CloseReason::RetransmissionLimit | CloseReason::IdleTimeout) => io::ErrorKind::TimedOut,
            StreamError::Closed(CloseReason::Truncated) => io::ErrorKind::UnexpectedEof,
            StreamError::Closed(CloseReason::Revoked) => io::ErrorKind::PermissionDenied,
            StreamError::Closed(CloseReason::Finished) | StreamError::Finished => io::ErrorKind::BrokenPipe,
            StreamError::Closed(CloseReason::Local | CloseReason::Unsent) => io::ErrorKind::ConnectionAborted,
            StreamError::NodeClosed => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

/// Why a port cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Somebody in this node listens there.
    InUse(u16),
    /// Port 0, or one the node serves itself.
    Reserved(u16),
    /// The node is closed.
    NodeClosed,
}

impl BindError {
    pub(crate) fn on(port: u16, error: ListenError) -> Self {
        match error {
            ListenError::InUse => Self::InUse(port),
            ListenError::Reserved => Self::Reserved(port),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(port) => {
                write!(f, "port {port} is in use in this node; drop the other listener or choose another port")
            }
            Self::Reserved(port) => write!(f, "port {port} belongs to the node itself; choose another one"),
            Self::NodeClosed => NodeClosed.fmt(f),
        }
    }
}

impl core::error::Error for BindError {}

/// Why a datagram was not taken for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendDatagramError {
    /// The protocol's reason.
    Protocol(DatagramError),
    /// The node is closed.
    NodeClosed,
}

impl fmt::Display for SendDatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(DatagramError::TooLarge(limit)) => {
                write!(f, "a datagram carries at most {limit} bytes to this peer; use a stream for more")
            }
            Self::Protocol(DatagramError::Empty) => f.write_str("a datagram needs at least one byte"),
            Self::Protocol(DatagramError::NotRegistered) => {
                f.write_str("this node has no address yet; wait until it is registered")
            }
            Self::Protocol(DatagramError::InvalidTarget) => {
                f.write_str("not a target for a datagram; choose another node")
            }
            Self::Protocol(DatagramError::QueueFull) => {
                f.write_str("too many datagrams wait for this peer; send slower")
            }
            Self::NodeClosed => NodeClosed.fmt(f),
        }
    }
}

impl core::error::Error for SendDatagramError {}

/// Why a ping has no round-trip time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingError {
    /// No answer in time.
    Timeout,
    /// It could not be sent, and why.
    Failed(String),
    /// The node is closed.
    NodeClosed,
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time; check that the peer runs and trusts this node"),
            Self::Failed(why) => f.write_str(why),
            Self::NodeClosed => NodeClosed.fmt(f),
        }
    }
}

impl core::error::Error for PingError {}
