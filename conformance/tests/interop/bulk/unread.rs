//! A reader that does not read: nothing storms or grows, and everything arrives once it is read.

use super::ends::{End, run, take};
use super::loads::World;
use super::{SECTION, alone};
use crate::case::{Case, is_newer};
use driver::Conn;
use lab::agent::{Agent, PATIENCE};
use lab::noise::Noise;
use lab::traffic::Counter;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Bytes of a stream that nobody reads at first: more than all windows, queues and sockets hold.
const LENGTH: usize = 40_000_000;
/// How long a pair is watched while nothing can move.
const WATCHED: Duration = Duration::from_secs(3);
/// What may pass then, both ways: questions whether there is room, and their answers.
const PACKETS: u64 = 90;
/// What our daemon may keep of it: two windows, and the chunks on their way through it.
const KEPT: u64 = 32 << 20;

/// In both directions.
pub(super) fn case(version: &str) -> Case {
    let mut rows = vec![
        ("a stream that is not read: no storm, no growth", "ours to theirs"),
        ("a stream that is not read: no storm, no growth", "theirs to ours"),
        ("a stream that was not read goes on", "theirs to ours"),
    ];
    // 1.9.1 acknowledges on, but gives nothing more to a program that has not read for some seconds.
    let theirs_goes_on = is_newer(version);
    rows.extend(theirs_goes_on.then_some(("a stream that was not read goes on", "ours to theirs")));
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
                }
            }
        });
    })
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
