//! What somebody sees whom the peer does not know: nothing.

use crate::probe::actor::{PATIENCE, SILENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure};
use crate::probe::stream::{ECHO, Stream};
use crate::probe::tunnel::{self, LEAST_SEALED};
use proto_core::NodeId;
use proto_core::crypto::Identity;
use proto_core::wire::frame::PILS;
use proto_core::wire::{Flags, Frame, KeyExchange, Protocol};

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Peer, name, ids, run);
    vec![
        check("privacy/by-default", &["PP-PRIV-1"], by_default),
        check("privacy/sealed-without-a-session", &["PP-FRAME-16"], sealed_without_session),
        check("privacy/anonymous-exchange", &["PP-KEX-9"], anonymous),
        check("privacy/exchange-of-an-unregistered-node", &["PP-KEX-8"], unregistered),
        check("privacy/exchange-of-a-stranger", &["PP-PRIV-3"], exchange),
        check("privacy/stream-of-a-stranger", &["PP-PRIV-2"], stream),
        check("privacy/datagram-of-a-stranger", &["PP-DGRAM-4"], datagram),
    ]
}

fn private(bench: &Bench) -> Outcome {
    if bench.peer.public { Err(Stop::skipped("the peer is public")) } else { Ok(()) }
}

fn by_default(bench: &mut Bench) -> Outcome {
    if bench.options.registry.is_none() {
        return Err(Stop::skipped("no registry says whether the peer is public"));
    }
    // Whether somebody made it public is not to be seen from here.
    private(bench)
}

fn sealed_without_session(bench: &mut Bench) -> Outcome {
    let mut frame = PILS.to_vec();
    frame.extend_from_slice(&bench.stranger.node.0.to_be_bytes());
    frame.resize(LEAST_SEALED, 0x7F);
    bench.stranger.send(&frame);
    let sent = frame.len();
    bench.stranger.listen(SILENCE);
    let answered: usize = bench.stranger.seen().iter().map(|received| received.length).sum();
    ensure(answered <= 3 * sent, || format!("{sent} unauthenticated bytes are answered with {answered}"))
}

fn anonymous(bench: &mut Bench) -> Outcome {
    let node = NodeId(bench.victim.node.0.wrapping_add(3_000_000_000));
    let public = bench.victim.tunnel.renew();
    let mut bytes = [0; 40];
    let _ = Frame::KeyExchange(KeyExchange { sender: node, public }).emit(&mut bytes);
    bench.victim.send(&bytes);
    let peer = bench.peer.address;
    bench.victim.hears_nothing(peer, "a key exchange without an identity is answered")
}

fn unregistered(bench: &mut Bench) -> Outcome {
    let identity = Identity::from_seed(tunnel::random());
    let public = bench.victim.tunnel.renew();
    let exchange = tunnel::exchange(NodeId(4_000_000_099), &identity, public);
    bench.victim.send_exchange_bytes(&exchange.to_bytes());
    let peer = bench.peer.address;
    bench.victim.hears_nothing(peer, "a key exchange whose sender no registry knows is answered")
}

fn exchange(bench: &mut Bench) -> Outcome {
    private(bench)?;
    bench.stranger.tunnel.renew();
    bench.stranger.send_exchange();
    let peer = bench.peer.address;
    bench.stranger.hears_nothing(peer, "a stranger's key exchange is answered")
}

/// A session for the stranger, if the peer makes one with anybody.
fn acquainted(bench: &mut Bench) -> bool {
    bench.stranger.meet().is_ok()
}

fn stream(bench: &mut Bench) -> Outcome {
    private(bench)?;
    if !acquainted(bench) {
        return Ok(());
    }
    let stranger = &mut bench.stranger;
    for port in [ECHO, 444, 1001, 1] {
        let stream = Stream::new(stranger, port);
        stream.syn(stranger);
        stranger.listen(SILENCE / 2);
        let answer = stream.seen(stranger);
        ensure(answer.is_empty(), || format!("a stranger's SYN to port {port} is answered"))?;
    }
    ensure(stranger.is_answered(PATIENCE), || "the peer answers no ping any more".to_owned())
}

fn datagram(bench: &mut Bench) -> Outcome {
    private(bench)?;
    if bench.stranger.tunnel.current.is_none() {
        return Ok(());
    }
    let stranger = &mut bench.stranger;
    let ports = (stranger.port(), 1000);
    let header = stranger.header(Protocol::Datagram, Flags::NONE, ports);
    stranger.send_packet(&header, b"hello?");
    stranger.silent("a stranger's datagram is answered", |received| {
        received.packet().is_some_and(|packet| packet.header.protocol == Protocol::Datagram)
    })
}
