//! Decides how large a UDP socket's kernel buffers are, and how to tell a person that the kernel gave less.
//! Refuses to know what flows through them.

use rustix::net::sockopt;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

/// What a socket asks for, each way, bytes: 40 ms of 1 Gbit/s with room for the kernel's bookkeeping. The usual
/// 208 KiB overflow within one batch, and every overflow looks like congestion.
pub const WANTED: usize = 8 * 1024 * 1024;
/// Below this, bytes, a person is warned.
pub const ENOUGH: usize = 2 * 1024 * 1024;

/// What the kernel granted, in bytes of payload asked for (Linux reports the double of it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferReport {
    /// Receive buffer.
    pub receive: usize,
    /// Send buffer.
    pub send: usize,
    /// What was asked for, each way.
    pub wanted: usize,
}

impl BufferReport {
    /// One sentence for a person when the buffers are small enough to lose datagrams, with the remedy.
    #[must_use]
    pub fn warning(&self) -> Option<BufferWarning> {
        (self.receive.min(self.send) < ENOUGH.min(self.wanted)).then_some(BufferWarning(*self))
    }
}

/// Names the remedy for kernel buffers that are too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferWarning(BufferReport);

impl fmt::Display for BufferWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BufferReport { receive, send, wanted } = self.0;
        let wanted_kib = wanted / 1024;
        write!(
            f,
            "the kernel granted UDP buffers of {} KiB for receiving and {} KiB for sending instead of {wanted_kib} KiB, \
             fast transfers will lose datagrams; run: sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}",
            receive / 1024,
            send / 1024,
        )
    }
}

/// Asks for buffers of `wanted` bytes each way: past the kernel's limit when this process may, else up to it.
///
/// # Errors
///
/// When the socket cannot tell its buffer sizes. A refusal is not an error, it is in the report.
pub fn enlarge<S: AsFd>(socket: &S, wanted: usize) -> io::Result<BufferReport> {
    enlarge_receive(socket, wanted);
    enlarge_send(socket, wanted);
    Ok(BufferReport {
        receive: granted(sockopt::socket_recv_buffer_size(socket)?),
        send: granted(sockopt::socket_send_buffer_size(socket)?),
        wanted,
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn enlarge_receive<S: AsFd>(socket: &S, wanted: usize) {
    // Without CAP_NET_ADMIN the first is refused, the second is silently capped; what counts is read back.
    let _ = sockopt::set_socket_recv_buffer_size_force(socket, wanted)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, wanted));
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn enlarge_send<S: AsFd>(socket: &S, wanted: usize) {
    let _ = sockopt::set_socket_send_buffer_size_force(socket, wanted)
        .or_else(|_| sockopt::set_socket_send_buffer_size(socket, wanted));
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn enlarge_receive<S: AsFd>(socket: &S, wanted: usize) {
    let _ = sockopt::set_socket_recv_buffer_size(socket, wanted);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn enlarge_send<S: AsFd>(socket: &S, wanted: usize) {
    let _ = sockopt::set_socket_send_buffer_size(socket, wanted);
}

/// Linux reports twice what was asked for (socket(7)).
fn granted(reported: usize) -> usize {
    if cfg!(any(target_os = "linux", target_os = "android")) { reported / 2 } else { reported }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_and_the_report_tells_what_the_kernel_holds() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let before = granted(sockopt::socket_recv_buffer_size(&socket).unwrap());
        let report = enlarge(&socket, WANTED).unwrap();
        assert!(report.receive >= before);
        assert_eq!(report.receive, granted(sockopt::socket_recv_buffer_size(&socket).unwrap()));
        assert_eq!(report.warning().is_some(), report.receive.min(report.send) < ENOUGH);
    }

    #[test]
    fn the_warning_names_the_remedy() {
        let small = BufferReport { receive: 212_992, send: 212_992, wanted: WANTED };
        let text = small.warning().unwrap().to_string();
        assert!(text.contains("net.core.rmem_max=8388608") && text.contains("208 KiB"), "{text}");
        assert_eq!(BufferReport { receive: WANTED, send: WANTED, wanted: WANTED }.warning(), None);
        assert_eq!(BufferReport { receive: 65_536, send: 65_536, wanted: 65_536 }.warning(), None);
    }
}
