//! One thing a host did to its endpoint, as bytes: a signed step of time, a tag, and what the tag says. What is done often is binary; commands
//! are JSON, so that a new field of a configuration or request is kept without a word here.

use super::RecordingError;
use crate::crypto::{Identity, PublicKey};
use crate::endpoint::{Config, Ecn, Input, TrustCommand};
use crate::ids::{NodeId, SocketId, StreamId};
use crate::limits::RECORDED_ROOM;
use crate::nat::{Gateway, UpnpAnswer};
use crate::registry::Request;
use crate::time::Timestamp;
use crate::trust::Snapshot;
use crate::wire::{Address, SocketAddress};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use zeroize::Zeroizing;

const MAGIC: [u8; 8] = *b"PILOTREC";
const VERSION: u8 = 1;

/// What the endpoint was made of.
pub(super) struct Begin<'a> {
    pub(super) config: Cow<'a, Config>,
    pub(super) identity: Zeroizing<[u8; 32]>,
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) now: Timestamp,
}

/// One entry.
#[derive(Debug)]
pub(in super::super) enum Entry<'a> {
    Datagram { via: SocketId, from: SocketAddr, to: Option<IpAddr>, ecn: Option<Ecn>, data: Cow<'a, [u8]> },
    RegistryData(&'a [u8]),
    Timeout,
    PollTransmit { room: usize, max_segments: usize },
    PollEvent,
    Read { id: StreamId, room: usize },
    Write { id: StreamId, taken: &'a [u8], more: bool, shared: bool },
    SendDatagram { to: SocketAddress, from_port: u16, data: &'a [u8] },
    Accept(u16),
    Command(Box<Command>),
    Checkpoint(u64),
    End,
}

/// What happens seldom.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum Command {
    RegistryConnected,
    RegistryClosed,
    WallClock(u64),
    LocalAddresses(Vec<SocketAddr>),
    NetworkChanged,
    Gateway(Option<Gateway>),
    Upnp(Gateway, UpnpAnswer),
    ReleasePortMapping,
    PortMapped { via: SocketId, external: SocketAddr },
    PortMappingLost(SocketId),
    SocketsOpened(Vec<SocketId>),
    Ping { node: NodeId, timeout: core::time::Duration },
    Dial(SocketAddress),
    Listen(u16),
    Unlisten(u16),
    SetNode(NodeId),
    AddPeer { node: NodeId, key: Option<PublicKey>, endpoint: Option<SocketAddr>, trusted: bool },
    TrustByHost { node: NodeId, trusted: bool },
    Registry(Request),
    Finish(StreamId),
    Reset(StreamId),
    NoDelay(StreamId, bool),
    Trust(TrustCommand),
    RestoreTrust(Snapshot),
}

impl From<Command> for Entry<'_> {
    fn from(command: Command) -> Self {
        Self::Command(Box::new(command))
    }
}

impl<'a> Begin<'a> {
    pub(super) fn new(config: &'a Config, identity: &Identity, seed: [u8; 32], now: Timestamp) -> Self {
        Self { config: Cow::Borrowed(config), identity: identity.seed(), seed: Zeroizing::new(seed), now }
    }

    /// Appends the beginning of a file; gives the time it is of.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Timestamp {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&*self.identity);
        out.extend_from_slice(&*self.seed);
        put_number(out, self.now.as_micros());
        put_json(out, &self.config);
        self.now
    }

    pub(super) fn decode(file: &mut Reader<'_>) -> Result<Self, RecordingError> {
        if file.array() != Ok(MAGIC) {
            return Err(RecordingError::NotARecording);
        }
        match file.array()? {
            [VERSION] => {}
            [other] => return Err(RecordingError::Version(other)),
        }
        let (identity, seed) = (Zeroizing::new(file.array()?), Zeroizing::new(file.array()?));
        let now = Timestamp::from_micros(file.number()?);
        let config: Config = file.json()?;
        let sizes = [config.stream.mss, config.stream.loopback_mss];
        if sizes.iter().any(|size| *size < 256) || config.stream.mss > 4096 {
            return Err(file.malformed());
        }
        Ok(Self { config: Cow::Owned(config), identity, seed, now })
    }
}

