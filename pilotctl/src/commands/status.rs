//! `status`: the daemon on one page.

use super::foreign;
use super::lists::peer_table;
use super::peer::{items, number, words};
use crate::cli::output::size;
use crate::cli::{Context, Result};
use driver::Driver;
use driver::ipc::HandshakeCommand;
use serde_json::Value;
use std::time::Duration;

pub(super) async fn run(context: &Context, watch: bool) -> Result<()> {
    let driver = context.driver().await?;
    loop {
        let info = state(&driver).await?;
        if context.output.json {
            context.output.result(&info, String::new);
        } else {
            let clear = if watch { "\u{1b}[2J\u{1b}[H" } else { "" };
            context.output.line(&format!("{clear}{}", page(&info)));
        }
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Info, with the waiting requests in it.
pub(super) async fn state(driver: &Driver) -> Result<Value> {
    let mut info = foreign::info(driver).await?;
    let pending = driver.handshake(HandshakeCommand::Pending).await?;
    if let (Some(fields), Some(list)) = (info.as_object_mut(), pending.get("pending")) {
        fields.insert("pending".to_owned(), list.clone());
    }
    Ok(info)
}

/// One page for a person.
pub(super) fn page(info: &Value) -> String {
    let name = match words(info, "hostname") {
        name if name.is_empty() => "(no hostname)".to_owned(),
        name => name,
    };
    let registered = if info.get("registered") == Some(&Value::Bool(false)) { " (not registered yet)" } else { "" };
    let seconds = number(info, "uptime_secs");
    let uptime = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let peers = number(info, "peers");
    let mut lines = vec![
        format!("{name}  {}  node {}{registered}", words(info, "address"), words(info, "node_id")),
        format!("  key        {}", words(info, "public_key")),
        format!("  endpoint   {}", words(info, "endpoint")),
    ];
    let told =
        [("NAT", "nat_type"), ("strategy", "nat_strategy")].into_iter().filter(|(_, key)| info.get(*key).is_some());
    lines.extend(told.map(|(name, key)| format!("  {name:<10} {}", words(info, key))));
    lines.extend(info.get("port_mapping").map(|mapping| format!("  port       {}", port(mapping))));
    lines.extend([
        format!("  up         {uptime}, version {}", words(info, "version")),
        format!(
            "  traffic    {} out, {} in, {} connections",
            size(number(info, "bytes_sent")),
            size(number(info, "bytes_recv")),
            number(info, "connections")
        ),
        match info.get("relay_peer_count") {
            Some(relayed) => format!("  peers      {peers} ({relayed} via relay{})", share(info)),
            None => format!("  peers      {peers}"),
        },
    ]);
    if peers > 0 {
        lines.push(indented(&peer_table(items(info, "peer_list"))));
    }
    for request in items(info, "pending") {
        let (node, why) = (words(request, "node_id"), words(request, "justification"));
        lines.push(format!("  node {node} asks for trust: {why:?}; `pilotctl trust add {node}` approves"));
    }
    lines.extend(items(info, "warnings").iter().filter_map(Value::as_str).map(|text| format!("  ! {text}")));
    lines.join("\n")
}

/// What became of asking the router for a port.
pub(super) fn port(mapping: &Value) -> String {
    match words(mapping, "external") {
        external if external.is_empty() => words(mapping, "sentence"),
        external => format!("{} ({external}, {})", words(mapping, "sentence"), words(mapping, "protocol")),
    }
}

/// What part of the traffic the relay carries.
fn share(info: &Value) -> String {
    let percent = info.pointer("/relay_share/bytes_percent").and_then(Value::as_f64);
    percent.map(|percent| format!(", {percent:.1} % of the bytes")).unwrap_or_default()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
