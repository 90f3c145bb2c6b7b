//! A real registry and a real beacon, at addresses of the virtual network.

use proto_core::Timestamp;
use proto_core::registry::codec::{FrameDecoder, MAX_REQUEST};
use rendezvous_core::{Beacon, BeaconConfig, Change, Registry, RegistryConfig, Session};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Registry and beacon as one server.
#[derive(Debug)]
pub struct Rendezvous {
    /// The registry.
    pub registry: Registry,
    beacon: Beacon,
    /// The beacon's UDP addresses.
    pub beacons: Vec<SocketAddr>,
    sessions: BTreeMap<usize, (Session, FrameDecoder)>,
    /// What a server would have stored.
    durable: Vec<Change>,
    /// Does not answer.
    pub down: bool,
}

/// A datagram that the beacon sends: from, to, bytes.
pub(crate) type FromBeacon = (SocketAddr, SocketAddr, Vec<u8>);

impl Rendezvous {
    /// An empty server whose beacon has these addresses.
    #[must_use]
    pub fn new(beacons: Vec<SocketAddr>) -> Self {
        Self {
            registry: Registry::new(config()),
            beacon: Beacon::new(BeaconConfig::default()),
            beacons,
            sessions: BTreeMap::new(),
            durable: Vec::new(),
            down: false,
        }
    }

    /// Ends without a word and starts again with what was stored.
    pub fn restart(&mut self) {
        self.registry = Registry::restore(config(), self.durable.clone());
        self.beacon = Beacon::new(BeaconConfig::default());
        self.sessions.clear();
    }

    pub(crate) fn open(&mut self, host: usize, source: SocketAddr) {
        let id = u64::try_from(host).unwrap_or_default();
        let session = Session::new(id, source.ip()).with_beacon(self.beacons.first().copied());
        self.sessions.insert(host, (session, FrameDecoder::new(MAX_REQUEST)));
    }

    /// Bytes of a connection; returns the bytes to answer and what the beacon has to say because of them.
    pub(crate) fn handle_registry(&mut self, now: Timestamp, host: usize, bytes: &[u8]) -> (Vec<u8>, Vec<FromBeacon>) {
        let (mut replies, mut datagrams) = (Vec::new(), Vec::new());
        let Some((session, decoder)) = self.sessions.get_mut(&host) else { return (replies, datagrams) };
        decoder.push(bytes);
        while let Ok(Some(request)) = decoder.next_frame() {
            let json = request.to_string();
            let outcome = self.registry.handle_frame(now, wall(now), session, json.as_bytes());
            self.durable.extend(outcome.changes);
            replies.extend(u32::try_from(outcome.reply.len()).unwrap_or_default().to_be_bytes());
            replies.extend(outcome.reply);
            for node in outcome.notify {
                let beacons = &self.beacons;
                self.beacon.notify(now, node, &mut |out| {
                    datagrams.push((beacons[usize::from(out.socket)], out.to, out.bytes.to_vec()));
                });
            }
        }
        (replies, datagrams)
    }

    pub(crate) fn handle_datagram(
        &mut self,
        now: Timestamp,
        to: SocketAddr,
        from: SocketAddr,
        bytes: &mut [u8],
    ) -> Vec<FromBeacon> {
        let mut datagrams = Vec::new();
        let socket = self.beacons.iter().position(|beacon| *beacon == to).unwrap_or_default();
        let beacons = &self.beacons;
        self.beacon.handle_datagram(
            now,
            u8::try_from(socket).unwrap_or_default(),
            from,
            bytes,
            &self.registry,
            &mut |out| datagrams.push((beacons[usize::from(out.socket)], out.to, out.bytes.to_vec())),
        );
        datagrams
    }
}

fn config() -> RegistryConfig {
    RegistryConfig { hostnames_are_public: true, ..RegistryConfig::default() }
}

/// Seconds since 1970 at `now`: the virtual world begins in 2026.
pub fn wall(now: Timestamp) -> u64 {
    1_790_000_000 + now.as_micros() / 1_000_000
}
