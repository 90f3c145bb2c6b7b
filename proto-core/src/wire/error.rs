//! Why bytes are not a value, and why a value does not become bytes.

use core::fmt;

/// Why bytes were not understood. The receiver drops and counts them; nothing is ever answered because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Fewer bytes than the layout needs.
    Truncated,
    /// The CRC-32 does not match.
    Checksum,
    /// The packet has this version, not 1.
    Version(u8),
    /// The first four bytes are no known frame magic, or the first byte no known beacon message type.
    Magic,
    /// A frame kind that is known and deliberately not handled: the fragments (PILF) of a development line that was never released.
    Unsupported,
    /// A length larger than the protocol allows.
    TooLong,
    /// A field holds a value its layout does not allow.
    Malformed,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("fewer bytes than the layout needs"),
            Self::Checksum => f.write_str("the checksum does not match"),
            Self::Version(version) => write!(f, "packet version {version} instead of 1"),
            Self::Magic => f.write_str("unknown kind of frame or message"),
            Self::Unsupported => f.write_str("a kind of frame that is deliberately not handled"),
            Self::TooLong => f.write_str("longer than the protocol allows"),
            Self::Malformed => f.write_str("a field holds a value that is not allowed"),
        }
    }
}

impl core::error::Error for ParseError {}

/// Why a value was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmitError {
    /// The caller's buffer is shorter than `encoded_len`.
    BufferTooSmall,
    /// The value does not fit its length field or its limit.
    TooLong,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferTooSmall => "the output buffer is too small",
            Self::TooLong => "the value is longer than its length field can say",
        })
    }
}

impl core::error::Error for EmitError {}
