//! A cell of the grid with real programs and real routers.

use crate::{Cell, Verdict};
use lab::agent::{Agent, befriend};
use lab::netns::{Lab, Site};
use lab::rendezvous::Rendezvous;
use serde_json::Value;
use std::time::Duration;

/// The ladder takes up to 14 s; the rest is for machines with more to do.
const LADDER: Duration = Duration::from_secs(60);

/// How the two reach each other in the end, and what `status` says of it.
pub(crate) fn verdict(cell: Cell) -> (Verdict, String) {
    let lab = match cell {
        Cell::Apart(a, b) => Lab::new(a, b),
        Cell::Hairpin => Lab::hairpin(),
    };
    let rendezvous = Rendezvous::in_lab(env!("CARGO_BIN_EXE_pilotctl"), &lab);
    let a = Agent::in_lab("agent-a", &rendezvous, &lab, Site::A);
    let b = Agent::in_lab("agent-b", &rendezvous, &lab, Site::B);
    befriend(&a, &b);
    let sent = a.ok(&["connect", "agent-b", "--message", "hello"]);
    assert_eq!(sent["acked"], true, "{sent}");
    let ends = [&a, &b].map(|agent| agent.until(LADDER, &["status"], |status| settled(status).is_some()));
    // Whoever ended last has the better path: the other one follows it, or both are relayed.
    let verdicts = ends.each_ref().map(|status| settled(status).unwrap());
    let told = ends.map(|status| describe(&status["peer_list"][0]));
    if verdicts.contains(&Verdict::Direct) {
        for agent in [&a, &b] {
            agent.until(LADDER, &["status"], |status| settled(status) == Some(Verdict::Direct));
        }
        return (Verdict::Direct, told.join("; "));
    }
    (Verdict::Relay, told.join("; "))
}

/// `None` while the ladder is being climbed.
fn settled(status: &Value) -> Option<Verdict> {
    let peer = &status["peer_list"][0];
    match (peer["path"].as_str()?, peer["relay_reason_code"].as_str()) {
        ("direct", _) => Some(Verdict::Direct),
        ("relay", Some(reason)) if !["still-trying", "fell-silent"].contains(&reason) => Some(Verdict::Relay),
        _ => None,
    }
}

fn describe(peer: &Value) -> String {
    match peer["relay_reason"].as_str() {
        Some(reason) => format!("relay: {reason}"),
        None => {
            format!("{} {}", peer["path"].as_str().unwrap_or_default(), peer["endpoint"].as_str().unwrap_or_default())
        }
    }
}
