//! The table of streams: who owns which, under which 4-tuple, and whose turn it is to send.

use crate::ids::{NodeId, StreamId};
use crate::limits;
use crate::rng::Rng;
use crate::stream::{Connection, SegmentHeader};
use crate::time::Timestamp;
use crate::wire::{Address, Header, Protocol, SocketAddress, TrustKind};
use bytes::Bytes;
use core::time::Duration;
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

/// First ephemeral port (PP-PORT-1).
const FIRST_EPHEMERAL: u16 = 49_152;
/// A 4-tuple of a dial is not used again toward the same peer this long: the reference answers it from its TIME_WAIT.
const TUPLE_REST: Duration = Duration::from_secs(60);

/// Who reads and writes a stream.
#[derive(Debug)]
pub(super) enum Owner {
    /// The host.
    Host,
    /// The echo service on port 7.
    Echo(super::service::Echo),
    /// A trust message on its way in.
    TrustReceiver {
        message: Vec<u8>,
        /// How often it was looked at whether it is complete.
        tries: usize,
    },
    /// A trust message on its way out.
    TrustSender { kind: TrustKind, message: Bytes },
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) connection: Connection,
    /// The address the peer knows this end by.
    pub(super) local: Address,
    pub(super) local_port: u16,
    pub(super) remote: SocketAddress,
    pub(super) owner: Owner,
    /// Dialled here and not answered yet.
    pub(super) dialling: bool,
    /// Nobody will ask for it any more; removed when the connection is done.
    pub(super) released: bool,
    /// Waits in a port's accept queue.
    pub(super) unaccepted: bool,
    queued: bool,
    /// Counts toward the limit of its local port.
    counted: bool,
}

impl Stream {
    pub(super) fn peer(&self) -> NodeId {
        self.remote.address.node
    }

    /// The packet header of `segment`.
    pub(super) fn header(&self, segment: &SegmentHeader) -> Header {
        Header {
            flags: segment.flags,
            protocol: Protocol::Stream,
            src: self.local,
            dst: self.remote.address,
            src_port: self.local_port,
            dst_port: self.remote.port,
            seq: segment.seq,
            ack: segment.ack,
            window: segment.window,
        }
    }
}

/// What a stream is found by: local port and full remote address (PP-SES-1).
//= spec/session.md#pp-ses-1
//# A connection is found by the local port, the full remote address and the remote port.
type Tuple = (u16, SocketAddress);

/// All streams of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Streams {
    table: BTreeMap<StreamId, Stream>,
    by_tuple: BTreeMap<Tuple, StreamId>,
    by_peer: BTreeMap<NodeId, Vec<StreamId>>,
    per_port: BTreeMap<u16, usize>,
    /// The shares of the peers in it.
    per_share: BTreeMap<(u16, NodeId), usize>,
    ready: VecDeque<StreamId>,
    resting: BTreeMap<Tuple, Timestamp>,
    next_id: u64,
    next_port: u16,
}

impl Streams {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let offset = u16::try_from(rng.below(u64::from(u16::MAX - FIRST_EPHEMERAL))).unwrap_or(0);
        Self { next_port: FIRST_EPHEMERAL + offset, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Streams that are not over.
    //= spec/session.md#pp-ses-30
    //# A connection that only rests after its end is not counted among the open ones.
    pub(super) fn open(&self) -> usize {
        self.table.values().filter(|stream| !stream.connection.is_over()).count()
    }

    /// Of these, those with `node`.
    pub(super) fn open_of(&self, node: NodeId) -> usize {
        let open = |id: &&StreamId| self.table.get(id).is_some_and(|stream| !stream.connection.is_over());
        self.of_peer(node).iter().filter(open).count()
    }

    /// 4-tuples that rest.
    pub(super) fn resting(&self) -> usize {
        self.resting.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.table.len() >= limits::MAX_STREAMS
    }

    pub(super) fn on_port(&self, port: u16) -> usize {
        self.per_port.get(&port).copied().unwrap_or(0)
    }

    /// What `node` has of [`Self::on_port`].
    pub(super) fn share_of_port(&self, port: u16, node: NodeId) -> usize {
        self.per_share.get(&(port, node)).copied().unwrap_or(0)
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.table.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.table.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.table.iter().map(|(id, stream)| (*id, stream))
    }

    pub(super) fn of_peer(&self, node: NodeId) -> &[StreamId] {
        self.by_peer.get(&node).map_or(&[], Vec::as_slice)
    }

    pub(super) fn find(&self, local_port: u16, remote: SocketAddress) -> Option<StreamId> {
        self.by_tuple.get(&(local_port, remote)).copied()
    }

    /// A fresh ephemeral port for `remote`, `None` when all are taken.
    pub(super) fn ephemeral_port(&mut self, now: Timestamp, remote: SocketAddress) -> Option<u16> {
        for _ in FIRST_EPHEMERAL..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
            //= spec/ports.md#pp-port-1
            //# Ephemeral ports are taken from 49152 to 65535.
            //= spec/ports.md#pp-port-2
            //# An ephemeral port is not given to a second connection with the same remote address and port while the first exists.
            //= spec/ports.md#pp-port-3
            //# The ephemeral port of an ended dial is not used toward the same remote address and port for 60 seconds.
            let rests = self.resting.get(&(port, remote)).is_some_and(|until| *until > now);
            if !rests && !self.by_tuple.contains_key(&(port, remote)) {
                return Some(port);
            }
        }
        None
    }

