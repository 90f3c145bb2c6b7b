//! What a client asks.

use super::cursor::Cursor;
use super::reply::put_socket_address;
use super::{Frame, command};
use bytes::{BufMut, Bytes, BytesMut};
use proto_core::wire::SocketAddress;

/// Anything a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Listen for streams and datagrams on a port.
    Bind(u16),
    /// Connect to a peer's port.
    Dial(SocketAddress),
    /// Bytes for a connection. Never answered.
    Send {
        /// The connection.
        conn: u32,
        /// What to send.
        data: Bytes,
    },
    /// Close a connection; what was sent before is still delivered.
    Close(u32),
    /// A datagram. Never answered.
    SendTo {
        /// Where to.
        to: SocketAddress,
        /// Its payload.
        data: Bytes,
    },
    /// The daemon's state.
    Info,
    /// Trust.
    Handshake(HandshakeCommand),
    /// Look a name up.
    ResolveHostname(String),
    /// Take a name; empty clears it.
    SetHostname(String),
    /// Public or private.
    SetVisibility(bool),
    /// Leave the registry.
    Deregister,
    /// Replace this node's tags: a JSON array.
    SetTags(Bytes),
    /// Where to post events; empty clears it.
    SetWebhook(String),
    /// Accept tasks (removed from newer daemons).
    SetTaskExec(bool),
    /// Networks.
    Network(NetworkCommand),
    /// Short counters.
    Health,
    /// Managed networks; the sub-command and its fields unparsed.
    Managed(Bytes),
    /// Make a new identity key.
    RotateKey,
    /// The node's score (one version of the reference only).
    MyPolo,
    /// A datagram to all members of a network.
    Broadcast {
        /// The network.
        network: u16,
        /// The port.
        port: u16,
        /// The administrator's token.
        token: Bytes,
        /// Its payload.
        data: Bytes,
    },
    /// Give up the running dial. Never answered.
    CancelDial,
    /// What the registry tells about a node.
    Lookup(u32),
    /// Try again for a direct path to a node.
    PreferDirect(u32),
    /// An identity badge, JSON.
    SubmitBadge(Bytes),
    /// Recovery enrolment, JSON.
    EnrollRecovery(Bytes),
    /// Sign a request envelope, JSON.
    SignEnvelope(Bytes),
    /// Verify a request envelope, JSON.
    VerifyEnvelope(Bytes),
    /// Stop listening on a port.
    Unbind(u16),
    /// A datagram, answered once it left.
    SendToConfirm {
        /// Where to.
        to: SocketAddress,
        /// Its payload.
        data: Bytes,
    },
    /// Extension: the client's version of the extensions.
    Hello(u8),
    /// Extension: no more bytes follow; answered when the peer acknowledged all of them. What the peer sent before it saw
    /// the end still arrives; later bytes do not, as there is no half-close. So first read what is expected.
    Finish(u32),
    /// Extension: how many bytes of a connection the peer has acknowledged; a lower bound once the connection has ended.
    Acknowledged(u32),
    /// Extension: protocol-level ping.
    Ping {
        /// The node.
        node: u32,
        /// Wait this long, milliseconds.
        timeout_ms: u32,
    },
    /// Extension: what the daemon knows of its network.
    Netcheck,
    /// Extension: why this peer is relayed, and what would help; 0 for all that are relayed.
    Why(u32),
}

/// Sub-commands of `Handshake`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeCommand {
    /// Ask for trust.
    Send {
        /// The peer.
        node: u32,
        /// At most 1024 bytes are kept.
        justification: String,
    },
    /// Approve a waiting request.
    Approve(u32),
    /// Refuse a waiting request.
    Reject {
        /// The peer.
        node: u32,
        /// Why.
        reason: String,
    },
    /// List waiting requests.
    Pending,
    /// List trusted peers.
    Trusted,
    /// Withdraw trust.
    Revoke(u32),
    /// Wait until a peer is trusted.
    Wait {
        /// The peer.
        node: u32,
        /// At most 30000 ms.
        timeout_ms: u32,
    },
}

/// Sub-commands of `Network`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkCommand {
    /// All networks.
    List,
    /// Become a member.
    Join {
        /// The network.
        network: u16,
        /// The join token, possibly empty.
        token: String,
    },
    /// Stop being a member.
    Leave(u16),
    /// List members.
    Members(u16),
    /// Invite a node.
    Invite {
        /// The network.
        network: u16,
        /// The node.
        node: u32,
    },
    /// Take waiting invitations.
    PollInvites,
    /// Answer an invitation.
    Respond {
        /// The network.
        network: u16,
        /// Join it.
        accept: bool,
    },
}

