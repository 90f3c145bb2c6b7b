//! `nc` and `listen`: pipes between this terminal and a port.

use super::gather::{Gathering, time_is_up};
use super::pulse::{Pulse, while_alive};
use super::talk::{Manners, broken, talk};
use super::{connect, peer};
use crate::cli::{CliError, Context, Kind, Result};
use driver::{Conn, SocketAddress};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// stdin and stdout connected to a peer's port. Ends with the peer, or when all is delivered and quiet after the input's end.
pub(super) async fn pipe(context: &Context, name: &str, port: u16, quiet_after: Duration) -> Result<()> {
    let driver = context.driver().await?;
    let to = peer::resolve_port(context, &driver, name, port).await?;
    let dialling = async { connect::dial(&driver, name, to).await };
    let conn = context.within(Duration::from_secs(10), &format!("{name} to answer"), dialling).await?;
    let manners = Manners { quiet_after, awaits_reply: false, patience: None, most: u64::MAX };
    // A terminal may say nothing for hours; once its input has ended, somebody waits.
    let pulse = Pulse::unwatched();
    pulse.beat();
    let talking = talk(conn, tokio::io::stdin(), tokio::io::stdout(), &pulse, manners);
    while_alive(context, name, to.address.node.0, &pulse, talking).await.map(|_| ())
}

/// What came to a port, and why it is not all of it.
struct Arrival {
    from: SocketAddress,
    data: Vec<u8>,
    broken: Option<CliError>,
}

/// Shows what arrives on a port: a datagram at once, a stream when the peer has finished.
pub(super) async fn listen(context: &Context, port: u16, count: Option<u64>) -> Result<()> {
    let driver = context.driver().await?;
    let mut listener = driver.listen(port).await?;
    context.output.say(&format!("listening on port {port}"));
    let (sender, mut arrivals) = tokio::sync::mpsc::channel(64);
    let mut gathering = Gathering::new(context, "messages", count);
    let time_is_up = time_is_up(context.timeout);
    tokio::pin!(time_is_up);
    let (mut sequence, mut timed_out) = (0, false);
    while gathering.wants_more() {
        let arrival = tokio::select! {
            accepted = listener.accept() => {
                let Some(accepted) = accepted else { return Err(gone()) };
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(collect(accepted.conn, accepted.remote).await).await });
                continue;
            }
            datagram = driver.recv_from() => {
                let Some(datagram) = datagram else { return Err(gone()) };
                if datagram.to_port != port {
                    continue;
                }
                Arrival { from: datagram.from, data: datagram.data.to_vec(), broken: None }
            }
            Some(arrival) = arrivals.recv() => arrival,
            () = &mut time_is_up => {
                timed_out = true;
                break;
            }
        };
        take(&mut gathering, port, sequence, arrival)?;
        sequence += 1;
    }
    gathering.finish(timed_out)
}

/// Bytes of a stream shown at most.
const MAX_SHOWN: u64 = 16 * 1024 * 1024;

/// Reads a stream until the peer finishes, or as far as it came.
async fn collect(mut conn: Conn, from: SocketAddress) -> Arrival {
    let mut data = Vec::new();
    let read = (&mut conn).take(MAX_SHOWN + 1).read_to_end(&mut data).await;
    let most = usize::try_from(MAX_SHOWN).unwrap_or(usize::MAX);
    let broken = match read {
        Err(error) => Some(broken(error)),
        Ok(_) if data.len() > most => {
            data.truncate(most);
            Some(CliError::new(Kind::ConnectionFailed, "more than 16 MiB arrived; the rest is left out"))
        }
        Ok(_) => None,
    };
    let _ = conn.close().await;
    Arrival { from, data, broken }
}

fn take(gathering: &mut Gathering<'_>, port: u16, sequence: u64, arrival: Arrival) -> Result<()> {
    let Arrival { from, data, broken } = arrival;
    let text = String::from_utf8_lossy(&data);
    let why = broken.as_ref().map(CliError::message);
    let item = json!({
        "src_addr": from.address.to_string(),
        "src_port": from.port,
        "port": port,
        "seq": sequence,
        "data": text,
        "bytes": data.len(),
        "complete": why.is_none(),
        "error": why,
    });
    let cut = why.map(|why| format!(", not all of it: {why}")).unwrap_or_default();
    let title = format!("from {from}, {} bytes{cut}:", data.len());
    gathering.push(item, &title, &text, broken)
}

/// Sends one datagram.
pub(super) async fn datagram(context: &Context, name: &str, port: u16, data: String) -> Result<()> {
    let driver = context.driver().await?;
    let to = peer::resolve_port(context, &driver, name, port).await?;
    let shown = json!({"target": to.address.to_string(), "port": port, "bytes": data.len()});
    driver.send_to(to, data.into()).await?;
    context.output.result(&shown, || format!("sent to {name} port {port}; nobody acknowledges a datagram"));
    Ok(())
}

fn gone() -> CliError {
    CliError::new(Kind::NotRunning, "the daemon went away")
}
