//! Which of a peer's addresses can be reached from where we are (PP-NAT-11).
//!
//! Decides by comparing the two sides' networks. Refuses to try: an admitted address may still be dead.

use super::route::{OwnAddresses, PeerAddresses, Route};
use super::way::Origin;
use crate::wire::candidate::{Reach, canonical, same_network};
use core::net::SocketAddr;

/// The addresses worth trying, local ones first.
pub(super) fn admissible(peer: &PeerAddresses<'_>, own: &OwnAddresses<'_>) -> Vec<(Route, Origin)> {
    let local = peer.local.iter().map(|l| canonical(l.0)).filter(|&l| is_admissible(l, true, peer, own));
    let reflexive = peer.reflexive.map(|r| canonical(r.0)).filter(|&r| is_admissible(r, false, peer, own));
    let mut found: Vec<(Route, Origin)> = Vec::new();
    let tagged = local.map(|l| (l, Origin::ResolvedLocal)).chain(reflexive.map(|r| (r, Origin::ResolvedReflexive)));
    for (address, origin) in tagged {
        let route = Route::direct(address);
        if !found.iter().any(|&(known, _)| known == route) {
            found.push((route, origin));
        }
    }
    found
}

/// Whether one address is worth trying: of an interface of the peer's (`is_local`), or one that its NAT or router shows.
pub(super) fn is_admissible(
    address: SocketAddr,
    is_local: bool,
    peer: &PeerAddresses<'_>,
    own: &OwnAddresses<'_>,
) -> bool {
    // Where our own addresses are known, a family that is not among them leads nowhere.
    let family = own.local.is_empty() || address.is_ipv4() || own.local.iter().any(|l| canonical(l.0).is_ipv6());
    family && if is_local { local_is_reachable(address, peer, own) } else { reflexive_is_reachable(address, own) }
}

/// An interface's address counts on a network of ours, or anywhere behind the same NAT. Loopback counts on the same host only.
fn local_is_reachable(address: SocketAddr, peer: &PeerAddresses<'_>, own: &OwnAddresses<'_>) -> bool {
    let on_our_network = || own.local.iter().any(|l| same_network(l.0.ip(), address.ip()));
    match Reach::of(address) {
        // A link-local IPv6 address means nothing without a zone, which the registry does not carry.
        Reach::Link if address.is_ipv6() => false,
        Reach::Nowhere => false,
        Reach::Host => we_are_on_loopback(own),
        //= spec/nat.md#pp-nat-11
        //# A peer's local address is tried when it lies in a network of ours or behind the same public address.
        Reach::Link | Reach::Site => on_our_network() || behind_one_nat(peer, own),
        Reach::Global => true,
    }
}

/// A beacon in a private network reports private addresses, so those count, but not to whom the beacon sees at a global one: nobody may
/// make us send into our own network. Loopback counts only if we are seen there ourselves.
fn reflexive_is_reachable(address: SocketAddr, own: &OwnAddresses<'_>) -> bool {
    match Reach::of(address) {
        Reach::Nowhere => false,
        Reach::Host => we_are_on_loopback(own),
        Reach::Link | Reach::Site => own.reflexive.is_none_or(|r| Reach::of(r.0) != Reach::Global),
        Reach::Global => true,
    }
}

fn we_are_on_loopback(own: &OwnAddresses<'_>) -> bool {
    own.reflexive.is_some_and(|r| Reach::of(r.0) == Reach::Host)
}

fn behind_one_nat(peer: &PeerAddresses<'_>, own: &OwnAddresses<'_>) -> bool {
    match (peer.reflexive, own.reflexive) {
        (Some(peer), Some(own)) => peer.0.ip().to_canonical() == own.0.ip().to_canonical(),
        _ => false,
    }
}
