//! Which ports a dial comes from, which ports and addresses can be used, and how many streams there are.

mod raw;

use core::time::Duration;
use proto_core::endpoint::{DatagramError, DialError, ListenError};
use proto_core::wire::{Address, Flags, SocketAddress};
use proto_core::{Config, Event, NetworkId, NodeId, limits};
use raw::{World, stream, target};
use std::collections::BTreeSet;

const EPHEMERAL: usize = 65_536 - 49_152;

//= spec/ports.md#pp-port-1
//= type=test
//# Ephemeral ports are taken from 49152 to 65535.
//= spec/ports.md#pp-port-2
//= type=test
//# An ephemeral port is not given to a second connection with the same remote address and port while the first exists.
#[test]
fn dials_come_from_all_ephemeral_ports_and_each_from_another() {
    let mut world = World::met(Config::default());
    let dial = |world: &mut World, to| world.ours.dial(world.now, target(0, to));
    for _ in 0..EPHEMERAL {
        assert!(dial(&mut world, 2000).is_ok());
    }
    assert_eq!(dial(&mut world, 2000), Err(DialError::TooManyStreams));
    let ports: BTreeSet<u16> = world.ours.streams().iter().map(|stream| stream.local_port).collect();
    assert_eq!((ports.len(), ports.first(), ports.last()), (EPHEMERAL, Some(&49_152), Some(&65_535)));
    assert!(dial(&mut world, 2001).is_ok(), "another remote port has them all");
}

//= spec/ports.md#pp-port-3
//= type=test
//# The ephemeral port of an ended dial is not used toward the same remote address and port for 60 seconds.
#[test]
fn the_port_of_an_ended_dial_rests_for_a_minute() {
    let mut world = World::met(Config::default());
    let refused = |world: &mut World| {
        let dialled = world.act(|ours, now| ours.dial(now, target(0, 2000)));
        if let Ok(id) = dialled {
            let (syn, _) = world.take(0).pop().unwrap();
            world.send(0, stream(Flags::RST, (2000, syn.src_port), 0, syn.seq.0 + 1), b"");
            assert!(world.saw(&Event::DialFailed(id, DialError::Refused)));
            world.forget();
        }
        dialled.map(drop)
    };
    for _ in 0..EPHEMERAL {
        assert_eq!(refused(&mut world), Ok(()));
    }
    world.pass(Duration::from_secs(59));
    assert_eq!(refused(&mut world), Err(DialError::TooManyStreams));
    world.pass(Duration::from_secs(2));
    assert_eq!(refused(&mut world), Ok(()));
}

//= spec/ports.md#pp-port-7
//= type=test
//# A port that the endpoint serves itself cannot be listened on by the host.
#[test]
fn ports_of_the_endpoint_are_not_the_hosts() {
    for echo in [true, false] {
        let mut world = World::new(Config { echo, ..Config::default() }, &[]);
        let mut listen = |port| world.ours.listen(port);
        for port in [0, 1, 444] {
            assert_eq!(listen(port), Err(ListenError::Reserved));
        }
        assert_eq!(listen(7), if echo { Err(ListenError::Reserved) } else { Ok(()) });
        assert_eq!((listen(443), listen(445), listen(443)), (Ok(()), Ok(()), Err(ListenError::InUse)));
    }
}

//= spec/ports.md#pp-port-12
//= type=test
//# A host can listen on every port from 2 to 65535 that the endpoint does not serve itself, whether well-known (below 1024), registered
//# (1024 to 49151) or ephemeral.
//= spec/ports.md#pp-port-13
//= type=test
//# Port 1, control, cannot be listened on.
#[test]
fn ranges_of_ports_give_no_privilege() {
    let mut world = World::met(Config { echo: false, ..Config::default() });
    let refused: Vec<u16> = (0..=u16::MAX).filter(|port| world.ours.listen(*port).is_err()).collect();
    assert_eq!(refused, [0, 1, 444]);
    for port in [2, 80, 1000, 1023, 1024, 49_151, 49_152, 65_535] {
        assert!(world.dial_in(0, 5000, port).is_some(), "port {port}");
    }
}