impl<'a> Entry<'a> {
    pub(in super::super) fn of_input(input: &'a Input<'_>) -> Self {
        match input {
            Input::Datagram { via, from, to, ecn, data } => {
                Self::Datagram { via: *via, from: *from, to: *to, ecn: *ecn, data: Cow::Borrowed(&**data) }
            }
            Input::RegistryData(bytes) => Self::RegistryData(bytes),
            Input::RegistryConnected => Command::RegistryConnected.into(),
            Input::RegistryClosed => Command::RegistryClosed.into(),
            Input::WallClock(seconds) => Command::WallClock(*seconds).into(),
            Input::LocalAddresses(addresses) => Command::LocalAddresses(addresses.to_vec()).into(),
            Input::NetworkChanged => Command::NetworkChanged.into(),
            Input::Gateway(gateway) => Command::Gateway(*gateway).into(),
            Input::Upnp(gateway, answer) => Command::Upnp(*gateway, *answer).into(),
            Input::PortMapped { via, external } => Command::PortMapped { via: *via, external: *external }.into(),
            Input::PortMappingLost { via } => Command::PortMappingLost(*via).into(),
            Input::SocketsOpened(sockets) => Command::SocketsOpened(sockets.to_vec()).into(),
        }
    }
}

impl Entry<'_> {
    /// Appends the entry of `now`; the one before was of `before`.
    pub(super) fn encode(&self, now: Timestamp, before: Timestamp, out: &mut Vec<u8>) {
        let step = now.as_micros().wrapping_sub(before.as_micros()).cast_signed();
        put_number(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
        match self {
            Self::Datagram { via, from, to, ecn, data } => {
                out.push(0);
                put_number(out, via.0.into());
                put_address(out, *from);
                put_address(out, SocketAddr::new(to.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0));
                let ecn = ecn.map_or(0, |ecn| match ecn {
                    Ecn::Ect1 => 1,
                    Ecn::Ect0 => 2,
                    Ecn::Ce => 3,
                });
                out.push(ecn | u8::from(to.is_some()) << 2);
                put_bytes(out, data);
            }
            Self::RegistryData(data) => {
                out.push(1);
                put_bytes(out, data);
            }
            Self::Timeout => out.push(2),
            Self::PollTransmit { room, max_segments } => {
                out.push(3);
                put_size(out, *room);
                put_size(out, *max_segments);
            }
            Self::PollEvent => out.push(4),
            Self::Read { id, room } => {
                out.push(5);
                put_number(out, id.0);
                put_size(out, *room);
            }
            Self::Write { id, taken, more, shared } => {
                out.push(6 | u8::from(*more) << 6 | u8::from(*shared) << 7);
                put_number(out, id.0);
                put_bytes(out, taken);
            }
            Self::SendDatagram { to, from_port, data } => {
                out.push(7);
                out.extend_from_slice(&to.address.to_bytes());
                put_number(out, to.port.into());
                put_number(out, (*from_port).into());
                put_bytes(out, data);
            }
            Self::Accept(port) => {
                out.push(8);
                put_number(out, (*port).into());
            }
            Self::Command(command) => {
                out.push(9);
                put_json(out, command);
            }
            Self::Checkpoint(digest) => {
                out.push(10);
                out.extend_from_slice(&digest.to_be_bytes());
            }
            Self::End => out.push(11),
        }
    }
}

