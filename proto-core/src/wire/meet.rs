//! How two peers of this implementation arrange to meet (`spec/wire.md`, "Meeting"): where each can be reached, what NAT it is behind, and
//! which of its ports the other should try.
//!
//! It rides in a control packet to port 1, always inside the tunnel, and only to who said in its options block that it knows it.
//! Decides nothing: what a hint is worth is the receiver's business.
//!
//! ```text
//! "PXM" | version 1 | step u8 | total length u16 | { type u8 | length u8 | value }...
//! ```
//! Unknown types are skipped. An unknown version or step, or a wrong length, makes the whole message count as absent.

use super::EmitError;
use super::beacon::{emit_endpoint, parse_endpoint};
use super::bytes::{Reader, Writer};
use super::candidate::{Local, Mapped, Reflexive};
use core::net::SocketAddr;

/// The first bytes of a message.
pub const MEET_MAGIC: [u8; 3] = *b"PXM";
/// The version this module writes and understands.
pub const MEET_VERSION: u8 = 1;
/// Bytes of a message at most, all included.
pub const MAX_MEET_LEN: usize = 512;
/// Addresses of one message at most; further ones are skipped.
pub const MAX_MEET_ADDRESSES: usize = 12;
/// Ports of one message at most; further ones are skipped.
pub const MAX_MEET_PORTS: usize = 48;

const PREFIX_LEN: usize = 7;
const ENDPOINT_LEN: usize = 1 + 16 + 2;
const LOCAL: u8 = 1;
const REFLEXIVE: u8 = 2;
const MAPPED: u8 = 3;
const NAT: u8 = 4;
const PORT: u8 = 5;
const RANGE: u8 = 6;
const RTT: u8 = 7;

/// What the sender is about to do, and asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// "Here I am; tell me where you are, and let us both try."
    Offer,
    /// The answer to an offer.
    Answer,
    /// "I wrote to you from fresh sockets; try these ports of mine, then any of this range."
    Predicted,
    /// "I write to you from many sockets; try random ports of this range."
    Spray,
    /// "I search with somebody else, or not at all."
    Busy,
}

impl Step {
    const ALL: [Self; 5] = [Self::Offer, Self::Answer, Self::Predicted, Self::Spray, Self::Busy];

    fn byte(self) -> u8 {
        Self::ALL.iter().zip(1..).find_map(|(step, byte)| (*step == self).then_some(byte)).unwrap_or_default()
    }

    fn parse(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

/// An address of the sender, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// Of one of its interfaces.
    Local(Local),
    /// As a beacon sees it.
    Reflexive(Reflexive),
    /// Forwarded by its router.
    Mapped(Mapped),
}

impl Candidate {
    const fn parts(self) -> (u8, SocketAddr) {
        match self {
            Self::Local(Local(address)) => (LOCAL, address),
            Self::Reflexive(Reflexive(address)) => (REFLEXIVE, address),
            Self::Mapped(Mapped(address)) => (MAPPED, address),
        }
    }
}

/// Whether the sender's mappings depend on their destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MappingKind {
    /// It does not know.
    #[default]
    Unknown,
    /// They do not, or there is no NAT.
    Independent,
    /// They do.
    Symmetric,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meet {
    /// What it is for.
    pub step: Step,
    /// What NAT the sender is behind.
    pub nat: MappingKind,
    /// Where the sender can be reached, the best first.
    pub addresses: Vec<Candidate>,
    /// External ports of the sender that its next mappings probably have, the likeliest first.
    pub ports: Vec<u16>,
    /// First and last of the external ports that its mappings have.
    pub range: Option<(u16, u16)>,
    /// Round-trip time between the two through the relay, microseconds, as the sender measured it.
    pub rtt: Option<u32>,
}

impl Meet {
    /// A message that says no more than its step.
    #[must_use]
    pub const fn new(step: Step) -> Self {
        Self { step, nat: MappingKind::Unknown, addresses: Vec::new(), ports: Vec::new(), range: None, rtt: None }
    }