//= spec/session.md#pp-ses-30
//= type=test
//# A connection that only rests after its end is not counted among the open ones.
#[test]
fn what_rests_is_not_open() {
    let mut world = World::met(Config::default());
    world.ours.listen(1000).unwrap();
    let isn = world.dial_in(0, 5000, 1000).unwrap();
    let (id, _) = world.ours.accept(1000).unwrap();
    let open = |world: &World| (world.ours.status().streams, world.ours.peers()[0].streams);
    assert_eq!(open(&world), (1, 1));
    world.act(|ours, now| ours.finish(now, id)).unwrap();
    assert_eq!(open(&world), (1, 1), "the FIN is not answered yet");
    world.send(0, stream(Flags::ACK, (5000, 1000), 1, isn.wrapping_add(2)), b"");
    assert_eq!(world.ours.stream_status(id).map(|status| status.stats.state), Some("time_wait"));
    assert_eq!(open(&world), (0, 0));
}

/// A server of short requests: what it is done with must not keep others out while it rests.
#[test]
fn what_rests_and_belongs_to_nobody_takes_no_place_at_its_port() {
    let mut world = World::met(Config::default());
    world.ours.listen(1000).unwrap();
    for port in 5000..5000 + 3 * u16::try_from(limits::STREAMS_PER_PEER_AND_PORT).unwrap() {
        let isn = world.dial_in(0, port, 1000).unwrap_or_else(|| panic!("{port} is refused"));
        let (id, _) = world.ours.accept(1000).unwrap();
        world.act(|ours, now| ours.finish(now, id)).unwrap();
        world.send(0, stream(Flags::ACK, (port, 1000), 1, isn.wrapping_add(2)), b"");
        assert_eq!(world.ours.stream_status(id).map(|status| status.stats.state), Some("time_wait"));
        world.act(|ours, now| ours.reset(now, id));
        world.forget();
    }
    assert_eq!(world.ours.status().streams, 0);
}

//= spec/addressing.md#pp-addr-9
//= type=test
//# The node 0xFFFFFFFF means all members of a network and never appears as the destination of a packet we send.
#[test]
fn nothing_is_sent_to_all_members_of_a_network() {
    let mut world = World::met(Config::default());
    for network in [0, 7] {
        let everybody = Address { network: NetworkId(network), node: NodeId::BROADCAST };
        let to = SocketAddress::new(everybody, 2000);
        assert_eq!(world.act(|ours, now| ours.dial(now, to)), Err(DialError::InvalidTarget));
        let sent = world.act(|ours, now| ours.send_datagram(now, to, 0, b"all"));
        assert_eq!(sent, Err(DatagramError::InvalidTarget));
        world.act(|ours, now| ours.ping(now, NodeId::BROADCAST, Duration::from_secs(1)));
        world.pass(Duration::from_secs(5));
        assert!(world.log.is_empty() && world.ours.peer(NodeId::BROADCAST).is_none());
    }
}

//= spec/addressing.md#pp-addr-10
//= type=test
//# Nodes 1, 2 and 3 are treated like any other node in routing.
#[test]
fn nodes_1_2_and_3_are_like_any_other() {
    let mut world = World::new(Config::default(), &[true; 4]);
    world.ours.listen(1000).unwrap();
    for peer in 0..4 {
        world.meet(peer as usize);
        assert!(world.dial_in(peer as usize, 5000, 1000).is_some());
        let (_, from) = world.ours.accept(1000).unwrap();
        assert_eq!(from, SocketAddress::new(Address::backbone(NodeId(peer + 1)), 5000));
        world.act(|ours, now| ours.dial(now, target(peer, 2000))).unwrap();
        assert_eq!(world.take_flags(peer as usize), [Flags::SYN]);
    }
}

//= spec/rate-limits.md#pp-rate-5
//= type=test
//# A peer holds at most 1024 streams of a port and never more than are still free there; a port holds at most 2048, the endpoint 65536.
#[test]
fn an_endpoint_has_65536_streams_at_most() {
    let mut world = World::met(Config::default());
    let mut dial = |port| world.ours.dial(world.now, target(0, port));
    for number in 0..limits::MAX_STREAMS {
        assert!(dial(2000 + u16::try_from(number / 10_000).unwrap()).is_ok());
    }
    assert_eq!(limits::MAX_STREAMS, 65_536);
    assert_eq!(dial(2100), Err(DialError::TooManyStreams));
}

