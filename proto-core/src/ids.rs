//! The numbers that name things. Each is its own type, so that none can stand for another.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A node: one daemon, whatever networks it joined. `0` means unassigned (PP-ADDR-8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NodeId(pub u32);

impl NodeId {
    /// Not registered yet.
    pub const UNASSIGNED: Self = Self(0);
    /// All members of a network; expanded by the sender, never on the wire (PP-ADDR-9).
    pub const BROADCAST: Self = Self(u32::MAX);
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A network. `0` is the backbone every node is in; 65535 is reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NetworkId(pub u16);

impl NetworkId {
    /// The network every node is in.
    //= spec/addressing.md#pp-addr-2
    //# Network 0 is the backbone, which every node is in.
    pub const BACKBONE: Self = Self(0);
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the host's UDP sockets, by the number the host gave it. `0` is the one that always exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketId(pub u16);

/// A stream of this endpoint. Never reused within the life of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u64);

/// A command whose answer comes later, as an event. Never reused within the life of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);
