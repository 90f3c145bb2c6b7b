//! The local IPC protocol as values: every command in both directions (`spec/ipc.md`).
//!
//! Decides which bytes mean what; knows nothing of sockets or of what a daemon does with a request.

mod cursor;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use reply::{Reply, ReplyError};
pub use request::{HandshakeCommand, NetworkCommand, Request, RequestError, never_answered};

/// Largest value of a frame's length field: command and payload together.
pub const MAX_FRAME: usize = 1024 * 1024;

/// A frame as it travels, its length field left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One of [`command`].
    pub command: u8,
    /// What the command says it is.
    pub payload: Bytes,
}

/// Command bytes. A reply is its request plus one.
pub mod command {
    #![allow(missing_docs, reason = "the names are those of the draft's table of commands")]
    pub const BIND: u8 = 0x01;
    pub const DIAL: u8 = 0x03;
    pub const ACCEPT: u8 = 0x05;
    pub const SEND: u8 = 0x06;
    pub const RECV: u8 = 0x07;
    pub const CLOSE: u8 = 0x08;
    pub const CLOSE_OK: u8 = 0x09;
    pub const ERROR: u8 = 0x0A;
    pub const SEND_TO: u8 = 0x0B;
    pub const RECV_FROM: u8 = 0x0C;
    pub const INFO: u8 = 0x0D;
    pub const HANDSHAKE: u8 = 0x0F;
    pub const RESOLVE_HOSTNAME: u8 = 0x11;
    pub const SET_HOSTNAME: u8 = 0x13;
    pub const SET_VISIBILITY: u8 = 0x15;
    pub const DEREGISTER: u8 = 0x17;
    pub const SET_TAGS: u8 = 0x19;
    pub const SET_WEBHOOK: u8 = 0x1B;
    pub const SET_TASK_EXEC: u8 = 0x1D;
    pub const NETWORK: u8 = 0x1F;
    pub const HEALTH: u8 = 0x21;
    pub const MANAGED: u8 = 0x23;
    pub const ROTATE_KEY: u8 = 0x25;
    pub const MY_POLO: u8 = 0x27;
    pub const BROADCAST: u8 = 0x29;
    pub const CANCEL_DIAL: u8 = 0x2B;
    pub const PREFER_DIRECT: u8 = 0x2D;
    pub const SUBMIT_BADGE: u8 = 0x2F;
    pub const ENROLL_RECOVERY: u8 = 0x31;
    pub const SIGN_ENVELOPE: u8 = 0x33;
    pub const VERIFY_ENVELOPE: u8 = 0x35;
    pub const UNBIND: u8 = 0x37;
    pub const SEND_TO_CONFIRM: u8 = 0x39;

    // Extensions, far from the reference's range. A daemon that lacks them answers "unknown command".
    //= spec/ipc.md#pp-ipc-14
    //# Commands 0xE0 and up are our extensions, answered as unknown by every other daemon.
    /// Says that the client understands `STREAM_ERROR`.
    pub const HELLO: u8 = 0xE0;
    /// Ends a connection after what was sent; answered when the peer acknowledged everything. There is no half-close:
    /// the peer sends nothing more once it sees the end, and what it had under way then is lost to both.
    pub const FINISH: u8 = 0xE2;
    /// Protocol-level ping of a node.
    pub const PING: u8 = 0xE4;
    /// What the daemon knows of its network.
    pub const NETCHECK: u8 = 0xE6;
    /// How many bytes of a connection the peer has acknowledged: a `u64`.
    pub const ACKNOWLEDGED: u8 = 0xE8;
    /// What the registry tells about a node.
    pub const LOOKUP: u8 = 0xEA;
    /// Why peers are relayed, and what would help; of one node, or with 0 of all that are relayed.
    pub const WHY: u8 = 0xEC;
    /// Push: a connection ended without the peer having finished it, and why. Followed by `CLOSE_OK`.
    pub const STREAM_ERROR: u8 = 0xEF;
}