impl<'a> Entry<'a> {
    /// The next entry and its time; the one before was of `before`.
    pub(super) fn decode(file: &mut Reader<'a>, before: Timestamp) -> Result<(Timestamp, Self), RecordingError> {
        let step = file.number()?;
        let step = (step >> 1).cast_signed() ^ -(step & 1).cast_signed();
        let now = Timestamp::from_micros(before.as_micros().wrapping_add(step.cast_unsigned()));
        let [tag] = file.array()?;
        let entry = match tag {
            0 => Self::decode_datagram(file)?,
            1 => Self::RegistryData(file.bytes()?),
            2 => Self::Timeout,
            3 => Self::PollTransmit { room: file.room()?, max_segments: file.room()? },
            4 => Self::PollEvent,
            5 => Self::Read { id: StreamId(file.number()?), room: file.room()? },
            tag if tag & 0x3F == 6 => Self::Write {
                id: StreamId(file.number()?),
                taken: file.bytes()?,
                more: tag & 0x40 != 0,
                shared: tag & 0x80 != 0,
            },
            7 => {
                let address = Address::from_bytes(file.array()?);
                let to = SocketAddress::new(address, file.small()?);
                Self::SendDatagram { to, from_port: file.small()?, data: file.bytes()? }
            }
            8 => Self::Accept(file.small()?),
            9 => Self::Command(Box::new(file.json()?)),
            10 => Self::Checkpoint(u64::from_be_bytes(file.array()?)),
            11 => Self::End,
            _ => return Err(file.malformed()),
        };
        Ok((now, entry))
    }

    fn decode_datagram(file: &mut Reader<'a>) -> Result<Self, RecordingError> {
        let via = SocketId(file.small()?);
        let (from, to) = (file.address()?, file.address()?);
        let [marks] = file.array()?;
        let ecn = match marks & 3 {
            0 => None,
            1 => Some(Ecn::Ect1),
            2 => Some(Ecn::Ect0),
            _ => Some(Ecn::Ce),
        };
        let to = (marks & 4 != 0).then_some(to.ip());
        Ok(Self::Datagram { via, from, to, ecn, data: Cow::Borrowed(file.bytes()?) })
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        out.push(0x80 | u8::try_from(number & 0x7F).unwrap_or(0));
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn put_size(out: &mut Vec<u8>, size: usize) {
    put_number(out, size.min(RECORDED_ROOM) as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

fn put_json(out: &mut Vec<u8>, value: &impl Serialize) {
    // Fails for maps whose keys are no texts, of which there are none; an empty text would be refused by the reader.
    put_bytes(out, &serde_json::to_vec(value).unwrap_or_default());
}

/// Takes fields from the front of a file, and knows where it is.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(file: &'a [u8]) -> Self {
        Self { rest: file, len: file.len() }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn malformed(&self) -> RecordingError {
        RecordingError::Malformed(self.len - self.rest.len())
    }

    /// There is less than there should be: the end was reached.
    fn cut(&mut self) -> RecordingError {
        let error = self.malformed();
        self.rest = &[];
        error
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordingError> {
        let Some((head, tail)) = self.rest.split_first_chunk() else { return Err(self.cut()) };
        self.rest = tail;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u64, RecordingError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed())
    }

    fn small(&mut self) -> Result<u16, RecordingError> {
        let number = self.number()?;
        u16::try_from(number).map_err(|_| self.malformed())
    }

    fn room(&mut self) -> Result<usize, RecordingError> {
        let number = self.number()?;
        usize::try_from(number).ok().filter(|room| *room <= RECORDED_ROOM).ok_or(self.malformed())
    }

    fn bytes(&mut self) -> Result<&'a [u8], RecordingError> {
        let len = self.number()?;
        let parts = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let Some((head, tail)) = parts else { return Err(self.cut()) };
        self.rest = tail;
        Ok(head)
    }

    fn address(&mut self) -> Result<SocketAddr, RecordingError> {
        let [family] = self.array()?;
        let ip = match family {
            4 => IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)),
            _ => return Err(self.malformed()),
        };
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.array()?)))
    }

    fn json<T: for<'t> Deserialize<'t>>(&mut self) -> Result<T, RecordingError> {
        let text = self.bytes()?;
        serde_json::from_slice(text).map_err(|_| self.malformed())
    }
}
