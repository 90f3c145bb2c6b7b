//! `rendezvous start`: registry and beacon in the foreground.

use super::daemon::log_to_stderr;
use crate::cli::args::RendezvousCommand;
use crate::cli::{CliError, Context, Result};
use rendezvous::{RegistryConfig, Server};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

pub(super) async fn run(context: &Context, command: RendezvousCommand) -> Result<()> {
    let RendezvousCommand::Start(arguments) = command;
    log_to_stderr(context.verbose);
    // `trust add NAME` is how strangers meet: a name leads to a node and its address, never to its endpoint.
    let rules = RegistryConfig { hostnames_are_public: !arguments.private_hostnames, ..RegistryConfig::default() };
    let mut builder = Server::builder()
        .registry_config(rules)
        .registry_listen(arguments.registry_listen)
        .beacon_listen(arguments.beacon_listen.clone())
        .metrics_listen(arguments.metrics_listen);
    if let Some(folder) = &arguments.data {
        crate::state::private_dir(folder)?;
        builder = builder.data_dir(folder);
    }
    if let Some(path) = &arguments.admin_token_file {
        builder = builder.admin_token(crate::state::token(path)?);
    }
    let server = builder.start().await.map_err(|error| CliError::internal(format!("cannot start: {error}")))?;
    announce(context, &server);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    server.shutdown().await;
    Ok(())
}

/// Where it listens and what to pin, once, for a person or a script.
fn announce(context: &Context, server: &Server) {
    let beacons: Vec<String> = server.beacon_addrs().iter().map(ToString::to_string).collect();
    let data = json!({
        "registry": server.registry_addr().to_string(),
        "registry_tls": server.tls_addr().map(|address| address.to_string()),
        "beacon": beacons,
        "metrics": server.metrics_addr().map(|address| address.to_string()),
        "fingerprint": server.fingerprint(),
    });
    context.output.result(&data, || {
        let mut lines =
            vec![format!("registry     {}", server.registry_addr()), format!("beacon       {}", beacons.join(","))];
        lines.extend(server.tls_addr().map(|address| format!("registry TLS {address}")));
        lines.extend(server.metrics_addr().map(|address| format!("metrics      http://{address}/metrics")));
        lines.push(format!("fingerprint  {}", server.fingerprint()));
        lines.join("\n")
    });
}
