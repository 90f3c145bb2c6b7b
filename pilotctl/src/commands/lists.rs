//! `peers`, `conns`, `find`, `netcheck`.

use super::{foreign, peer};
use crate::cli::output::table;
use crate::cli::{CliError, Context, Kind, Result};
use driver::ipc::Request;
use serde_json::{Value, json};

pub(super) async fn peers(context: &Context) -> Result<()> {
    let info = foreign::info(&context.driver().await?).await?;
    let peers = peer::items(&info, "peer_list");
    let encrypted = peers.iter().filter(|item| item.get("encrypted") == Some(&Value::Bool(true))).count();
    let data = json!({"peers": peers, "total": peers.len(), "encrypted": encrypted});
    context.output.result(&data, || if peers.is_empty() { "no peers".to_owned() } else { peer_table(peers) });
    Ok(())
}

/// Peers as rows.
pub(super) fn peer_table(peers: &[Value]) -> String {
    let row = |item: &Value| {
        vec![
            peer::words(item, "node_id"),
            peer::words(item, "hostname"),
            peer::path(item),
            rtt(item),
            if item.get("trusted") == Some(&Value::Bool(true)) { "yes" } else { "no" }.to_owned(),
        ]
    };
    table(&["NODE", "HOSTNAME", "PATH", "RTT", "TRUSTED"], peers.iter().map(row))
}

fn rtt(item: &Value) -> String {
    item.get("rtt_ms").and_then(Value::as_f64).map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms"))
}

pub(super) async fn conns(context: &Context) -> Result<()> {
    let info = context.driver().await?.info().await?;
    let conns = peer::items(&info, "conn_list");
    let data = json!({"connections": conns, "total": conns.len()});
    context.output.result(&data, || {
        if conns.is_empty() {
            return "no connections".to_owned();
        }
        let columns = ["id", "local_port", "remote_addr", "remote_port", "state", "cong_win", "in_flight", "srtt_ms"];
        let row = |item: &Value| columns.iter().map(|name| peer::words(item, name)).collect();
        table(&["ID", "LOCAL", "REMOTE", "PORT", "STATE", "CWND", "FLIGHT", "SRTT MS"], conns.iter().map(row))
    });
    Ok(())
}

pub(super) async fn find(context: &Context, name: &str) -> Result<()> {
    let reply = context.driver().await?.resolve(name).await?;
    let field = |key: &str| reply.get(key).cloned().unwrap_or(Value::Null);
    let data = json!({
        "hostname": field("hostname"),
        "address": field("address"),
        "node_id": field("node_id"),
        "public": field("public"),
    });
    context.output.result(&data, || peer::words(&reply, "address"));
    Ok(())
}

pub(super) async fn netcheck(context: &Context) -> Result<()> {
    let report = context.driver().await?.request(Request::Netcheck).await?;
    let verdict = peer::words(&report, "verdict");
    context.output.result(&report, || {
        let yes_no = |name: &str| if report.get(name) == Some(&Value::Bool(true)) { "yes" } else { "no" };
        let mut lines = vec![
            format!("registered   {}", yes_no("registered")),
            format!("beacon       {}", peer::words(&report, "beacon")),
            format!("endpoint     {}", peer::words(&report, "endpoint")),
            format!("NAT          {}", peer::words(&report, "nat_type")),
        ];
        lines.extend(peer::items(&report, "warnings").iter().filter_map(Value::as_str).map(|text| format!("! {text}")));
        lines.push(verdict.clone());
        lines.join("\n")
    });
    if report.get("degraded") == Some(&Value::Bool(true)) {
        return Err(CliError::new(Kind::Degraded, verdict));
    }
    Ok(())
}
