//! Opening, in both roles (`spec/session.md`).

use super::ack::AckPolicy;
use super::event::EventFlags;
use super::outgoing::Outgoing;
use super::probe::WindowProbe;
use super::receive::Receiver;
use super::state::{Cue, State};
use super::timers::Timers;
use super::window::{PeerWindow, Unit, shift_for};
use super::{CloseReason, Connection, Counters, Flags, Params, REFERENCE_MSS, Segment, SegmentHeader, StreamTimer};
use crate::congestion::{Algorithm as _, Controller, Settings};
use crate::limits::{STREAM_EARLY_SEGMENTS, STREAM_LEAST_SEGMENT, STREAM_REFERENCE_RECEIVE_BUFFER};
use crate::seq::SeqNumber;
use crate::time::Timestamp;
use crate::wire::options::Options;
use bytes::Bytes;
use core::time::Duration;

/// The draft's schedule is 1, 2, 4, 8 s; a known round-trip time shortens its start.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const LEAST_INTERVAL: Duration = Duration::from_millis(200);
const LONGEST_INTERVAL: Duration = Duration::from_secs(8);
/// A SYN that comes so long after our answer is no late copy; numbers rest as long after the end of a connection (PP-SES-20).
const LATEST_COPY: Duration = Duration::from_secs(10);
/// A keepalive that is due again at once would be due for ever.
const LEAST_KEEPALIVE: Duration = Duration::from_millis(1);
/// A SYN or SYN-ACK and five repetitions.
const MAX_ATTEMPTS: u32 = 6;
/// A repeated SYN-ACK or FIN is answered this often at most.
pub(super) const REPEAT_INTERVAL: Duration = Duration::from_millis(100);

/// What opening needs to remember.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) isn: SeqNumber,
    /// The sequence number of the peer's SYN, when it sent one.
    peer_syn: Option<SeqNumber>,
    /// A SYN or SYN-ACK is to be sent now.
    pub(super) owed: bool,
    attempts: u32,
    sent_at: Timestamp,
    offer: Option<Options>,
    /// Data that overtook the SYN-ACK.
    early: Vec<(SeqNumber, Bytes)>,
    /// A stale SYN-ACK was answered with RST and another SYN, which is done once.
    restarted: bool,
    /// The last answer to something repeated.
    pub(super) repeated_at: Option<Timestamp>,
}

impl Handshake {
    /// `syn` is the one this connection answered.
    pub(super) fn is_repeated(&self, syn: &Segment<'_>) -> bool {
        self.peer_syn == Some(syn.seq)
    }

    /// An answer to a repetition is allowed now, and counted.
    pub(super) fn may_repeat(&mut self, now: Timestamp) -> bool {
        let may = self.repeated_at.is_none_or(|at| now.saturating_since(at) >= REPEAT_INTERVAL);
        if may {
            self.repeated_at = Some(now);
        }
        may
    }

    fn interval(&self, rtt: Option<Duration>) -> Duration {
        // A slow path may be slow no more, and a dial has no more than 4.8 s.
        let first = rtt.map_or(FIRST_INTERVAL, |rtt| (rtt * 3).clamp(LEAST_INTERVAL, FIRST_INTERVAL));
        first.saturating_mul(1_u32 << self.attempts.saturating_sub(1).min(8)).min(LONGEST_INTERVAL)
    }
}

impl Connection {
    /// Dials. `isn` is random and below 2^31 (PP-SES-4). The SYN's timer starts when it is first polled.
    #[must_use]
    pub fn connect(params: Params, isn: SeqNumber, now: Timestamp) -> Self {
        let mut connection = Self::new(params, isn, SeqNumber(0), 0, State::SynSent);
        connection.timers.set(StreamTimer::Idle, now + params.idle_timeout);
        connection
    }

    /// Answers `syn`.
    #[must_use]
    pub fn accept(params: Params, isn: SeqNumber, now: Timestamp, syn: &Segment<'_>) -> Self {
        let mut connection = Self::new(params, isn, syn.seq + 1, syn.window, State::SynReceived);
        connection.handshake.peer_syn = Some(syn.seq);
        connection.settle(Options::parse(syn.payload), syn.window);
        connection.timers.set(StreamTimer::Idle, now + params.idle_timeout);
        connection.counters.segments_received = 1;
        connection
    }

