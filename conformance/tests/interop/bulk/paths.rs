//! Transfers through NATs, through the relay, and over a path that loses packets.

use super::ends::{End, pour, run};
use super::loads::SEGMENT;
use super::{OURS_DIALS, SECTION, THEIRS_DIALS, alone};
use crate::case::Case;
use crate::reference::Reference;
use lab::agent::Agent;
use lab::netns::{Access, Lab, Site};
use lab::rendezvous::Rendezvous;
use lab::traffic::{self, Counter};

/// Bytes each way.
const LENGTH: usize = 5_000_000;

/// What one side needs to receive at most: the data that goes there, and an acknowledgment for every segment that goes the other way.
const NEEDED: u64 = 2 * LENGTH as u64 / SEGMENT;

/// What is between the two.
struct Between {
    access: Access,
    relayed: bool,
    loss_percent: u8,
}

/// Both behind NATs that keep ports: the way becomes direct.
pub(super) fn punched(version: &str) -> Case {
    let feature = "5 MB each way, both behind NATs that keep ports: direct";
    case("punched", feature, version, Between { access: Access::Masquerade, relayed: false, loss_percent: 0 })
}

/// Both behind NATs that give every destination another port: only the relay is left.
pub(super) fn relayed(version: &str) -> Case {
    let feature = "5 MB each way, both behind random NATs: relayed";
    case("relayed", feature, version, Between { access: Access::FullyRandom, relayed: true, loss_percent: 0 })
}

/// One packet of a hundred is lost in each direction.
pub(super) fn lossy(version: &str) -> Case {
    let feature = "5 MB each way at 1 % loss";
    case("lossy", feature, version, Between { access: Access::Open, relayed: false, loss_percent: 1 })
}

fn case(title: &str, feature: &'static str, version: &str, between: Between) -> Case {
    let wanted = version.to_owned();
    Case::sharing(SECTION, title, &[(feature, OURS_DIALS), (feature, THEIRS_DIALS)], version, move |equipment| {
        let _alone = alone();
        for ours_dials in [true, false] {
            let lab = Lab::new(between.access, between.access);
            let rendezvous = Rendezvous::in_lab(equipment.pilotctl(), &lab);
            let ours = Agent::at("ours", &rendezvous, &lab.site(Site::A), &["--public"]);
            let kit = equipment.kit(&wanted);
            let theirs = Reference::start_with(kit, "theirs", &lab.site(Site::B), &rendezvous, &["-public"]);
            if between.loss_percent > 0 {
                for site in [Site::A, Site::B] {
                    traffic::lose(&lab.site(site), "meta l4proto udp", between.loss_percent);
                }
            }
            let counter = Counter::new(&lab.site(Site::A), "meta l4proto udp");
            run(async {
                let near = End::new(&ours.socket(), ours.node()).await;
                let far = End::new(&theirs.socket(), theirs.node()).await;
                let (dialler, listener) = if ours_dials { (&near, &far) } else { (&far, &near) };
                let (mut one, mut other) = dialler.connect(listener, 5000).await;
                let before = counter.read();
                pour(&mut one, &mut other, LENGTH, 1).await;
                pour(&mut other, &mut one, LENGTH, 2).await;
                let during = (counter.read() - before).packets;
                assert!(during <= 2 * NEEDED, "{during} packets arrive where {NEEDED} are needed");
                assert_eq!(near.relays(&far).await, between.relayed, "the way it went");
            });
        }
    })
}
