//! Every bound of the core, by name, with its reason. Nothing that the network can fill is without one.

use core::time::Duration;

/// Datagrams of any size are accepted: the reference sends up to 4096-byte segments (PP-MTU-3).
//= spec/path-mtu.md#pp-mtu-3
//# A received datagram may have any size up to 65535 bytes.
pub const MAX_DATAGRAM: usize = 65_535;

/// Peers with any state. Beyond it the longest-idle peer without streams is dropped.
pub const MAX_PEERS: usize = 4096;

/// Peers that proved nothing (public nodes with an insecure opt-in): none is let in while so many have state, and none is pushed out for one.
pub const MAX_UNPROVEN_PEERS: usize = MAX_PEERS / 2;

/// Streams of all peers together (PP-RATE-5).
pub const MAX_STREAMS: usize = 65_536;
/// Streams of one peer on one local port (PP-RATE-5), and never more than are still free there: whatever some peers hold,
/// another one finds room.
pub const STREAMS_PER_PEER_AND_PORT: usize = 1024;
/// Streams on one local port, accepted or waiting for that: the first peer can have its whole share, and leaves as many.
pub const MAX_STREAMS_PER_PORT: usize = 2 * STREAMS_PER_PEER_AND_PORT;
/// Streams of strangers waiting to be accepted on one port; further SYNs from strangers are refused (PP-RATE-6).
pub const ACCEPT_BACKLOG: usize = 64;

/// How long a stream that nobody holds any more waits for a way to tell its peer by RST: it must not keep the peer's state for ever.
pub const RESET_PATIENCE: Duration = Duration::from_secs(10);

/// SYNs a second from one stranger (PP-RATE-2).
pub const SYN_RATE_PER_SOURCE: u32 = 10;
/// SYNs a stranger may send at once (PP-RATE-2).
pub const SYN_BURST_PER_SOURCE: u32 = 64;
/// SYNs a second from all strangers together.
pub const SYN_RATE_GLOBAL: u32 = 100;

/// Packets waiting for a session key, per peer (PP-KEX-25).
pub const PENDING_PER_PEER: usize = 64;
/// Peers for which packets wait for a session key (PP-KEX-25): a host that dials whole ranges fills 16,384 places at most.
pub const PENDING_PEERS: usize = 256;
/// Key exchanges a second from one unauthenticated source, before any signature check (PP-RATE-4).
pub const KEY_EXCHANGE_RATE_PER_SOURCE: u32 = 5;
/// Signatures of key exchanges checked a second that come from a peer's own address, per peer: a flood that borrows the address costs
/// 1 or 2 % of a core, and leaves the peer itself a chance with each of its repetitions.
pub const SIGNATURE_CHECKS_PER_PEER: u32 = 200;
/// Signatures of key exchanges checked a second that come from anywhere else, direct and relayed each: addresses are free to make up.
pub const SIGNATURE_CHECKS_ELSEWHERE: u32 = 200;
/// Signatures of key exchanges checked a second, in all.
pub const SIGNATURE_CHECKS: u32 = 2000;
/// Sources whose rates are remembered; the longest-idle is forgotten first.
pub const RATE_LIMITED_SOURCES: usize = 4096;

/// Pings answered a second, per peer (PP-DGRAM-9).
pub const PING_ANSWERS_PER_SECOND: u32 = 20;

/// Bytes an unvalidated address may be sent for each byte it sent (RFC 9000 section 8).
pub const ANTI_AMPLIFICATION_FACTOR: u64 = 3;

/// Events waiting for the host. Beyond it the loss is counted; state queries still tell the truth.
pub const MAX_EVENTS: usize = 65_536;

/// Datagrams delivered to the host and not yet taken, in bytes.
pub const DATAGRAM_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// How long a dial may take before it tells its failure (command-line promise, `design/cli.md`).
pub const DIAL_TIMEOUT: Duration = Duration::from_millis(4_800);

