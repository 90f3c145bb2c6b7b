//! What tests do with streams: dial, accept, move bytes.

use crate::net::{Net, target};
use proto_core::endpoint::{ReadError, WriteError};
use proto_core::rng::Rng;
use proto_core::{Event, StreamId};
use std::time::Duration;

impl Net {
    /// Dials from one host to a port of another and accepts there.
    #[track_caller]
    pub fn connect(&mut self, from: usize, to: usize, port: u16) -> (StreamId, StreamId) {
        let dialled = self.act(from, |endpoint, now| endpoint.dial(now, target(to, port))).unwrap();
        self.run_until(Duration::from_secs(5), |net| net.saw(from, &Event::Connected(dialled)));
        let mut accepted = None;
        self.run_until(Duration::from_secs(5), |net| {
            accepted = net.hosts[to].endpoint.accept(port);
            accepted.is_some()
        });
        (dialled, accepted.unwrap().0)
    }

    /// Moves `data` through a stream, finishes it, and returns what arrived by its end.
    #[track_caller]
    pub fn transfer(
        &mut self,
        from: (usize, StreamId),
        to: (usize, StreamId),
        data: &[u8],
        limit: Duration,
    ) -> Vec<u8> {
        self.move_bytes(from, to, data, limit, true)
    }

    /// Moves `data` through a stream that goes on afterwards.
    #[track_caller]
    pub fn transfer_part(
        &mut self,
        from: (usize, StreamId),
        to: (usize, StreamId),
        data: &[u8],
        limit: Duration,
    ) -> Vec<u8> {
        self.move_bytes(from, to, data, limit, false)
    }

    #[track_caller]
    fn move_bytes(
        &mut self,
        from: (usize, StreamId),
        to: (usize, StreamId),
        data: &[u8],
        limit: Duration,
        finish: bool,
    ) -> Vec<u8> {
        let (mut written, mut finished, mut received) = (0, !finish, Vec::new());
        let mut chunk = vec![0; 65_536];
        self.run_until(limit, |net| {
            while written < data.len() {
                match net.act(from.0, |endpoint, now| endpoint.write(now, from.1, &data[written..])) {
                    Ok(taken) => written += taken,
                    Err(WriteError::Blocked) => break,
                    Err(error) => panic!("write: {error:?}"),
                }
            }
            if written == data.len() && !finished {
                finished = true;
                net.act(from.0, |endpoint, now| endpoint.finish(now, from.1)).unwrap();
            }
            loop {
                match net.act(to.0, |endpoint, now| endpoint.read(now, to.1, &mut chunk)) {
                    Ok(0) => return true,
                    Ok(len) => received.extend_from_slice(&chunk[..len]),
                    Err(ReadError::Blocked) => return !finish && received.len() >= data.len(),
                    Err(error) => panic!("read: {error:?} after {} bytes", received.len()),
                }
            }
        });
        received
    }
}

/// Bytes that differ everywhere, so that a misplaced one shows.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut data = vec![0; len];
    Rng::new([seed; 32]).fill(&mut data);
    data
}
