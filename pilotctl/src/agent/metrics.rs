//! What an operator can watch of a daemon, in Prometheus text on a loopback address.

use super::Agent;
use crate::cli::{CliError, Kind, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use core::fmt;
use core::sync::atomic::{AtomicI64, AtomicU64};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use proto_core::endpoint::Status;
use proto_core::nat::PortMapState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// A bound listener for `/metrics`.
#[derive(Debug)]
pub(crate) struct Metrics(TcpListener);

impl Metrics {
    /// `address` is a loopback one; the settings see to it.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self> {
        let failed = |error| CliError::new(Kind::AlreadyExists, format!("metrics at {address}: {error}"));
        TcpListener::bind(address).await.map(Self).map_err(failed)
    }

    /// Serves `agent`; without a listener, or when it ends, waits for ever.
    pub(crate) async fn serve(metrics: Option<Self>, agent: Arc<Agent>) {
        if let Some(Self(listener)) = metrics {
            let router = Router::new().route("/metrics", get(answer)).with_state(agent);
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the metrics listener ended");
            }
        }
        core::future::pending().await
    }
}

async fn answer(State(agent): State<Arc<Agent>>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match encode(&agent.status(), agent.uptime()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// All metrics as Prometheus text.
fn encode(status: &Status, uptime: Duration) -> core::result::Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("pilot_agent");
    let mapped = status.port_mapping.state == PortMapState::Mapped;
    for (name, help, value) in [
        ("peers", "Peers with a tunnel", status.peers),
        ("peers_direct", "Of those, on a direct path", status.direct_peers),
        ("peers_relayed", "Of those, on the relay", status.relayed_peers),
        ("streams", "Streams open", status.streams),
        ("registered", "1 when the registry knows this node", usize::from(status.registered)),
        ("port_mapped", "1 when the router forwards a port to this node", usize::from(mapped)),
        ("uptime_seconds", "Seconds since the start", usize::try_from(uptime.as_secs()).unwrap_or(usize::MAX)),
    ] {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
    for (name, help, value) in [
        ("sent_bytes", "Bytes of UDP payload sent", status.totals.bytes_sent),
        ("received_bytes", "Bytes of UDP payload received", status.totals.bytes_received),
        ("relayed_bytes", "Of both, those that went through the relay", status.totals.bytes_relayed),
    ] {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `key` in the list of rules, which is written one key to a line.
    fn values<'a>(rules: &'a str, key: &str) -> Vec<&'a str> {
        rules
            .lines()
            .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(key))
            .map(str::trim)
            .collect()
    }

    #[test]
    fn the_shipped_alerts_are_about_metrics_that_exist() {
        let rules = include_str!("../../../ops/alerts.yml");
        let alerts = values(rules, "alert:");
        assert!(alerts.contains(&"PilotRelayShareOfPeers") && alerts.contains(&"PilotRelayShareOfBytes"), "{alerts:?}");
        for key in ["expr:", "for:", "summary:", "severity:"] {
            assert_eq!(values(rules, key).len(), alerts.len(), "each alert has its `{key}` on one line");
        }
        let text = encode(&Status::default(), Duration::ZERO).unwrap();
        let exist: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next()).collect();
        for expression in values(rules, "expr:") {
            assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{expression}");
            let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let used: Vec<&str> = words.filter(|word| word.starts_with("pilot_")).collect();
            assert!(!used.is_empty());
            for name in used {
                assert!(exist.contains(&name), "{name} is not among {exist:?}");
            }
        }
        let at_15_percent = values(rules, "expr:").iter().filter(|text| text.ends_with("> 0.15")).count();
        assert_eq!(at_15_percent, 2);
    }

    #[test]
    fn what_is_counted_is_told() {
        let mut status = Status { peers: 4, relayed_peers: 1, ..Status::default() };
        status.totals.bytes_relayed = 77;
        let text = encode(&status, Duration::from_secs(5)).unwrap();
        for line in ["pilot_agent_peers 4", "pilot_agent_peers_relayed 1", "pilot_agent_relayed_bytes_total 77"] {
            assert!(text.lines().any(|other| other == line), "{text}");
        }
    }
}
