//! The model of streams: what each side wrote, what the other has read, and how both ended.

use super::world::{Checked, World};
use proto_core::StreamId;
use proto_core::endpoint::CloseReason;
use proto_core::rng::Rng;
use proto_core::wire::{Address, SocketAddress};
use std::sync::LazyLock;

const PATTERN: usize = 1 << 16;

/// Bytes that differ everywhere; each direction of each stream is somewhere else in them.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; 2 * PATTERN];
    Rng::new([77; 32]).fill(&mut bytes[..PATTERN]);
    bytes.copy_within(..PATTERN, PATTERN);
    bytes
});

/// One end of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    pub(super) host: usize,
    /// Which life of that host.
    pub(super) life: u64,
    pub(super) id: Option<StreamId>,
    /// Bytes it shall write, has written, and has read of the other's.
    pub(super) wanted: u64,
    pub(super) written: u64,
    pub(super) read: u64,
    /// It shall say, and has said, that no more comes.
    pub(super) finish: bool,
    pub(super) finished: bool,
    /// It has read the other's end.
    pub(super) saw_end: bool,
    /// It does not read for now.
    pub(super) rests: bool,
    /// Over at this end: closed, failed, let go of, or its host ended.
    pub(super) over: Option<String>,
}

/// A stream from its dial on.
#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub(super) port: u16,
    /// The dialler's port, by which the other end knows it.
    pub(super) from_port: u16,
    pub(super) connected: bool,
    /// The dialler's and the acceptor's end.
    pub(super) ends: [End; 2],
    /// Something was done that may break it.
    pub(super) excused: bool,
}

impl Conn {
    /// The bytes of `side` from `offset` on, at most `len`.
    pub(super) fn pattern(index: usize, side: usize, offset: u64, len: usize) -> &'static [u8] {
        let start = (index * 7_919 + side * 30_011 + usize::try_from(offset % PATTERN as u64).unwrap()) % PATTERN;
        &BYTES[start..][..len.min(PATTERN)]
    }

    /// Nothing more will happen to it.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.over.is_some() || end.id.is_none())
    }
}

impl World {
    /// A dial from one host to another.
    pub(super) fn dial(&mut self, one: usize, other: usize, port: u16) -> Option<usize> {
        let target = SocketAddress::new(Address::backbone(self.numbers[other]), port);
        let id = self.net.act(one, |endpoint, now| endpoint.dial(now, target)).ok()?;
        let status = self.net.hosts[one].endpoint.stream_status(id)?;
        let end = |host: usize| End { host, life: self.lives[host], ..End::default() };
        let mut ends = [end(one), end(other)];
        ends[0].id = Some(id);
        let from_port = status.local_port;
        let excused = !self.is_trusted_both_ways(one, other) || self.is_troubled(one) || self.is_troubled(other);
        self.conns.push(Conn { port, from_port, connected: false, ends, excused });
        Some(self.conns.len() - 1)
    }

    fn end_of(&self, host: usize, id: StreamId) -> Option<(usize, usize)> {
        let found = |end: &End| end.host == host && end.life == self.lives[host] && end.id == Some(id);
        let conns = self.conns.iter().enumerate().rev();
        conns
            .flat_map(|(index, conn)| [(index, 0, &conn.ends[0]), (index, 1, &conn.ends[1])])
            .find(|(_, _, end)| found(end))
            .map(|(index, side, _)| (index, side))
    }

    pub(super) fn connected(&mut self, host: usize, id: StreamId) -> Checked {
        let Some((index, side)) = self.end_of(host, id) else { return Err(format!("host {host} connected nothing")) };
        self.conns[index].connected = true;
        self.mark("connected");
        self.write_end(index, side);
        Ok(())
    }

