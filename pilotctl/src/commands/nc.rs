//! `nc` and `listen`: pipes between this terminal and a port.

use super::{connect, peer};
use crate::cli::{CliError, Context, Kind, Result};
use bytes::Bytes;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// stdin and stdout connected to a peer's port; ends when both directions have.
pub(super) async fn pipe(context: &Context, name: &str, port: u16) -> Result<()> {
    let driver = context.driver().await?;
    let to = peer::resolve_port(context, &driver, name, port).await?;
    let dialling = async { connect::dial(&driver, name, to).await };
    let conn = context.within(Duration::from_secs(10), name, dialling).await?;
    let (mut reader, mut writer) = tokio::io::split(conn);
    let sending = async {
        copy(&mut tokio::io::stdin(), &mut writer).await?;
        writer.shutdown().await
    };
    let mut stdout = tokio::io::stdout();
    let receiving = copy(&mut reader, &mut stdout);
    tokio::pin!(sending, receiving);
    // The peer's end ends the pipe: nobody reads what stdin may still bring.
    let outcome = tokio::select! {
        received = &mut receiving => received,
        sent = &mut sending => match sent {
            Ok(()) => receiving.await,
            Err(error) => Err(error),
        },
    };
    outcome.map_err(|error| CliError::new(Kind::ConnectionFailed, error))
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

/// Shows what arrives on a port: a datagram at once, a stream when the peer has finished.
pub(super) async fn listen(context: &Context, port: u16, count: Option<u64>) -> Result<()> {
    let driver = context.driver().await?;
    let mut listener = driver.listen(port).await?;
    context.output.say(&format!("listening on port {port}"));
    let (shown, mut arrivals) = tokio::sync::mpsc::channel(64);
    let deadline = async {
        match context.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        tokio::select! {
            accepted = listener.accept() => {
                let Some(accepted) = accepted else { return Err(gone()) };
                let shown = shown.clone();
                tokio::spawn(async move {
                    let mut data = Vec::new();
                    let mut conn = accepted.conn;
                    if (&mut conn).take(MAX_SHOWN).read_to_end(&mut data).await.is_ok() {
                        let _ = shown.send((accepted.remote, Bytes::from(data))).await;
                    }
                    let _ = conn.close().await;
                });
            }
            datagram = driver.recv_from() => {
                let Some(datagram) = datagram else { return Err(gone()) };
                if datagram.to_port == port {
                    show(context, datagram.from, &datagram.data);
                    left -= 1;
                }
            }
            Some((from, data)) = arrivals.recv() => {
                show(context, from, &data);
                left -= 1;
            }
            () = &mut deadline => return Err(CliError::new(Kind::Timeout, "nothing more arrived in time")),
        }
    }
    Ok(())
}

/// Bytes of a stream shown at most.
const MAX_SHOWN: u64 = 16 * 1024 * 1024;

fn show(context: &Context, from: driver::SocketAddress, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if context.output.json {
        let item = json!({
            "src_addr": from.address.to_string(),
            "src_port": from.port,
            "data": text,
            "bytes": data.len(),
        });
        context.output.line(&item.to_string());
    } else {
        context.output.say(&format!("from {from}, {} bytes:", data.len()));
        context.output.line(&text);
    }
}

fn gone() -> CliError {
    CliError::new(Kind::NotRunning, "the daemon went away")
}
