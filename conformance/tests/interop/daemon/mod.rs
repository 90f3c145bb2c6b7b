//! Section `daemon`: our daemon with daemons of the reference, each as dialer and as listener.

mod clear;
mod life;
mod talk;
mod trust;

use crate::case::Case;
use crate::equipment::Equipment;
use crate::reference::{NEXT_LOOK, Reference};
use lab::agent::{Agent, PATIENCE};
use lab::netns::Isolated;
use lab::rendezvous::Rendezvous;

const SECTION: &str = "daemon";
/// Directions: who does it to whom.
const OURS_TO_THEIRS: &str = "ours to theirs";
const THEIRS_TO_OURS: &str = "theirs to ours";

/// Its cases, for each version.
pub(crate) fn cases(versions: &[String]) -> Vec<Case> {
    let all = |version: &String| {
        [trust::cases(version), vec![clear::case(version)], talk::cases(version), life::cases(version)]
    };
    versions.iter().flat_map(all).flatten().collect()
}

/// A daemon of ours, one of theirs, and our rendezvous server. The order of fields is the order of the end.
struct World {
    ours: Agent,
    theirs: Reference,
    rendezvous: Rendezvous,
    network: Isolated,
}

impl World {
    /// Both private, strangers to each other.
    fn of_strangers(equipment: &Equipment, version: &str) -> Self {
        Self::with_options(equipment, version, &[], &[])
    }

    fn with_options(equipment: &Equipment, version: &str, ours: &[&str], theirs: &[&str]) -> Self {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let ours = Agent::at("ours", &rendezvous, network.place(), ours);
        let kit = equipment.kit(version);
        let theirs = Reference::start_with(kit, "theirs", network.place(), &rendezvous, theirs);
        Self { ours, theirs, rendezvous, network }
    }

    /// Both private, with trust that they asked for and we approved, which is the quickest way.
    fn of_friends(equipment: &Equipment, version: &str) -> Self {
        let world = Self::of_strangers(equipment, version);
        world.theirs.ok(&["handshake", &world.our_id(), "please"]);
        world.ours.until(PATIENCE, &["trust", "pending"], |data| data["total"] == 1);
        world.ours.ok(&["trust", "add", &world.theirs.id()]);
        world.trusts_both_ways();
        world
    }

    /// Waits until each has the other in its list.
    fn trusts_both_ways(&self) {
        let (ours, theirs) = (self.ours.node(), self.theirs.node());
        self.theirs.until(NEXT_LOOK, &["trust"], |data| data["trusted"][0]["node_id"] == ours);
        self.ours.until(NEXT_LOOK, &["trust", "list"], |data| {
            (&data["trusted"][0]["node_id"], &data["trusted"][0]["mutual"]) == (&theirs.into(), &true.into())
        });
    }

    /// Our node number as a word of a command line.
    fn our_id(&self) -> String {
        self.ours.node().to_string()
    }
}
