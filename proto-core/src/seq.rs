//! Serial-number arithmetic on 32-bit sequence numbers (RFC 9293 section 3.4, RFC 1982).

use core::ops::{Add, AddAssign, Sub};

/// A sequence number of a stream: counts bytes, wraps at 2^32.
///
/// `Sub` gives the signed distance; comparisons hold for distances below 2^31. It is not `Ord`: serial order is not total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// `self` lies after `other`: `(self - other) mod 2^32`, read as a signed number, is positive.
    #[must_use]
    //= spec/reliability.md#pp-rel-1
    //# Sequence numbers count bytes and wrap at 2^32; they are compared as serial numbers.
    pub const fn after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// `self` lies before `other`.
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        other.after(self)
    }

    /// `self` is `other` or lies after it.
    #[must_use]
    pub const fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }

    /// `self` is `other` or lies before it.
    #[must_use]
    pub const fn at_or_before(self, other: Self) -> bool {
        !self.after(other)
    }

    /// Bytes from `earlier` to `self`, zero when `self` lies before it.
    #[must_use]
    pub const fn bytes_since(self, earlier: Self) -> u32 {
        if self.before(earlier) { 0 } else { self.0.wrapping_sub(earlier.0) }
    }
}

impl Add<u32> for SeqNumber {
    type Output = Self;

    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for SeqNumber {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub for SeqNumber {
    type Output = i32;

    fn sub(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let low = SeqNumber(0xFFFF_FFF0);
        assert!((low + 0x20).after(low));
        assert!(low.before(low + 0x20));
        assert_eq!((low + 0x20).bytes_since(low), 0x20);
        assert_eq!(low.bytes_since(low + 1), 0);
        assert!(!low.after(low) && low.at_or_after(low) && low.at_or_before(low));
    }
}