    pub(super) fn insert(
        &mut self,
        connection: Connection,
        local: Address,
        local_port: u16,
        remote: SocketAddress,
        owner: Owner,
    ) -> StreamId {
        let id = StreamId(self.next_id);
        self.next_id += 1;
        let released = !matches!(owner, Owner::Host);
        let stream = Stream {
            connection,
            local,
            local_port,
            remote,
            owner,
            dialling: false,
            released,
            unaccepted: false,
            queued: false,
            counted: true,
        };
        self.by_tuple.insert((local_port, remote), id);
        self.by_peer.entry(stream.peer()).or_default().push(id);
        *self.per_port.entry(local_port).or_default() += 1;
        *self.per_share.entry((local_port, remote.address.node)).or_default() += 1;
        self.table.insert(id, stream);
        id
    }

    pub(super) fn remove(&mut self, now: Timestamp, id: StreamId) -> Option<Stream> {
        let stream = self.table.remove(&id)?;
        let tuple = (stream.local_port, stream.remote);
        if self.by_tuple.get(&tuple) == Some(&id) {
            self.by_tuple.remove(&tuple);
            if stream.local_port >= FIRST_EPHEMERAL {
                self.rest(now, tuple);
            }
        }
        if let Some(ids) = self.by_peer.get_mut(&stream.peer()) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_peer.remove(&stream.peer());
            }
        }
        if stream.counted {
            self.uncount(stream.local_port, stream.peer());
        }
        Some(stream)
    }

    /// Nobody uses the stream any more. While it rests it leaves its port's limit to others.
    pub(super) fn release(&mut self, id: StreamId) {
        let Some(stream) = self.table.get_mut(&id) else { return };
        stream.released = true;
        let (port, node) = (stream.local_port, stream.peer());
        if core::mem::take(&mut stream.counted) {
            self.uncount(port, node);
        }
    }

    /// Another stream begins on the 4-tuple of `id`, which is over.
    pub(super) fn supersede(&mut self, id: StreamId) {
        if let Some(stream) = self.table.get_mut(&id) {
            stream.connection.supersede();
            self.by_tuple.remove(&(stream.local_port, stream.remote));
        }
    }

    fn uncount(&mut self, port: u16, node: NodeId) {
        decrease(&mut self.per_port, port);
        decrease(&mut self.per_share, (port, node));
    }

    /// The peer answers from another of its addresses; the stream goes on with that one.
    pub(super) fn rename_remote(&mut self, id: StreamId, remote: SocketAddress) {
        if let Some(stream) = self.table.get_mut(&id) {
            self.by_tuple.remove(&(stream.local_port, stream.remote));
            stream.remote = remote;
            self.by_tuple.insert((stream.local_port, remote), id);
        }
    }

    fn rest(&mut self, now: Timestamp, tuple: Tuple) {
        if self.resting.len() >= limits::MAX_RESTING_TUPLES {
            self.resting.retain(|_, until| *until > now);
        }
        if self.resting.len() < limits::MAX_RESTING_TUPLES {
            self.resting.insert(tuple, now + TUPLE_REST);
        }
    }

    /// Gives `id` a turn to send; turns go round robin.
    pub(super) fn mark_ready(&mut self, id: StreamId) {
        if let Some(stream) = self.table.get_mut(&id)
            && !stream.queued
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    pub(super) fn next_ready(&mut self) -> Option<StreamId> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(stream) = self.table.get_mut(&id) {
                stream.queued = false;
                return Some(id);
            }
        }
        None
    }
}

/// One less under `key`; nothing is kept for zero.
pub(super) fn decrease<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
