//! The equipment of a run: who plays, whom against, and how the peer comes to trust one of the players.
//!
//! The *friend* asks for trust at the very beginning and is admitted; the *victim* and the *stranger* never are.

use super::actor::{Actor, PATIENCE, Peer};
use super::check::{Outcome, Stop};
use super::checks::Dialled;
use super::directory::Directory;
use super::known::Known;
use super::stream::Stream;
use super::tunnel::random;
use proto_core::NodeId;
use proto_core::crypto::PublicKey;
use proto_core::registry::{Handshakes, Lookup, Registered, Registration, Request};
use proto_core::wire::{BeaconMessage, TrustMessage};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The UDP address of the implementation under test.
    pub peer: SocketAddr,
    /// Its node number; asked for by a key exchange when it is not told, which a private peer may leave unanswered.
    pub node: Option<NodeId>,
    /// The beacon; without it what is about beacons is skipped.
    pub beacon: Option<SocketAddr>,
    /// The registry in plaintext; without it [`Self::fixed`] must say who is who.
    pub registry: Option<SocketAddr>,
    /// Who is who in a network without a registry.
    pub fixed: Option<Fixed>,
    /// How long to wait for the peer's trust.
    pub patience: Duration,
    /// Beginnings of names of checks, to run those only; empty for all.
    pub only: Vec<String>,
    /// Checks that are known to fail; they are tried once only.
    pub known: Known,
}

impl Options {
    /// The check of this name is to be run.
    pub(super) fn wants(&self, check: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|beginning| check.starts_with(beginning.as_str()))
    }
}

/// A closed network in which nobody registers.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// The peer's key.
    pub peer_key: PublicKey,
    /// Number and seed of the player whom the peer trusts.
    pub friend: (NodeId, [u8; 32]),
    /// Number and seed of one that it does not know.
    pub stranger: (NodeId, [u8; 32]),
}

/// The equipment.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) options: Options,
    pub(super) peer: Peer,
    pub(super) friend: Actor,
    pub(super) victim: Actor,
    pub(super) stranger: Actor,
    /// A stream that nobody uses, and when it was opened.
    pub(super) idle: Option<(Stream, Instant)>,
    /// The request for trust that was brought to the peer's port 444.
    pub(super) sent_request: Option<TrustMessage>,
    /// How the peer dialled the friend.
    pub(super) dialled: Option<Dialled>,
    /// The peer has approved the friend.
    trusted: bool,
    /// The friend's connection to the registry.
    desk: Option<Directory>,
}

/// Numbers of players whom no registry knows begin here.
const UNREGISTERED: NodeId = NodeId(4_000_000_000);