// path and nat
/// Addresses remembered for one peer. Three interfaces in two families, a reflexive address in each and a mapped one, and room for
/// rebindings.
pub const MAX_CANDIDATES: usize = 12;
/// Probes of one peer whose answer is still awaited; the oldest is forgotten first. Two rounds to every candidate and the relay.
pub const MAX_PROBES: usize = 2 * (MAX_CANDIDATES + 1);
/// Things to do about one peer's paths that wait to be polled: a round of probes, and room for each other kind.
pub const MAX_PATH_TASKS: usize = 4 * MAX_CANDIDATES;
/// Punch commands obeyed in a second (PP-NAT-7).
pub const PUNCH_COMMAND_RATE: usize = 5;
/// UDP sockets besides the first, for finding a way through a symmetric NAT: with 256 mappings and 1,024 probes at random ports a meeting
/// is 98 % likely.
pub const MAX_EXTRA_SOCKETS: usize = 256;
/// Of these, opened for one search: all.
//= spec/nat.md#pp-nat-22
//# A search opens at most 256 sockets on the symmetric side, sends at most 100 datagrams a second on either side, ends after 12 seconds, is
//# the only one of an endpoint, and rests for an hour toward a peer with which it failed, unless one of the two is seen at another IP
//# address.
pub const SPRAY_SOCKETS: u16 = 256;
/// Pause between two datagrams of a search, on either side: 100 a second.
pub const SPRAY_INTERVAL: Duration = Duration::from_millis(10);
/// How long a search goes on: 1,200 random ports against 256 mappings meet with more than 98 % likelihood.
pub const SPRAY_TIME: Duration = Duration::from_secs(12);
/// Rest toward a peer with which a search failed, while both are seen at the same addresses: the NATs have not changed.
pub const SPRAY_PAUSE: Duration = Duration::from_secs(3600);
/// Addresses of one peer at which searches failed, after which it rests wherever it is seen: a host in four networks within an hour, and no
/// more for one that lies about where it is.
pub const SPRAY_ADDRESSES: usize = 4;
/// Rests that are remembered; the one nearest to its end is forgotten first.
pub const MAX_SPRAY_PAUSES: usize = 256;
/// Fresh sockets that show which ports a NAT gives out: 20 ports tell a block from chance, and cost a third of a second.
pub const PREDICTION_SOCKETS: u16 = 10;
/// Requests for sockets whose answer is awaited; a host that answers none is not asked for the oldest any more.
pub const MAX_OPENINGS: usize = 8;
/// How long predicted ports are tried.
pub const PREDICTION_TIME: Duration = Duration::from_secs(2);
/// Rest after a peer's predicted ports were tried in vain, before it may predict again: what follows at once is random ports, or nothing.
pub const PREDICTION_PAUSE: Duration = Duration::from_secs(30);
/// Single ports predicted at once.
pub const MAX_PREDICTED_PORTS: usize = 40;
/// Sockets whose mapping at the router is known: the first, and one more for each way in use.
pub const MAX_MAPPINGS: usize = 16;
/// Questions to the router, and findings about it, not yet taken: one question is open at a time, so these never fill.
pub const PORT_MAPPING_QUEUE: usize = 8;
/// Beacon addresses used for discovery. Three observations are the least that prove a port rule; one to spare.
pub const MAX_BEACONS: usize = 4;

// crypto and tunnel

