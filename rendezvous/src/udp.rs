//! The beacon's UDP ports. Decides how many datagrams are handled before others get their turn.

use crate::hub::Hub;
use crate::limits::UDP_BURST;
use core::net::SocketAddr;
use core::time::Duration;
use runtime_common::buffers;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// A UDP socket on `address` with large kernel buffers.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(warning) = buffers::enlarge(&socket, buffers::WANTED)?.warning() {
        tracing::warn!("{warning}");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Handles the datagrams of UDP port number `number`. Never ends.
pub(crate) async fn serve(number: u8, socket: Arc<UdpSocket>, hub: Arc<Hub>) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        if let Err(error) = socket.readable().await {
            tracing::error!(%error, number, "a beacon port ended");
            return;
        }
        for _ in 0..UDP_BURST {
            match socket.try_recv_from(&mut buffer) {
                Ok((len, from)) => {
                    if let Some(data) = buffer.get_mut(..len) {
                        hub.datagram(number, from, data);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An earlier datagram's ICMP error, reported late.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Runs the beacon's timers. Never ends.
pub(crate) async fn run_timers(hub: Arc<Hub>) {
    const LONGEST: Duration = Duration::from_secs(60);
    loop {
        let next = hub.beacon_timeout();
        tokio::time::sleep(next.saturating_since(hub.clock.now()).min(LONGEST).max(Duration::from_millis(100))).await;
    }
}
