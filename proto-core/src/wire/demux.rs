//! What one received UDP datagram is (PP-FRAME-2). Decides by the first byte alone; who may send what is not its subject.

/// First bytes below this belong to beacon messages, the others to frames.
pub const FRAME_FIRST_BYTE: u8 = 0x10;

/// A UDP datagram by its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// No byte at all.
    Empty,
    /// For [`super::BeaconMessage::parse`].
    Beacon(&'a [u8]),
    /// For [`super::Frame::parse`].
    Frame(&'a [u8]),
}

/// Sorts `datagram`; the whole of it is handed on.
#[must_use]
pub fn classify(datagram: &[u8]) -> Datagram<'_> {
    //= spec/frames.md#pp-frame-1
    //# An empty datagram is dropped.
    //= spec/frames.md#pp-frame-2
    //# A datagram whose first byte is below 0x10 is a beacon message, any other a frame.
    match datagram.first() {
        None => Datagram::Empty,
        Some(&first) if first < FRAME_FIRST_BYTE => Datagram::Beacon(datagram),
        Some(_) => Datagram::Frame(datagram),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/frames.md#pp-frame-1
    //= type=test
    //# An empty datagram is dropped.
    //= spec/frames.md#pp-frame-2
    //= type=test
    //# A datagram whose first byte is below 0x10 is a beacon message, any other a frame.
    #[test]
    fn the_first_byte_decides() {
        assert_eq!(classify(&[]), Datagram::Empty);
        for first in 0..=u8::MAX {
            let bytes = [first, 0];
            let expected = if first < 0x10 { Datagram::Beacon(&bytes) } else { Datagram::Frame(&bytes) };
            assert_eq!(classify(&bytes), expected);
        }
    }
}