/// Counters remembered below the highest of a nonce prefix (PP-NONCE-8).
//= spec/nonces.md#pp-nonce-8
//# A replay window remembers 256 counters.
pub const REPLAY_WINDOW: usize = 256;
/// Nonce prefixes with a window, per key (PP-NONCE-11).
pub const REPLAY_LIVE_PREFIXES: usize = 8;
/// Nonce prefixes refused for the rest of a key's life, per key (PP-NONCE-12).
pub const REPLAY_RETIRED_PREFIXES: usize = 1024;
/// Prefixes of a peer under one key before we move to another: each exchange makes the April reference draw 32 random bits anew under
/// the same key, and a repeated draw repeats nonces (PP-NONCE-13).
pub const REPLAY_PREFIXES_BEFORE_REKEY: usize = 64;
/// Keys held to receive under, per peer: the peer's last four, and ours before and after a rekey (PP-KEX-18).
pub const SESSIONS_PER_PEER: usize = 6;
/// Peer keys whose sessions are gone for good under the present own key, per peer. When full, the own key is changed.
pub const SPENT_KEYS_PER_PEER: usize = 16;
/// Authentications of secure channels remembered against replay (PP-CHAN-8).
pub const CHANNEL_AUTH_NONCES: usize = 100_000;
// Control plane: registry client and trust.

/// Largest request a server reads, bytes: what the reference reads before authentication (PP-REG-2).
pub const MAX_REGISTRY_REQUEST: usize = 64 * 1024;
/// Largest reply a client reads, bytes: `list_nodes` of a large network outgrows a request (PP-REG-33).
pub const MAX_REGISTRY_REPLY: usize = 1024 * 1024;
/// Requests waiting for the registry, one outstanding at a time; more are refused to the caller.
pub const MAX_REGISTRY_REQUESTS: usize = 256;
/// Trusted peers reported again after a registration; as many as peers can have state.
pub const MAX_REPORTED_TRUST: usize = MAX_PEERS;
/// Addresses of one node within its own network, told to or by the registry: a host has a few interfaces.
pub const MAX_LAN_ADDRESSES: usize = 16;
/// Bytes of a hostname that a registry tells: the longest name there is in DNS, for registries that allow more than PP-REG-18.
pub const MAX_HOSTNAME: usize = 253;
/// Networks of one node taken from a `lookup` reply.
pub const MAX_NETWORKS_PER_NODE: usize = 1024;
/// Requests taken from one poll: the registry's inbox holds 100 (PP-REG-22).
pub const MAX_HANDSHAKES_PER_POLL: usize = 128;
/// Answers taken from one poll: the registry keeps 1000, and forgets what it told when it is polled again. Each is of use only to one of
/// the [`MAX_OUTGOING_TRUST`] requests.
pub const MAX_ANSWERS_PER_POLL: usize = 1024;
/// How long the registry may take to answer before the connection is given up: what 1.18.0 waits.
//= spec/registry.md#pp-reg-33
//# A client reads replies up to 1 MiB and gives a silent registry up after 8 seconds.
pub const REGISTRY_REPLY_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest wait between connection attempts: registered again within 5 s of the registry's restart.
pub const REGISTRY_MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Trusted peers; further approvals are refused.
pub const MAX_TRUSTED: usize = MAX_PEERS;
/// Requests for trust that wait for a decision, one per node; further ones are dropped (PP-TRUST-13).
pub const MAX_PENDING_TRUST: usize = 256;
/// Of these from one network address: whoever has one can have many node numbers (PP-TRUST-13).
pub const PENDING_TRUST_PER_SOURCE: usize = 16;
/// Of these by way of the registry or the beacon, which do not tell whence: four addresses' shares stay free for who comes directly.
pub const PENDING_TRUST_RELAYED: usize = MAX_PENDING_TRUST - 4 * PENDING_TRUST_PER_SOURCE;
/// How long a request for trust waits for a decision (PP-TRUST-13).
pub const PENDING_TRUST_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Nodes this one asked for trust; the oldest is forgotten first.
pub const MAX_OUTGOING_TRUST: usize = 256;
/// How long an answer to an own request is taken as one (PP-TRUST-7).
pub const OUTGOING_TRUST_TTL: Duration = Duration::from_secs(10 * 60);
/// How long relayed approvals of a revoked peer are ignored (PP-TRUST-12).
pub const REVOCATION_COOLDOWN: Duration = Duration::from_secs(5 * 60);
/// Withdrawals and answers that the registry could not be told, of at most [`MAX_TRUSTED`] nodes, told again at once: an eighth of
/// [`MAX_REGISTRY_REQUESTS`], so that dials find room.
pub const UNTOLD_TRUST_AT_ONCE: usize = 32;
/// Trust messages remembered so that none is taken twice (PP-TRUST-6).
pub const TRUST_REPLAY_WINDOW: usize = 8192;
/// Bytes of a justification or reason that are kept (PP-TRUST-14).
pub const MAX_JUSTIFICATION: usize = 1024;
// Endpoint
/// Ended dials whose 4-tuple rests; further ones may be used again at once.
pub const MAX_RESTING_TUPLES: usize = 16_384;
/// Small packets (pings, key exchanges, beacon messages, datagrams) waiting to be sent; the newest is dropped and counted.
pub const OUTBOX_PACKETS: usize = 4096;
/// Key exchanges of strangers waiting for their identity key; the newest is dropped and counted. The registry answers one question at a
/// time, and the host's own dials stand behind these.
pub const PENDING_EXCHANGES: usize = 32;
/// Pings waiting for their answer, per peer; the oldest is forgotten.
pub const PINGS_PER_PEER: usize = 64;
/// Streams of one stranger (public nodes).
pub const STREAMS_PER_STRANGER: usize = 256;
/// Bytes of one trust message (PP-TRUST-2).
pub const TRUST_MESSAGE_BYTES: usize = 65_536;
/// How long a trust message may take from the connection to its end.
pub const TRUST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks at an unfinished trust message whether it is complete; 64 KiB are fewer segments than this.
pub const TRUST_MESSAGE_PIECES: usize = 128;
/// Bytes of each buffer of a stream that the endpoint serves itself (ports 7 and 444): 2,048 of them on a port hold 1 GiB at most.
pub const SERVICE_BUFFER: usize = 256 * 1024;
/// What a datagram costs of [`DATAGRAM_QUEUE_BYTES`] besides its bytes: many empty ones must not crowd out other events.
pub const DATAGRAM_EVENT_COST: usize = 128;

