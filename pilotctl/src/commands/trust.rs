//! `trust`: who may reach this agent, and whom it may reach.

use super::peer::{self, items, number, words};
use crate::cli::args::TrustCommand;
use crate::cli::output::table;
use crate::cli::{CliError, Context, Kind, Result};
use driver::Driver;
use driver::ipc::HandshakeCommand;
use serde_json::{Value, json};
use std::time::Duration;

/// How long `--wait` waits unless told otherwise.
const WAIT: Duration = Duration::from_secs(300);
/// One wait of the daemon at most.
const WAIT_STEP: Duration = Duration::from_secs(10);
/// A handshake may have to go round through the registry.
const SEND: Duration = Duration::from_secs(20);

pub(super) async fn run(context: &Context, command: TrustCommand) -> Result<()> {
    let driver = context.driver().await?;
    match command {
        TrustCommand::Add { peer, reason, wait, words } => {
            add(context, &driver, &peer, reason.unwrap_or_else(|| words.join(" ")), wait).await
        }
        TrustCommand::Approve { peer } => {
            let node = node(context, &driver, &peer).await?;
            done(context, &peer, driver.handshake(HandshakeCommand::Approve(node)).await?)
        }
        TrustCommand::Reject { peer, reason, words } => {
            let node = node(context, &driver, &peer).await?;
            let reason = reason.unwrap_or_else(|| words.join(" "));
            done(context, &peer, driver.handshake(HandshakeCommand::Reject { node, reason }).await?)
        }
        TrustCommand::Remove { peer } => {
            let node = node(context, &driver, &peer).await?;
            let reply = driver.handshake(HandshakeCommand::Revoke(node)).await.map_err(|error| {
                let error = CliError::from(error);
                // Not to have trusted is not a lack of permission.
                if error.message().contains("was not trusted") {
                    CliError::new(Kind::NotFound, format!("{peer} was not trusted"))
                } else {
                    error
                }
            })?;
            context.output.result(&reply, || match reply.get("closed_connections") {
                Some(closed) => format!("{peer} is not trusted any more; {closed} connections closed"),
                None => format!("{peer} is not trusted any more"),
            });
            Ok(())
        }
        TrustCommand::List => list(context, &driver).await,
        TrustCommand::Pending => pending(context, &driver).await,
    }
}

async fn node(context: &Context, driver: &Driver, peer: &str) -> Result<u32> {
    Ok(peer::resolve(context, driver, peer).await?.node.0)
}

fn done(context: &Context, peer: &str, reply: Value) -> Result<()> {
    context.output.result(&reply, || format!("{peer}: {}", words(&reply, "status")));
    Ok(())
}

async fn add(context: &Context, driver: &Driver, peer: &str, justification: String, wait: bool) -> Result<()> {
    let node = node(context, driver, peer).await?;
    let waiting = driver.handshake(HandshakeCommand::Pending).await?;
    let asked = items(&waiting, "pending").iter().any(|request| number(request, "node_id") == u64::from(node));
    let command = if asked { HandshakeCommand::Approve(node) } else { HandshakeCommand::Send { node, justification } };
    let request = async { Ok(driver.handshake(command).await?) };
    let mut reply = context.within(SEND, &format!("{peer} to be asked"), request).await?;
    let mut mutual = driver.wait_for_trust(node, Duration::ZERO).await?;
    if wait && !mutual {
        let until = async {
            while !driver.wait_for_trust(node, WAIT_STEP).await? {}
            Ok(())
        };
        context.within(WAIT, &format!("{peer} to approve"), until).await?;
        mutual = true;
    }
    if let Some(fields) = reply.as_object_mut() {
        fields.insert("trusted".to_owned(), mutual.into());
    }
    context.output.result(&reply, || {
        if mutual {
            format!("{peer} and this agent trust each other")
        } else {
            format!("{peer} was asked; it approves with `pilotctl trust add` and this agent's name")
        }
    });
    Ok(())
}

async fn list(context: &Context, driver: &Driver) -> Result<()> {
    let reply = driver.handshake(HandshakeCommand::Trusted).await?;
    let trusted = items(&reply, "trusted");
    let data = json!({"trusted": trusted, "total": trusted.len()});
    context.output.result(&data, || {
        if trusted.is_empty() {
            return "nobody is trusted yet; `pilotctl trust add PEER` asks somebody".to_owned();
        }
        let row = |item: &Value| {
            let mutual = if item.get("mutual") == Some(&Value::Bool(true)) { "yes" } else { "no" };
            vec![words(item, "node_id"), words(item, "hostname"), mutual.to_owned(), time(item, "approved_at")]
        };
        table(&["NODE", "HOSTNAME", "MUTUAL", "SINCE"], trusted.iter().map(row))
    });
    Ok(())
}

async fn pending(context: &Context, driver: &Driver) -> Result<()> {
    let reply = driver.handshake(HandshakeCommand::Pending).await?;
    let waiting = items(&reply, "pending");
    let data = json!({"pending": waiting, "total": waiting.len()});
    context.output.result(&data, || {
        if waiting.is_empty() {
            return "no requests wait".to_owned();
        }
        let row = |item: &Value| vec![words(item, "node_id"), time(item, "received_at"), words(item, "justification")];
        table(&["NODE", "ASKED", "REASON"], waiting.iter().map(row))
    });
    Ok(())
}

fn time(item: &Value, name: &str) -> String {
    let seconds = item.get(name).and_then(Value::as_i64).unwrap_or(0);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "-".to_owned(), |at| at.to_string())
}
