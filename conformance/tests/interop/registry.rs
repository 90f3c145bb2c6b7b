//! Section `registry`: daemons of the reference on our rendezvous server, every ordered pair of versions.

mod guards;
mod life;
mod restart;
mod stranger;

use crate::case::Case;
use crate::equipment::Equipment;
use crate::reference::{NEXT_LOOK, Reference};
use lab::agent::PATIENCE;
use lab::netns::Isolated;
use lab::noise::Noise;
use lab::rendezvous::Rendezvous;
use std::path::PathBuf;
use stranger::Stranger;

const SECTION: &str = "registry";

/// Its cases. Those that wait for the next heartbeat, 62 s after the start and then every 60 s, come first.
pub(crate) fn cases(versions: &[String]) -> Vec<Case> {
    let pairs = || versions.iter().flat_map(|a| versions.iter().map(move |b| (a.clone(), b.clone())));
    let mut cases: Vec<Case> = pairs().map(|(a, b)| life::case(a, b)).collect();
    cases.extend(pairs().map(|(a, b)| life::mutual(a, b)));
    cases.extend(pairs().map(|(a, b)| restart::case(a, b)));
    cases.extend(pairs().map(|(a, b)| guards::tls(a, b)));
    cases.extend(
        versions
            .iter()
            .flat_map(|version| [guards::crowd(version.clone()), guards::signed_registration(version.clone())]),
    );
    cases
}

/// Makes both sides trust whoever asks, and reachable for strangers, so that trust takes no look at the registry.
const OPEN: [&str; 2] = ["-public", "-trust-auto-approve"];

/// Two daemons of the reference and our rendezvous server. The order of fields is the order of the end.
struct Pair {
    a: Reference,
    b: Reference,
    rendezvous: Rendezvous,
    network: Isolated,
}

impl Pair {
    /// Private daemons that ask before they trust, or whatever `options` makes of them.
    fn new(equipment: &Equipment, (a, b): (&str, &str), options: &[&str]) -> Self {
        Self::with(equipment, (a, b), |_| options.iter().map(ToString::to_string).collect())
    }

    /// [`Self::new`] with options that depend on the server.
    fn with(equipment: &Equipment, (a, b): (&str, &str), options: impl Fn(&Rendezvous) -> Vec<String>) -> Self {
        let network = Isolated::new();
        let rendezvous = Rendezvous::at(equipment.pilotctl(), network.place(), &[]);
        let options = options(&rendezvous);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let start = |kit, name| Reference::start_with(equipment.kit(kit), name, network.place(), &rendezvous, &options);
        let (a, b) = (start(a, "reference-a"), start(b, "reference-b"));
        Self { a, b, rendezvous, network }
    }

    /// Both with the other, for what must work both ways.
    fn both_ways(&self) -> [(&Reference, &Reference); 2] {
        [(&self.a, &self.b), (&self.b, &self.a)]
    }

    /// The first asks, the second's user approves.
    fn trust_by_hand(&self) {
        let (a, b) = (self.a.node(), self.b.node());
        self.a.ok(&["handshake", &b.to_string(), "first contact"]);
        let asked = self.b.until(NEXT_LOOK, &["pending"], |data| data["pending"][0]["node_id"] == a);
        assert_eq!(asked["pending"][0]["justification"], "first contact", "{asked}");
        self.b.ok(&["approve", &a.to_string()]);
        self.trusts();
    }

    /// The first asks, and the second is [`OPEN`].
    fn trust_at_once(&self) {
        self.a.ok(&["handshake", &self.b.id(), "first contact"]);
        self.trusts();
    }

    fn trusts(&self) {
        for (limit, (one, other)) in [NEXT_LOOK, PATIENCE].into_iter().zip(self.both_ways()) {
            let other = other.node();
            one.until(limit, &["trust"], |data| data["trusted"][0]["node_id"] == other);
        }
    }

    fn pings_both_ways(&self) {
        for (one, other) in self.both_ways() {
            let answer = one.ok(&["ping", &other.id(), "--count", "2"]);
            let results = answer["results"].as_array().unwrap();
            assert!(results.len() == 2 && results.iter().all(|result| result["rtt_ms"].is_number()), "{answer}");
        }
    }

    /// A file of so many bytes at the first.
    fn a_file(&self, length: usize) -> PathBuf {
        let path = self.a.home().join(format!("{length}.bin"));
        std::fs::write(&path, Noise::new(7).bytes(length)).unwrap();
        path
    }

    /// Somebody who only speaks the registry's protocol.
    fn stranger(&self) -> Stranger {
        Stranger::connect(self.network.place(), self.rendezvous.registry())
    }
}