/// Bytes of a recording that wait for the host to take them: more than anything that is done between two looks of a loop.
pub const RECORDING_BUFFER: usize = 16 * 1024 * 1024;
/// Room of a caller's buffer is recorded up to here, bytes; nothing gives out more at once.
pub const RECORDED_ROOM: usize = 16 * 1024 * 1024;

// stream
/// Bytes of a stream's receive buffer before its reader proved to be fast; 1,000 slow readers cost 256 MB at most.
pub const STREAM_INITIAL_RECEIVE_LIMIT: u64 = 256 * 1024;
/// Bytes accepted beyond the advertised window, because the reference ignores a closed window (PP-FLOW-14).
pub const STREAM_RECEIVE_RESERVE: u64 = 64 * 1024;
/// Bytes of receive buffer toward a peer not known to be ours: its window field cannot tell more (PP-FLOW-2).
pub const STREAM_REFERENCE_RECEIVE_BUFFER: u64 = 2 * 1024 * 1024;
/// Holes in what a stream received. 8 MiB of full segments have fewer at 10 % loss; each costs 16 bytes.
pub const STREAM_REORDER_RANGES: usize = 1024;
/// Bytes of a segment's payload at least, whatever the peer accepts (W-18): each segment outstanding costs memory beside its bytes.
pub const STREAM_LEAST_SEGMENT: u16 = 64;
/// Segments kept while the SYN-ACK is awaited (PP-SES-11).
pub const STREAM_EARLY_SEGMENTS: usize = 16;
/// Segments outstanding toward a peer not known to be ours: its reorder buffer holds no more (PP-REL-17).
pub const STREAM_REFERENCE_SEGMENTS: usize = 128;
/// Ranges received out of order and not told yet; older news is dropped, for later acknowledgements will cover it.
pub const STREAM_UNTOLD_RANGES: usize = 16;
/// Duplicate acknowledgements owed at most: more than three tell nothing new.
pub const STREAM_DUPLICATE_ACKS: u8 = 4;
