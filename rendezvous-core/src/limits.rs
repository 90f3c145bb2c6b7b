//! Every bound of the two machines, by name, with its reason. Nothing that the network can fill is without one.

use core::time::Duration;

/// Nodes ever registered and not forgotten; beyond it new keys are refused (`registry full`), known ones still served.
pub const MAX_NODES: usize = 500_000;
/// Networks; their ids are 16 bits and 65535 is reserved (PP-ADDR-3).
pub const MAX_NETWORKS: usize = 4096;
/// Members of one network; the reference's own ceiling for `max_members`.
pub const MAX_MEMBERS: usize = 10_000;
/// Peers one node may declare trust in, so that one key cannot fill the table.
pub const MAX_TRUST_PER_NODE: usize = 10_000;
/// Handshake requests waiting for one node (PP-REG-22).
pub const MAX_INBOX_REQUESTS: usize = 100;
/// Answers waiting for one node. Each needs a request of that node first.
pub const MAX_INBOX_RESPONSES: usize = 1000;
/// Beacons announced by `beacon_register`.
pub const MAX_BEACONS: usize = 64;

/// A request's bytes before anybody is known to have sent it (PP-REG-2).
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Rows of one `list_nodes` reply: at about 200 bytes each they fill [`MAX_LIST_BYTES`].
pub const MAX_LISTED_NODES: usize = 4096;
/// Bytes of a reply's rows: a client gives up the connection for a reply beyond 1 MiB, and some nodes tell much about themselves.
pub const MAX_LIST_BYTES: usize = proto_core::limits::MAX_REGISTRY_REPLY - 1024;
/// Justification of a handshake, bytes (PP-TRUST-14).
pub const MAX_JUSTIFICATION_BYTES: usize = 1024;
/// Local addresses a node may register; the reference sends one per private interface.
pub const MAX_LAN_ADDRESSES: usize = 16;
/// A registered address as text, bytes: the longest DNS name and a port.
pub const MAX_ADDRESS_BYTES: usize = 260;
/// The program version a node tells, bytes.
pub const MAX_VERSION_BYTES: usize = 64;
/// The owner's e-mail, bytes (RFC 5321 section 4.5.3.1.3).
pub const MAX_OWNER_BYTES: usize = 254;
/// A network's join token, bytes.
pub const MAX_TOKEN_BYTES: usize = 256;
/// A network's rules, bytes: a handful of numbers, told with every list of networks.
pub const MAX_RULES_BYTES: usize = 1024;
/// A network's expression policy, bytes: some tens of rules, and well within a request.
pub const MAX_POLICY_BYTES: usize = 16 * 1024;
/// Tags of a node, and of a member of a network.
pub const MAX_TAGS: usize = 10;

/// Without a heartbeat for so long a node counts as gone. Heartbeats come every 60 s, so ten may be lost.
//= spec/registry.md#pp-reg-13
//# A heartbeat is sent every 60 seconds and a node counts as gone after 10 minutes without one.
pub const STALE_AFTER: Duration = Duration::from_secs(10 * 60);
/// A name stays its holder's for so long after the holder was last heard; then another node may claim it.
pub const NAME_HELD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// A handshake that was delivered on two connections is forgotten so long after the first delivery even if nobody acknowledged it.
pub const INBOX_REDELIVERY: Duration = Duration::from_secs(120);
/// A beacon's announcement lasts so long; beacons repeat it every 30 s.
pub const BEACON_ANNOUNCEMENT_LIFETIME: Duration = Duration::from_secs(60);

/// The oldest envelope that is taken: queueing and a slow connection, no more. Clients learn the registry's time when
/// theirs is refused.
pub const ENVELOPE_MAX_AGE: Duration = Duration::from_secs(60);
/// How far ahead an envelope's clock may be. Kept small: after a restart the registry remembers no stamps, and what was
/// stamped ahead of time could be used once more for so long.
pub const ENVELOPE_MAX_AHEAD: Duration = Duration::from_secs(10);
/// Used stamps remembered for each node, 16 bytes each. A client that stamps in order needs one; the rest is for such
/// as use several connections.
pub const ENVELOPES_REMEMBERED: usize = 32;

/// Sources whose rates are remembered, per table; the longest-idle half is forgotten first.
pub const MAX_RATE_SOURCES: usize = 50_000;

/// A beacon forgets an endpoint that was silent for so long (PP-RELAY-12).
pub const ENDPOINT_LIFETIME: Duration = Duration::from_secs(600);
/// An endpoint that was silent for so long may be replaced from anywhere (PP-RELAY-13).
pub const ENDPOINT_TAKEOVER_SILENCE: Duration = Duration::from_secs(90);
/// Endpoints a beacon remembers.
pub const MAX_ENDPOINTS: usize = 500_000;
/// Other beacons a beacon gossips with.
pub const MAX_PEER_BEACONS: usize = 16;
/// Nodes in one gossip datagram: 6 + 4 * 16,000 bytes fit one datagram.
pub const MAX_GOSSIP_NODES: usize = 16_000;
/// What a peer beacon said it serves is believed for so long (PP-RELAY-11).
pub const GOSSIP_LIFETIME: Duration = Duration::from_secs(90);
/// How often a beacon tells its peers whom it serves (PP-RELAY-11).
//= spec/relay.md#pp-relay-11
//# Gossip is sent every 10 seconds and forgotten after 90 seconds.
pub const GOSSIP_INTERVAL: Duration = Duration::from_secs(10);
