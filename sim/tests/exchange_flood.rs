//! Floods of key exchanges: they cost a bounded number of signature checks, and the peer they pretend to be still gets through.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use proto_core::crypto::provider::{SignatureScheme, SigningKey};
use proto_core::crypto::{CryptoProvider, rust_crypto};
use proto_core::rng::Rng;
use proto_core::wire::{AuthenticatedKeyExchange, BeaconMessage, Frame};
use proto_core::{Config, Endpoint, Event, limits};
use sim::{Link, Net, address, identity, node, target};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts what is checked.
struct Counting(AtomicUsize);

impl SignatureScheme for Counting {
    fn signing_key(&self, seed: &[u8; 32]) -> Box<dyn SigningKey> {
        rust_crypto().signature.signing_key(seed)
    }

    fn verify_strict(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        rust_crypto().signature.verify_strict(public, message, signature)
    }
}

/// Two that trust each other and talked; what the first one checks is counted.
fn pair() -> (Net, &'static Counting) {
    let counting: &'static Counting = Box::leak(Box::new(Counting(AtomicUsize::new(0))));
    let crypto: &'static CryptoProvider = Box::leak(Box::new(CryptoProvider { signature: counting, ..*rust_crypto() }));
    let mut net = Net::trusting(5, 2, Link::default());
    let mut endpoint = Endpoint::new(Arc::new(Config::default()), identity(0), crypto, [7; 32], net.now);
    endpoint.set_node(net.now, node(0));
    endpoint.add_static_peer(net.now, node(1), identity(1).public(), Some(address(1)), true);
    net.hosts[0].endpoint = endpoint;
    net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
    net.connect(0, 1, 1000);
    (net, counting)
}

/// As host 1 would send it, but with a signature that fits nothing.
fn damaged(rng: &mut Rng) -> Vec<u8> {
    let (mut exchange_public, mut signature) = ([0; 32], [0; 64]);
    rng.fill(&mut exchange_public);
    rng.fill(&mut signature);
    signature[63] &= 0x0f;
    let exchange = AuthenticatedKeyExchange {
        sender: node(1),
        exchange_public,
        identity_public: identity(1).public().0,
        signature,
    };
    let mut bytes = vec![0; 136];
    Frame::AuthenticatedKeyExchange(exchange).emit(&mut bytes).unwrap();
    bytes
}

/// `per_second` frames for `seconds` from wherever `from` says. Half way through host 1 restarts, and must be reached again.
fn flood(per_second: u32, seconds: u32, mut from: impl FnMut(&mut Rng) -> SocketAddr) -> (Net, usize) {
    let (mut net, counting) = pair();
    let mut rng = Rng::new([9; 32]);
    let before = counting.0.load(Ordering::Relaxed);
    let mut dialled = None;
    for number in 0..per_second * seconds {
        let (bytes, source) = (damaged(&mut rng), from(&mut rng));
        net.send(source, address(0), bytes);
        net.run_for(Duration::from_secs(1) / per_second);
        if number == per_second * seconds / 2 {
            net.restart(1, Config::default(), 77);
            net.act(1, |endpoint, _| endpoint.listen(1000)).unwrap();
            dialled = Some(net.act(1, |endpoint, now| endpoint.dial(now, target(0, 7))).unwrap());
        }
    }
    let connected = Event::Connected(dialled.unwrap());
    assert!(net.saw(1, &connected), "{:?}", net.hosts[0].endpoint.status().drops);
    let checked = counting.0.load(Ordering::Relaxed) - before;
    (net, checked)
}

#[test]
fn made_up_addresses_cost_a_bounded_number_of_signature_checks() {
    let seconds = 6;
    let (_, checked) = flood(4000, seconds, |rng| SocketAddr::from((rng.next_u32().to_be_bytes(), 4000)));
    let allowed = usize::try_from(limits::SIGNATURE_CHECKS_ELSEWHERE * (seconds + 1)).unwrap();
    assert!(checked <= allowed + 20, "{checked} checks");
    assert!(checked >= allowed / 2, "{checked} checks: the flood was not looked at, so this proves nothing");
}

/// Somebody borrows the peer's own address, or damages what it sends.
#[test]
fn damaged_exchanges_from_a_peer_s_address_do_not_keep_it_out() {
    for per_second in [20, 60, 180] {
        let seconds = 10;
        let (_, checked) = flood(per_second, seconds, |_| address(1));
        let allowed = usize::try_from(limits::SIGNATURE_CHECKS_PER_PEER * (seconds + 1)).unwrap();
        assert!(checked <= allowed + 20, "{checked} checks");
    }
}

//= spec/rate-limits.md#pp-rate-4
//= type=test
//# Key exchanges are limited to 5 a second for each source address, and for each node that is relayed, before any signature is checked.
#[test]
fn a_source_has_five_exchanges_a_second() {
    let (mut net, counting) = pair();
    let beacon = SocketAddr::from(([198, 51, 100, 1], 9001));
    let config = Config { beacons: vec![beacon], ..Config::default() };
    let crypto: &'static CryptoProvider = Box::leak(Box::new(CryptoProvider { signature: counting, ..*rust_crypto() }));
    let mut endpoint = Endpoint::new(Arc::new(config), identity(0), crypto, [7; 32], net.now);
    endpoint.set_node(net.now, node(0));
    endpoint.add_static_peer(net.now, node(1), identity(1).public(), Some(address(1)), true);
    net.hosts[0].endpoint = endpoint;
    let mut rng = Rng::new([9; 32]);
    let mut checks = |net: &mut Net, source: SocketAddr, relayed: bool| {
        let before = counting.0.load(Ordering::Relaxed);
        for _ in 0..40 {
            let frame = damaged(&mut rng);
            let message = BeaconMessage::RelayDeliver { sender: node(1), frame: &frame };
            let bytes = if relayed { message.to_vec().unwrap() } else { frame };
            net.send(source, address(0), bytes);
        }
        net.run_for(Duration::from_millis(6));
        counting.0.load(Ordering::Relaxed) - before
    };
    let stranger = |octet| SocketAddr::from(([203, 0, 113, octet], 4000));
    assert_eq!(checks(&mut net, stranger(1), false), 5);
    assert_eq!(checks(&mut net, stranger(1), false), 0, "the same second");
    assert_eq!(checks(&mut net, stranger(2), false), 5, "another address");
    assert_eq!(checks(&mut net, beacon, true), 5, "a relayed node, whatever the beacon's own address did");
    assert_eq!(checks(&mut net, beacon, true), 0);
    net.run_for(Duration::from_secs(2));
    assert_eq!(checks(&mut net, stranger(1), false), 5);
}

#[test]
fn another_key_than_the_known_one_costs_no_check() {
    let (mut net, counting) = pair();
    let before = counting.0.load(Ordering::Relaxed);
    for _ in 0..100 {
        let mut bytes = damaged(&mut Rng::new([1; 32]));
        bytes[40] ^= 1;
        net.send(address(1), address(0), bytes);
        net.run_for(Duration::from_millis(50));
    }
    assert_eq!(counting.0.load(Ordering::Relaxed), before);
}
