//! Numbers of networks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, World};
use rendezvous_core::{Change, Registry, RegistryConfig};
use serde_json::json;

//= spec/addressing.md#pp-addr-3
//= type=test
//# Network 65535 is reserved and never given to a network.
#[test]
fn network_65535_is_never_given() {
    let mut world = World::new();
    let config = RegistryConfig { admin_token: Some(ADMIN.to_owned()), ..RegistryConfig::default() };
    world.registry = Registry::restore(config, vec![Change::NextNetwork(65_534)]);
    world.join(1);
    let create = |name: &str| json!({"type": "create_network", "node_id": 1, "name": name, "join_rule": "open", "admin_token": ADMIN});
    assert_eq!(world.once(&create("last"))["network_id"], 65_534);
    assert_eq!(world.once(&create("none"))["type"], "error");
}
