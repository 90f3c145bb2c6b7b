//! PEER: an address, a node number or a hostname.

use crate::cli::{CliError, Context, Result};
use driver::{Address, Driver, SocketAddress};
use proto_core::NodeId;
use serde_json::Value;

/// The address a person means; hostnames are looked up by the daemon.
pub(super) async fn resolve(context: &Context, driver: &Driver, peer: &str) -> Result<Address> {
    if let Ok(node) = peer.parse::<u32>() {
        return node_address(node);
    }
    if peer.contains(':') {
        return peer.parse::<Address>().map_err(CliError::usage);
    }
    let reply = context.output.waiting(&format!("the address of {peer}"), driver.resolve(peer)).await?;
    let address = reply.get("address").and_then(Value::as_str).and_then(|text| text.parse().ok());
    address.ok_or_else(|| CliError::internal("the registry's answer has no address"))
}

/// A port of a peer.
pub(super) async fn resolve_port(context: &Context, driver: &Driver, peer: &str, port: u16) -> Result<SocketAddress> {
    if port == 0 {
        return Err(CliError::usage("port 0 cannot be dialled"));
    }
    Ok(SocketAddress::new(resolve(context, driver, peer).await?, port))
}

fn node_address(node: u32) -> Result<Address> {
    if node == 0 || node == u32::MAX {
        return Err(CliError::usage(format!("{node} is not a node's number")));
    }
    Ok(Address::backbone(NodeId(node)))
}

/// A field as text, for people.
pub(super) fn words(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field that is a list.
pub(super) fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A field that is a count.
pub(super) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// How a peer is reached: `direct 192.0.2.1:4000`, `via relay (why)`; `at` where the daemon does not tell which.
pub(super) fn path(peer: &Value) -> String {
    match words(peer, "path").as_str() {
        "direct" => format!("direct {}", words(peer, "endpoint")),
        "relay" => match words(peer, "relay_reason") {
            why if why.is_empty() => "via relay".to_owned(),
            why => format!("via relay ({why})"),
        },
        "unknown" => format!("at {}", words(peer, "endpoint")),
        _ => "no path yet".to_owned(),
    }
}