impl Bench {
    /// Makes the players, registers them and finds the peer.
    pub(super) fn prepare(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Self, String> {
        let player = |name, (node, seed)| Actor::new(name, seed, node, options.peer).map_err(|e| e.to_string());
        let fresh = || (NodeId::UNASSIGNED, random());
        let (friend, stranger) = options.fixed.map_or((fresh(), fresh()), |fixed| (fixed.friend, fixed.stranger));
        let mut friend = player("friend", friend)?;
        let mut victim = player("victim", (UNREGISTERED, random()))?;
        let mut stranger = player("stranger", stranger)?;
        let mut desk = None;
        if let Some(registry) = options.registry {
            for actor in [&mut friend, &mut victim, &mut stranger] {
                let mut connection = Directory::connect(registry)?;
                register(actor, &mut connection).map_err(words)?;
                say(&format!("the {} is node {} at {}", actor.name, actor.node, actor.address));
                if desk.is_none() {
                    desk = Some(connection);
                }
            }
        }
        let peer = find_peer(options, &mut friend, desk.as_mut())?;
        for actor in [&mut friend, &mut victim, &mut stranger] {
            actor.knows(peer);
        }
        let visible = if peer.public { "public" } else { "private" };
        say(&format!("the peer is node {} at {}, {visible}", peer.node, peer.address));
        Ok(Self {
            options: options.clone(),
            peer,
            friend,
            victim,
            stranger,
            idle: None,
            sent_request: None,
            dialled: None,
            trusted: false,
            desk,
        })
    }

    /// A new connection to the registry.
    pub(super) fn directory(&self) -> Result<Directory, Stop> {
        let registry = self.options.registry.ok_or_else(|| Stop::skipped("no registry was named"))?;
        Directory::connect(registry).map_err(Stop::Failed)
    }

    /// The beacon's address.
    pub(super) fn beacon(&self) -> Result<SocketAddr, Stop> {
        self.options.beacon.ok_or_else(|| Stop::skipped("no beacon was named"))
    }

    /// All players.
    pub(super) const fn cast(&mut self) -> [&mut Actor; 3] {
        [&mut self.friend, &mut self.victim, &mut self.stranger]
    }

    /// What comes from now on is the next check's.
    pub(super) fn turn_the_page(&mut self) {
        for actor in self.cast() {
            actor.turn_the_page();
        }
    }

    /// The friend asks the peer for trust through the registry.
    pub(super) fn ask_for_trust(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), String> {
        if let Some(beacon) = self.options.beacon {
            let node = self.friend.node;
            let message = BeaconMessage::Discover { node, key: None }.to_vec().unwrap_or_default();
            self.friend.send_to(beacon, &message);
        }
        let Some(desk) = &mut self.desk else { return Ok(()) };
        let request = Request::RequestHandshake { to: self.peer.node, justification: "conformance probe".to_owned() };
        desk.granted(self.friend.node, &self.friend.identity, &request).map_err(words)?;
        say(&format!("asked for trust: approve node {} at the peer, unless it approves everybody", self.friend.node));
        Ok(())
    }

    /// Waits until the peer admits the friend: at once when it is public.
    ///
    /// # Errors
    /// In words, when it does not in time.
    pub(super) fn await_trust(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), String> {
        let Some(desk) = self.desk.as_mut().filter(|_| !self.peer.public && !self.trusted) else { return Ok(()) };
        let (deadline, mut told) = (Instant::now() + self.options.patience, false);
        while Instant::now() < deadline {
            let reply = desk.granted(self.friend.node, &self.friend.identity, &Request::PollHandshakes);
            let answers = Handshakes::parse(&reply.map_err(words)?).responses;
            match answers.iter().find(|answer| answer.from == self.peer.node).map(|answer| answer.accept) {
                Some(true) => {
                    self.trusted = true;
                    return Ok(());
                }
                Some(false) => return Err("the peer refuses to trust the probe".to_owned()),
                None => {}
            }
            if !std::mem::replace(&mut told, true) {
                say(&format!("waiting up to {:?} for the peer's trust", self.options.patience));
            }
            self.friend.listen(Duration::from_millis(500));
        }
        Err(format!("the peer did not approve node {} within {:?}", self.friend.node, self.options.patience))
    }

    /// The friend's first exchange of keys with the peer.
    pub(super) fn meet(&mut self) -> Result<(), String> {
        self.friend.meet().map(drop).map_err(words)
    }

    /// [`Self::meet`] before there is trust; false when the peer, rightly, answers nobody it does not know.
    pub(super) fn meet_early(&mut self) -> bool {
        self.friend.turn_the_page();
        self.friend.send_exchange();
        let answer = self.friend.find(PATIENCE / 3, |received| received.exchange().copied());
        answer.is_some() && self.meet().is_ok()
    }

    /// A stream that is left alone from then on.
    pub(super) fn open_idle_stream(&mut self) {
        if self.friend.tunnel.current.is_some() && self.options.wants("keepalive/") {
            let opened = Stream::open(&mut self.friend, super::stream::ECHO).ok();
            self.idle = opened.map(|stream| (stream, Instant::now()));
        }
    }

    /// Makes sure that the peer still talks with the friend; what an earlier check has broken is made anew.
    pub(super) fn recover(&mut self) -> Outcome {
        self.friend.turn_the_page();
        if self.friend.is_answered(Duration::from_millis(700)) {
            return Ok(());
        }
        self.friend.meet().map(drop).map_err(|_| Stop::skipped("the peer talks no more, whatever is tried"))
    }
}

/// Registers a player at the address it has.
fn register(actor: &mut Actor, directory: &mut Directory) -> Result<(), Stop> {
    let registration = registration(actor.address);
    let reply = directory.granted(NodeId::UNASSIGNED, &actor.identity, &Request::Register(registration))?;
    let registered = Registered::parse(&reply).ok_or_else(|| Stop::Failed(format!("no number in {reply}")))?;
    actor.node = registered.node;
    Ok(())
}

/// What a player tells the registry: nothing by which a peer could take it for one of ours.
pub(super) fn registration(listen_addr: SocketAddr) -> Registration {
    Registration {
        listen_addr,
        lan_addrs: Vec::new(),
        hostname: None,
        owner: None,
        version: "conformance-probe".to_owned(),
        relay_only: false,
    }
}

/// Number and key of the peer.
fn find_peer(options: &Options, friend: &mut Actor, desk: Option<&mut Directory>) -> Result<Peer, String> {
    let address = options.peer;
    let node = match options.node {
        Some(node) => node,
        None => asked_node(address, friend)?,
    };
    if let Some(fixed) = options.fixed {
        return Ok(Peer { address, node, key: fixed.peer_key, public: false });
    }
    let desk = desk.ok_or("a registry, or fixed players, must be named")?;
    let reply = desk.granted(friend.node, &friend.identity, &Request::Lookup(node)).map_err(words)?;
    let unusable = |reply: &Value| format!("the registry says nothing usable about node {node}: {reply}");
    let lookup = Lookup::parse(&reply).ok_or_else(|| unusable(&reply))?;
    let key = lookup.public_key.ok_or_else(|| unusable(&reply))?;
    Ok(Peer { address, node, key, public: lookup.public })
}

/// Who answers a key exchange there.
fn asked_node(address: SocketAddr, friend: &mut Actor) -> Result<NodeId, String> {
    let nobody = Peer { address, node: NodeId::UNASSIGNED, key: PublicKey([0; 32]), public: false };
    friend.knows(nobody);
    friend.send_exchange();
    let answer = friend.find(PATIENCE, |received| received.exchange().map(|exchange| exchange.sender));
    answer.ok_or_else(|| format!("{address} answers no key exchange of a stranger: name its node number (--node)"))
}

fn words(stop: Stop) -> String {
    match stop {
        Stop::Failed(why) | Stop::Skipped(why) => why,
    }
}
