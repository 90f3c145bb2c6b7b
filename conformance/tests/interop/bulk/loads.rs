//! Much data on one stream, many streams, and a reader that does not read: on loopback, where nothing but the two programs is the limit.

use super::ends::{End, accept, pour, run, take};
use super::{OURS_DIALS, SECTION, THEIRS_DIALS, alone};
use crate::case::Case;
use crate::equipment::Equipment;
use crate::reference::Reference;
use driver::Conn;
use lab::agent::{Agent, PATIENCE};
use lab::netns::Isolated;
use lab::noise::Noise;
use lab::rendezvous::Rendezvous;
use lab::traffic::Counter;
use lab::wait;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes each way.
const MUCH: usize = 50_000_000;
/// Payload of the smallest full segment that either side sends.
const SEGMENT: u64 = 1152;
/// What may pass in so long after the last byte: goodbyes, keepalives, questions to the beacon.
const QUIET: (Duration, u64) = (Duration::from_secs(3), 60);

/// Ours and theirs, and our rendezvous server. The order of fields is the order of the end.
struct World {
    ours: Agent,
    theirs: Reference,
    _rendezvous: Rendezvous,
    network: Isolated,
}

impl World {
    fn new(equipment: &Equipment, version: &str) -> Self {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let ours = Agent::at("ours", &rendezvous, network.place(), &["--public"]);
        let theirs =
            Reference::start_with(equipment.kit(version), "theirs", network.place(), &rendezvous, &["-public"]);
        Self { ours, theirs, _rendezvous: rendezvous, network }
    }

    async fn ends(&self) -> (End, End) {
        let ours = End::new(&self.ours.socket(), self.ours.node()).await;
        (ours, End::new(&self.theirs.socket(), self.theirs.node()).await)
    }
}

/// 50 MB one way and then as much the other way on the same stream; and no more packets than that needs.
pub(super) fn one_stream(version: &str) -> Case {
    let rows = [
        ("50 MB each way on one stream", OURS_DIALS),
        ("50 MB each way on one stream", THEIRS_DIALS),
        ("no storm of packets during and after it", "both"),
    ];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "one stream", &rows, version, move |equipment| {
        let _alone = alone();
        let world = World::new(equipment, &wanted);
        let counter = Counter::new(world.network.place(), "meta l4proto udp");
        run(async {
            let (ours, theirs) = world.ends().await;
            for (dialler, listener, port) in [(&ours, &theirs, 5000), (&theirs, &ours, 5001)] {
                let before = counter.read();
                let (mut near, mut far) = dialler.connect(listener, port).await;
                pour(&mut near, &mut far, MUCH, 1).await;
                pour(&mut far, &mut near, MUCH, 2).await;
                let during = (counter.read() - before).packets;
                let needed = 2 * MUCH as u64 / SEGMENT;
                assert!(during <= 2 * needed, "{during} packets for data that fits {needed}");
            }
        });
        let before = counter.read();
        let noisy = wait::within(QUIET.0, || {
            let since = (counter.read() - before).packets;
            (since > QUIET.1).then_some(since)
        });
        assert_eq!(noisy, None, "packets after the end");
    })
}

/// 20 streams at once, each with data of its own.
pub(super) fn many_streams(version: &str) -> Case {
    const COUNT: usize = 20;
    const LENGTH: usize = 1_000_000;
    let rows = [("20 streams of 1 MB at once", OURS_DIALS), ("20 streams of 1 MB at once", THEIRS_DIALS)];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "many streams", &rows, version, move |equipment| {
        let _alone = alone();
        let world = World::new(equipment, &wanted);
        run(async {
            let (ours, theirs) = world.ends().await;
            for (dialler, listener, port) in [(&ours, &theirs, 5000), (&theirs, &ours, 5001)] {
                let mut pours = JoinSet::new();
                for ((mut near, mut far), seed) in
                    connect_many(dialler, listener, port, COUNT).await.into_iter().zip(1..)
                {
                    pours.spawn(async move { pour(&mut near, &mut far, LENGTH, seed).await });
                }
                assert_eq!(pours.join_all().await.len(), COUNT);
            }
        });
    })
}

async fn connect_many(dialler: &End, listener: &End, port: u16, count: usize) -> Vec<(Conn, Conn)> {
    let mut port_of_listener = listener.listen(port).await;
    let mut streams = Vec::new();
    for _ in 0..count {
        let near = dialler.try_dial(listener, port).await.expect("a connection");
        streams.push((near, accept(&mut port_of_listener).await));
    }
    streams
}

/// One stream of theirs is not read, and its queue becomes as full as it gets, while another stream to the same daemon goes on.
pub(super) fn unread(version: &str) -> Case {
    const LENGTH: usize = 40_000_000;
    /// So little room is left by a reader that has stopped: the reference begins with more.
    const FULL: u64 = 256 << 10;
    const WATCHED: Duration = Duration::from_secs(2);
    /// A full queue stops all streams of that daemon for a second.
    const HALT: Duration = Duration::from_millis(900);
    let wanted = version.to_owned();
    let row = ("a stream that is not read stops no other", "ours to theirs");
    Case::new(SECTION, row, version, move |equipment| {
        let _alone = alone();
        let world = World::new(equipment, &wanted);
        run(async {
            let (ours, theirs) = world.ends().await;
            let (mut near, _unread) = ours.connect(&theirs, 5000).await;
            let mut echo = ours.try_dial(&theirs, 7).await.expect("a connection to the echo port");
            let bytes = Noise::new(3).bytes(LENGTH);
            let others = async {
                // Only from here on is it certain that everything lost on the way there was repeated.
                timeout(PATIENCE, ours.until_full(5000, FULL)).await.expect("the reader's window fills");
                echo_once(&mut echo, PATIENCE).await;
                let begun = Instant::now();
                while begun.elapsed() < WATCHED {
                    echo_once(&mut echo, HALT).await;
                }
            };
            tokio::select! {
                sent = near.write_all(&bytes) => panic!("all was taken though nobody reads: {sent:?}"),
                () = others => {}
            }
        });
    })
}

async fn echo_once(echo: &mut Conn, limit: Duration) {
    echo.write_all(b"on").await.unwrap();
    let answer = timeout(limit, take(echo, 2)).await;
    assert_eq!(answer.expect("the other stream goes on"), b"on");
}
