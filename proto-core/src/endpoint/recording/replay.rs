//! The replaying side: the recorded endpoint once more, held to the digests of the recorded one.

use super::entry::{Begin, Command, Entry, Reader};
use super::tape::Digest;
use super::{Logged, RecordingError};
use crate::crypto::{CryptoProvider, Identity};
use crate::endpoint::{Endpoint, Input, TransmitBuf};
use crate::time::Timestamp;
use bytes::Bytes;
use std::sync::Arc;

/// What a replay went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events told.
    pub events: u64,
    /// Batches of datagrams sent.
    pub transmits: u64,
    /// Digests of the event log found equal to the recorded ones.
    pub checkpoints: u64,
    /// The recording ended before the run did: it had reached its limit.
    pub truncated: bool,
    /// The file ends within an entry, as that of a crashed host does.
    pub cut: bool,
}

/// Runs the recorded endpoint of `file` again and hands every line of its event log to `log`.
///
/// A file that ends within an entry is replayed up to there.
///
/// # Errors
/// What is wrong with the file, or [`RecordingError::Diverged`] when the run is not the recorded one. Lines up to there were logged.
pub fn replay(
    file: &[u8],
    crypto: &'static CryptoProvider,
    log: &mut dyn FnMut(Logged<'_>),
) -> Result<Replayed, RecordingError> {
    let mut reader = Reader::new(file);
    let Begin { config, identity, seed, now } = Begin::decode(&mut reader)?;
    let identity = Identity::with_provider(*identity, crypto);
    let endpoint = Endpoint::new(Arc::new(config.into_owned()), identity, crypto, *seed, now);
    let mut player = Player { endpoint, log, digest: Digest::default(), done: Replayed::default(), buffer: Vec::new() };
    let mut at = now;
    while !reader.is_at_end() {
        let entry = match Entry::decode(&mut reader, at) {
            Ok((now, entry)) => {
                at = now;
                entry
            }
            Err(RecordingError::Malformed(_)) if reader.is_at_end() => {
                player.done.cut = true;
                break;
            }
            Err(error) => return Err(error),
        };
        if matches!(entry, Entry::End) {
            player.done.truncated = true;
            break;
        }
        player.play(at, entry)?;
    }
    Ok(player.done)
}

struct Player<'l> {
    endpoint: Endpoint,
    log: &'l mut dyn FnMut(Logged<'_>),
    digest: Digest,
    done: Replayed,
    buffer: Vec<u8>,
}

impl Player<'_> {
    fn play(&mut self, now: Timestamp, entry: Entry<'_>) -> Result<(), RecordingError> {
        let endpoint = &mut self.endpoint;
        match entry {
            Entry::Datagram { via, from, to, ecn, data } => {
                let data = &mut data.into_owned();
                endpoint.handle_input(now, Input::Datagram { via, from, to, ecn, data });
            }
            Entry::RegistryData(data) => endpoint.handle_input(now, Input::RegistryData(data)),
            Entry::Timeout => endpoint.handle_timeout(now),
            Entry::PollTransmit { room, max_segments } => self.poll_transmit(now, room, max_segments),
            Entry::PollEvent => {
                if let Some(event) = endpoint.poll_event() {
                    self.done.events += 1;
                    self.logged(Logged::told(now, &event));
                }
            }
            Entry::Read { id, room } => {
                self.buffer.resize(room, 0);
                let _ = endpoint.read(now, id, &mut self.buffer);
            }
            Entry::Write { id, taken, more, shared } => {
                let mut data = taken.to_vec();
                // What did not fit is not known; that there was more is all that mattered.
                data.extend(more.then_some(0));
                if shared {
                    let _ = endpoint.write_chunk(now, id, &mut Bytes::from(data));
                } else {
                    let _ = endpoint.write(now, id, &data);
                }
            }
            Entry::SendDatagram { to, from_port, data } => {
                let _ = endpoint.send_datagram(now, to, from_port, data);
            }
            Entry::Accept(port) => {
                let _ = endpoint.accept(port);
            }
            Entry::Command(command) => command.carry_out(now, endpoint),
            Entry::Checkpoint(digest) if digest != self.digest.0 => return Err(RecordingError::Diverged(now)),
            Entry::Checkpoint(_) => self.done.checkpoints += 1,
            Entry::End => {}
        }
        Ok(())
    }

    fn poll_transmit(&mut self, now: Timestamp, room: usize, max_segments: usize) {
        self.buffer.resize(room, 0);
        let mut out = TransmitBuf { bytes: &mut self.buffer, max_segments };
        let Some(transmit) = self.endpoint.poll_transmit(now, &mut out) else { return };
        self.done.transmits += 1;
        let bytes = self.buffer.get(..transmit.len).unwrap_or_default();
        let logged = Logged::sent(now, &transmit, bytes);
        self.digest.note(logged);
        (self.log)(logged);
    }

    fn logged(&mut self, logged: Logged<'_>) {
        self.digest.note(logged);
        (self.log)(logged);
    }
}

impl Command {
    fn carry_out(self, now: Timestamp, endpoint: &mut Endpoint) {
        match self {
            Self::RegistryConnected => endpoint.handle_input(now, Input::RegistryConnected),
            Self::RegistryClosed => endpoint.handle_input(now, Input::RegistryClosed),
            Self::WallClock(seconds) => endpoint.handle_input(now, Input::WallClock(seconds)),
            Self::LocalAddresses(addresses) => endpoint.handle_input(now, Input::LocalAddresses(&addresses)),
            Self::NetworkChanged => endpoint.handle_input(now, Input::NetworkChanged),
            Self::Gateway(gateway) => endpoint.handle_input(now, Input::Gateway(gateway)),
            Self::Upnp(gateway, answer) => endpoint.handle_input(now, Input::Upnp(gateway, answer)),
            Self::ReleasePortMapping => endpoint.release_port_mapping(now),
            Self::PortMapped { via, external } => endpoint.handle_input(now, Input::PortMapped { via, external }),
            Self::PortMappingLost(via) => endpoint.handle_input(now, Input::PortMappingLost { via }),
            Self::SocketsOpened(sockets) => endpoint.handle_input(now, Input::SocketsOpened(&sockets)),
            Self::Ping { node, timeout } => drop(endpoint.ping(now, node, timeout)),
            Self::Dial(to) => drop(endpoint.dial(now, to)),
            Self::Listen(port) => drop(endpoint.listen(port)),
            Self::Unlisten(port) => endpoint.unlisten(now, port),
            Self::SetNode(node) => endpoint.set_node(now, node),
            Self::AddPeer { node, key: Some(key), endpoint: at, trusted } => {
                endpoint.add_static_peer(now, node, key, at, trusted);
            }
            Self::AddPeer { node, key: None, endpoint: Some(at), trusted } => {
                endpoint.add_peer_without_identity(now, node, at, trusted);
            }
            Self::AddPeer { key: None, endpoint: None, .. } => {}
            Self::TrustByHost { node, trusted } => endpoint.set_trusted_by_host(now, node, trusted),
            Self::Registry(request) => drop(endpoint.registry_request(now, request)),
            Self::Finish(id) => drop(endpoint.finish(now, id)),
            Self::Reset(id) => endpoint.reset(now, id),
            Self::NoDelay(id, on) => endpoint.set_no_delay(id, on),
            Self::Trust(command) => drop(endpoint.trust(now, command)),
            Self::RestoreTrust(snapshot) => endpoint.restore_trust(snapshot),
        }
    }
}
