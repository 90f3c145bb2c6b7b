//! Every bound of the server's sockets, by name, with its reason. What the machines hold is bounded in `rendezvous-core`.

use core::time::Duration;

/// TCP connections at once: half of what the reference takes, at about 20 KiB each with TLS.
pub(crate) const MAX_CONNECTIONS: usize = 50_000;
/// TCP connections of one IPv4 address, or of one IPv6 network of 64 bits, at once: a thousand daemons of four connections behind one NAT.
pub(crate) const MAX_CONNECTIONS_PER_ADDRESS: usize = 4096;
/// A connection without a request for so long is closed.
pub(crate) const IDLE: Duration = Duration::from_secs(300);
/// A request, once begun, and a TLS handshake must be complete after so long.
pub(crate) const FRAME_DEADLINE: Duration = Duration::from_secs(10);
/// A client must take a reply within so long; the reference waits 5 s the other way round.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a stop waits for requests under way.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes a connection keeps for its next request.
pub(crate) const KEPT_BUFFER: usize = 4096;

/// Datagrams handled before the executor runs something else.
pub(crate) const UDP_BURST: usize = 64;

/// Requests whose changes share one commit to disk.
pub(crate) const MAX_GROUP: usize = 4096;
