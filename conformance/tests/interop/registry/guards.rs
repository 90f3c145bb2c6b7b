//! TLS, crowds behind one address, and registrations nobody else may make.

use super::{OPEN, Pair, SECTION, Stranger};
use crate::case::{Case, signs_and_streams};
use crate::reference::Reference;
use lab::agent::PATIENCE;
use lab::netns::Isolated;
use lab::rendezvous::Rendezvous;
use serde_json::json;
use std::collections::BTreeSet;

/// Daemons at once behind one address.
const CROWD: usize = 12;

/// Everything over TLS with the right pin; nothing with another.
pub(super) fn tls(a: String, b: String) -> Case {
    let rows = [("TLS with a pinned fingerprint", "–"), ("TLS with another fingerprint refused", "–")];
    Case::sharing(SECTION, "tls", &rows, &format!("{a} + {b}"), move |equipment| {
        let options = |pin: &str| ["-registry-tls", "-registry-fingerprint", pin].map(str::to_owned);
        let pair = Pair::with(equipment, (&a, &b), |rendezvous| {
            options(rendezvous.fingerprint()).into_iter().chain(OPEN.map(str::to_owned)).collect()
        });
        pair.trust_at_once();
        assert!(pair.stranger().trusted(pair.a.node(), pair.b.node()));
        let sent = pair.a.ok(&["send-message", &pair.b.id(), "--data", "hello"]);
        assert_eq!(sent["ack"], "ACK TEXT 5 bytes", "{sent}");
        let wrong = options(&"0".repeat(64));
        let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
        let place = pair.network.place();
        let ended = Reference::start_in_vain(equipment.kit(&a), "refused", place, &pair.rendezvous, &wrong);
        assert!(!ended.status.success(), "{ended}");
        let unknown = pair.stranger().lookup(3);
        assert_eq!(unknown["error"], "node 3: node not found");
    })
}

/// No limit that is meant for strangers hits a fleet behind one NAT.
pub(super) fn crowd(version: String) -> Case {
    let pair = format!("{version} + {version}");
    Case::new(SECTION, ("12 daemons at once behind one address", "all"), &pair, move |equipment| {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let start = |number| {
            Reference::start(equipment.kit(&version), &format!("crowd-{number}"), network.place(), &rendezvous)
        };
        let crowd: Vec<Reference> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..CROWD).map(|number| scope.spawn(move || start(number))).collect();
            starting.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let numbers: BTreeSet<u64> = crowd.iter().map(Reference::node).collect();
        assert_eq!(numbers.len(), CROWD);
        for (one, next) in crowd.iter().zip(crowd.iter().cycle().skip(1)) {
            let found = one.until(PATIENCE, &["find", next.hostname()], |found| found["node_id"].is_u64());
            assert_eq!(found["node_id"], next.node());
        }
    })
}

/// Whoever has seen a key cannot register it elsewhere, nor speak for its node.
pub(super) fn signed_registration(version: String) -> Case {
    let pair = format!("{version} + {version}");
    Case::new(SECTION, ("a stranger cannot register its key or rename it", "–"), &pair, move |equipment| {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let victim = Reference::start_with(equipment.kit(&version), "victim", network.place(), &rendezvous, &OPEN);
        let mut stranger = Stranger::connect(network.place(), rendezvous.registry());
        let before = stranger.lookup(victim.node());
        assert_eq!((&before["hostname"], before["real_addr"].is_string()), (&json!("victim"), true), "{before}");
        let stolen = json!({
            "type": "register", "public_key": before["public_key"], "listen_addr": "203.0.113.66:1", "hostname": "stolen",
        });
        let reply = stranger.ask(&stolen);
        let after = stranger.lookup(victim.node());
        assert_eq!(after["hostname"], "victim");
        if signs_and_streams(&version) {
            // It signs its registrations, so an unsigned one is refused from then on.
            assert_eq!(reply["error"], "signature required for authenticated node");
            assert_eq!(after["real_addr"], before["real_addr"]);
        } else {
            assert_eq!(reply["hostname_error"], "signature required for authenticated node", "{reply}");
        }
    })
}
