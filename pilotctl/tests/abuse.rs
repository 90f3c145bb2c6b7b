//! A million hostile datagrams and connections full of noise change nothing that matters: nobody exits, memory stays
//! within a stated bound, a stream that is open keeps flowing, and local commands get answers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use driver::ipc::command;
use lab::agent::{Agent, PATIENCE, befriend};
use lab::echo::Echo;
use lab::noise::Noise;
use lab::rendezvous::Rendezvous;
use lab::wait;
use proto_core::NodeId;
use proto_core::wire::{AuthenticatedKeyExchange, BeaconMessage, Frame};
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Datagrams at each target.
const FLOOD: usize = 1_000_000;
/// Sockets they come from: rate limits per source must not be what saves the target.
const SOURCES: usize = 16;
/// Datagrams sent before looking whether the target keeps up.
const BURST: usize = 200;
/// Bytes in the target's receive queue above which the flood waits: what the kernel drops tests nothing.
const QUEUE: u64 = 512 * 1024;
/// Resident memory a daemon or a server may gain from all of this. Their tables are bounded; the rest is the
/// allocator and thread stacks.
const GROWTH: u64 = 32 * 1024 * 1024;

/// Two agents with an open stream between them, and their server.
struct World {
    echo: Echo,
    a: Agent,
    b: Agent,
    rendezvous: Rendezvous,
}

impl World {
    fn new() -> Self {
        let rendezvous = Rendezvous::on_loopback(env!("CARGO_BIN_EXE_pilotctl"));
        let a = Agent::on_loopback("agent-a", &rendezvous);
        let b = Agent::on_loopback("agent-b", &rendezvous);
        befriend(&a, &b);
        a.ok(&["ping", "agent-b", "-c", "20", "--until-direct"]);
        let echo = Echo::open(&a, "agent-b");
        let mut world = Self { echo, a, b, rendezvous };
        world.echo.round();
        world
    }

    fn nodes(&self) -> [NodeId; 2] {
        [&self.a, &self.b].map(|agent| NodeId(u32::try_from(agent.node()).unwrap()))
    }

    /// Datagrams that the flooded daemon says it has received.
    fn heard(&self) -> u64 {
        self.b.ok(&["status"])["pkts_recv"].as_u64().unwrap()
    }

    /// The server and both daemons still run, as the same processes, and answer.
    fn is_well(&mut self, daemons: [u32; 2]) {
        self.echo.round();
        assert!(!self.rendezvous.has_ended(), "the server has ended: {}", self.rendezvous.log());
        assert_eq!([self.a.pid().unwrap(), self.b.pid().unwrap()], daemons, "the same processes");
        let fresh = self.a.ok(&["connect", "agent-b", "--message", "still here"]);
        assert_eq!(fresh["acked"], true);
    }
}

/// Well-formed messages of every kind, in the names of real nodes, to be mutated.
fn templates(nodes: [NodeId; 2], noise: &mut Noise) -> Vec<Vec<u8>> {
    let [sender, destination] = nodes;
    let exchange = AuthenticatedKeyExchange {
        sender,
        exchange_public: noise.bytes(32).try_into().unwrap(),
        identity_public: noise.bytes(32).try_into().unwrap(),
        signature: noise.bytes(64).try_into().unwrap(),
    };
    let exchange = exchange.to_bytes().to_vec();
    let mut sealed = b"PILS".to_vec();
    sealed.extend(sender.0.to_be_bytes());
    sealed.extend(noise.bytes(12 + 34 + 200 + 16));
    let mut punch = vec![0; 64];
    let length = Frame::Punch { sender: Some(sender) }.emit(&mut punch).unwrap();
    punch.truncate(length);
    let plain = [b"PILT".to_vec(), noise.bytes(60)].concat();
    let anonymous = [b"PILK".to_vec(), sender.0.to_be_bytes().to_vec(), noise.bytes(32)].concat();

    let target = SocketAddr::from(([127, 0, 0, 1], 9));
    let beacon = [
        BeaconMessage::Discover { node: NodeId(0), key: None },
        BeaconMessage::Discover { node: NodeId(77_777), key: Some([7; 32]) },
        BeaconMessage::DiscoverReply(target),
        BeaconMessage::PunchRequest { requester: NodeId(77_777), target: destination, grant: None },
        BeaconMessage::PunchCommand(target),
        BeaconMessage::Relay { sender: NodeId(77_777), destination, frame: &exchange },
        BeaconMessage::Relay { sender: NodeId(77_777), destination, frame: &sealed },
        BeaconMessage::RelayDeliver { sender, frame: &exchange },
        BeaconMessage::RelayDeliver { sender, frame: &sealed },
        BeaconMessage::RelayDeliverTo { sender, destination, frame: &sealed },
        BeaconMessage::DiscoverExtended { node: NodeId(0), key: None },
        BeaconMessage::Notify { kind: 1 },
    ];
    let beacon = beacon.iter().map(|message| {
        let mut bytes = vec![0; message.encoded_len()];
        message.emit(&mut bytes).unwrap();
        bytes
    });
    let sync = [&[0x07][..], &[0, 0, 0, 9, 0xFF, 0xFF]].concat();
    beacon.chain([exchange.clone(), sealed.clone(), punch, plain, anonymous, sync]).collect()
}

