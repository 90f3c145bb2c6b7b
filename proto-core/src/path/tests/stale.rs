//! Ways that worked once: data does not go from one dead way to the next.

use super::net::{B, World, at, direct, ms};
use super::probes;
use crate::limits::MAX_CANDIDATES;
use crate::path::{PathAction, Proof, Route};

/// Ways that a search left behind, all of them proven, beside the one to B's address.
fn found_by_a_search(world: &mut World) {
    for port in 6000..6004 {
        let address = at(&format!("203.0.113.2:{port}"));
        world.a.paths.add_static(world.now, address);
        world.a.paths.handle_frame(world.now, Route::direct(address), 100, Proof::Fresh);
    }
    world.talk(ms(500));
}

/// Found by random scenarios: each of the other ways was taken in turn, for 2.8 seconds each, before the relay.
//= spec/nat.md#pp-nat-14
//= type=test
//# A direct path on which for 2.8 seconds nothing shows that what we send arrives is left, whatever comes from there.
#[test]
fn a_dead_way_is_not_left_for_another_dead_one() {
    let mut world = World::new(true, true);
    world.set_ours();
    world.dial();
    world.talk(ms(1000));
    found_by_a_search(&mut world);
    assert_eq!(world.a.paths.route(), Some(direct(B)));
    world.open = false;
    world.talk(ms(3000));
    assert_eq!(world.a.paths.route(), Some(Route::Relay));
}

/// Found by random scenarios: a dial after a pause was carried by another way that had not been heard of for as long.
#[test]
fn a_dial_after_a_pause_trusts_no_way_of_before_it() {
    let mut world = World::new(true, true);
    world.set_ours();
    world.dial();
    world.talk(ms(1000));
    found_by_a_search(&mut world);
    world.run(ms(300_000));
    world.open = false;
    world.dial();
    world.talk(ms(300));
    assert_eq!(world.a.paths.route(), Some(Route::Relay));
}

/// Found by random scenarios: a table full of ways that had died left no room for the address that the peer spoke from since.
#[test]
fn dead_ways_leave_room_for_where_the_peer_speaks_from_now() {
    let mut world = World::new(true, true);
    world.set_ours();
    world.dial();
    world.talk(ms(1000));
    for port in 0..2 * u16::try_from(MAX_CANDIDATES).unwrap() {
        let found = direct(&format!("203.0.113.2:{}", 6000 + port));
        world.a.paths.handle_frame(world.now, found, 100, Proof::Fresh);
        world.settle();
        let nonces: Vec<u64> = world.a.actions.drain(..).filter_map(|(_, action)| nonce_of(action)).collect();
        for nonce in nonces {
            let _ = world.a.paths.handle_probe_answer(world.now, nonce);
        }
        world.a.paths.used(world.now);
        world.run(ms(6000));
    }
    world.open = false;
    world.talk(ms(3000));
    assert_eq!(world.a.paths.route(), Some(Route::Relay));
    world.run(ms(60_000));
    world.a.paths.used(world.now);
    world.a.actions.clear();
    let moved = direct("203.0.113.2:7777");
    world.a.paths.handle_frame(world.now, moved, 100, Proof::Fresh);
    world.settle();
    assert_eq!(probes(&world.a.actions, |route| route == moved).len(), 1, "it is asked");
}

/// Found by random scenarios: the peer's box forgot all mappings, and another dead one was taken instead of the one that answered.
#[test]
fn who_answers_takes_over_and_not_another_way_of_before() {
    let mut world = World::new(true, true);
    world.set_ours();
    world.dial();
    world.talk(ms(1000));
    found_by_a_search(&mut world);
    let moved = "203.0.113.2:7111";
    world.b.address = at(moved);
    world.send_data(false);
    world.run(ms(1000));
    assert_eq!(world.a.paths.route(), Some(direct(moved)));
}

fn nonce_of(action: PathAction) -> Option<u64> {
    if let PathAction::Probe { nonce, .. } = action { Some(nonce) } else { None }
}
