//! A peer that is somewhere else.

use super::net::{A, B, World, at, direct, ms};
use crate::path::PathAction;

//= spec/nat.md#pp-nat-25
//= type=test
//# When a direct path answers not even a probe, the beacon and the registry are asked after 1.45 seconds where the peer is, and the
//# addresses that they name are tried.
#[test]
fn a_peer_that_moved_without_a_word_is_asked_after_and_found_before_its_old_place_is_given_up() {
    for ours in [false, true] {
        let mut world = World::new(true, true);
        if ours {
            world.set_ours();
        }
        world.dial();
        world.talk(ms(20_000));
        let punched = world.a.actions.iter().filter(|(_, action)| *action == PathAction::RequestPunch).count();
        assert!(punched <= 3, "{punched}: nobody is asked about a peer that answers");
        assert_eq!(world.a.paths.route(), Some(direct(B)));
        let (elsewhere, moved) = ("203.0.113.2:6111", world.now);
        world.b.address = at(elsewhere);
        world.talk(ms(2000));
        assert_eq!(world.a.paths.route(), Some(direct(elsewhere)));
        let data = world.b.data_since(moved + ms(50));
        assert!(data.iter().all(|&(_, route)| route == direct(A)), "nothing had to be relayed");
        assert!(world.a.actions.iter().any(|&(when, action)| when > moved && action == PathAction::Resolve));
    }
}