/// One hostile datagram: noise, or a message with some of its bytes, its length or its end changed.
fn hostile(noise: &mut Noise, templates: &[Vec<u8>]) -> Vec<u8> {
    if noise.below(4) == 0 {
        let length = noise.below(1400);
        return noise.bytes(length);
    }
    let mut bytes = templates[noise.below(templates.len())].clone();
    for _ in 0..noise.below(4) {
        let at = noise.below(bytes.len());
        bytes[at] = noise.next().to_le_bytes()[0];
    }
    match noise.below(6) {
        0 => bytes.truncate(noise.below(bytes.len())),
        1 => bytes.extend(noise.bytes(40)),
        _ => {}
    }
    bytes
}

/// Sends [`FLOOD`] datagrams no faster than the target takes them; how long it took and how many the kernel dropped.
fn flood(target: SocketAddr, templates: &[Vec<u8>], seed: u64, mut between: impl FnMut()) -> (Duration, u64) {
    let mut noise = Noise::new(seed);
    let sockets: Vec<UdpSocket> = (0..SOURCES).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let (began, (_, dropped_before)) = (Instant::now(), udp_queue(target.port()));
    for burst in 0..FLOOD / BURST {
        for at in 0..BURST {
            // A target that is gone shows as an error of a later send; `is_well` tells it better.
            let _ = sockets[at % SOURCES].send_to(&hostile(&mut noise, templates), target);
        }
        wait::until("the target takes what it got", PATIENCE, || (udp_queue(target.port()).0 < QUEUE).then_some(()));
        if burst % 500 == 0 {
            between();
        }
    }
    wait::until("the target has taken everything", PATIENCE, || (udp_queue(target.port()).0 == 0).then_some(()));
    (began.elapsed(), udp_queue(target.port()).1 - dropped_before)
}

