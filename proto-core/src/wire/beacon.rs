//! Messages to and from a beacon: one type byte and a body (`spec/wire.md`). Knows layouts only; who may send what, and how often, is decided elsewhere.

use super::bytes::{Reader, Writer};
use super::{EmitError, ParseError};
use crate::ids::NodeId;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes in front of a frame on its way to the beacon (0x05): type, sender, destination.
//= spec/path-mtu.md#pp-mtu-2
//# A datagram through the relay is 9 bytes longer toward the beacon.
pub const RELAY_HEADER_LEN: usize = 9;
/// Bytes in front of a frame on its way from the beacon (0x06): type, sender.
pub const RELAY_DELIVER_LEN: usize = 5;
/// Kind byte of a notification: a handshake waits at the registry.
pub const NOTIFY_HANDSHAKE: u8 = 1;

/// `datagram` is a frame on its way to the relay.
#[must_use]
pub fn is_relay(datagram: &[u8]) -> bool {
    datagram.first() == Some(&RELAY)
}

const DISCOVER: u8 = 0x01;
const DISCOVER_REPLY: u8 = 0x02;
const PUNCH_REQUEST: u8 = 0x03;
const PUNCH_COMMAND: u8 = 0x04;
const RELAY: u8 = 0x05;
const RELAY_DELIVER: u8 = 0x06;
const SYNC: u8 = 0x07;
const DISCOVER_EXTENDED: u8 = 0x08;
const RELAY_DELIVER_TO: u8 = 0x09;
const NOTIFY: u8 = 0x0A;

/// One beacon message; the number is its type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum BeaconMessage<'a> {
    /// 0x01, to the beacon: this is where I am; tell me what you see. Node 0 only asks.
    Discover {
        /// Who asks, `0` before registration.
        node: NodeId,
        /// Its Ed25519 public key, for beacons that bind endpoints to keys.
        key: Option<[u8; 32]>,
    },
    /// 0x02, from the beacon: the source address the question came from.
    DiscoverReply(SocketAddr),
    /// 0x03, to the beacon: tell me and the target to punch toward each other.
    PunchRequest {
        /// Who asks.
        requester: NodeId,
        /// Whom to meet.
        target: NodeId,
        /// The target's permission.
        grant: Option<PunchGrant>,
    },
    /// 0x04, from the beacon: send punches to this endpoint.
    PunchCommand(SocketAddr),
    /// 0x05, to the beacon: pass this frame on.
    Relay {
        /// Who says it sent this.
        sender: NodeId,
        /// For whom.
        destination: NodeId,
        /// The frame.
        frame: &'a [u8],
    },
    /// 0x06, from the beacon: a frame passed on.
    RelayDeliver {
        /// Who says it sent this.
        sender: NodeId,
        /// The frame.
        frame: &'a [u8],
    },
    /// 0x07, between beacons: the nodes this beacon knows.
    Sync {
        /// The beacon that tells.
        beacon: u32,
        /// Its nodes.
        nodes: NodeList<'a>,
    },
    /// 0x08, to the beacon: as [`Self::Discover`], and deliver as 0x09 from now on.
    DiscoverExtended {
        /// Who asks.
        node: NodeId,
        /// Its Ed25519 public key.
        key: Option<[u8; 32]>,
    },
    /// 0x09, from the beacon: a frame passed on, for an endpoint that serves several nodes.
    RelayDeliverTo {
        /// Who says it sent this.
        sender: NodeId,
        /// Which node of the endpoint it is for.
        destination: NodeId,
        /// The frame.
        frame: &'a [u8],
    },
    /// 0x0A, from the beacon: something waits at the registry; see [`NOTIFY_HANDSHAKE`].
    Notify {
        /// What waits; unknown kinds are to be ignored.
        kind: u8,
    },
}

/// A target's signed permission to be punched toward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct PunchGrant {
    /// Valid until, in Unix seconds.
    pub expiry: u64,
    /// The target's Ed25519 over [`punch_grant_message`].
    pub signature: [u8; 64],
}

/// What a punch grant signs, in ASCII.
#[must_use]
pub fn punch_grant_message(requester: NodeId, target: NodeId, expiry: u64) -> String {
    format!("punch-grant:{requester}:{target}:{expiry}")
}

