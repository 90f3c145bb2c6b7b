//! Decides which UDP sockets of a node are open, and serves all of them. Refuses to know what they are for.

use core::future::poll_fn;
use core::task::Poll;
use proto_core::limits::MAX_EXTRA_SOCKETS;
use proto_core::{SocketId, Transmit};
use runtime_common::udp::Sent;
use runtime_common::{UdpBatch, UdpIo};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What the endpoint wants done with sockets beside the first.
#[derive(Debug)]
pub(crate) enum SocketCommand {
    Open(u16),
    Close(Vec<SocketId>),
}

/// The socket that always exists, and those opened for a while.
#[derive(Debug)]
pub(crate) struct Sockets {
    first: UdpIo<UdpSocket>,
    extra: BTreeMap<SocketId, UdpIo<UdpSocket>>,
    /// Numbers go round, so that a late answer of the endpoint never means another socket.
    last: u16,
}

impl Sockets {
    pub(crate) fn new(first: UdpIo<UdpSocket>) -> Self {
        Self { first, extra: BTreeMap::new(), last: 0 }
    }

    pub(crate) fn first(&self) -> &UdpIo<UdpSocket> {
        &self.first
    }

    pub(crate) fn find(&self, id: SocketId) -> Option<&UdpIo<UdpSocket>> {
        if id == self.first.id() { Some(&self.first) } else { self.extra.get(&id) }
    }

    /// Carries a command out. Opening tells what was opened.
    pub(crate) fn command(&mut self, command: SocketCommand) -> Option<Vec<SocketId>> {
        match command {
            SocketCommand::Open(count) => Some((0..count).map_while(|_| self.open()).collect()),
            SocketCommand::Close(ids) => {
                for id in ids {
                    self.extra.remove(&id);
                }
                None
            }
        }
    }

    fn open(&mut self) -> Option<SocketId> {
        if self.extra.len() >= MAX_EXTRA_SOCKETS {
            return None;
        }
        let id = loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.extra.contains_key(&SocketId(self.last)) {
                break SocketId(self.last);
            }
        };
        let address = SocketAddr::new(self.first.local_address().ip(), 0);
        let opened = UdpIo::bind(id, address).and_then(|(io, _)| io.wrap(UdpSocket::from_std));
        match opened {
            Ok(io) => {
                self.extra.insert(id, io);
                Some(id)
            }
            Err(error) => {
                tracing::warn!(%error, "no further UDP socket for finding a direct path");
                None
            }
        }
    }

    /// Takes one batch from the first socket that has something. `false` when none has.
    ///
    /// # Errors
    ///
    /// When the first socket is unusable; another one is closed then.
    pub(crate) fn receive(&mut self, batch: &mut UdpBatch) -> io::Result<bool> {
        if receive_from(&self.first, batch)? {
            return Ok(true);
        }
        let mut broken = None;
        for (id, io) in &self.extra {
            match receive_from(io, batch) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(_) => broken = Some(*id),
            }
        }
        if let Some(id) = broken {
            self.extra.remove(&id);
        }
        Ok(false)
    }

    /// As [`UdpIo::send`], unless the socket is full.
    pub(crate) fn send(io: &UdpIo<UdpSocket>, transmit: &Transmit, bytes: &[u8]) -> io::Result<Sent> {
        io.socket().try_io(Interest::WRITABLE, || io.send(transmit, bytes))
    }

    /// Waits until a socket has something to read, or `blocked` can be written to.
    pub(crate) async fn ready(&self, blocked: Option<SocketId>) {
        poll_fn(|cx| {
            let mut ready =
                blocked.and_then(|id| self.find(id)).is_some_and(|io| io.socket().poll_send_ready(cx).is_ready());
            for io in core::iter::once(&self.first).chain(self.extra.values()) {
                ready |= io.socket().poll_recv_ready(cx).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn receive_from(io: &UdpIo<UdpSocket>, batch: &mut UdpBatch) -> io::Result<bool> {
    match io.socket().try_io(Interest::READABLE, || io.receive(batch)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_core::Input;

    #[tokio::test]
    async fn further_sockets_open_receive_and_close() {
        let (io, _) = UdpIo::bind(SocketId(0), "127.0.0.1:0".parse().unwrap()).unwrap();
        let mut sockets = Sockets::new(io.wrap(UdpSocket::from_std).unwrap());
        let opened = sockets.command(SocketCommand::Open(3)).unwrap();
        let ports: std::collections::BTreeSet<_> =
            opened.iter().map(|id| sockets.find(*id).unwrap().local_address().port()).collect();
        assert_eq!(ports.len(), 3);
        let to = sockets.find(opened[1]).unwrap().local_address();
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"here", to).unwrap();
        let mut batch = UdpBatch::new();
        loop {
            sockets.ready(None).await;
            if sockets.receive(&mut batch).unwrap() {
                break;
            }
        }
        let mut inputs = batch.received().flat_map(|received| received.datagrams());
        assert!(matches!(inputs.next(), Some(Input::Datagram { via, .. }) if via == opened[1]));
        drop(inputs);
        assert!(sockets.command(SocketCommand::Close(vec![opened[1]])).is_none());
        assert!(sockets.find(opened[1]).is_none() && sockets.find(opened[0]).is_some());
        let more = sockets.command(SocketCommand::Open(u16::MAX)).unwrap();
        assert!(more.len() <= MAX_EXTRA_SOCKETS - 2 && !more.contains(&opened[0]), "bounded, whatever is asked for");
    }
}