    /// The message in `payload`, or `None` when there is none that can be used. Bytes behind it are ignored.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        if reader.array().ok()? != MEET_MAGIC || reader.u8().ok()? != MEET_VERSION {
            return None;
        }
        let mut meet = Self::new(Step::parse(reader.u8().ok()?)?);
        let total = usize::from(reader.u16().ok()?);
        if total > MAX_MEET_LEN {
            return None;
        }
        let mut values = Reader::new(reader.slice(total.checked_sub(PREFIX_LEN)?).ok()?);
        while !values.rest().is_empty() {
            let (kind, length) = (values.u8().ok()?, values.u8().ok()?);
            meet.take(kind, Reader::new(values.slice(usize::from(length)).ok()?))?;
        }
        Some(meet)
    }

    fn take(&mut self, kind: u8, mut value: Reader<'_>) -> Option<()> {
        match kind {
            LOCAL | REFLEXIVE | MAPPED => {
                let address = parse_endpoint(&mut value).ok()?;
                if self.addresses.len() < MAX_MEET_ADDRESSES {
                    self.addresses.push(match kind {
                        LOCAL => Candidate::Local(Local(address)),
                        REFLEXIVE => Candidate::Reflexive(Reflexive(address)),
                        _ => Candidate::Mapped(Mapped(address)),
                    });
                }
            }
            NAT => {
                self.nat = match value.u8().ok()? {
                    1 => MappingKind::Independent,
                    2 => MappingKind::Symmetric,
                    _ => MappingKind::Unknown,
                }
            }
            PORT => {
                let port = value.u16().ok()?;
                if self.ports.len() < MAX_MEET_PORTS {
                    self.ports.push(port);
                }
            }
            RANGE => self.range = Some((value.u16().ok()?, value.u16().ok()?)).filter(|(first, last)| first <= last),
            RTT => self.rtt = Some(value.u32().ok()?),
            _ => {}
        }
        Some(())
    }

    /// The message's bytes; addresses and ports beyond what one may have are left out.
    ///
    /// # Errors
    /// None for a message within the limits of this module.
    pub fn to_vec(&self) -> Result<Vec<u8>, EmitError> {
        let mut bytes = vec![0; MAX_MEET_LEN];
        let mut writer = Writer::new(bytes.get_mut(PREFIX_LEN..).unwrap_or_default());
        for candidate in self.addresses.iter().take(MAX_MEET_ADDRESSES) {
            let (kind, address) = candidate.parts();
            let mut value = [0; ENDPOINT_LEN];
            let mut inner = Writer::new(&mut value);
            emit_endpoint(&mut inner, &address)?;
            let len = inner.written();
            put(&mut writer, kind, value.get(..len).unwrap_or_default())?;
        }
        let nat = match self.nat {
            MappingKind::Unknown => 0,
            MappingKind::Independent => 1,
            MappingKind::Symmetric => 2,
        };
        put(&mut writer, NAT, &[nat])?;
        for port in self.ports.iter().take(MAX_MEET_PORTS) {
            put(&mut writer, PORT, &port.to_be_bytes())?;
        }
        if let Some((first, last)) = self.range {
            let ([a, b], [c, d]) = (first.to_be_bytes(), last.to_be_bytes());
            put(&mut writer, RANGE, &[a, b, c, d])?;
        }
        if let Some(rtt) = self.rtt {
            put(&mut writer, RTT, &rtt.to_be_bytes())?;
        }
        let total = PREFIX_LEN + writer.written();
        let mut prefix = Writer::new(&mut bytes);
        prefix.put(&MEET_MAGIC)?;
        prefix.put(&[MEET_VERSION, self.step.byte()])?;
        prefix.put(&u16::try_from(total).map_err(|_| EmitError::TooLong)?.to_be_bytes())?;
        bytes.truncate(total);
        Ok(bytes)
    }
}

fn put(writer: &mut Writer<'_>, kind: u8, value: &[u8]) -> Result<(), EmitError> {
    writer.put(&[kind, u8::try_from(value.len()).map_err(|_| EmitError::TooLong)?])?;
    writer.put(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = SocketAddr> {
        (any::<Option<[u8; 16]>>(), any::<[u8; 4]>(), any::<u16>()).prop_map(|(v6, v4, port)| {
            let address = v6.map_or_else(|| SocketAddr::from((v4, port)), |v6| SocketAddr::from((v6, port)));
            crate::wire::candidate::canonical(address)
        })
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        (0..3, address()).prop_map(|(kind, address)| match kind {
            0 => Candidate::Local(Local(address)),
            1 => Candidate::Reflexive(Reflexive(address)),
            _ => Candidate::Mapped(Mapped(address)),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            step in 0..5_usize, nat in 0..3, addresses in prop::collection::vec(candidate(), 0..=MAX_MEET_ADDRESSES),
            ports in prop::collection::vec(any::<u16>(), 0..=MAX_MEET_PORTS), range in any::<Option<(u16, u16)>>(), rtt in any::<Option<u32>>(),
            noise in any::<Vec<u8>>(),
        ) {
            let nat = [MappingKind::Unknown, MappingKind::Independent, MappingKind::Symmetric][nat as usize];
            let range = range.map(|(a, b)| (a.min(b), a.max(b)));
            let meet = Meet { step: Step::ALL[step], nat, addresses, ports, range, rtt };
            let mut bytes = meet.to_vec().unwrap();
            prop_assert!(bytes.len() <= MAX_MEET_LEN);
            prop_assert_eq!(Meet::parse(&bytes[..bytes.len() - 1]), None);
            bytes.extend(noise);
            prop_assert_eq!(Meet::parse(&bytes), Some(meet));
        }

        #[test]
        fn noise_is_no_message(noise in any::<Vec<u8>>()) {
            let mut bytes = MEET_MAGIC.to_vec();
            bytes.extend(noise);
            if let Some(meet) = Meet::parse(&bytes) {
                prop_assert!(meet.addresses.len() <= MAX_MEET_ADDRESSES && meet.ports.len() <= MAX_MEET_PORTS);
            }
        }
    }

    #[test]
    fn unknown_types_are_skipped() {
        let mut bytes = Meet::new(Step::Busy).to_vec().unwrap();
        bytes.extend([99, 2, 1, 1]);
        let total = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[5..7].copy_from_slice(&total);
        assert_eq!(Meet::parse(&bytes), Some(Meet::new(Step::Busy)));
    }
}