/// Writes the nine bytes in front of a relayed frame to the front of `out`.
///
/// # Errors
/// [`EmitError::BufferTooSmall`].
pub fn write_relay_header(out: &mut [u8], sender: NodeId, destination: NodeId) -> Result<(), EmitError> {
    BeaconMessage::Relay { sender, destination, frame: &[] }.emit(out).map(|_| ())
}

impl<'a> BeaconMessage<'a> {
    /// The message in `bytes`. Bytes behind a fixed layout are ignored; an incomplete optional key or grant counts as absent.
    ///
    /// # Errors
    /// [`ParseError::Magic`] for an unknown type, [`ParseError::Truncated`], [`ParseError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.u8()? {
            DISCOVER => Self::Discover { node: reader.node()?, key: reader.array().ok() },
            DISCOVER_REPLY => Self::DiscoverReply(parse_endpoint(&mut reader)?),
            PUNCH_REQUEST => Self::PunchRequest {
                requester: reader.node()?,
                target: reader.node()?,
                grant: PunchGrant::parse(&mut reader).ok(),
            },
            PUNCH_COMMAND => Self::PunchCommand(parse_endpoint(&mut reader)?),
            RELAY => Self::Relay { sender: reader.node()?, destination: reader.node()?, frame: reader.rest() },
            RELAY_DELIVER => Self::RelayDeliver { sender: reader.node()?, frame: reader.rest() },
            SYNC => Self::Sync { beacon: reader.u32()?, nodes: NodeList::parse(&mut reader)? },
            DISCOVER_EXTENDED => Self::DiscoverExtended { node: reader.node()?, key: reader.array().ok() },
            RELAY_DELIVER_TO => {
                Self::RelayDeliverTo { sender: reader.node()?, destination: reader.node()?, frame: reader.rest() }
            }
            NOTIFY => Self::Notify { kind: reader.u8()? },
            _ => return Err(ParseError::Magic),
        })
    }

    /// Bytes [`BeaconMessage::emit`] writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        1 + match self {
            Self::Discover { key, .. } | Self::DiscoverExtended { key, .. } => 4 + key.map_or(0, |key| key.len()),
            Self::DiscoverReply(endpoint) | Self::PunchCommand(endpoint) => endpoint_len(endpoint),
            Self::PunchRequest { grant, .. } => 8 + grant.map_or(0, |_| PunchGrant::LEN),
            Self::Relay { frame, .. } | Self::RelayDeliverTo { frame, .. } => 8 + frame.len(),
            Self::RelayDeliver { frame, .. } => 4 + frame.len(),
            Self::Sync { nodes, .. } => 6 + 4 * nodes.len(),
            Self::Notify { .. } => 1,
        }
    }

    /// Writes the message to the front of `out`; returns its length. IPv4-mapped IPv6 addresses are written as IPv4.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`]; [`EmitError::TooLong`] for more than 65,535 nodes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(out);
        writer.put(&[self.type_byte()])?;
        match self {
            Self::Discover { node, key } | Self::DiscoverExtended { node, key } => {
                writer.node(*node)?;
                key.map_or(Ok(()), |key| writer.put(&key))?;
            }
            Self::DiscoverReply(endpoint) | Self::PunchCommand(endpoint) => emit_endpoint(&mut writer, endpoint)?,
            Self::PunchRequest { requester, target, grant } => {
                writer.node(*requester)?;
                writer.node(*target)?;
                grant.map_or(Ok(()), |grant| grant.emit(&mut writer))?;
            }
            //= spec/relay.md#pp-relay-1
            //# A relayed frame is wrapped in type 5, sender and destination, in front of the frame unchanged.
            Self::Relay { sender, destination, frame } | Self::RelayDeliverTo { sender, destination, frame } => {
                writer.node(*sender)?;
                writer.node(*destination)?;
                writer.put(frame)?;
            }
            Self::RelayDeliver { sender, frame } => {
                writer.node(*sender)?;
                writer.put(frame)?;
            }
            Self::Sync { beacon, nodes } => {
                writer.put(&beacon.to_be_bytes())?;
                nodes.emit(&mut writer)?;
            }
            Self::Notify { kind } => writer.put(&[*kind])?,
        }
        Ok(writer.written())
    }

    /// The message's bytes.
    ///
    /// # Errors
    /// [`EmitError::TooLong`] for more than 65,535 nodes.
    pub fn to_vec(&self) -> Result<Vec<u8>, EmitError> {
        let mut bytes = vec![0; self.encoded_len()];
        self.emit(&mut bytes)?;
        Ok(bytes)
    }

    const fn type_byte(&self) -> u8 {
        match self {
            Self::Discover { .. } => DISCOVER,
            Self::DiscoverReply(_) => DISCOVER_REPLY,
            Self::PunchRequest { .. } => PUNCH_REQUEST,
            Self::PunchCommand(_) => PUNCH_COMMAND,
            Self::Relay { .. } => RELAY,
            Self::RelayDeliver { .. } => RELAY_DELIVER,
            Self::Sync { .. } => SYNC,
            Self::DiscoverExtended { .. } => DISCOVER_EXTENDED,
            Self::RelayDeliverTo { .. } => RELAY_DELIVER_TO,
            Self::Notify { .. } => NOTIFY,
        }
    }
}

