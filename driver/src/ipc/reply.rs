//! What a daemon sends: answers and pushes.

use super::cursor::Cursor;
use super::{Frame, command};
use bytes::{BufMut, Bytes, BytesMut};
use proto_core::wire::SocketAddress;

/// Anything a daemon sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The port is bound.
    Bound(u16),
    /// The dialled connection is up.
    Dialed(u32),
    /// Push: somebody connected to a bound port.
    Accepted {
        /// The bound port.
        port: u16,
        /// The new connection.
        conn: u32,
        /// Who connected.
        remote: SocketAddress,
    },
    /// Push: bytes of a connection.
    Received {
        /// The connection.
        conn: u32,
        /// Its next bytes.
        data: Bytes,
    },
    /// The connection is closed; also a push when the peer closed it.
    Closed(u32),
    /// The request failed. The code is always 1.
    Error(String),
    /// Push: a datagram.
    ReceivedFrom {
        /// Who sent it.
        from: SocketAddress,
        /// The local port.
        to_port: u16,
        /// Its payload.
        data: Bytes,
    },
    /// Push, extension: the connection ended without the peer having finished it.
    StreamError {
        /// The connection.
        conn: u32,
        /// Why.
        reason: String,
    },
    /// Any other answer: JSON, a port or nothing, by the command byte.
    Answer {
        /// The request's command byte plus one.
        command: u8,
        /// JSON in most cases.
        payload: Bytes,
    },
}

/// A reply that is shorter than its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is too short for its command")]
pub struct ReplyError;

impl Reply {
    /// The value a frame stands for.
    ///
    /// # Errors
    ///
    /// [`ReplyError`] when fields are missing. Unknown commands are [`Reply::Answer`]: the caller ignores them.
    pub fn decode(frame: &Frame) -> Result<Self, ReplyError> {
        let mut fields = Cursor::new(&frame.payload);
        Self::fields(frame, &mut fields).map(|reply| reply.with_rest(fields)).ok_or(ReplyError)
    }

    fn fields(frame: &Frame, fields: &mut Cursor) -> Option<Self> {
        Some(match frame.command {
            answer if answer == command::BIND + 1 => Self::Bound(fields.u16()?),
            answer if answer == command::DIAL + 1 => Self::Dialed(fields.u32()?),
            command::ACCEPT => {
                Self::Accepted { port: fields.u16()?, conn: fields.u32()?, remote: fields.socket_address()? }
            }
            command::RECV => Self::Received { conn: fields.u32()?, data: Bytes::new() },
            command::CLOSE_OK => Self::Closed(fields.u32()?),
            command::ERROR => {
                fields.u16()?;
                Self::Error(String::new())
            }
            command::RECV_FROM => {
                Self::ReceivedFrom { from: fields.socket_address()?, to_port: fields.u16()?, data: Bytes::new() }
            }
            command::STREAM_ERROR => Self::StreamError { conn: fields.u32()?, reason: String::new() },
            command => Self::Answer { command, payload: Bytes::new() },
        })
    }

    /// Fills the variable-length tail.
    fn with_rest(self, fields: Cursor) -> Self {
        match self {
            Self::Received { conn, .. } => Self::Received { conn, data: fields.rest() },
            Self::Error(_) => Self::Error(fields.text()),
            Self::ReceivedFrom { from, to_port, .. } => Self::ReceivedFrom { from, to_port, data: fields.rest() },
            Self::StreamError { conn, .. } => Self::StreamError { conn, reason: fields.text() },
            Self::Answer { command, .. } => Self::Answer { command, payload: fields.rest() },
            whole @ (Self::Bound(_) | Self::Dialed(_) | Self::Accepted { .. } | Self::Closed(_)) => whole,
        }
    }

    /// The frame that says this.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let mut out = BytesMut::new();
        let command = match self {
            Self::Bound(port) => {
                out.put_u16(*port);
                command::BIND + 1
            }
            Self::Dialed(conn) => {
                out.put_u32(*conn);
                command::DIAL + 1
            }
            Self::Accepted { port, conn, remote } => {
                out.put_u16(*port);
                out.put_u32(*conn);
                put_socket_address(&mut out, *remote);
                command::ACCEPT
            }
            Self::Received { conn, data } => {
                out.reserve(4 + data.len());
                out.put_u32(*conn);
                out.put_slice(data);
                command::RECV
            }
            Self::Closed(conn) => {
                out.put_u32(*conn);
                command::CLOSE_OK
            }
            Self::Error(text) => {
                out.put_u16(1);
                out.put_slice(text.as_bytes());
                command::ERROR
            }
            Self::ReceivedFrom { from, to_port, data } => {
                put_socket_address(&mut out, *from);
                out.put_u16(*to_port);
                out.put_slice(data);
                command::RECV_FROM
            }
            Self::StreamError { conn, reason } => {
                out.put_u32(*conn);
                out.put_slice(reason.as_bytes());
                command::STREAM_ERROR
            }
            Self::Answer { command, payload } => return Frame { command: *command, payload: payload.clone() },
        };
        Frame { command, payload: out.freeze() }
    }
}

/// `addr6 | u16 port`, as in every command that names a remote port.
pub(super) fn put_socket_address(out: &mut BytesMut, to: SocketAddress) {
    out.put_slice(&to.address.to_bytes());
    out.put_u16(to.port);
}
