//! Section `registry`: daemons of the reference on our rendezvous server.

use crate::case::Case;
use crate::equipment::Equipment;
use crate::reference::{NEXT_LOOK, Reference};
use lab::agent::PATIENCE;
use lab::netns::Isolated;
use lab::rendezvous::Rendezvous;

const SECTION: &str = "registry";

/// Its cases, for each version with itself.
pub(crate) fn cases(versions: &[String]) -> Vec<Case> {
    versions.iter().flat_map(|version| [first_contact(version.clone()), lookup(version.clone())]).collect()
}

/// Registers, trusts with approval by hand, and sends a message.
fn first_contact(version: String) -> Case {
    let pair = format!("{version} + {version}");
    let rows = [("register", "–"), ("trust, approved by hand", "first to second"), ("message", "first to second")];
    Case::sharing(SECTION, "first contact", &rows, &pair, move |equipment| {
        let pair = Pair::new(equipment, &version, &version);
        pair.trust();
        let sent = pair.a.ok(&["send-message", &pair.b.id(), "--data", "hello"]);
        assert_eq!(sent["ack"], "ACK TEXT 5 bytes", "{sent}");
        let message = pair.b.message("the message arrives", |message| message["data"] == "hello");
        assert_eq!(message["from"], pair.a.ok(&["info"])["address"], "{message}");
        assert_eq!(pair.b.ok(&["inbox"])["total"], 1);
    })
}

/// Finds the other's number by its name.
fn lookup(version: String) -> Case {
    let pair = format!("{version} + {version}");
    Case::new(SECTION, ("find by hostname", "first to second"), &pair, move |equipment| {
        let pair = Pair::new(equipment, &version, &version);
        // Its daemon answers its user before it has set its name.
        let node = pair.b.node();
        pair.a.until(PATIENCE, &["find", pair.b.hostname()], |found| found["node_id"] == node);
    })
}

/// Two daemons of the reference and our rendezvous server. The order of fields is the order of the end.
struct Pair {
    a: Reference,
    b: Reference,
    _rendezvous: Rendezvous,
    _network: Isolated,
}

impl Pair {
    fn new(equipment: &Equipment, a: &str, b: &str) -> Self {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let a = Reference::start(equipment.kit(a), "reference-a", network.place(), &rendezvous);
        let b = Reference::start(equipment.kit(b), "reference-b", network.place(), &rendezvous);
        Self { a, b, _rendezvous: rendezvous, _network: network }
    }

    /// The first asks, the second's user approves.
    fn trust(&self) {
        let (a, b) = (self.a.node(), self.b.node());
        self.a.ok(&["handshake", &b.to_string(), "first contact"]);
        self.b.until(NEXT_LOOK, &["pending"], |data| data["pending"][0]["node_id"] == a);
        self.b.ok(&["approve", &a.to_string()]);
        self.a.until(NEXT_LOOK, &["trust"], |data| data["trusted"][0]["node_id"] == b);
        self.b.until(PATIENCE, &["trust"], |data| data["trusted"][0]["node_id"] == a);
    }
}
