//! A segment as a connection sees it: the header fields it needs and the payload, without addresses and checksum.

use crate::seq::SeqNumber;
pub use crate::wire::header::Flags;

/// A segment that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its flags.
    pub flags: Flags,
    /// Its sequence field.
    pub seq: SeqNumber,
    /// Its acknowledgment field; meaningful with [`Flags::ACK`] only.
    pub ack: SeqNumber,
    /// Its window field; the unit depends on the peer (PP-FLOW-2, PP-FLOW-3).
    pub window: u16,
    /// User data, SACK blocks or an options block.
    pub payload: &'a [u8],
}

/// A segment to be sent; its payload was written into the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its flags.
    pub flags: Flags,
    /// Its sequence field.
    pub seq: SeqNumber,
    /// Its acknowledgment field.
    pub ack: SeqNumber,
    /// Its window field.
    pub window: u16,
    /// Bytes at the start of the caller's buffer that belong to it.
    pub payload_len: usize,
    /// It was sent before.
    pub retransmission: bool,
}

/// What a segment is. The flags are tested in the reference's order; the first match wins (`spec/packet.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Syn,
    SynAck,
    Fin,
    Reset,
    Ack,
    Nothing,
}

impl Segment<'_> {
    //= spec/packet.md#pp-pkt-13
    //# The flags of a stream packet are judged in the order SYN without ACK, SYN with ACK, FIN, RST, ACK; the first match decides.
    //= spec/packet.md#pp-pkt-14
    //# A stream packet without any flag is ignored.
    pub(super) const fn kind(&self) -> Kind {
        let (syn, ack) = (self.flags.contains(Flags::SYN), self.flags.contains(Flags::ACK));
        if syn && !ack {
            Kind::Syn
        } else if syn {
            Kind::SynAck
        } else if self.flags.contains(Flags::FIN) {
            Kind::Fin
        } else if self.flags.contains(Flags::RST) {
            Kind::Reset
        } else if ack {
            Kind::Ack
        } else {
            Kind::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bits: u8) -> Kind {
        let flags = Flags::from_bits_truncate(bits);
        Segment { flags, seq: SeqNumber(0), ack: SeqNumber(0), window: 0, payload: &[] }.kind()
    }

    //= spec/packet.md#pp-pkt-13
    //= type=test
    //# The flags of a stream packet are judged in the order SYN without ACK, SYN with ACK, FIN, RST, ACK; the first match decides.
    //= spec/packet.md#pp-pkt-14
    //= type=test
    //# A stream packet without any flag is ignored.
    #[test]
    fn the_first_flag_in_order_decides() {
        use Kind::{Ack, Fin, Nothing, Reset, Syn, SynAck};
        let by_bits =
            [Nothing, Syn, Ack, SynAck, Fin, Syn, Fin, SynAck, Reset, Syn, Reset, SynAck, Fin, Syn, Fin, SynAck];
        for (bits, expected) in (0..).zip(by_bits) {
            assert_eq!(kind(bits), expected, "{bits:#06b}");
        }
    }
}
