//! What one received UDP datagram is (data-plane section 3.1). Decides by the first byte alone; who may send what is not its subject.

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
    match datagram.first() {
        None => Datagram::Empty,
        Some(&first) if first < FRAME_FIRST_BYTE => Datagram::Beacon(datagram),
        Some(_) => Datagram::Frame(datagram),
    }
}
