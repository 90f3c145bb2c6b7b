//! Peers that do not encrypt: ours says nothing to them in clear, and nothing without its identity.

use super::{SECTION, World};
use crate::case::Case;
use crate::reference::Reference;
use lab::agent::PATIENCE;
use lab::process::Ended;
use lab::traffic::Counter;

/// Where our daemon sends from, so that its packets can be told from theirs.
const OURS: &str = "127.0.0.1:4567";
/// Frames in clear (`PILT`) and exchanges without an identity (`PILK`), from there.
const FORBIDDEN: &str = "udp sport 4567 @th,64,32 { 0x50494c54, 0x50494c4b }";

/// Two of theirs that are told not to encrypt talk with each other; ours with neither.
pub(super) fn case(version: &str) -> Case {
    let wanted = version.to_owned();
    let row = ("nothing in clear, nothing anonymous, with daemons that do not encrypt", "both");
    Case::new(SECTION, row, version, move |equipment| {
        let clear = ["-public", "-encrypt=false"];
        let world = World::with_options(equipment, &wanted, &["--public", "--listen", OURS], &clear);
        let kit = equipment.kit(&wanted);
        let other = Reference::start_with(kit, "other", world.network.place(), &world.rendezvous, &clear);
        let [forbidden, all] = [FORBIDDEN, "udp sport 4567"].map(|which| Counter::new(world.network.place(), which));
        let echo = ["7", "--message", "in clear"];
        let said = world.theirs.ok(&[&["connect", &other.id()], &echo[..]].concat());
        assert_eq!(said["response"], "in clear", "this is how they talk: {said}");
        silent(&world.theirs.run(&[&["connect", &world.our_id()], &echo[..], &["--timeout", "10s"]].concat()));
        silent(&world.ours.start_json(&[&["connect", &world.theirs.id()], &echo[..]].concat()).wait(2 * PATIENCE));
        assert!(all.read().packets > 0, "the counter counts");
        assert_eq!(forbidden.read().packets, 0, "packets in clear or without an identity");
    })
}

fn silent(ended: &Ended) {
    assert!(!ended.status.success() && !ended.stdout.contains("\"response\":\"in clear\""), "{ended}");
}
