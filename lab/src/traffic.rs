//! What passes a place's network: counted, or lost.
//!
//! Both see packets as they arrive in a namespace (nftables, `prerouting`), the lost ones counted too. Which packets is
//! said in nftables' words, such as `udp dport 4000` or `ip saddr 10.0.1.2`; an empty string means all.
//! A batch that one system call sends (UDP segmentation offload) is one packet to the kernel and therefore here.

use crate::place::Place;
use std::ops::Sub;
use std::sync::atomic::{AtomicU32, Ordering};

/// Packets and their bytes, IP headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many packets.
    pub packets: u64,
    /// How many bytes in all.
    pub bytes: u64,
}

impl Sub for Count {
    type Output = Self;

    /// What was counted since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes }
    }
}

/// Counts packets from its making on.
#[derive(Clone, Debug)]
pub struct Counter {
    place: Place,
    table: String,
}

impl Counter {
    /// Counts what arrives at `place` and matches `which`. The place must be a namespace of this test.
    #[must_use]
    pub fn new(place: &Place, which: &str) -> Self {
        let table = table(place);
        place.rules(&format!(
            "table inet {table} {{
                counter seen {{ }}
                chain arriving {{
                    type filter hook prerouting priority -310; policy accept;
                    {which} counter name seen
                }}
            }}"
        ));
        Self { place: place.clone(), table }
    }

    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> Count {
        named_counter(&self.place, "inet", &self.table, "seen")
    }
}

/// Loses `percent` of what arrives at `place` and matches `which`, each packet by itself at random, from now until the
/// place is gone.
pub fn lose(place: &Place, which: &str, percent: u8) {
    let table = table(place);
    place.rules(&format!(
        "table inet {table} {{
            chain arriving {{
                type filter hook prerouting priority -300; policy accept;
                {which} numgen random mod 100 < {percent} drop
            }}
        }}"
    ));
}

/// A named counter of nftables.
pub(crate) fn named_counter(place: &Place, family: &str, table: &str, name: &str) -> Count {
    let text = place.tool("nft", &["-j", "list", "counter", family, table, name]);
    let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let objects = listed["nftables"].as_array().unwrap();
    let counter = objects.iter().map(|object| &object["counter"]).find(|counter| counter.is_object()).unwrap();
    Count { packets: counter["packets"].as_u64().unwrap(), bytes: counter["bytes"].as_u64().unwrap() }
}

/// A table of its own for every rule. The machine's own network is nobody's to change.
fn table(place: &Place) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    assert!(place.path().is_some(), "traffic is counted and lost in namespaces only");
    format!("traffic{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