    fn new(params: Params, isn: SeqNumber, expected: SeqNumber, window: u16, state: State) -> Self {
        let offer = params.offer_capabilities.map(|capabilities| Options {
            capabilities,
            max_segment: params.max_segment_accepted,
            window_shift: shift_for(params.receive_buffer),
        });
        let params = Params { keepalive: params.keepalive.max(LEAST_KEEPALIVE), ..params };
        let mss = params.mss.min(REFERENCE_MSS);
        let control = Controller::new_reno(Settings::reference(mss.into()));
        Self {
            params,
            state,
            handshake: Handshake {
                isn,
                peer_syn: None,
                owed: true,
                attempts: 0,
                sent_at: Timestamp::ZERO,
                offer,
                early: Vec::new(),
                restarted: false,
                repeated_at: None,
            },
            out: Outgoing::new(isn, PeerWindow::new(Unit::Segments, window), control),
            receiver: Receiver::new(expected, params.receive_buffer),
            acks: AckPolicy::default(),
            probe: WindowProbe::default(),
            timers: Timers::new(),
            events: EventFlags::default(),
            counters: Counters::default(),
            unit: Unit::Segments,
            mss: mss.into(),
            path_mss: params.mss,
            peer_mss: REFERENCE_MSS,
            advertised: 0,
            window_updates: 0,
            push: false,
            finishing: false,
            fins_sent: 0,
            fin_owed: false,
            reset_owed: false,
            probe_owed: false,
            reason: None,
            reader_done: false,
        }
    }

    /// The peer's SYN or SYN-ACK is there: both sides now know whether they are of one kind.
    fn settle(&mut self, peer: Option<Options>, window: u16) {
        //= spec/versioning.md#pp-ver-1
        //# A peer is taken for ours by an options block inside the tunnel and by nothing that a third party sees.
        //= spec/versioning.md#pp-ver-2
        //# A peer without an options block gets exactly the draft's protocol.
        if let (Some(offer), Some(peer)) = (self.handshake.offer, peer) {
            self.unit = Unit::Bytes { ours: offer.window_shift, theirs: peer.window_shift };
            self.peer_mss = peer.max_segment.max(1);
        } else {
            self.handshake.offer = None;
            self.receiver.open_fully(STREAM_REFERENCE_RECEIVE_BUFFER);
        }
        self.out.window = PeerWindow::new(self.unit, window);
        self.apply_segment_size();
    }

    /// Recomputes the segment size after one of its limits changed.
    pub(super) fn apply_segment_size(&mut self) {
        self.mss = self.path_mss.min(self.peer_mss).max(STREAM_LEAST_SEGMENT).into();
        let reference = Settings::reference(self.mss);
        let settings = if self.peer_is_ours() {
            let buffers = self.params.receive_buffer.max(self.params.send_buffer) as u64;
            Settings { maximum: buffers.max(reference.maximum), slow_start_limit: None, ..reference }
        } else {
            reference
        };
        self.out.control.set(settings);
    }

    /// A SYN on this connection: answered as the first time, or not at all.
    pub(super) fn on_syn(&mut self, now: Timestamp, syn: &Segment<'_>) {
        let unused = self.receiver.received() == 0 && self.out.next == 0;
        let opening = match self.state {
            State::SynReceived => true,
            // The reference begins with number 0 whenever it is started: so late that is another connection's SYN.
            State::Established => {
                self.peer_is_ours() || unused || now.saturating_since(self.handshake.sent_at) < LATEST_COPY
            }
            State::SynSent | State::FinWait | State::TimeWait | State::Lingering | State::Closed => false,
        };
        self.handshake.owed |= opening && self.handshake.is_repeated(syn);
    }

