//! `/healthz` and `/metrics`, for whoever shares the machine.

use crate::hub::Hub;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves until `stop` turns true.
pub(crate) async fn serve(listener: TcpListener, hub: Arc<Hub>, mut stop: watch::Receiver<bool>) {
    let router = Router::new().route("/healthz", get(health)).route("/metrics", get(metrics)).with_state(hub);
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::warn!(%error, "the metrics listener ended");
    }
}

async fn health(State(hub): State<Arc<Hub>>) -> Response {
    let failed = hub.store.has_failed();
    let body = serde_json::json!({
        "status": if failed { "store failed" } else { "ok" },
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": hub.clock.now().as_micros() / 1_000_000,
        "nodes_online": hub.census().nodes_online,
    });
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match hub.metrics.encode(&hub) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