impl PunchGrant {
    const LEN: usize = 8 + 64;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self { expiry: reader.u64()?, signature: reader.array()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        writer.put(&self.expiry.to_be_bytes())?;
        writer.put(&self.signature)
    }
}

fn endpoint_len(endpoint: &SocketAddr) -> usize {
    match endpoint.ip().to_canonical() {
        IpAddr::V4(_) => 1 + 4 + 2,
        IpAddr::V6(_) => 1 + 16 + 2,
    }
}

pub(super) fn parse_endpoint(reader: &mut Reader<'_>) -> Result<SocketAddr, ParseError> {
    let ip = match reader.u8()? {
        4 => IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?)),
        16 => IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?)).to_canonical(),
        _ => return Err(ParseError::Malformed),
    };
    Ok(SocketAddr::new(ip, reader.u16()?))
}

//= spec/relay.md#pp-relay-16
//# An IPv4-mapped address is written as IPv4 in beacon messages.
pub(super) fn emit_endpoint(writer: &mut Writer<'_>, endpoint: &SocketAddr) -> Result<(), EmitError> {
    match endpoint.ip().to_canonical() {
        IpAddr::V4(ip) => {
            writer.put(&[4])?;
            writer.put(&ip.octets())?;
        }
        IpAddr::V6(ip) => {
            writer.put(&[16])?;
            writer.put(&ip.octets())?;
        }
    }
    writer.put(&endpoint.port().to_be_bytes())
}

/// A list of nodes: decoded one by one when it came from the wire, borrowed when it is to be sent.
#[derive(Clone, Copy)]
pub struct NodeList<'a>(Nodes<'a>);

#[derive(Clone, Copy)]
enum Nodes<'a> {
    Wire(&'a [[u8; 4]]),
    Host(&'a [NodeId]),
}

impl<'a> NodeList<'a> {
    /// A list to be sent.
    #[must_use]
    pub const fn new(nodes: &'a [NodeId]) -> Self {
        Self(Nodes::Host(nodes))
    }

    fn parse(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let count = usize::from(reader.u16()?);
        let (nodes, _) = reader.slice(count * 4)?.as_chunks();
        Ok(Self(Nodes::Wire(nodes)))
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        let count = u16::try_from(self.len()).map_err(|_| EmitError::TooLong)?;
        writer.put(&count.to_be_bytes())?;
        self.iter().try_for_each(|node| writer.node(node))
    }

    /// How many nodes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Nodes::Wire(nodes) => nodes.len(),
            Nodes::Host(nodes) => nodes.len(),
        }
    }

    /// No node at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The nodes, in order.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> + use<'a> {
        let (wire, host): (&[[u8; 4]], &[NodeId]) = match self.0 {
            Nodes::Wire(nodes) => (nodes, &[]),
            Nodes::Host(nodes) => (&[], nodes),
        };
        wire.iter().map(|bytes| NodeId(u32::from_be_bytes(*bytes))).chain(host.iter().copied())
    }
}

impl fmt::Debug for NodeList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for NodeList<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for NodeList<'_> {}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for NodeList<'a> {
    fn arbitrary(input: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let (nodes, _) = <&[u8]>::arbitrary(input)?.as_chunks();
        Ok(Self(Nodes::Wire(nodes)))
    }
}
