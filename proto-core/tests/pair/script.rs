//! One connection of ours against a script.

use super::Packet;
use core::time::Duration;
use proto_core::Timestamp;
use proto_core::seq::SeqNumber;
use proto_core::stream::{CloseReason, Connection, Flags, Params, StreamEvent};
use proto_core::wire::sack::{Sack, SackBlock};

/// One connection of ours against a hand-made peer of the reference's kind.
pub struct Script {
    pub now: Timestamp,
    pub ours: Connection,
    buffer: Vec<u8>,
}

impl Script {
    /// Ours dials with ISN 500, the peer answers with ISN 0 and `window`.
    pub fn dialled(params: Params, window: u16) -> Self {
        Self::answered(params, window, b"", Duration::ZERO)
    }

    /// The same with a SYN-ACK that carries `options` and comes after `rtt`.
    pub fn answered(params: Params, window: u16, options: &[u8], rtt: Duration) -> Self {
        let mut script = Self::dialling(params);
        script.now = script.now + rtt;
        script.receive(Flags::SYN | Flags::ACK, 0, 501, window, options);
        assert_eq!(script.sent().len(), 1, "the ACK");
        script
    }

    /// Our SYN with ISN 500 left.
    pub fn dialling(params: Params) -> Self {
        let now = Timestamp::from_micros(1);
        let mut script = Self { now, ours: Connection::connect(params, SeqNumber(500), now), buffer: vec![0; 65_535] };
        assert_eq!(script.sent().len(), 1);
        script
    }

    pub fn sent(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some(header) = self.ours.poll_segment(self.now, &mut self.buffer) {
            packets.push(Packet::new(&header, &self.buffer));
            assert!(packets.len() < 10_000);
        }
        packets
    }

    pub fn receive(&mut self, flags: Flags, seq: u32, ack: u32, window: u16, payload: &[u8]) {
        self.ours.handle_segment(self.now, &Packet::of(flags, seq, ack, window, payload).segment());
    }

    pub fn write(&mut self, data: &[u8]) {
        assert_eq!(self.ours.write(self.now, data), Ok(data.len()));
    }

    /// Lets `span` pass and gives what is sent meanwhile, with the time since now in milliseconds.
    pub fn wait(&mut self, span: Duration) -> Vec<(u64, Packet)> {
        let (start, end) = (self.now, self.now + span);
        let mut packets = Vec::new();
        loop {
            let millis = self.now.saturating_since(start).as_millis() as u64;
            packets.extend(self.sent().into_iter().map(|packet| (millis, packet)));
            let Some((at, _)) = self.ours.poll_timeout().filter(|(at, _)| *at <= end) else { break };
            self.now = at;
            self.ours.handle_timeout(at);
        }
        self.now = end;
        packets
    }

    pub fn closed(&mut self) -> Option<CloseReason> {
        core::iter::from_fn(|| self.ours.poll_event()).find_map(|event| match event {
            StreamEvent::Closed(reason) => Some(reason),
            StreamEvent::Connected | StreamEvent::Readable | StreamEvent::Writable | StreamEvent::Finished => None,
        })
    }
}

/// The payload with these blocks.
pub fn sack(blocks: &[(u32, u32)]) -> Vec<u8> {
    let mut sack = Sack::new();
    for (left, right) in blocks {
        assert!(sack.push(SackBlock { left: SeqNumber(*left), right: SeqNumber(*right) }));
    }
    let mut out = vec![0; sack.encoded_len()];
    assert_eq!(sack.emit(&mut out), Ok(out.len()));
    out
}
