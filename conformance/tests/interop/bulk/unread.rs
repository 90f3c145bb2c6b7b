//! A reader that does not read: nothing storms or grows, no other stream stops, and everything arrives once it is read.

use super::ends::{End, run, take, take_what_comes};
use super::loads::World;
use super::{SECTION, alone};
use crate::case::{Case, is_newer};
use crate::reference::Reference;
use driver::Conn;
use lab::agent::{Agent, PATIENCE};
use lab::noise::Noise;
use lab::traffic::Counter;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The column of the direction.
const THEIRS: &str = "theirs to theirs";
/// Bytes of a stream that nobody reads at first: more than all windows, queues and sockets hold.
const LENGTH: usize = 40_000_000;
/// How long a pair is watched while nothing can move.
const WATCHED: Duration = Duration::from_secs(3);
/// What is read late.
const GOES_ON: &str = "a stream that was not read goes on";
/// Longest that a late reader waits for all of it. Ours has it within seconds; between two of 1.9.1 it may trickle in for three quarters of an hour.
const LATE: Duration = Duration::from_secs(60);
/// More than is under way between their daemon and its user.
const ON_THE_WAY: u64 = 256 << 10;
/// How long it takes until everything is full, on a busy machine.
const FILLING: Duration = Duration::from_secs(3);
/// Longest an echo takes meanwhile, on a busy machine. A full queue of theirs would halt it for a second, again and again.
const HALT: Duration = Duration::from_secs(2);
/// What may pass then, both ways: questions whether there is room, and their answers.
const PACKETS: u64 = 90;
/// What our daemon may keep of it: two windows, and the chunks on their way through it.
const KEPT: u64 = 32 << 20;

/// In both directions.
pub(super) fn case(version: &str) -> Case {
    let rows = [
        ("a stream that is not read: no storm, no growth", "ours to theirs"),
        ("a stream that is not read: no storm, no growth", "theirs to ours"),
        (GOES_ON, "ours to theirs"),
        (GOES_ON, "theirs to ours"),
    ];
    let theirs_goes_on = is_newer(version);
    let wanted = version.to_owned();
    Case::sharing(SECTION, "unread", &rows, version, move |equipment| {
        let _alone = alone();
        let world = World::new(equipment, &wanted);
        let counter = Counter::new(world.network.place(), "meta l4proto udp");
        run(async {
            let (ours, theirs) = world.ends().await;
            for (from, to, port, goes_on) in [(&theirs, &ours, 5001, true), (&ours, &theirs, 5002, theirs_goes_on)] {
                let (writing, mut far, bytes) = unread(from, to, port, &world.ours, &counter).await;
                if goes_on {
                    assert!(take(&mut far, LENGTH).await == bytes, "{port}: what arrives late is something else");
                    writing.await.unwrap().unwrap();
                } else {
                    let came = take_what_comes(&mut far, &bytes, LATE).await;
                    // Asked over another socket: this one may be full.
                    let acknowledged = world.ends().await.0.acknowledged(port).await;
                    println!("{came} bytes came to a late reader at {wanted}, {acknowledged} are acknowledged");
                    assert!(came < LENGTH, "it has been fixed: all within {LATE:?}");
                    assert!(acknowledged > came as u64 + ON_THE_WAY, "theirs has {acknowledged}, its user {came}");
                    writing.abort();
                }
            }
        });
    })
}

/// One program's stream is not read, and another program's between the same daemons goes on.
pub(super) fn others(version: &str) -> Case {
    let feature = "a stream that is not read stops no other program's";
    let rows = [(feature, "ours to theirs"), (feature, "theirs to ours")];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "others", &rows, version, move |equipment| {
        let _alone = alone();
        let world = World::new(equipment, &wanted);
        run(async {
            let (ours, theirs) = world.ends().await;
            // A socket is one queue each way for all that goes over it; another program has its own.
            let (other_of_ours, other_of_theirs) = world.ends().await;
            let pairs = [(&ours, &other_of_ours, &theirs), (&theirs, &other_of_theirs, &ours)];
            for ((from, other, to), port) in pairs.into_iter().zip(5001..) {
                let (mut near, unread) = from.connect(to, port).await;
                let writing = tokio::spawn(async move { near.write_all(&vec![0; LENGTH]).await.map(|()| near) });
                let mut echo = other.try_dial(to, 7).await.expect("a connection to the echo port");
                let (mut worst, mut count, begun) = (Duration::ZERO, 0, Instant::now());
                while begun.elapsed() < FILLING + WATCHED {
                    let asked = Instant::now();
                    timeout(PATIENCE, echo_once(&mut echo)).await.expect("the other program's stream goes on");
                    (worst, count) = (worst.max(asked.elapsed()), count + 1);
                    // Nearly all of the processors' time is for what must not stop it.
                    sleep(Duration::from_millis(20)).await;
                }
                println!("{port}: {count} echoes beside it, the slowest after {worst:?}");
                assert!(!writing.is_finished(), "{port}: all was taken though nobody reads");
                assert!(worst <= HALT, "{port}: an echo took {worst:?}");
                drop(unread);
                writing.abort();
            }
        });
    })
}