/// Why a frame is not a request, in the reference's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No such command.
    //= spec/ipc.md#pp-ipc-7
    //# An unknown command is answered with the text `unknown command: 0xNN`.
    #[error("unknown command: 0x{0:02X}")]
    Unknown(u8),
    /// A field is missing.
    #[error("{0}")]
    Missing(&'static str),
}

impl Request {
    /// The value a frame stands for.
    ///
    /// # Errors
    ///
    /// [`RequestError`], whose text is the error reply; but commands for which [`never_answered`] holds get none.
    pub fn decode(frame: &Frame) -> Result<Self, RequestError> {
        let mut fields = Cursor::new(&frame.payload);
        let missing = RequestError::Missing;
        Ok(match frame.command {
            command::BIND => Self::Bind(fields.u16().ok_or(missing("bind: missing port"))?),
            command::DIAL => Self::Dial(fields.socket_address().ok_or(missing("dial: missing address/port"))?),
            command::SEND => {
                let conn = fields.u32().ok_or(missing("send: missing conn_id"))?;
                Self::Send { conn, data: fields.rest() }
            }
            command::CLOSE => Self::Close(fields.u32().ok_or(missing("close: missing conn_id"))?),
            command::SEND_TO => {
                let to = fields.socket_address().ok_or(missing("sendto: missing address/port"))?;
                Self::SendTo { to, data: fields.rest() }
            }
            command::SEND_TO_CONFIRM => {
                let to = fields.socket_address().ok_or(missing("sendto: missing header"))?;
                Self::SendToConfirm { to, data: fields.rest() }
            }
            command::HANDSHAKE => Self::Handshake(HandshakeCommand::decode(fields)?),
            command::NETWORK => Self::Network(NetworkCommand::decode(fields)?),
            command::RESOLVE_HOSTNAME => match fields.text() {
                name if name.is_empty() => return Err(missing("resolve_hostname: missing hostname")),
                name => Self::ResolveHostname(name),
            },
            command::MANAGED => match fields.rest() {
                raw if raw.is_empty() => return Err(missing("managed: missing sub-command")),
                raw => Self::Managed(raw),
            },
            command::SET_VISIBILITY => {
                Self::SetVisibility(fields.u8().ok_or(missing("set_visibility: missing value"))? != 0)
            }
            command::SET_TASK_EXEC => {
                Self::SetTaskExec(fields.u8().ok_or(missing("set_task_exec: missing value"))? != 0)
            }
            command::BROADCAST => Self::broadcast(fields).ok_or(missing("broadcast: missing header"))?,
            command::PREFER_DIRECT => {
                let node = fields.u32().ok_or(missing("prefer_direct: payload must be 4 bytes (node_id)"))?;
                Self::PreferDirect(node)
            }
            command::UNBIND => Self::Unbind(fields.u16().ok_or(missing("unbind: port is required"))?),
            command::HELLO => Self::Hello(fields.u8().ok_or(missing("hello: missing version"))?),
            command::FINISH => Self::Finish(fields.u32().ok_or(missing("finish: missing conn_id"))?),
            command::ACKNOWLEDGED => Self::Acknowledged(fields.u32().ok_or(missing("acknowledged: missing conn_id"))?),
            command::WHY => Self::Why(fields.u32().ok_or(missing("why: missing node_id"))?),
            command::LOOKUP => Self::Lookup(fields.u32().ok_or(missing("lookup: missing node_id"))?),
            command::PING => {
                let node = fields.u32().ok_or(missing("ping: missing node_id"))?;
                Self::Ping { node, timeout_ms: fields.u32().ok_or(missing("ping: missing timeout"))? }
            }
            other => Self::without_fields(other, fields).ok_or(RequestError::Unknown(other))?,
        })
    }

    /// Commands whose payload is absent or taken whole.
    fn without_fields(command: u8, fields: Cursor) -> Option<Self> {
        Some(match command {
            command::INFO => Self::Info,
            command::SET_HOSTNAME => Self::SetHostname(fields.text()),
            command::DEREGISTER => Self::Deregister,
            command::SET_TAGS => Self::SetTags(fields.rest()),
            command::SET_WEBHOOK => Self::SetWebhook(fields.text()),
            command::HEALTH => Self::Health,
            command::ROTATE_KEY => Self::RotateKey,
            command::MY_POLO => Self::MyPolo,
            command::CANCEL_DIAL => Self::CancelDial,
            command::SUBMIT_BADGE => Self::SubmitBadge(fields.rest()),
            command::ENROLL_RECOVERY => Self::EnrollRecovery(fields.rest()),
            command::SIGN_ENVELOPE => Self::SignEnvelope(fields.rest()),
            command::VERIFY_ENVELOPE => Self::VerifyEnvelope(fields.rest()),
            command::NETCHECK => Self::Netcheck,
            _ => return None,
        })
    }

