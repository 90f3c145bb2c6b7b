//! Flow control: how much the peer lets us send, and what we advertise (`spec/flow.md`).
//!
//! The reference counts its window in segments of unclear size, so toward it both segments and bytes are counted. A peer of ours counts
//! units of 2^shift bytes, and never takes back what it offered. Windows on SYN and SYN-ACK are in the draft's units, always.

use crate::limits::STREAM_REFERENCE_SEGMENTS;

/// The unit of our window field toward the reference, which multiplies it by 4096 or 1152.
pub(super) const REFERENCE_UNIT: u64 = 4096;
/// The largest window field the reference is told.
const REFERENCE_MAXIMUM: u64 = 512;
/// Segments of the reference's window that are kept for looking whether it opened, and at most this part of the largest it showed:
/// it never tells that it opened, and a segment into a full queue halts all its streams for a second.
const RESERVE: u16 = 64;
const RESERVE_PART: u16 = 8;

/// How a peer reads and writes the window field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Segments, as in the draft.
    Segments,
    /// 2^shift bytes.
    Bytes {
        /// Of the field we send.
        ours: u8,
        /// Of the field the peer sends.
        theirs: u8,
    },
}

impl Unit {
    /// The field for `free` bytes, and the bytes it grants.
    pub(super) fn advertise(self, free: u64) -> (u16, u64) {
        match self {
            Self::Segments => {
                //= spec/flow.md#pp-flow-1
                //# The window field tells how much more the receiver takes.
                //= spec/flow.md#pp-flow-2
                //# Toward a peer that is not known to be ours the window field counts units of 4096 bytes, at most 512.
                let units = (free / REFERENCE_UNIT).min(REFERENCE_MAXIMUM);
                (u16::try_from(units).unwrap_or(u16::MAX), units * REFERENCE_UNIT)
            }
            Self::Bytes { ours, .. } => {
                //= spec/flow.md#pp-flow-3
                //# Between two peers of ours the window field counts 2^shift bytes, each direction with the shift its sender announced.
                let units = u16::try_from(free >> ours).unwrap_or(u16::MAX);
                (units, u64::from(units) << ours)
            }
        }
    }
}

/// The smallest shift whose largest field covers `buffer` bytes.
pub(super) fn shift_for(buffer: usize) -> u8 {
    (0..=crate::wire::options::MAX_WINDOW_SHIFT)
        .find(|shift| buffer >> shift <= usize::from(u16::MAX))
        .unwrap_or(crate::wire::options::MAX_WINDOW_SHIFT)
}

/// What the peer offered.
#[derive(Debug)]
pub(super) struct PeerWindow {
    unit: Unit,
    /// The offset up to which the peer takes data, for units of bytes.
    edge: u64,
    /// The peer's last window field, for units of segments.
    segments: u16,
    /// The largest of them.
    largest: u16,
    /// The acknowledgment the field came with: an older one does not replace it.
    told_at: u64,
    /// An unclear zero came: the next flight is one segment.
    cautious: bool,
}

/// What a window field came on.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowNews {
    pub(super) field: u16,
    /// SND.UNA after the segment.
    pub(super) una: u64,
    /// Data, or an acknowledgement of something while data was outstanding: a zero then means closed.
    pub(super) zero_counts: bool,
}

impl PeerWindow {
    /// The window of a SYN or SYN-ACK.
    pub(super) fn new(unit: Unit, field: u16) -> Self {
        let edge = u64::from(field) * REFERENCE_UNIT;
        Self { unit, edge, segments: field, largest: field, told_at: 0, cautious: false }
    }

    /// Takes a window field from a segment with an acceptable acknowledgment.
    pub(super) fn update(&mut self, news: WindowNews) {
        match self.unit {
            //= spec/flow.md#pp-flow-4
            //# A window once offered between peers of ours is never taken back.
            Unit::Bytes { theirs, .. } => self.edge = self.edge.max(news.una + (u64::from(news.field) << theirs)),
            Unit::Segments if news.una < self.told_at => {}
            Unit::Segments => {
                self.told_at = news.una;
                //= spec/flow.md#pp-flow-6
                //# A window of 0 on data, or on an ACK that acknowledges something outstanding, means closed.
                //= spec/flow.md#pp-flow-7
                //# A window of 0 on an empty ACK with nothing outstanding does not close the window; the next flight is one segment.
                if news.field == 0 && !news.zero_counts {
                    self.cautious = true;
                } else {
                    self.segments = news.field;
                    self.largest = self.largest.max(news.field);
                    self.cautious = false;
                }
            }
        }
    }