    pub(super) fn accept(&mut self, host: usize, port: u16) -> Checked {
        while let Some((id, remote)) = self.net.hosts[host].endpoint.accept(port) {
            let from = self.host_of(remote.address.node).filter(|from| self.wants[host][*from]);
            let Some(from) = from else {
                return Err(format!(
                    "host {host} accepted a stream of node {}, which it does not trust",
                    remote.address
                ));
            };
            let fits = |conn: &Conn| {
                conn.ends[0].host == from
                    && conn.ends[1].host == host
                    && (conn.from_port, conn.port) == (remote.port, port)
            };
            let Some(index) = self.conns.iter().rposition(fits) else {
                return Err(format!("host {host} accepted a stream that host {from} never dialled"));
            };
            let life = self.lives[host];
            let end = &mut self.conns[index].ends[1];
            if end.id.is_some() && end.life == life {
                return Err(format!("host {host} accepted one stream of host {from} twice"));
            }
            // The listener's process may have begun anew since the dial.
            (end.id, end.life, end.over) = (Some(id), life, None);
            self.mark("accepted");
            self.read(host, id)?;
            self.write_end(index, 1);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, host: usize, id: StreamId) {
        if let Some((index, side)) = self.end_of(host, id) {
            self.write_end(index, side);
        }
    }

    /// Writes what is wanted as far as there is room, and finishes.
    pub(super) fn write_end(&mut self, index: usize, side: usize) {
        let established = self.conns[index].connected || side == 1;
        let End { host, life, id: Some(id), over: None, .. } = self.conns[index].ends[side] else { return };
        if !established || self.lives[host] != life || self.net.hosts[host].is_asleep() {
            return;
        }
        loop {
            let end = &self.conns[index].ends[side];
            let left = usize::try_from(end.wanted - end.written).unwrap_or(PATTERN);
            if left == 0 {
                break;
            }
            let data = Conn::pattern(index, side, end.written, left);
            let Ok(taken) = self.net.act(host, |endpoint, now| endpoint.write(now, id, data)) else { break };
            self.conns[index].ends[side].written += taken as u64;
        }
        let end = &mut self.conns[index].ends[side];
        if end.finish && !end.finished && end.written == end.wanted {
            end.finished = true;
            let _ = self.net.act(host, |endpoint, now| endpoint.finish(now, id));
        }
    }

    pub(super) fn read(&mut self, host: usize, id: StreamId) -> Checked {
        let Some((index, side)) = self.end_of(host, id) else { return Ok(()) };
        if self.conns[index].ends[side].rests {
            return Ok(());
        }
        loop {
            let chunk = &mut self.chunk;
            match self.net.act(host, |endpoint, now| endpoint.read(now, id, chunk)) {
                Ok(0) => return self.read_end(index, side),
                Ok(len) => self.take(index, side, len)?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// What was read is what the other end wrote next.
    fn take(&mut self, index: usize, side: usize, len: usize) -> Checked {
        let written = self.conns[index].ends[1 - side].written;
        let end = &mut self.conns[index].ends[side];
        let expected = Conn::pattern(index, 1 - side, end.read, len);
        if end.read + len as u64 > written || self.chunk[..len] != *expected {
            let at = self.chunk.iter().zip(expected).position(|(got, sent)| got != sent);
            return Err(format!("stream {index}: {len} bytes at {} of {written} differ, first at {at:?}", end.read));
        }
        end.read += len as u64;
        Ok(())
    }

    fn read_end(&mut self, index: usize, side: usize) -> Checked {
        let (own, other) = (&self.conns[index].ends[side], &self.conns[index].ends[1 - side]);
        // An idle timeout ends a stream with a FIN too.
        let ended = other.finished || other.over.as_deref() == Some("IdleTimeout");
        if side == 1 && (own.read != other.written || !ended) {
            let conn = &self.conns[index];
            return Err(format!("stream {index}: the end after {} of {} bytes: {conn:?}", own.read, other.written));
        }
        let end = &mut self.conns[index].ends[side];
        (end.saw_end, end.finish, end.wanted) = (true, true, end.written);
        self.write_end(index, side);
        Ok(())
    }

    pub(super) fn closed(&mut self, host: usize, id: StreamId, reason: CloseReason) -> Checked {
        self.read(host, id)?;
        self.mark(match reason {
            CloseReason::Finished => "closed_finished",
            CloseReason::Reset => "closed_reset",
            CloseReason::Revoked => "closed_revoked",
            CloseReason::RetransmissionLimit => "closed_retransmissions",
            CloseReason::IdleTimeout => "closed_idle",
            CloseReason::Local | CloseReason::Truncated | CloseReason::Unsent => "closed_otherwise",
        });
        // A reader that rests may still read what arrived; until then the end is kept.
        if let Some((index, side)) = self.end_of(host, id)
            && self.conns[index].ends[side].rests
        {
            self.conns[index].ends[side].rests = false;
            self.read(host, id)?;
        }
        self.end_is_over(host, id, &format!("{reason:?}"));
        Ok(())
    }

    /// Lets go of one end.
    pub(super) fn end_is_over(&mut self, host: usize, id: StreamId, why: &str) {
        self.net.act(host, |endpoint, now| endpoint.reset(now, id));
        if let Some((index, side)) = self.end_of(host, id) {
            self.conns[index].ends[side].over.get_or_insert_with(|| why.to_owned());
        }
    }
}
