//! Two hosts of a population meet: real endpoints, a real rendezvous, one message, and then whatever the ladder does.

use super::Options;
use super::draw::Drawn;
use super::mix::Mix;
use crate::net::{Link, Net};
use crate::oracle::{Rung, Verdict, possible, verdict};
use proto_core::endpoint::{Ladder, PathKind, RelayReason, TrustCommand};
use proto_core::rng::Rng;
use proto_core::wire::{Address, SocketAddress};
use proto_core::{Config, Event, StreamId, Timestamp};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The port that is dialled.
const PORT: u16 = 1000;
/// A host that hears no beacon registers after 2 s; a few retries fit in.
const REGISTRATION: Duration = Duration::from_secs(15);
/// After the last registration: what a daemon learns about its NAT while it waits for work.
const REST: Duration = Duration::from_secs(5);
/// The ladder is over 14 s after it began; a second round begins within 30 s.
const LADDER: Duration = Duration::from_secs(60);
/// How often the two talk meanwhile.
const TALK: Duration = Duration::from_secs(1);
/// 05: a frame for the beacon to pass on.
const RELAY: u8 = 0x05;

/// What came of one pair.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Who dialled and who was dialled.
    pub hosts: [Drawn; 2],
    /// The best that the boxes allow.
    pub oracle: Verdict,
    /// By which rung a direct path came about.
    pub rung: Option<Rung>,
    /// The peer got the first byte this long after the dial.
    pub first_byte: Option<Duration>,
    /// Both sides had a direct path this long after the dial.
    pub direct_after: Option<Duration>,
    /// To the peer and back through the beacon.
    pub relay_rtt: Duration,
    /// Datagrams toward the peer, by both, until the path was direct or the time was over.
    pub probes: u64,
    /// The most sockets one of them had open.
    pub sockets: usize,
    /// Bytes given to the beacon to pass on, by both, until then.
    pub relay_bytes: u64,
    /// Why the dialling side was still relayed, in its own words.
    pub reason: Option<&'static str>,
}

impl Pair {
    /// A message arrived.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.first_byte.is_some()
    }

    /// No UDP of one of them passes.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.hosts.iter().any(Drawn::is_blocked)
    }

    /// Draws the pair `number` and lets it meet.
    #[must_use]
    pub fn meet(mix: &Mix, options: &Options, number: u64) -> Self {
        let mut rng = seeded(options.seed, number);
        let hosts = [Drawn::draw(mix, options, &mut rng), Drawn::draw(mix, options, &mut rng)];
        let mut meeting = Meeting::new(mix, options, hosts, rng.bytes());
        meeting.prepare();
        meeting.dial();
        meeting.climb();
        meeting.finish()
    }
}

/// A generator for one pair: the pairs do not depend on each other, so they can be run in any order.
fn seeded(seed: u64, number: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    Rng::new(bytes)
}

/// The best that boxes allow to who does nothing but punch.
fn punched(net: &Net) -> Verdict {
    let best = verdict(net, 0, 1);
    let climbs = matches!(best, Verdict::Direct(_)) && !possible(net, 0, 1, Rung::Punch);
    if climbs { Verdict::Relay } else { best }
}

struct Meeting {
    net: Net,
    hosts: [Drawn; 2],
    oracle: Verdict,
    relay_rtt: Duration,
    mapped: [Option<SocketAddr>; 2],
    stream: Option<StreamId>,
    dialled: Timestamp,
    first_byte: Option<Duration>,
    direct: Option<Timestamp>,
}

impl Meeting {
    fn new(mix: &Mix, options: &Options, hosts: [Drawn; 2], seed: [u8; 32]) -> Self {
        let jitter = Duration::from_millis(mix.delays.jitter_ms.value);
        let core = Duration::from_millis(mix.delays.rendezvous_ms.value);
        let mut net = Net::meeting(seed, Link { jitter, ..Link::default() });
        let ladder = if options.like_dcutr { Ladder::PUNCHING_ONLY } else { options.ladder };
        for (index, host) in hosts.iter().enumerate() {
            let hostname = Some(["caller", "called"][index].to_owned());
            host.place(&mut net, Config { hostname, ladder, ..Config::default() });
        }
        let beacon = net.rendezvous.as_ref().and_then(|server| server.beacons.first()).map(SocketAddr::ip);
        for (index, host) in hosts.iter().enumerate() {
            let link = Link { delay: host.access + core, ..net.link };
            let outer = net.outer_address(index);
            for pair in beacon.into_iter().flat_map(|beacon| [(outer, beacon), (beacon, outer)]) {
                net.links.insert(pair, link);
            }
        }
        let between = Link { delay: hosts[0].access + hosts[1].access, ..net.link };
        net.set_link(0, 1, between);
        net.set_link(1, 0, between);
        let oracle = if options.like_dcutr { punched(&net) } else { verdict(&net, 0, 1) };
        let relay_rtt = 2 * (hosts[0].access + hosts[1].access + 2 * core);
        let (mapped, dialled) = ([None; 2], net.now);
        Self { net, hosts, oracle, relay_rtt, mapped, stream: None, dialled, first_byte: None, direct: None }
    }

