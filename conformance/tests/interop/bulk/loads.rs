//! Much data on one stream, and many streams: on loopback, where nothing but the two programs is the limit.

use super::ends::{End, accept, pour, run};
use super::{OURS_DIALS, SECTION, THEIRS_DIALS, alone};
use crate::case::Case;
use crate::equipment::Equipment;
use crate::reference::Reference;
use driver::Conn;
use lab::agent::Agent;
use lab::netns::Isolated;
use lab::rendezvous::Rendezvous;
use lab::traffic::Counter;
use lab::wait;
use std::time::Duration;
use tokio::task::JoinSet;

/// Bytes each way.
const MUCH: usize = 50_000_000;
/// Payload of the smallest full segment that either side sends.
pub(super) const SEGMENT: u64 = 1152;
/// What may pass in so long after the last byte: goodbyes, keepalives, questions to the beacon.
const QUIET: (Duration, u64) = (Duration::from_secs(3), 60);

/// Ours and theirs, and our rendezvous server. The order of fields is the order of the end.
pub(super) struct World {
    pub(super) ours: Agent,
    pub(super) theirs: Reference,
    pub(super) rendezvous: Rendezvous,
    pub(super) network: Isolated,
}

impl World {
    pub(super) fn new(equipment: &Equipment, version: &str) -> Self {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let ours = Agent::at("ours", &rendezvous, network.place(), &["--public"]);
        let theirs =
            Reference::start_with(equipment.kit(version), "theirs", network.place(), &rendezvous, &["-public"]);
        Self { ours, theirs, rendezvous, network }
    }

    pub(super) async fn ends(&self) -> (End, End) {
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
