//! A real registry and a real beacon, at addresses of the virtual network.

use proto_core::Timestamp;
use proto_core::registry::codec::{FrameDecoder, MAX_REQUEST};
use rendezvous_core::{Beacon, BeaconConfig, Change, Registry, RegistryConfig, Session};
use serde_json::Value;
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
    /// The beacon alone does not answer.
    pub beacon_down: bool,
    /// Answers to `resolve` are those first given, however old.
    pub stale: bool,
    /// The first address told, by asker and node.
    resolved: BTreeMap<(String, String), Vec<u8>>,
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
            beacon_down: false,
            stale: false,
            resolved: BTreeMap::new(),
        }
    }

    /// The registry answers.
    pub(crate) const fn has_registry(&self) -> bool {
        !self.down
    }

    /// Everything works and nothing is stale.
    pub(crate) fn heal(&mut self) {
        (self.down, self.beacon_down, self.stale) = (false, false, false);
        self.resolved.clear();
    }

    /// When the beacon has something to do by itself.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        (!self.down).then(|| self.beacon.poll_timeout())
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) -> Vec<FromBeacon> {
        let mut datagrams = Vec::new();
        let beacons = &self.beacons;
        self.beacon.handle_timeout(now, &mut |out| {
            datagrams.push((beacons[usize::from(out.socket)], out.to, out.bytes.to_vec()));
        });
        datagrams
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
            let mut reply = outcome.reply;
            if request["type"] == "resolve" {
                keep_or_repeat(&mut self.resolved, self.stale, &request, &mut reply);
            }
            replies.extend(u32::try_from(reply.len()).unwrap_or_default().to_be_bytes());
            replies.extend(reply);
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
        if self.down || self.beacon_down {
            return datagrams;
        }
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

/// The first address told is kept, and told again for ever when the registry is stale. Refusals are always fresh.
fn keep_or_repeat(told: &mut BTreeMap<(String, String), Vec<u8>>, stale: bool, request: &Value, reply: &mut Vec<u8>) {
    if serde_json::from_slice::<Value>(reply).is_ok_and(|reply| reply["type"] == "error") {
        return;
    }
    let key = (request["requester_id"].to_string(), request["node_id"].to_string());
    let first = told.entry(key).or_insert_with(|| reply.clone());
    if stale {
        reply.clone_from(first);
    }
}

fn config() -> RegistryConfig {
    RegistryConfig { hostnames_are_public: true, ..RegistryConfig::default() }
}

/// Seconds since 1970 at `now`: the virtual world begins in 2026.
pub(crate) fn wall(now: Timestamp) -> u64 {
    1_790_000_000 + now.as_micros() / 1_000_000
}
