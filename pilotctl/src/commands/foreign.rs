//! A daemon of the reference behind our commands: fills in what it tells under other names, and says what it does not tell.

use super::peer::{items, number};
use crate::cli::Result;
use driver::Driver;
use driver::ipc::HandshakeCommand;
use serde_json::{Value, json};

/// What is missing in the state of such a daemon, for people.
const LACKS: &str = "this daemon is of another implementation: it does not tell the kind of NAT, round-trip times or whether it is registered";

/// The daemon's state in our words, whichever daemon it is.
pub(super) async fn info(driver: &Driver) -> Result<Value> {
    let mut info = driver.info().await?;
    if driver.is_extended() {
        return Ok(info);
    }
    let trusted = driver.handshake(HandshakeCommand::Trusted).await?;
    let is_trusted = |node: u64| items(&trusted, "trusted").iter().any(|peer| number(peer, "node_id") == node);
    for peer in info.get_mut("peer_list").and_then(Value::as_array_mut).into_iter().flatten() {
        let path = match peer.get("relay").and_then(Value::as_bool) {
            Some(true) => "relay",
            Some(false) => "direct",
            None => "unknown",
        };
        let ours = json!({"path": path, "trusted": is_trusted(number(peer, "node_id"))});
        if let (Some(fields), Value::Object(ours)) = (peer.as_object_mut(), ours) {
            fields.extend(ours);
        }
    }
    if let Some(fields) = info.as_object_mut() {
        fields.insert("warnings".to_owned(), json!([LACKS]));
    }
    Ok(info)
}
