//! The client with a daemon of the reference, which lacks some commands: what replaces them, in which order.
#![allow(clippy::unwrap_used, reason = "a helper of a test that cannot go on has failed the test")]

mod support;

use bytes::Bytes;
use driver::ipc::{HandshakeCommand, Reply, Request, command};
use driver::{Conn, Driver, ErrorKind, SocketAddress};
use std::time::Duration;
use support::{Daemon, pair};
use tokio::io::AsyncWriteExt;

fn node(text: &str) -> SocketAddress {
    text.parse().unwrap()
}

fn unknown(command: u8) -> Reply {
    Reply::Error(format!("unknown command: 0x{command:02X}"))
}

async fn dialled(driver: &Driver, daemon: &mut Daemon, conn: u32) -> Conn {
    let dialling = driver.clone();
    let dialling = tokio::spawn(async move { dialling.dial(node("0:0000.0000.0002:1000")).await });
    daemon.hears().await;
    daemon.says(Reply::Dialed(conn)).await;
    dialling.await.unwrap().unwrap()
}

#[tokio::test]
async fn an_error_of_a_send_answers_nothing_else() {
    let (driver, mut daemon, _folder) = pair().await;
    let waiting = driver.clone();
    let waiting = tokio::spawn(async move { waiting.info().await });
    daemon.hears().await;
    daemon.says(Reply::Error("send: connection not established".into())).await;
    daemon.says(Reply::Error("connection 9 not found".into())).await;
    daemon.answers(command::INFO, "{\"node_id\":1}").await;
    assert_eq!(waiting.await.unwrap().unwrap()["node_id"], 1);
}

#[tokio::test]
async fn a_datagram_without_confirmation_is_followed_by_a_question() {
    let (driver, mut daemon, _folder) = pair().await;
    let to = node("0:0000.0000.0002:3000");
    for refusal in [None, Some("sendto: resolve node 2: registry: node 2: node not found")] {
        let sending = driver.clone();
        let sending = tokio::spawn(async move { sending.send_to(to, Bytes::from_static(b"x")).await });
        assert!(matches!(daemon.hears().await, Request::SendToConfirm { .. }));
        daemon.says(unknown(command::SEND_TO_CONFIRM)).await;
        assert_eq!(daemon.hears().await, Request::SendTo { to, data: Bytes::from_static(b"x") });
        assert_eq!(daemon.hears().await, Request::Health);
        if let Some(text) = refusal {
            daemon.says(Reply::Error(text.to_owned())).await;
        }
        daemon.answers(command::HEALTH, "{}").await;
        let outcome = sending.await.unwrap();
        assert_eq!(outcome.map_err(|error| error.kind()), refusal.map_or(Ok(()), |_| Err(ErrorKind::NotFound)));
    }
}

#[tokio::test]
async fn trust_is_waited_for_by_looking_at_the_list() {
    let (driver, mut daemon, _folder) = pair().await;
    let waiting = tokio::spawn(async move { driver.wait_for_trust(2, Duration::from_secs(20)).await });
    assert_eq!(daemon.hears().await, Request::Handshake(HandshakeCommand::Wait { node: 2, timeout_ms: 20_000 }));
    daemon.says(Reply::Error("handshake: unknown sub-command 0x07".into())).await;
    for list in ["{\"trusted\":[]}", "{\"trusted\":[{\"node_id\":3}]}", "{\"trusted\":[{\"node_id\":2}]}"] {
        assert_eq!(daemon.hears().await, Request::Handshake(HandshakeCommand::Trusted));
        daemon.answers(command::HANDSHAKE, list).await;
    }
    assert!(waiting.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_ping_goes_through_the_echo_port() {
    let (driver, mut daemon, _folder) = pair().await;
    let pinging = tokio::spawn(async move { driver.ping(2, Duration::from_secs(20)).await });
    assert_eq!(daemon.hears().await, Request::Dial(node("0:0000.0000.0002:7")));
    daemon.says(Reply::Dialed(4)).await;
    let Request::Send { conn: 4, data } = daemon.hears().await else { unreachable!("a probe") };
    daemon.says(Reply::Received { conn: 4, data }).await;
    assert_eq!(daemon.hears().await, Request::Close(4));
    daemon.says(Reply::Closed(4)).await;
    assert_eq!(daemon.hears().await, Request::Info);
    daemon
        .answers(command::INFO, "{\"peer_list\":[{\"node_id\":2,\"relay\":false,\"endpoint\":\"192.0.2.1:5\"}]}")
        .await;
    let pong = pinging.await.unwrap().unwrap();
    assert_eq!(pong["path"], serde_json::json!({"kind": "direct", "address": "192.0.2.1:5"}));
    assert!(pong["rtt_ms"].as_f64().is_some());
}

/// Its close abandons what is under way, so that must be nothing by then.
#[tokio::test]
async fn a_stream_is_finished_when_everything_has_arrived() {
    let (driver, mut daemon, _folder) = pair().await;
    for (last, delivered) in [
        ("{\"conn_list\":[{\"id\":5,\"state\":\"ESTABLISHED\",\"unacked\":0,\"in_flight\":0}]}", true),
        ("{\"conn_list\":[{\"id\":5,\"state\":\"TIME_WAIT\",\"unacked\":2,\"in_flight\":0}]}", false),
    ] {
        let mut conn = dialled(&driver, &mut daemon, 5).await;
        let finishing = tokio::spawn(async move { conn.shutdown().await.map(|()| conn) });
        let busy = "{\"conn_list\":[{\"id\":5,\"state\":\"ESTABLISHED\",\"unacked\":3,\"in_flight\":9000}]}";
        for state in [busy, last] {
            assert_eq!(daemon.hears().await, Request::Info);
            daemon.answers(command::INFO, state).await;
        }
        assert_eq!(daemon.hears().await, Request::Close(5));
        daemon.says(Reply::Closed(5)).await;
        let finished = finishing.await.unwrap();
        assert_eq!(finished.is_ok(), delivered);
        if delivered {
            drop(finished);
            assert_eq!(daemon.hears().await, Request::Close(5));
            daemon.says(Reply::Closed(5)).await;
        }
    }
}