/// Bytes that wait at the sockets of a port, and datagrams the kernel has dropped there.
fn udp_queue(port: u16) -> (u64, u64) {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let port = format!(":{port:04X}");
    let mut sum = (0, 0);
    for line in tables.iter().flat_map(|table| table.lines()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.get(1).is_some_and(|local| local.ends_with(&port)) {
            let (_, queued) = fields[4].split_once(':').unwrap();
            sum.0 += u64::from_str_radix(queued, 16).unwrap();
            sum.1 += fields.last().and_then(|drops| drops.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sum
}

/// Resident memory, bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn assert_bounded(what: &str, before: u64, after: u64) {
    let grown = after.saturating_sub(before);
    assert!(grown < GROWTH, "{what} grew by {grown} bytes, from {before} to {after}");
}

/// The daemon's UDP port: the one socket of its process.
fn udp_port(pid: u32) -> u16 {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    let inodes: Vec<String> = targets
        .filter_map(|path| Some(path.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let ports = tables.iter().flat_map(|table| table.lines()).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let own = inodes.iter().any(|inode| fields.get(9) == Some(&inode.as_str()));
        own.then(|| u16::from_str_radix(fields[1].rsplit(':').next()?, 16).ok()).flatten()
    });
    ports.into_iter().next().expect("the daemon has a UDP socket")
}

#[test]
fn a_million_hostile_datagrams_disturb_neither_a_daemon_nor_the_beacon() {
    let mut world = World::new();
    let daemons = [world.a.pid().unwrap(), world.b.pid().unwrap()];
    let templates = templates(world.nodes(), &mut Noise::new(1));
    let targets = [
        ("daemon", daemons[1], SocketAddr::from(([127, 0, 0, 1], udp_port(daemons[1])))),
        ("beacon", world.rendezvous.pid(), world.rendezvous.beacon().parse().unwrap()),
    ];
    for (what, pid, address) in targets {
        let (before, heard_before) = (resident(pid), world.heard());
        let mut slowest = Duration::ZERO;
        let (took, dropped) = flood(address, &templates, u64::from(address.port()), || {
            slowest = slowest.max(world.echo.round());
        });
        let after = resident(pid);
        println!(
            "{FLOOD} datagrams at the {what}: {took:?}, {dropped} dropped by the kernel, resident {before} -> {after} bytes, slowest echo meanwhile {slowest:?}"
        );
        assert_bounded(what, before, after);
        if what == "daemon" {
            let heard = world.heard() - heard_before;
            // Empty ones, about one in ninety, do not get as far as the counter.
            assert!(
                heard >= FLOOD as u64 / 100 * 98 - dropped,
                "the daemon has looked at {heard} of {FLOOD} datagrams"
            );
        }
        world.is_well(daemons);
    }
}

/// Writes noise to a connection until it is closed or the noise ends.
fn babble(mut stream: impl Write, noise: &mut Noise) {
    for _ in 0..1 + noise.below(8) {
        let length = 1 + noise.below(8192);
        if stream.write_all(&noise.bytes(length)).is_err() {
            return;
        }
    }
}

#[test]
fn noise_at_the_registry_port_disturbs_nobody() {
    let mut world = World::new();
    let daemons = [world.a.pid().unwrap(), world.b.pid().unwrap()];
    let address: SocketAddr = world.rendezvous.registry().parse().unwrap();
    let (pid, mut noise) = (world.rendezvous.pid(), Noise::new(3));
    let (before, began) = (resident(pid), Instant::now());
    // Some that promise much and say nothing stay open all the time.
    let silent: Vec<TcpStream> = (0..32).filter_map(|_| promise(address)).collect();
    let mut connected = 0;
    for round in 0..500 {
        // A refusal is an allowed answer to somebody who knocks this often.
        if let Ok(stream) = TcpStream::connect(address) {
            connected += 1;
            stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
            if round % 2 == 0 {
                babble(&stream, &mut noise)
            } else {
                babble(Framed(&stream), &mut noise)
            }
            let _ = stream.shutdown(Shutdown::Both);
        }
        if round % 50 == 0 {
            world.echo.round();
        }
    }
    let after = resident(pid);
    println!(
        "{connected} of 500 connections with noise at the registry: {:?}, {} silent ones, resident {before} -> {after} bytes",
        began.elapsed(),
        silent.len()
    );
    assert_bounded("the server", before, after);
    world.is_well(daemons);
    assert_eq!(world.a.ok(&["find", "agent-b"])["node_id"], world.b.node());
}

/// A connection that announces four gigabytes.
fn promise(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(&[0xFF; 4]).ok()?;
    Some(stream)
}

/// Puts a right length in front of every write, so that noise reaches what is behind the framing.
struct Framed<W>(W);

impl<W: Write> Write for Framed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = u32::try_from(bytes.len()).unwrap();
        self.0.write_all(&[&length.to_be_bytes(), bytes].concat())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn noise_at_the_local_socket_disturbs_no_other_client() {
    let mut world = World::new();
    let daemons = [world.a.pid().unwrap(), world.b.pid().unwrap()];
    let (socket, mut noise) = (world.a.socket(), Noise::new(4));
    let (before, began) = (resident(daemons[0]), Instant::now());
    for round in 0..500 {
        let stream = UnixStream::connect(&socket).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        if round % 2 == 0 {
            babble(&stream, &mut noise)
        } else {
            commands(Framed(&stream), &mut noise)
        }
        let _ = stream.shutdown(Shutdown::Both);
        if round % 50 == 0 {
            world.echo.round();
        }
    }
    let after = resident(daemons[0]);
    println!("500 clients with noise at the local socket: {:?}, resident {before} -> {after} bytes", began.elapsed());
    assert_bounded("the daemon", before, after);
    world.is_well(daemons);
}

/// Every command with arguments of noise, connection numbers of other clients among them; but for those that a user
/// may use to change this very agent, and for closing, which any program may do to any connection (PP-IPC-16).
fn commands(mut stream: impl Write, noise: &mut Noise) {
    let changing = [
        command::SET_HOSTNAME,
        command::SET_VISIBILITY,
        command::DEREGISTER,
        command::ROTATE_KEY,
        command::HANDSHAKE,
        command::SET_TAGS,
        command::CLOSE,
    ];
    for _ in 0..50 {
        // The last sixteen are the extensions.
        let command =
            u8::try_from(noise.below(0x50)).map(|number| if number < 0x40 { number } else { number + 0xA0 }).unwrap();
        if changing.contains(&command) {
            continue;
        }
        let small = u32::try_from(noise.below(8)).unwrap().to_be_bytes();
        let rest = noise.below(64);
        let frame = [&[command][..], &small, &noise.bytes(rest)].concat();
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}