    pub(super) fn on_syn_ack(&mut self, now: Timestamp, segment: &Segment<'_>) {
        if self.state != State::SynSent {
            if self.state == State::Established && self.handshake.may_repeat(now) {
                self.acks.owe();
            }
            return;
        }
        //= spec/session.md#pp-ses-6
        //# The dialler is established when a SYN-ACK acknowledges its own number plus one, and answers with ACK.
        //= spec/session.md#pp-ses-7
        //# A SYN-ACK that acknowledges another number is answered with RST and one more SYN, once.
        if segment.ack != self.handshake.isn + 1 {
            if !core::mem::replace(&mut self.handshake.restarted, true) {
                self.reset_owed = true;
                self.handshake.owed = true;
            }
            return;
        }
        if self.handshake.attempts == 1 {
            self.out.rtt.sample(now.saturating_since(self.handshake.sent_at));
        }
        let early = core::mem::take(&mut self.handshake.early);
        // The reference's second SYN-ACK may show a number beyond the first data: start at the data then.
        let told = segment.seq + 1;
        let start = early.iter().fold(told, |lowest, (seq, _)| if seq.before(lowest) { *seq } else { lowest });
        self.receiver = Receiver::new(start, self.params.receive_buffer);
        self.settle(Options::parse(segment.payload), segment.window);
        self.move_on(Cue::SynAnswered);
        self.established(now);
        self.acks.owe();
        for (seq, payload) in early {
            self.on_data(now, seq, &payload);
        }
    }

    /// Keeps data that overtook the SYN-ACK.
    pub(super) fn on_early(&mut self, segment: &Segment<'_>) {
        let acknowledges = segment.ack == self.handshake.isn + 1;
        //= spec/session.md#pp-ses-11
        //# Data that overtakes the SYN-ACK is kept, up to 16 segments, and delivered after it.
        if acknowledges && !segment.payload.is_empty() && self.handshake.early.len() < STREAM_EARLY_SEGMENTS {
            self.handshake.early.push((segment.seq, Bytes::copy_from_slice(segment.payload)));
        }
    }

    /// The first acknowledgement of our SYN-ACK arrived, when `segment` is one.
    pub(super) fn on_handshake_ack(&mut self, now: Timestamp, segment: &Segment<'_>) -> bool {
        if self.out.offset(segment.ack).is_none_or(|offset| offset > self.out.next) {
            return false;
        }
        if self.handshake.attempts == 1 && self.out.next == 0 {
            self.out.rtt.sample(now.saturating_since(self.handshake.sent_at));
        }
        self.move_on(Cue::HandshakeAcknowledged);
        self.established(now);
        true
    }

    fn established(&mut self, now: Timestamp) {
        self.handshake.owed = false;
        self.timers.clear(StreamTimer::Handshake);
        self.timers.set(StreamTimer::Keepalive, now + self.params.keepalive);
        self.events.connected();
    }

    /// The SYN or SYN-ACK that is owed; always with the values it had the first time.
    pub(super) fn poll_handshake(&mut self, now: Timestamp, payload: &mut [u8]) -> Option<SegmentHeader> {
        if !core::mem::take(&mut self.handshake.owed) {
            return None;
        }
        self.handshake.attempts += 1;
        self.handshake.sent_at = now;
        if self.state != State::Established {
            let interval = self.handshake.interval(self.params.initial_rtt);
            self.timers.set(StreamTimer::Handshake, now + interval);
        }
        let (window, granted) = Unit::Segments.advertise(self.receiver.window());
        self.advertised = self.advertised.max(granted);
        //= spec/session.md#pp-ses-3
        //# A dial sends SYN with a sequence number of its own choice and no acknowledgment.
        //= spec/session.md#pp-ses-5
        //# A SYN that is admitted is answered with SYN and ACK, acknowledging the SYN's number plus one.
        //= spec/session.md#pp-ses-10
        //# A repeated SYN is answered with the numbers of the first answer.
        let answer = self.handshake.peer_syn.map(|seq| seq + 1);
        Some(SegmentHeader {
            flags: if answer.is_some() { Flags::SYN | Flags::ACK } else { Flags::SYN },
            seq: self.handshake.isn,
            ack: answer.unwrap_or_default(),
            window,
            payload_len: self.handshake.offer.and_then(|offer| offer.emit(payload).ok()).unwrap_or(0),
            retransmission: self.handshake.attempts > 1,
        })
    }

    pub(super) fn on_handshake_timer(&mut self) {
        if !matches!(self.state, State::SynSent | State::SynReceived) {
            return;
        }
        //= spec/session.md#pp-ses-8
        //# A SYN without an answer is repeated at most five times, first after three round-trip times when these are known and shorter
        //# than 1 second, else after 1 second, then after twice as long each time up to 8 seconds.
        //= spec/session.md#pp-ses-9
        //# A SYN-ACK is repeated on the same schedule until something acknowledges it.
        if self.handshake.attempts >= MAX_ATTEMPTS {
            self.abort(CloseReason::RetransmissionLimit);
        } else {
            self.handshake.owed = true;
        }
    }
}