    /// The two agree to trust each other, and later start again: what they know of each other is what a daemon stores.
    fn prepare(&mut self) {
        self.register();
        for (from, to) in [(0, 1), (1, 0)] {
            let Some(peer) = self.net.hosts[to].endpoint.address() else { return };
            let request = TrustCommand::Request { node: peer.node, justification: "population".to_owned() };
            self.net.act(from, |endpoint, now| endpoint.trust(now, request));
        }
        self.net.reaches(REGISTRATION, |net| {
            let trusts = |event: &Event| matches!(event, Event::TrustChanged { trusted: true, .. });
            net.hosts.iter().all(|host| host.events.iter().any(trusts))
        });
        self.net.run_for(REST);
        for host in 0..2 {
            self.net.crash(host);
        }
        for host in 0..2 {
            self.net.revive(host, true);
            self.mapped[host] = self.net.map_port(host);
        }
        self.register();
        self.net.run_for(REST);
        // Nobody else is here, so the port is free.
        let _ = self.net.act(1, |endpoint, _| endpoint.listen(PORT));
        // What it took to agree, before any port was forwarded, says nothing about this meeting.
        for host in &mut self.net.hosts {
            host.most_sockets = host.sockets.len();
        }
        self.net.log = Some(Vec::new());
        self.dialled = self.net.now;
    }

    fn register(&mut self) {
        self.net.reaches(REGISTRATION, |net| net.hosts.iter().all(|host| host.endpoint.status().registered));
    }

    fn dial(&mut self) {
        let Some(called) = self.net.hosts[1].endpoint.address() else { return };
        let target = SocketAddress::new(Address::backbone(called.node), PORT);
        self.stream = self.net.act(0, |endpoint, now| endpoint.dial(now, target)).ok();
    }

    /// Runs until the path is direct at both ends or the ladder is over, with a word now and then.
    fn climb(&mut self) {
        let Some(stream) = self.stream else { return };
        let until = self.dialled + LADDER;
        let (mut talked, mut accepted) = (None::<Timestamp>, None);
        loop {
            let failed = |event: &Event| matches!(event, Event::DialFailed(id, _) if *id == stream);
            let connected = self.net.saw(0, &Event::Connected(stream));
            if connected && talked.is_none_or(|at| self.net.now.saturating_since(at) >= TALK) {
                talked = Some(self.net.now);
                let _ = self.net.act(0, |endpoint, now| endpoint.write(now, stream, &[7; 200]));
            }
            accepted = accepted.or_else(|| self.net.hosts[1].endpoint.accept(PORT).map(|(stream, _)| stream));
            if let Some(stream) = accepted {
                let read = self.net.act(1, |endpoint, now| endpoint.read(now, stream, &mut [0; 4096]));
                if matches!(read, Ok(1..)) && self.first_byte.is_none() {
                    self.first_byte = Some(self.net.now.saturating_since(self.dialled));
                }
            }
            self.note_path();
            let done = self.direct.is_some() && self.first_byte.is_some();
            // Time must pass for the next word, whatever else happens.
            let next = talked.map_or(until, |at| (at + TALK).min(until));
            if done || self.net.now >= until || self.net.hosts[0].events.iter().any(failed) {
                return;
            }
            self.net.step(next);
        }
    }

    fn path(&self, host: usize) -> Option<PathKind> {
        let other = self.net.hosts[1 - host].endpoint.address()?;
        self.net.hosts[host].endpoint.peer(other.node).and_then(|peer| peer.path)
    }

    fn note_path(&mut self) {
        let both = [0, 1].map(|host| matches!(self.path(host), Some(PathKind::Direct(_))));
        if both != [true, true] {
            self.direct = None;
        } else if self.direct.is_none() {
            self.direct = Some(self.net.now);
        }
    }

    /// The cheapest rung that explains the addresses in use.
    fn rung(&self) -> Option<Rung> {
        let addresses = [0, 1].map(|host| match self.path(host) {
            Some(PathKind::Direct(address)) => Some(address),
            Some(PathKind::Relay) | None => None,
        });
        let [Some(one), Some(other)] = addresses else { return None };
        self.direct?;
        let private = |address: SocketAddr| matches!(address.ip(), IpAddr::V4(ip) if ip.is_private());
        let mapped = self.mapped.iter().flatten().any(|mapped| [one, other].contains(mapped));
        Some(if one.is_ipv6() || other.is_ipv6() {
            Rung::Ipv6
        } else if private(one) || private(other) {
            Rung::Lan
        } else if possible(&self.net, 0, 1, Rung::Punch) {
            Rung::Punch
        } else if mapped {
            Rung::PortMap
        } else if possible(&self.net, 0, 1, Rung::Prediction) {
            Rung::Prediction
        } else {
            Rung::Spray
        })
    }

    fn finish(mut self) -> Pair {
        let rung = self.rung();
        let until = self.direct.unwrap_or(self.net.now);
        let beacons = self.net.rendezvous.as_ref().map(|server| server.beacons.clone()).unwrap_or_default();
        let (mut probes, mut relay_bytes) = (0, 0);
        for sent in self.net.log.take().unwrap_or_default().iter().filter(|sent| sent.at <= until) {
            if beacons.contains(&sent.to) {
                let relayed = sent.bytes.first() == Some(&RELAY);
                relay_bytes += if relayed { sent.bytes.len() as u64 } else { 0 };
            } else if !beacons.contains(&sent.from) {
                probes += 1;
            }
        }
        let called = self.net.hosts[1].endpoint.address();
        let peer = called.and_then(|called| self.net.hosts[0].endpoint.peer(called.node));
        Pair {
            oracle: self.oracle,
            rung,
            first_byte: self.first_byte,
            direct_after: self.direct.map(|at| at.saturating_since(self.dialled)),
            relay_rtt: self.relay_rtt,
            probes,
            sockets: self.net.hosts.iter().map(|host| host.most_sockets).max().unwrap_or_default(),
            relay_bytes,
            reason: peer.and_then(|peer| peer.relay_reason).map(RelayReason::name),
            hosts: self.hosts,
        }
    }
}
