//! The client against a daemon of a few lines.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test that cannot go on has failed the test")]

mod support;

use bytes::Bytes;
use driver::ipc::{Frame, Reply, Request, command};
use driver::{DriverError, ErrorKind, encode_frame};
use support::pair;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn node(text: &str) -> driver::SocketAddress {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_abandoned_request_does_not_shift_the_answers() {
    let (driver, mut daemon, _folder) = pair().await;
    let impatient = driver.clone();
    let abandoned = tokio::spawn(async move { impatient.info().await });
    assert_eq!(daemon.hears().await, Request::Info);
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    let patient = tokio::spawn(async move { driver.health().await });
    daemon.answers(command::INFO, "{\"late\":true}").await;
    assert_eq!(daemon.hears().await, Request::Health);
    daemon.answers(command::HEALTH, "{\"status\":\"ok\"}").await;
    assert_eq!(patient.await.unwrap().unwrap()["status"], "ok");
}

#[tokio::test]
async fn a_connection_carries_bytes_and_ends() {
    let (driver, mut daemon, _folder) = pair().await;
    let dialling = tokio::spawn(async move { driver.dial(node("0:0000.0000.0002:7")).await });
    assert_eq!(daemon.hears().await, Request::Dial(node("0:0000.0000.0002:7")));
    daemon.says(Reply::Dialed(3)).await;
    // Bytes right behind the answer belong to the connection already; those of others are ignored.
    daemon.says(Reply::Received { conn: 9, data: Bytes::from_static(b"not mine") }).await;
    daemon.says(Reply::Received { conn: 3, data: Bytes::from_static(b"ping-0") }).await;
    daemon.says(Reply::Closed(3)).await;
    let mut conn = dialling.await.unwrap().unwrap();
    let mut read = String::new();
    conn.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "ping-0");
    conn.write_all(b"late").await.unwrap();
    assert_eq!(daemon.hears().await, Request::Send { conn: 3, data: Bytes::from_static(b"late") });
    let closing = tokio::spawn(conn.close());
    assert_eq!(daemon.hears().await, Request::Close(3));
    // The peer's close and the answer look the same; neither may answer another request.
    daemon.says(Reply::Closed(4)).await;
    daemon.says(Reply::Closed(3)).await;
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broken_connection_is_an_error_and_not_an_end() {
    let (driver, mut daemon, _folder) = pair().await;
    let dialling = tokio::spawn(async move { driver.dial(node("0:0000.0000.0002:7")).await });
    daemon.hears().await;
    daemon.says(Reply::Dialed(1)).await;
    daemon.says(Reply::StreamError { conn: 1, reason: "trust was withdrawn".into() }).await;
    daemon.says(Reply::Closed(1)).await;
    let error = dialling.await.unwrap().unwrap().read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.to_string(), "trust was withdrawn");
}

#[tokio::test]
async fn a_dead_daemon_fails_what_waits() {
    let (driver, mut daemon, _folder) = pair().await;
    let waiting = driver.clone();
    let waiting = tokio::spawn(async move { waiting.info().await });
    daemon.hears().await;
    drop(daemon);
    assert!(matches!(waiting.await.unwrap(), Err(DriverError::Disconnected)));
    assert_eq!(driver.health().await.unwrap_err().kind(), ErrorKind::NotRunning);
}

#[tokio::test]
async fn a_length_beyond_the_limit_ends_the_connection() {
    let (driver, mut daemon, _folder) = pair().await;
    daemon.socket.write_all(&[0x7F, 0xFF, 0xFF, 0xFF, 0x0E]).await.unwrap();
    assert!(driver.info().await.is_err());
    let oversized = encode_frame(&Frame { command: 1, payload: Bytes::new() });
    assert_eq!(&oversized[..], [0, 0, 0, 1, 1]);
}