    fn broadcast(mut fields: Cursor) -> Option<Self> {
        let (network, port) = (fields.u16()?, fields.u16()?);
        let token_length = usize::from(fields.u16()?);
        let token = fields.bytes(token_length)?;
        Some(Self::Broadcast { network, port, token, data: fields.rest() })
    }

    /// The frame that says this.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let mut out = BytesMut::new();
        let command = match self {
            Self::Bind(port) => put_u16(&mut out, command::BIND, *port),
            Self::Unbind(port) => put_u16(&mut out, command::UNBIND, *port),
            Self::Dial(to) => put_to(&mut out, command::DIAL, *to, &[]),
            Self::SendTo { to, data } => put_to(&mut out, command::SEND_TO, *to, data),
            Self::SendToConfirm { to, data } => put_to(&mut out, command::SEND_TO_CONFIRM, *to, data),
            Self::Send { conn, data } => {
                out.reserve(4 + data.len());
                put_u32(&mut out, command::SEND, *conn, data)
            }
            Self::Close(conn) => put_u32(&mut out, command::CLOSE, *conn, &[]),
            Self::Finish(conn) => put_u32(&mut out, command::FINISH, *conn, &[]),
            Self::Acknowledged(conn) => put_u32(&mut out, command::ACKNOWLEDGED, *conn, &[]),
            Self::Why(node) => put_u32(&mut out, command::WHY, *node, &[]),
            Self::Lookup(node) => put_u32(&mut out, command::LOOKUP, *node, &[]),
            Self::PreferDirect(node) => put_u32(&mut out, command::PREFER_DIRECT, *node, &[]),
            Self::Ping { node, timeout_ms } => put_u32(&mut out, command::PING, *node, &timeout_ms.to_be_bytes()),
            Self::Info => command::INFO,
            Self::Deregister => command::DEREGISTER,
            Self::Health => command::HEALTH,
            Self::RotateKey => command::ROTATE_KEY,
            Self::MyPolo => command::MY_POLO,
            Self::CancelDial => command::CANCEL_DIAL,
            Self::Netcheck => command::NETCHECK,
            Self::Handshake(sub) => sub.encode(&mut out),
            Self::Network(sub) => sub.encode(&mut out),
            Self::ResolveHostname(name) => put_bytes(&mut out, command::RESOLVE_HOSTNAME, name.as_bytes()),
            Self::SetHostname(name) => put_bytes(&mut out, command::SET_HOSTNAME, name.as_bytes()),
            Self::SetWebhook(url) => put_bytes(&mut out, command::SET_WEBHOOK, url.as_bytes()),
            Self::SetVisibility(public) => put_bytes(&mut out, command::SET_VISIBILITY, &[u8::from(*public)]),
            Self::SetTaskExec(on) => put_bytes(&mut out, command::SET_TASK_EXEC, &[u8::from(*on)]),
            Self::Hello(version) => put_bytes(&mut out, command::HELLO, &[*version]),
            Self::SetTags(json) => put_bytes(&mut out, command::SET_TAGS, json),
            Self::Managed(raw) => put_bytes(&mut out, command::MANAGED, raw),
            Self::SubmitBadge(json) => put_bytes(&mut out, command::SUBMIT_BADGE, json),
            Self::EnrollRecovery(json) => put_bytes(&mut out, command::ENROLL_RECOVERY, json),
            Self::SignEnvelope(json) => put_bytes(&mut out, command::SIGN_ENVELOPE, json),
            Self::VerifyEnvelope(json) => put_bytes(&mut out, command::VERIFY_ENVELOPE, json),
            Self::Broadcast { network, port, token, data } => {
                out.put_u16(*network);
                out.put_u16(*port);
                out.put_u16(u16::try_from(token.len()).unwrap_or(u16::MAX));
                out.put_slice(token.get(..usize::from(u16::MAX)).unwrap_or(token));
                put_bytes(&mut out, command::BROADCAST, data)
            }
        };
        Frame { command, payload: out.freeze() }
    }
}

