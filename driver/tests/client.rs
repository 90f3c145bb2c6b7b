//! The client against a daemon of a few lines.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test that cannot go on has failed the test"
)]

mod support;

use bytes::Bytes;
use driver::ipc::{Frame, Reply, Request, command};
use driver::{DriverError, ErrorKind, encode_frame};
use std::time::Duration;
use support::pair;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

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

#[tokio::test]
async fn bytes_that_a_dead_daemon_did_not_end_are_not_taken_for_the_whole() {
    for ended in [false, true] {
        let (driver, mut daemon, _folder) = pair().await;
        let dialling = tokio::spawn(async move { driver.dial(node("0:0000.0000.0002:7")).await });
        daemon.hears().await;
        daemon.says(Reply::Dialed(3)).await;
        daemon.says(Reply::Received { conn: 3, data: Bytes::from_static(b"the first half") }).await;
        if ended {
            daemon.says(Reply::Closed(3)).await;
        }
        let mut conn = dialling.await.unwrap().unwrap();
        drop(daemon);
        let mut read = Vec::new();
        assert_eq!(conn.read_to_end(&mut read).await.is_ok(), ended);
        assert_eq!(read, b"the first half");
    }
}

/// Long enough for everything that can go on without the other side.
async fn idle() {
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_given_up_while_the_socket_was_full_stops_no_other() {
    let (driver, mut daemon, _folder) = pair().await;
    let dialler = driver.clone();
    let dialling = tokio::spawn(async move { dialler.dial(node("0:0000.0000.0002:7")).await });
    daemon.hears().await;
    daemon.says(Reply::Dialed(3)).await;
    let mut conn = dialling.await.unwrap().unwrap();
    tokio::select! {
        // The daemon reads nothing, so there is an end of the room.
        _ = async { while conn.write_all(&[0; 65_536]).await.is_ok() {} } => panic!("the room has no end"),
        () = idle() => {}
    }
    tokio::select! {
        answer = driver.info() => panic!("{answer:?}"),
        () = idle() => {}
    }
    let asking = tokio::spawn(async move { driver.health().await });
    let asked = async { while daemon.hears().await != Request::Health {} };
    timeout(Duration::from_secs(5), asked).await.expect("the request waits for an answer to one that was never sent");
    daemon.answers(command::HEALTH, "{\"status\":\"ok\"}").await;
    assert_eq!(asking.await.unwrap().unwrap()["status"], "ok");
}

#[tokio::test]
async fn a_port_bound_for_a_caller_that_went_away_is_free_again() {
    let (driver, mut daemon, _folder) = pair().await;
    let impatient = driver.clone();
    let abandoned = tokio::spawn(async move { impatient.listen(80).await });
    assert_eq!(daemon.hears().await, Request::Bind(80));
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    daemon.says(Reply::Bound(80)).await;
    let heard = timeout(Duration::from_secs(5), daemon.hears()).await;
    assert_eq!(heard.expect("the port stays bound"), Request::Unbind(80));
}

#[tokio::test]
async fn connections_that_a_listener_never_took_are_closed_with_it() {
    let (driver, mut daemon, _folder) = pair().await;
    let binder = driver.clone();
    let listening = tokio::spawn(async move { binder.listen(80).await });
    daemon.hears().await;
    daemon.says(Reply::Bound(80)).await;
    let listener = listening.await.unwrap().unwrap();
    let remote = node("0:0000.0000.0002:49152");
    daemon.says(Reply::Accepted { port: 80, conn: 5, remote }).await;
    let asking = tokio::spawn(async move { driver.health().await });
    assert_eq!(daemon.hears().await, Request::Health);
    drop(listener);
    daemon.says(Reply::Accepted { port: 80, conn: 6, remote }).await;
    daemon.answers(command::HEALTH, "{}").await;
    asking.await.unwrap().unwrap();
    let mut heard = Vec::new();
    for _ in 0..3 {
        let request = timeout(Duration::from_secs(5), daemon.hears()).await.expect("a connection stays open");
        if let Request::Close(conn) = request {
            daemon.says(Reply::Closed(conn)).await;
        } else {
            daemon.answers(command::UNBIND, "").await;
        }
        heard.push(request);
    }
    for expected in [Request::Unbind(80), Request::Close(5), Request::Close(6)] {
        assert!(heard.contains(&expected), "{heard:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_and_the_connection_stays() {
    let (driver, mut daemon, _folder) = pair().await;
    let error = driver.request(Request::SetTags(Bytes::from(vec![b' '; 1 << 20]))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let asking = tokio::spawn(async move { driver.health().await });
    assert_eq!(daemon.hears().await, Request::Health);
    daemon.answers(command::HEALTH, "{}").await;
    asking.await.unwrap().unwrap();
}

async fn heard(daemon: &mut support::Daemon) -> Request {
    timeout(Duration::from_secs(5), daemon.hears()).await.expect("nothing is asked")
}

#[tokio::test]
async fn what_was_dropped_is_given_back_before_the_next_request() {
    let (driver, mut daemon, _folder) = pair().await;
    let binder = driver.clone();
    let listening = tokio::spawn(async move { binder.listen(80).await });
    assert_eq!(heard(&mut daemon).await, Request::Bind(80));
    daemon.says(Reply::Bound(80)).await;
    let mut listener = listening.await.unwrap().unwrap();
    let remote = node("0:0000.0000.0002:49152");
    daemon.says(Reply::Accepted { port: 80, conn: 5, remote }).await;
    let accepted = listener.accept().await.unwrap();
    let again = tokio::spawn(async move {
        drop(accepted);
        drop(listener);
        driver.listen(80).await
    });
    assert_eq!(heard(&mut daemon).await, Request::Close(5));
    daemon.says(Reply::Closed(5)).await;
    assert_eq!(heard(&mut daemon).await, Request::Unbind(80));
    daemon.answers(command::UNBIND, "").await;
    assert_eq!(heard(&mut daemon).await, Request::Bind(80));
    daemon.says(Reply::Bound(80)).await;
    assert_eq!(again.await.unwrap().unwrap().port(), 80);
}

#[tokio::test]
async fn a_bind_given_up_and_tried_again_finds_the_port_free() {
    let (driver, mut daemon, _folder) = pair().await;
    let (impatient, patient) = (driver.clone(), driver);
    let abandoned = tokio::spawn(async move { impatient.listen(80).await });
    assert_eq!(heard(&mut daemon).await, Request::Bind(80));
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    let again = tokio::spawn(async move { patient.listen(80).await });
    idle().await;
    daemon.says(Reply::Bound(80)).await;
    assert_eq!(heard(&mut daemon).await, Request::Unbind(80));
    daemon.answers(command::UNBIND, "").await;
    assert_eq!(heard(&mut daemon).await, Request::Bind(80));
    daemon.says(Reply::Bound(80)).await;
    assert_eq!(again.await.unwrap().unwrap().port(), 80);
}

#[tokio::test]
async fn a_close_given_up_before_its_turn_still_closes() {
    let (driver, mut daemon, _folder) = pair().await;
    let dialler = driver.clone();
    let dialling = tokio::spawn(async move { dialler.dial(node("0:0000.0000.0002:7")).await });
    heard(&mut daemon).await;
    daemon.says(Reply::Dialed(3)).await;
    let conn = dialling.await.unwrap().unwrap();
    let asking = tokio::spawn(async move { driver.health().await });
    assert_eq!(heard(&mut daemon).await, Request::Health);
    tokio::select! {
        answer = conn.close() => panic!("{answer:?}"),
        () = idle() => {}
    }
    daemon.answers(command::HEALTH, "{}").await;
    asking.await.unwrap().unwrap();
    assert_eq!(heard(&mut daemon).await, Request::Close(3));
    daemon.says(Reply::Closed(3)).await;
}
