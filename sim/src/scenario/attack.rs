//! What somebody without any key does: sends what it heard, or made up, from where it is or as if from elsewhere.

use super::Attack;
use super::wire::{FORGER, REPLAYER};
use super::world::World;
use proto_core::NodeId;
use proto_core::rng::Rng;
use proto_core::wire::{AuthenticatedKeyExchange, BeaconMessage, Frame, Secure};
use std::net::{IpAddr, SocketAddr};

/// Key exchanges of a flood.
const FLOOD: usize = 40;

impl World {
    /// `which` chooses among hosts or captured datagrams, `salt` decides what is made up.
    pub(super) fn attack(&mut self, attack: Attack, which: u8, salt: u16) {
        let mut seed = [0; 32];
        seed[..3].copy_from_slice(&[which, salt.to_le_bytes()[0], salt.to_le_bytes()[1]]);
        let rng = &mut Rng::new(seed);
        match attack {
            Attack::Replay => {
                if let Some((from, to, bytes)) = self.heard(which) {
                    self.inject(from, to, bytes);
                }
            }
            Attack::ReplayElsewhere => {
                if let Some((_, to, bytes)) = self.heard(which) {
                    self.attack_from(REPLAYER, to, bytes);
                }
            }
            Attack::Overtake => self.overtake(which),
            Attack::Mutate => {
                if let Some((from, to, mut bytes)) = self.heard(which) {
                    let place = below(rng, bytes.len());
                    if salt.is_multiple_of(3) {
                        bytes.truncate(place);
                    } else {
                        bytes[place] ^= 1 << (salt % 8);
                    }
                    self.inject(from, to, bytes);
                }
            }
            Attack::Punch => {
                let (_, to, peer) = self.pair_at(which, salt);
                let punch = Frame::Punch { sender: Some(peer) };
                let mut bytes = vec![0; punch.encoded_len()];
                let _ = punch.emit(&mut bytes);
                self.attack_from(FORGER, to, bytes);
            }
            Attack::PunchCommand => {
                let (_, to, _) = self.pair_at(which, salt);
                let (Some(beacon), Ok(bytes)) =
                    (self.beacon(), BeaconMessage::PunchCommand(SocketAddr::new(FORGER, 4000)).to_vec())
                else {
                    return;
                };
                self.wire.commanded(self.net.now, to, SocketAddr::new(FORGER, 4000));
                self.inject(beacon, to, bytes);
            }
            Attack::Forge => {
                let (_, to, sender) = self.pair_at(which, salt);
                let (nonce, sealed) = (rng.bytes(), rng.bytes::<100>());
                let frame = Frame::Secure(Secure { sender, nonce, sealed: &sealed });
                let mut bytes = vec![0; frame.encoded_len()];
                let _ = frame.emit(&mut bytes);
                self.attack_from(REPLAYER, to, bytes);
            }
            Attack::Delivery => self.deliver(rng, which, salt),
            Attack::ForeignDelivery => {
                let (_, to, peer) = self.pair_at(which, salt);
                let Some((_, _, frame)) = self.heard(which) else { return };
                if let Ok(bytes) = (BeaconMessage::RelayDeliver { sender: peer, frame: &frame }).to_vec() {
                    self.attack_from(FORGER, to, bytes);
                }
            }
            Attack::Flood => self.flood(rng, which, salt),
            Attack::Noise => {
                let (_, to, _) = self.pair_at(which, salt);
                let mut bytes = vec![0; below(rng, 300) + 1];
                rng.fill(&mut bytes);
                self.attack_from(FORGER, to, bytes);
            }
        }
    }

    /// A captured datagram reaches its host from elsewhere, and never from where it was sent.
    fn overtake(&mut self, which: u8) {
        let Some((from, to, bytes)) = self.heard(which) else { return };
        let hosts = || (0..self.insiders).map(|host| (host, self.net.outer_address(host)));
        let sender = hosts().find(|(_, ip)| *ip == from.ip());
        let target = hosts().find(|(_, ip)| *ip == to.ip());
        if let (Some((one, _)), Some((other, _))) = (sender, target) {
            self.partition(one, other);
        }
        self.attack_from(REPLAYER, to, bytes);
    }

    fn deliver(&mut self, rng: &mut Rng, which: u8, salt: u16) {
        let (_, to, peer) = self.pair_at(which, salt);
        let made_up: [u8; 136] = rng.bytes();
        let mut frame = match salt % 3 {
            0 => b"PILA".to_vec(),
            1 => b"PILS".to_vec(),
            _ => Vec::new(),
        };
        frame.extend(peer.0.to_be_bytes());
        frame.extend(made_up);
        let message = BeaconMessage::RelayDeliver { sender: peer, frame: &frame };
        if let (Some(beacon), Ok(bytes)) = (self.beacon(), message.to_vec()) {
            self.inject(beacon, to, bytes);
        }
    }

    fn flood(&mut self, rng: &mut Rng, which: u8, salt: u16) {
        let (_, to, peer) = self.pair_at(which, salt);
        let friend = salt.is_multiple_of(2);
        let attacker = if friend { REPLAYER } else { FORGER };
        for _ in 0..FLOOD {
            let exchange = AuthenticatedKeyExchange {
                sender: if friend { peer } else { NodeId(rng.next_u32() | 1 << 30) },
                exchange_public: rng.bytes(),
                identity_public: rng.bytes(),
                signature: rng.bytes(),
            };
            self.attack_from(attacker, to, exchange.to_bytes().to_vec());
        }
    }

    /// A host by `which`, where the world sees it, and the number of another one.
    fn pair_at(&self, which: u8, salt: u16) -> (usize, SocketAddr, NodeId) {
        let host = usize::from(which) % self.insiders;
        let peer = (host + 1 + usize::from(salt) % (self.insiders - 1)) % self.insiders;
        // Where it was last seen sending from: behind a box, only those ports lead anywhere.
        let outer = self.net.outer_address(host);
        let seen = self.wire.captured.iter().rev().find(|sent| sent.from.ip() == outer).map(|sent| sent.from);
        (host, seen.unwrap_or(SocketAddr::new(outer, 4000)), self.numbers[peer])
    }

    /// A captured datagram: from, to, bytes.
    fn heard(&self, which: u8) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let captured = &self.wire.captured;
        let sent = captured.get(usize::from(which) % captured.len().max(1))?;
        Some((sent.from, sent.to, sent.bytes.clone()))
    }

    fn beacon(&self) -> Option<SocketAddr> {
        self.net.rendezvous.as_ref().and_then(|server| server.beacons.first().copied())
    }

    fn attack_from(&mut self, attacker: IpAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.wire.attacked(attacker, bytes.len());
        self.inject(SocketAddr::new(attacker, 4000), to, bytes);
    }

    /// Sends as whoever is at `from`. The log is for what hosts say.
    fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.mark("attack");
        self.net.send(from, to, bytes);
        if let Some(log) = &mut self.net.log {
            log.pop();
        }
    }
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap_or_default()
}
