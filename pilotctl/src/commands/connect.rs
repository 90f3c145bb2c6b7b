//! `connect`: a message that the peer acknowledges, or bytes to a port and what comes back.

use super::pulse::{Pulse, while_alive};
use super::talk::{End, Manners, talk};
use super::{foreign, peer};
use crate::cli::{CliError, Context, Kind, Result};
use bytes::Bytes;
use driver::services::exchange::MessageKind;
use driver::services::{EXCHANGE_PORT, send_message};
use driver::{Address, Conn, Driver, SocketAddress};
use serde_json::json;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Largest message; files go with `file send`.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;
/// Largest reply shown.
const MAX_REPLY: u64 = 8 * 1024 * 1024;
/// Longest wait for an acknowledgement or a reply.
const REPLY: Duration = Duration::from_secs(30);
/// A reply is complete when nothing more comes for this long.
const QUIET: Duration = Duration::from_secs(1);

pub(super) async fn run(
    context: &Context,
    peer: &str,
    port: Option<u16>,
    message: Option<String>,
    data_file: Option<String>,
) -> Result<()> {
    let data = payload(message, data_file).await?;
    let driver = context.driver().await?;
    match port {
        None => {
            let to = peer::resolve(context, &driver, peer).await?;
            deliver(context, &driver, peer, to, MessageKind::guess(&data), data).await
        }
        Some(port) => {
            let to = peer::resolve_port(context, &driver, peer, port).await?;
            exchange_bytes(context, &driver, peer, to, data).await
        }
    }
}

/// Sends a message through the peer's data exchange and shows its acknowledgement.
pub(super) async fn deliver(
    context: &Context,
    driver: &Driver,
    peer: &str,
    to: Address,
    kind: MessageKind,
    data: Bytes,
) -> Result<()> {
    let bytes = data.len();
    let pulse = Pulse::watched();
    let work = async {
        let mut conn = dial(driver, peer, SocketAddress::new(to, EXCHANGE_PORT)).await?;
        pulse.beat();
        let ack = send_message(&mut conn, kind, data).await?;
        conn.close().await?;
        Ok(ack)
    };
    let work = while_alive(context, peer, to.node.0, &pulse, work);
    let ack = context.within(REPLY, &format!("{peer} to acknowledge"), work).await?;
    let data = json!({
        "target": to.to_string(),
        "to": to.to_string(),
        "type": kind.word(),
        "bytes": bytes,
        "acked": true,
        "ack": ack,
        "path": current_path(driver, to).await,
    });
    context.output.result(&data, || format!("delivered {bytes} bytes to {peer} ({to}); {ack}"));
    Ok(())
}

/// Dials, and says what to do when the peer does not let us in.
pub(super) async fn dial(driver: &Driver, peer: &str, to: SocketAddress) -> Result<Conn> {
    driver.dial(to).await.map_err(|error| {
        let error = CliError::from(error).context(format!("cannot reach {peer} port {}", to.port));
        let kind = error.kind();
        if kind == Kind::Timeout {
            error.hint("on the peer: `pilotctl trust add` with this agent's name, or start what is to listen there")
        } else if kind == Kind::ConnectionFailed {
            error.hint("is it running? `pilotctl peers`, `pilotctl netcheck`")
        } else {
            error
        }
    })
}

/// Sends bytes to a port. The reply ends with the peer, or when nothing more comes for [`QUIET`].
async fn exchange_bytes(context: &Context, driver: &Driver, peer: &str, to: SocketAddress, data: Bytes) -> Result<()> {
    let patience = context.timeout.unwrap_or(REPLY);
    let manners = Manners { quiet_after: QUIET, awaits_reply: true, patience: Some(patience), most: MAX_REPLY };
    let mut reply = Vec::new();
    let pulse = Pulse::watched();
    let work = async {
        let conn = dial(driver, peer, to).await?;
        pulse.beat();
        talk(conn, data.as_ref(), &mut reply, &pulse, manners).await
    };
    let what = format!("{peer} to reply");
    let work = context.output.waiting(&what, work);
    let end = while_alive(context, peer, to.address.node.0, &pulse, work).await?;
    let text = String::from_utf8_lossy(&reply).into_owned();
    let shown = json!({
        "target": to.address.to_string(),
        "port": to.port,
        "sent": String::from_utf8_lossy(&data),
        "bytes": data.len(),
        "acked": true,
        "response": text,
        "ended_by": end.word(),
    });
    if end == End::NoReply {
        context.output.say(&format!("{peer} has it, and did not reply within {patience:?}"));
    }
    context.output.result(&shown, || text.clone());
    Ok(())
}

/// How the peer is reached now.
async fn current_path(driver: &Driver, to: Address) -> Option<String> {
    let info = foreign::info(driver).await.ok()?;
    let found =
        peer::items(&info, "peer_list").iter().find(|item| peer::number(item, "node_id") == u64::from(to.node.0));
    found.map(|item| peer::words(item, "path"))
}

async fn payload(message: Option<String>, data_file: Option<String>) -> Result<Bytes> {
    let data = match (message, data_file.as_deref()) {
        (Some(message), _) => message.into_bytes(),
        (None, Some("-")) => stdin().await?,
        (None, Some(path)) => {
            let length = tokio::fs::metadata(path).await.map_err(|error| CliError::from(error).context(path))?.len();
            if length > u64::try_from(MAX_MESSAGE).unwrap_or(u64::MAX) {
                return Err(too_long());
            }
            tokio::fs::read(path).await?
        }
        (None, None) if std::io::stdin().is_terminal() => {
            return Err(
                CliError::usage("nothing to send").hint("use --message TEXT, --data-file FILE, or pipe into it")
            );
        }
        (None, None) => stdin().await?,
    };
    if data.len() > MAX_MESSAGE { Err(too_long()) } else { Ok(data.into()) }
}

async fn stdin() -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let limit = u64::try_from(MAX_MESSAGE).unwrap_or(u64::MAX) + 1;
    tokio::io::stdin().take(limit).read_to_end(&mut data).await?;
    Ok(data)
}

fn too_long() -> CliError {
    CliError::usage("a message is at most 8 MiB").hint("send files with `pilotctl file send`")
}