/// What two daemons of the reference make of it. The case fails when they do better.
pub(super) fn two_of_theirs(version: &str) -> Case {
    let wanted = version.to_owned();
    let rows = [("a stream that is not read stops no other of its program", THEIRS), (GOES_ON, THEIRS)];
    Case::sharing(SECTION, "two of theirs", &rows, version, move |equipment| {
        let _alone = alone();
        let World { ours: _, theirs: one, rendezvous, network } = World::new(equipment, &wanted);
        let two = Reference::start_with(equipment.kit(&wanted), "two", network.place(), &rendezvous, &["-public"]);
        let counter = Counter::new(network.place(), "meta l4proto udp");
        run(async {
            let from = End::new(&one.socket(), one.node()).await;
            let to = End::new(&two.socket(), two.node()).await;
            let (mut near, mut far) = from.connect(&to, 5000).await;
            let mut echo = from.try_dial(&to, 7).await.expect("a connection to the echo port");
            timeout(PATIENCE, echo_once(&mut echo)).await.expect("an echo before");
            let bytes = Noise::new(4).bytes(LENGTH);
            let sent = bytes.clone();
            let writing = tokio::spawn(async move { near.write_all(&sent).await.map(|()| near) });
            let _ = timeout(PATIENCE, still(&counter)).await;
            let echoed = timeout(WATCHED, echo_once(&mut echo)).await;
            assert!(echoed.is_err(), "it has been fixed: a program's other stream goes on");
            let came = take_what_comes(&mut far, &bytes, LATE).await;
            println!("two of {wanted}: {came} bytes of {LENGTH} came to a late reader");
            assert!(came < LENGTH, "it has been fixed: a late reader gets all within {LATE:?}");
            writing.abort();
        });
    })
}

async fn echo_once(echo: &mut Conn) {
    echo.write_all(b"on").await.unwrap();
    assert_eq!(take(echo, 2).await, b"on");
}

/// A stream on the way of which everything is full, and what is being sent on it.
type Unread = (JoinHandle<io::Result<Conn>>, Conn, Vec<u8>);

/// Sends until nothing moves any more, and looks what passes and what is kept then.
async fn unread(from: &End, to: &End, port: u16, daemon: &Agent, counter: &Counter) -> Unread {
    let before = resident(daemon);
    let (mut near, far) = from.connect(to, port).await;
    let bytes = Noise::new(u64::from(port)).bytes(LENGTH);
    let sent = bytes.clone();
    let writing = tokio::spawn(async move { near.write_all(&sent).await.map(|()| near) });
    timeout(PATIENCE, still(counter)).await.unwrap_or_else(|_| panic!("{port}: a storm: {:?}", counter.read()));
    let (begun, kept) = (counter.read(), resident(daemon).saturating_sub(before));
    sleep(WATCHED).await;
    let passed = (counter.read() - begun).packets;
    println!("{port}: {passed} packets in {WATCHED:?}, {} KiB more than before", kept >> 10);
    assert!(!writing.is_finished(), "all was taken though nobody reads");
    assert!(passed <= PACKETS, "{port}: {passed} packets in {WATCHED:?}");
    assert!(kept <= KEPT, "{port}: our daemon keeps {kept} bytes");
    (writing, far, bytes)
}

/// Returns in the first second in which almost nothing passes.
async fn still(counter: &Counter) {
    let mut last = counter.read();
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = counter.read();
        if (now - last).packets <= PACKETS / 3 {
            return;
        }
        last = now;
    }
}

/// Bytes of memory that our daemon holds of its own.
fn resident(daemon: &Agent) -> u64 {
    let pid = daemon.pid().expect("our daemon runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