/// A peer that dials and ends at once, whose ACK between is lost.
#[test]
fn a_stream_that_ends_before_its_handshake_is_acknowledged_is_accepted_and_leaves() {
    let mut world = World::new(Config { public: true, ..Config::default() }, &[false]);
    world.ours.listen(1000).unwrap();
    world.meet(0);
    for port in 5000..5200 {
        world.pass(Duration::from_secs(1));
        world.send(0, stream(Flags::SYN, (port, 1000), 0, 0), b"");
        let syn_ack = world.take(0).into_iter().find(|(header, _)| header.dst_port == port).unwrap().0;
        assert_eq!(syn_ack.flags, Flags::SYN | Flags::ACK, "{port}");
        world.send(0, stream(Flags::FIN, (port, 1000), 1, 0), b"");
        if let Some((id, _)) = world.ours.accept(1000) {
            assert_eq!(world.act(|ours, now| ours.read(now, id, &mut [0; 9])), Ok(0));
            world.act(|ours, now| ours.reset(now, id));
        }
        world.take(0);
    }
    world.pass(Duration::from_secs(20));
    assert!(world.ours.streams().is_empty(), "{} streams stay", world.ours.streams().len());
}

/// A peer of the reference that is started again dials from the ports that it had, and with the number it had: what it said before is read all the same.
#[test]
fn a_stream_on_the_ports_of_one_that_ended_takes_nothing_from_its_reader() {
    let mut world = World::met(Config::default());
    world.ours.listen(1000).unwrap();
    let mut streams = Vec::new();
    for words in [&b"first"[..], b"second"] {
        world.take(0);
        let isn = world.dial_in(0, 49_152, 1000).unwrap();
        world.send(0, stream(Flags::ACK, (49_152, 1000), 1, isn + 1), words);
        world.send(0, stream(Flags::FIN, (49_152, 1000), 1 + u32::try_from(words.len()).unwrap(), 0), b"");
        streams.push((world.ours.accept(1000).unwrap().0, words));
    }
    for (id, words) in streams {
        let mut buffer = [0; 16];
        assert_eq!(world.act(|ours, now| ours.read(now, id, &mut buffer)), Ok(words.len()));
        assert_eq!(&buffer[..words.len()], words);
        assert_eq!(world.act(|ours, now| ours.read(now, id, &mut buffer)), Ok(0));
        world.act(|ours, now| ours.reset(now, id));
    }
    world.pass(Duration::from_secs(11));
    assert!(world.ours.streams().is_empty());
}

#[test]
fn what_waited_for_a_listener_that_is_gone_leaves_no_room_at_the_next() {
    let mut world = World::new(Config { public: true, ..Config::default() }, &[false]);
    world.meet(0);
    let dial_all = |world: &mut World, ports: core::ops::Range<u16>| {
        ports
            .filter(|port| {
                world.pass(Duration::from_millis(200));
                world.take(0);
                world.dial_in(0, *port, 1000).is_some()
            })
            .count()
    };
    world.ours.listen(1000).unwrap();
    assert_eq!(dial_all(&mut world, 5000..5064), 64);
    for port in 5000..5064 {
        world.send(0, stream(Flags::FIN, (port, 1000), 1, 0), b"");
    }
    world.act(|ours, now| ours.unlisten(now, 1000));
    world.ours.listen(1000).unwrap();
    assert_eq!(dial_all(&mut world, 6000..6200), limits::ACCEPT_BACKLOG);
}

/// To the reference a stream is established when it has answered the SYN.
#[test]
fn a_dial_that_is_given_up_is_reset() {
    let mut world = World::met(Config::default());
    let id = world.act(|ours, now| ours.dial(now, target(0, 2000))).unwrap();
    let (syn, _) = world.take(0).pop().unwrap();
    world.act(|ours, now| ours.reset(now, id));
    let (reset, _) = world.take(0).pop().unwrap();
    assert_eq!(
        (syn.flags, reset.flags, (reset.src_port, reset.dst_port)),
        (Flags::SYN, Flags::RST, (syn.src_port, syn.dst_port))
    );
    assert!(world.ours.streams().is_empty());
}
