//! The states of a connection and the only ways between them (`spec/session.md`).

/// Where a connection is. There is no half-close: after a FIN in either direction no data flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Dialled; no answer yet.
    SynSent,
    /// Answered a SYN; data may be sent, nothing was heard since.
    SynReceived,
    /// Data flows.
    Established,
    /// Everything is acknowledged but our FIN.
    FinWait,
    /// Our FIN was acknowledged; the numbers rest.
    TimeWait,
    /// The peer's FIN was acknowledged; it is acknowledged again when it comes again.
    Lingering,
    /// Nothing is left to do.
    Closed,
}

/// What moves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// A SYN-ACK that acknowledges our SYN.
    SynAnswered,
    /// The first acknowledgement of our SYN-ACK.
    HandshakeAcknowledged,
    /// Our FIN leaves for the first time.
    FinSent,
    /// Our FIN was acknowledged.
    FinAcknowledged,
    /// The peer's FIN, with everything before it.
    PeerFinished,
    /// The peer reset, we reset, or somebody gave up.
    Aborted,
    /// The rest is over.
    RestOver,
}

/// Every transition there is. Whatever is not in it does not happen.
//= spec/session.md#pp-ses-2
//# A connection moves only along the transitions SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT, TIME_WAIT, CLOSED as the table of the
//# state machine lists them.
pub const TRANSITIONS: [(State, Cue, State); 16] = [
    (State::SynSent, Cue::SynAnswered, State::Established),
    (State::SynSent, Cue::Aborted, State::Closed),
    (State::SynReceived, Cue::HandshakeAcknowledged, State::Established),
    (State::SynReceived, Cue::PeerFinished, State::Lingering),
    (State::SynReceived, Cue::Aborted, State::Closed),
    (State::Established, Cue::FinSent, State::FinWait),
    (State::Established, Cue::PeerFinished, State::Lingering),
    (State::Established, Cue::Aborted, State::Closed),
    // Both finished at once: our own FIN still waits for its acknowledgement.
    (State::FinWait, Cue::PeerFinished, State::FinWait),
    (State::FinWait, Cue::FinAcknowledged, State::TimeWait),
    (State::FinWait, Cue::Aborted, State::Closed),
    (State::TimeWait, Cue::PeerFinished, State::TimeWait),
    (State::TimeWait, Cue::Aborted, State::Closed),
    (State::TimeWait, Cue::RestOver, State::Closed),
    (State::Lingering, Cue::Aborted, State::Closed),
    (State::Lingering, Cue::RestOver, State::Closed),
];

impl State {
    /// The state after `cue`, or `None` when the cue means nothing here.
    #[must_use]
    pub fn after(self, cue: Cue) -> Option<Self> {
        TRANSITIONS.iter().find(|(from, with, _)| (*from, *with) == (self, cue)).map(|(_, _, to)| *to)
    }

    /// Our data may be sent.
    #[must_use]
    pub const fn sends_data(self) -> bool {
        matches!(self, Self::SynReceived | Self::Established)
    }

    /// The name of RFC 9293 in lower case with underscores. A lingering connection is CLOSED, as the draft has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::Established => "established",
            Self::FinWait => "fin_wait",
            Self::TimeWait => "time_wait",
            Self::Lingering | Self::Closed => "closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/session.md#pp-ses-2
    //= type=test
    //# A connection moves only along the transitions SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT, TIME_WAIT, CLOSED as the table of the
    //# state machine lists them.
    #[test]
    fn the_table_reads_as_specified() {
        let printed: Vec<String> =
            TRANSITIONS.iter().map(|(from, cue, to)| format!("{from:?} {cue:?} {to:?}")).collect();
        assert_eq!(
            printed.join("\n"),
            "SynSent SynAnswered Established\n\
             SynSent Aborted Closed\n\
             SynReceived HandshakeAcknowledged Established\n\
             SynReceived PeerFinished Lingering\n\
             SynReceived Aborted Closed\n\
             Established FinSent FinWait\n\
             Established PeerFinished Lingering\n\
             Established Aborted Closed\n\
             FinWait PeerFinished FinWait\n\
             FinWait FinAcknowledged TimeWait\n\
             FinWait Aborted Closed\n\
             TimeWait PeerFinished TimeWait\n\
             TimeWait Aborted Closed\n\
             TimeWait RestOver Closed\n\
             Lingering Aborted Closed\n\
             Lingering RestOver Closed"
        );
        assert_eq!(State::Closed.after(Cue::PeerFinished), None);
        assert_eq!(State::SynReceived.after(Cue::FinSent), None, "a FIN waits for the handshake");
    }
}
