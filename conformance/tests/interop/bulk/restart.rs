//! One side's daemon is killed in the middle of a transfer and started again: how long until the two talk again.

use super::ends::{End, accept, pour, run, take};
use super::{SECTION, alone};
use crate::case::Case;
use crate::reference::{NEXT_LOOK, Reference};
use lab::agent::{Agent, PATIENCE};
use lab::netns::Isolated;
use lab::noise::Noise;
use lab::rendezvous::Rendezvous;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Longest from the moment the restarted daemon answers its user until a new stream carries data.
const RECOVERY: Duration = Duration::from_secs(5);
/// Bytes that have arrived when it is killed, and that were to.
const BEFORE: usize = 5_000_000;
const LENGTH: usize = 40_000_000;

/// Either side is killed, in turn; the survivor dials the restarted one, and after another restart is dialled by it.
pub(super) fn case(version: &str) -> Case {
    let feature = "restart in the middle of a transfer, within 5 s";
    let rows = [
        (feature, "ours restarts, ours dials"),
        (feature, "ours restarts, theirs dials"),
        (feature, "theirs restarts, ours dials"),
        (feature, "theirs restarts, theirs dials"),
    ];
    let wanted = version.to_owned();
    Case::sharing(SECTION, "restart", &rows, version, move |equipment| {
        let _alone = alone();
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let ours = Agent::at("ours", &rendezvous, network.place(), &["--public"]);
        let kit = equipment.kit(&wanted);
        let mut theirs = Reference::start_with(kit, "theirs", network.place(), &rendezvous, &["-public"]);
        befriend(&ours, &theirs);
        for (round, (ours_restarts, ours_dials)) in
            [(true, true), (true, false), (false, true), (false, false)].into_iter().enumerate()
        {
            let port = 5000 + 2 * u16::try_from(round).unwrap();
            let nodes = (ours.node(), theirs.node());
            run(async {
                let near = End::new(&ours.socket(), nodes.0).await;
                let far = End::new(&theirs.socket(), nodes.1).await;
                let (mut one, mut other) = near.connect(&far, port).await;
                let sender =
                    tokio::spawn(async move { one.write_all(&Noise::new(1).bytes(LENGTH)).await.map(|()| one) });
                take(&mut other, BEFORE).await;
                if ours_restarts {
                    ours.kill();
                } else {
                    theirs.kill();
                }
                sender.abort();
            });
            if ours_restarts {
                ours.start_daemon();
            } else {
                theirs.restart();
            }
            let answers = Instant::now();
            run(async {
                let near = End::new(&ours.socket(), nodes.0).await;
                let far = End::new(&theirs.socket(), nodes.1).await;
                let (dialler, listener) = if ours_dials { (&near, &far) } else { (&far, &near) };
                talk_again(dialler, listener, port + 1).await;
            });
            let took = answers.elapsed();
            assert!(took < RECOVERY, "ours restarts: {ours_restarts}, ours dials: {ours_dials}: {took:?}");
        }
    })
}

/// Friends are told our new key unasked; a stranger's daemon has to find out by itself.
fn befriend(ours: &Agent, theirs: &Reference) {
    theirs.ok(&["handshake", &ours.node().to_string(), "restarts"]);
    ours.ok(&["trust", "add", &theirs.id()]);
    ours.until(PATIENCE, &["trust", "list"], |data| data["trusted"][0]["mutual"] == true);
    theirs.until(NEXT_LOOK, &["trust"], |data| data["trusted"][0]["node_id"] == ours.node());
}

/// Dials until it works.
async fn talk_again(dialler: &End, listener: &End, port: u16) {
    let mut incoming = listener.listen(port).await;
    let begun = Instant::now();
    let mut near = loop {
        match dialler.try_dial(listener, port).await {
            Some(near) => break near,
            None => assert!(begun.elapsed() < RECOVERY, "no connection within {RECOVERY:?} ({port})"),
        }
    };
    let mut far = accept(&mut incoming).await;
    pour(&mut near, &mut far, 1000, 3).await;
}
