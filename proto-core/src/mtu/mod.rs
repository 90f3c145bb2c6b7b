//! What one path carries: datagram packetization-layer path MTU discovery (RFC 8899).
//!
//! Nothing lives here yet. `search` will probe one path for the largest datagram it carries and `blackhole` will notice when
//! a size that worked stops working; both take times and losses and return sizes, and know neither paths nor streams. Until then
//! the only knowledge of size is whether a way leads to this host and the configured segment size.