/// Commands that get no answer, whatever happens: a stray reply would be taken for the next request's.
#[must_use]
pub const fn never_answered(command: u8) -> bool {
    //= spec/ipc.md#pp-ipc-6
    //# Send, SendTo and CancelDial are never answered.
    matches!(command, command::SEND | command::SEND_TO | command::CANCEL_DIAL)
}

fn put_bytes(out: &mut BytesMut, command: u8, bytes: &[u8]) -> u8 {
    out.put_slice(bytes);
    command
}

fn put_u16(out: &mut BytesMut, command: u8, value: u16) -> u8 {
    out.put_u16(value);
    command
}

fn put_u32(out: &mut BytesMut, command: u8, value: u32, rest: &[u8]) -> u8 {
    out.put_u32(value);
    put_bytes(out, command, rest)
}

fn put_to(out: &mut BytesMut, command: u8, to: SocketAddress, rest: &[u8]) -> u8 {
    put_socket_address(out, to);
    put_bytes(out, command, rest)
}

impl HandshakeCommand {
    fn decode(mut fields: Cursor) -> Result<Self, RequestError> {
        let missing = RequestError::Missing;
        let sub = fields.u8().ok_or(missing("handshake: missing sub-command"))?;
        if !(1..=7).contains(&sub) {
            return Err(missing("handshake: unknown sub-command"));
        }
        if sub == 4 || sub == 5 {
            return Ok(if sub == 4 { Self::Pending } else { Self::Trusted });
        }
        let node = fields.u32().ok_or(missing("handshake: missing node_id"))?;
        Ok(match sub {
            1 => Self::Send { node, justification: fields.text() },
            2 => Self::Approve(node),
            3 => Self::Reject { node, reason: fields.text() },
            6 => Self::Revoke(node),
            _ => Self::Wait { node, timeout_ms: fields.u32().ok_or(missing("handshake wait: missing timeout"))? },
        })
    }

    fn encode(&self, out: &mut BytesMut) -> u8 {
        let (sub, node, rest): (u8, Option<u32>, &[u8]) = match self {
            Self::Send { node, justification } => (1, Some(*node), justification.as_bytes()),
            Self::Approve(node) => (2, Some(*node), &[]),
            Self::Reject { node, reason } => (3, Some(*node), reason.as_bytes()),
            Self::Pending => (4, None, &[]),
            Self::Trusted => (5, None, &[]),
            Self::Revoke(node) => (6, Some(*node), &[]),
            Self::Wait { node, timeout_ms } => (7, Some(*node), &timeout_ms.to_be_bytes()),
        };
        out.put_u8(sub);
        if let Some(node) = node {
            out.put_u32(node);
        }
        put_bytes(out, command::HANDSHAKE, rest)
    }
}

impl NetworkCommand {
    fn decode(mut fields: Cursor) -> Result<Self, RequestError> {
        let missing = RequestError::Missing;
        let sub = fields.u8().ok_or(missing("network: missing sub-command"))?;
        match sub {
            1 => return Ok(Self::List),
            6 => return Ok(Self::PollInvites),
            2..=5 | 7 => {}
            _ => return Err(missing("network: unknown sub-command")),
        }
        let network = fields.u16().ok_or(missing("network: missing network_id"))?;
        Ok(match sub {
            2 => Self::Join { network, token: fields.text() },
            3 => Self::Leave(network),
            4 => Self::Members(network),
            5 => Self::Invite { network, node: fields.u32().ok_or(missing("network invite: missing node_id"))? },
            _ => Self::Respond { network, accept: fields.u8().ok_or(missing("network respond: missing accept"))? != 0 },
        })
    }

    fn encode(&self, out: &mut BytesMut) -> u8 {
        let (sub, network): (u8, Option<u16>) = match self {
            Self::List => (1, None),
            Self::Join { network, .. } => (2, Some(*network)),
            Self::Leave(network) => (3, Some(*network)),
            Self::Members(network) => (4, Some(*network)),
            Self::Invite { network, .. } => (5, Some(*network)),
            Self::PollInvites => (6, None),
            Self::Respond { network, .. } => (7, Some(*network)),
        };
        out.put_u8(sub);
        if let Some(network) = network {
            out.put_u16(network);
        }
        match self {
            Self::Join { token, .. } => out.put_slice(token.as_bytes()),
            Self::Invite { node, .. } => out.put_u32(*node),
            Self::Respond { accept, .. } => out.put_u8(u8::from(*accept)),
            Self::List | Self::Leave(_) | Self::Members(_) | Self::PollInvites => {}
        }
        command::NETWORK
    }
}