    /// Bytes the peer would take beyond `next`, in a segment of at most `mss` bytes, with `outstanding` segments. The reserve is left out.
    pub(super) fn room(&self, una: u64, next: u64, outstanding: usize, mss: u64) -> u64 {
        match self.unit {
            Unit::Bytes { .. } => self.edge.saturating_sub(next),
            Unit::Segments => {
                let most =
                    if self.cautious { self.segments.min(1) } else { self.segments.saturating_sub(self.reserve()) };
                //= spec/flow.md#pp-flow-5
                //# No more segments than the peer's window says are outstanding.
                //= spec/reliability.md#pp-rel-17
                //# At most 128 segments are outstanding toward a peer that is not known to be ours.
                if outstanding >= usize::from(most).min(STREAM_REFERENCE_SEGMENTS) {
                    return 0;
                }
                (u64::from(most) * mss).saturating_sub(next - una)
            }
        }
    }

    /// Nothing may be sent but, now and then, a single segment that brings back the window.
    pub(super) fn only_reserve_left(&self) -> bool {
        self.unit == Unit::Segments && (1..=self.reserve()).contains(&self.segments)
    }

    fn reserve(&self) -> u16 {
        RESERVE.min(self.largest / RESERVE_PART)
    }

    /// The peer's window in bytes, for display.
    pub(super) fn bytes(&self, una: u64, mss: u64) -> u64 {
        match self.unit {
            Unit::Bytes { .. } => self.edge.saturating_sub(una),
            Unit::Segments => u64::from(self.segments) * mss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn news(field: u16, una: u64, zero_counts: bool) -> WindowNews {
        WindowNews { field, una, zero_counts }
    }

    //= spec/flow.md#pp-flow-1
    //= type=test
    //# The window field tells how much more the receiver takes.
    //= spec/flow.md#pp-flow-2
    //= type=test
    //# Toward a peer that is not known to be ours the window field counts units of 4096 bytes, at most 512.
    #[test]
    fn the_reference_is_told_units_of_4096_and_at_most_512() {
        assert_eq!(Unit::Segments.advertise(4095), (0, 0));
        assert_eq!(Unit::Segments.advertise(10_000), (2, 8192));
        assert_eq!(Unit::Segments.advertise(1 << 30), (512, 2 << 20));
    }

    //= spec/flow.md#pp-flow-3
    //= type=test
    //# Between two peers of ours the window field counts 2^shift bytes, each direction with the shift its sender announced.
    #[test]
    fn eight_mebibytes_fit_the_field_between_our_own() {
        let shift = shift_for(8 << 20);
        assert_eq!(shift, 8);
        assert_eq!(Unit::Bytes { ours: shift, theirs: 0 }.advertise(8 << 20), (32768, 8 << 20));
        assert_eq!(shift_for(65_535), 0);
    }

    #[test]
    fn a_reference_window_counts_segments_and_bytes() {
        let mut window = PeerWindow::new(Unit::Segments, 4);
        assert_eq!(window.room(0, 0, 0, 1000), 4000);
        assert_eq!(window.room(0, 40, 4, 1000), 0, "four small segments fill it");
        window.update(news(512, 0, true));
        assert_eq!(window.room(0, 0, 128, 1000), 0, "never more than 128 segments");
    }

    //= spec/flow.md#pp-flow-6
    //= type=test
    //# A window of 0 on data, or on an ACK that acknowledges something outstanding, means closed.
    #[test]
    fn a_zero_closes_only_when_it_can_mean_that() {
        let mut window = PeerWindow::new(Unit::Segments, 100);
        window.update(news(0, 0, false));
        assert!(window.room(0, 0, 0, 1000) > 0 && window.room(0, 1000, 1, 1000) == 0, "one segment at a time");
        window.update(news(0, 10, true));
        assert_eq!(window.room(10, 10, 0, 1000), 0);
        window.update(news(50, 5, true));
        assert_eq!(window.room(10, 10, 0, 1000), 0, "older news is ignored");
    }

    //= spec/flow.md#pp-flow-4
    //= type=test
    //# A window once offered between peers of ours is never taken back.
    #[test]
    fn a_peer_of_ours_never_takes_back_what_it_offered() {
        let mut window = PeerWindow::new(Unit::Bytes { ours: 8, theirs: 4 }, 2);
        assert_eq!(window.room(0, 0, 0, 1000), 8192);
        window.update(news(1000, 0, true));
        window.update(news(10, 0, true));
        assert_eq!(window.room(0, 0, 5000, 1000), 16_000);
    }
}
