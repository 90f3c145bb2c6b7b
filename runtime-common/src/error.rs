//! Decides what an error of a UDP socket means for a daemon that must not die of the network.
//! Refuses to know which datagram it was.

use rustix::io::Errno;
use std::io;

/// What to do after an error of a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// Nothing to read, or no room to send: wait for the socket.
    WouldBlock,
    /// The datagram is larger than the path or the interface takes. It is lost.
    TooLarge,
    /// The network or its rules refused this datagram: ICMP errors, no route, netfilter, full device queue. It is lost.
    Transient,
    /// The socket itself is unusable; it must be replaced.
    Fatal,
}

/// Classifies an error of a UDP send or receive. All that a remote host, a router, a firewall or a cable can cause is
/// [`ErrorClass::Transient`] or [`ErrorClass::TooLarge`].
#[must_use]
pub fn classify(error: &io::Error) -> ErrorClass {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
        return ErrorClass::WouldBlock;
    }
    match Errno::from_io_error(error) {
        Some(Errno::MSGSIZE) => ErrorClass::TooLarge,
        Some(
            Errno::BADF
            | Errno::NOTSOCK
            | Errno::FAULT
            | Errno::NOTCONN
            | Errno::DESTADDRREQ
            | Errno::OPNOTSUPP
            | Errno::PIPE,
        ) => ErrorClass::Fatal,
        // Everything else is about one datagram: a daemon that ends on an errno nobody foresaw is worse than one that counts it.
        Some(_) | None => ErrorClass::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(errno: Errno) -> ErrorClass {
        classify(&io::Error::from(errno))
    }

    #[test]
    fn what_the_network_can_cause_never_ends_a_daemon() {
        let network = [
            Errno::CONNREFUSED,
            Errno::NETUNREACH,
            Errno::HOSTUNREACH,
            Errno::NETDOWN,
            Errno::HOSTDOWN,
            Errno::PERM,
            Errno::ACCESS,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::CONNRESET,
            Errno::TIMEDOUT,
            Errno::PROTO,
            Errno::ADDRNOTAVAIL,
            Errno::INVAL,
            Errno::IO,
        ];
        assert!(network.into_iter().all(|errno| class_of(errno) == ErrorClass::Transient));
        assert_eq!(class_of(Errno::MSGSIZE), ErrorClass::TooLarge);
    }

    #[test]
    fn waiting_and_broken_sockets_are_told_apart() {
        assert_eq!(class_of(Errno::AGAIN), ErrorClass::WouldBlock);
        assert_eq!(class_of(Errno::INTR), ErrorClass::WouldBlock);
        assert_eq!(class_of(Errno::BADF), ErrorClass::Fatal);
        assert_eq!(class_of(Errno::NOTSOCK), ErrorClass::Fatal);
    }
}
