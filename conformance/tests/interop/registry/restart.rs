//! What daemons of the reference notice of a server that is killed, and of new keys and farewells.

use super::{OPEN, Pair, SECTION};
use crate::case::{Case, is_newer};
use crate::reference::NEXT_LOOK;
use lab::agent::PATIENCE;
use lab::wait;
use serde_json::json;

pub(super) fn case(a: String, b: String) -> Case {
    let mut rows = vec![
        ("rotate key", "first"),
        ("registered again after our server was killed: same address, key, name and trust", "both"),
        ("deregister", "second"),
    ];
    let stalls = "file of 512 KiB, sent with its own command line";
    if !is_newer(&a) {
        rows.push((stalls, "first to second"));
    }
    Case::sharing(SECTION, "restart", &rows, &format!("{a} + {b}"), move |equipment| {
        let mut pair = Pair::new(equipment, (&a, &b), &OPEN);
        pair.trust_at_once();
        let numbers = [pair.a.node(), pair.b.node()];
        let old = pair.stranger().lookup(numbers[0])["public_key"].clone();
        let new = pair.a.ok(&["rotate-key"])["public_key"].clone();
        assert_ne!(old, new);
        assert_eq!(pair.stranger().lookup(numbers[0])["public_key"], new);
        pair.pings_both_ways();
        let large = pair.a_file(512 << 10);
        let transfer = ["send-file", &numbers[1].to_string(), large.to_str().unwrap()];
        let mut sending = (!is_newer(&a)).then(|| pair.a.start_json(&transfer));

        pair.rendezvous.kill();
        pair.rendezvous.restart();
        let mut watcher = pair.stranger();
        for number in numbers {
            // Told that it is unknown, a daemon registers at once: the first heartbeat is enough, not the third.
            wait::until("registered again", NEXT_LOOK, || watcher.last_seen(number));
        }
        assert_eq!([pair.a.node(), pair.b.node()], numbers);
        assert_eq!(pair.stranger().lookup(numbers[0])["public_key"], new);
        assert!(pair.stranger().trusted(numbers[0], numbers[1]));
        for (one, other) in pair.both_ways() {
            one.until(PATIENCE, &["find", other.hostname()], |found| found["node_id"] == other.node());
        }
        pair.pings_both_ways();
        if let Some(sending) = &mut sending {
            assert!(!sending.has_ended() && pair.b.received().is_empty(), "it has been fixed: {}", sending.stdout());
        }

        pair.b.ok(&["deregister"]);
        let gone = pair.stranger().lookup(numbers[1]);
        assert_eq!(gone, json!({"type": "error", "error": format!("node {}: node not found", numbers[1])}));
    })
}
