//! What an operator can watch, in Prometheus text (names of the published servers where they fit).

use crate::hub::Hub;
use core::fmt;
use core::sync::atomic::{AtomicI64, AtomicU64};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Exposition;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    r#type: &'static str,
}

/// Counters that are kept as things happen; everything else is read when asked for.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<Kind, Counter>,
    errors: Family<Kind, Counter>,
    connections: Gauge,
    connections_refused: Counter,
    send_failures: Counter,
}

impl Metrics {
    /// `kind` is empty for what no request was recognised in.
    pub(crate) fn count_request(&self, kind: &'static str, refused: bool) {
        let label = Kind { r#type: if kind.is_empty() { "unknown" } else { kind } };
        if refused {
            self.errors.get_or_create(&label).inc();
        }
        self.requests.get_or_create(&label).inc();
    }

    pub(crate) fn count_send_failure(&self) {
        self.send_failures.inc();
    }

    pub(crate) fn count_refused_connection(&self) {
        self.connections_refused.inc();
    }

    pub(crate) fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// All metrics of `hub` as Prometheus text.
    pub(crate) fn encode(&self, hub: &Hub) -> Result<String, fmt::Error> {
        let mut exposition = Exposition::with_prefix("pilot");
        exposition.register("requests", "Registry requests by type", self.requests.clone());
        exposition.register("errors", "Registry requests refused, by type", self.errors.clone());
        exposition.register("connections", "Registry connections open", self.connections.clone());
        exposition.register(
            "connections_refused",
            "Registry connections over a limit",
            self.connections_refused.clone(),
        );
        exposition.register("beacon_send_failures", "Datagrams the kernel refused", self.send_failures.clone());
        register_census(&mut exposition, hub);
        register_beacon(&mut exposition, hub);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &exposition)?;
        Ok(text)
    }
}

fn register_census(exposition: &mut Exposition, hub: &Hub) {
    let census = hub.census();
    let uptime = usize::try_from(hub.clock.now().as_micros() / 1_000_000).unwrap_or(usize::MAX);
    for (name, help, value) in [
        ("nodes_total", "Nodes registered", census.nodes),
        ("nodes_online", "Nodes heard of lately", census.nodes_online),
        ("trust_links", "Pairs of nodes that trust each other", census.trust_links),
        ("task_executors", "Nodes that say they execute tasks", census.task_executors),
        ("networks_total", "Networks besides the backbone", census.networks),
        ("uptime_seconds", "Seconds since the start", uptime),
    ] {
        exposition.register(name, help, gauge(value));
    }
}

fn register_beacon(exposition: &mut Exposition, hub: &Hub) {
    let (counters, endpoints) = hub.beacon_counts();
    exposition.register("beacon_endpoints", "Nodes the beacon can reach", gauge(endpoints));
    for (name, help, value) in [
        ("beacon_discoveries", "Discoveries answered", counters.discoveries),
        ("beacon_punches", "Punches coordinated", counters.punches),
        ("beacon_relayed", "Frames passed on", counters.relayed),
        ("beacon_relayed_bytes", "Bytes of frames passed on", counters.relayed_bytes),
        ("beacon_dropped", "Datagrams dropped", counters.dropped),
        ("beacon_takeovers_refused", "Endpoint changes not believed", counters.takeovers_refused),
    ] {
        let counter: Counter<u64, AtomicU64> = Counter::default();
        counter.inc_by(value);
        exposition.register(name, help, counter);
    }
}

fn gauge(value: usize) -> Gauge<i64, AtomicI64> {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}
