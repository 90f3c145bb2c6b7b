//! Streams over real sockets on loopback: what arrives, what an end means, what a dropped future leaves behind.

mod support;

use runtime_tokio::{Config, DialError, StreamError};
use std::io::ErrorKind;
use std::time::Duration;
use support::{PORT, Pair, at, pattern, serve_echo, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_comes_back() {
    let pair = Pair::direct().await;
    serve_echo(&pair.b, PORT);
    let mut stream = within(5, "dial", pair.a.dial(at(2, PORT))).await.unwrap();
    assert_eq!(stream.peer(), at(2, PORT));
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    within(5, "echo", stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"hello");
    within(5, "finish", stream.finish()).await.unwrap();
    assert!(matches!(stream.write_all(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_is_acknowledged_and_the_reader_sees_a_clean_end() {
    let pair = Pair::direct().await;
    let (mut a, mut b) = pair.streams().await;
    let sent = pattern(300_000);
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.map(|_| all)
    });
    a.write_all(&sent).await.unwrap();
    within(10, "finish", a.finish()).await.unwrap();
    drop(a);
    let received = within(5, "end", reader).await.unwrap().unwrap();
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_stream_is_not_taken_for_a_complete_one() {
    let pair = Pair::direct().await;
    let (mut a, mut b) = pair.streams().await;
    a.write_all(b"part").await.unwrap();
    let mut part = [0; 4];
    b.read_exact(&mut part).await.unwrap();
    drop(a);
    let error = within(5, "reset", b.read(&mut part)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let told = error.into_inner().and_then(|inner| inner.downcast::<StreamError>().ok());
    assert!(told.is_some_and(|told| matches!(*told, StreamError::Closed(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_reaches_both_directions_of_the_peer() {
    let pair = Pair::direct().await;
    let (a, mut b) = pair.streams().await;
    a.reset();
    let mut byte = [0];
    within(5, "reset", b.read(&mut byte)).await.unwrap_err();
    within(5, "write", b.write_all(b"x")).await.unwrap_err();
    assert!(within(5, "finish", b.finish()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_work_in_two_tasks_and_an_unfinished_write_half_resets() {
    let pair = Pair::direct().await;
    let (a, b) = pair.streams().await;
    let (mut a_reads, mut a_writes) = a.into_split();
    let (mut b_reads, mut b_writes) = b.into_split();
    let copy = tokio::spawn(async move {
        let copied = tokio::io::copy(&mut b_reads, &mut b_writes).await;
        (copied, b_writes)
    });
    a_writes.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    within(5, "echo", a_reads.read_exact(&mut pong)).await.unwrap();
    drop(a_writes);
    let (copied, _) = within(5, "reset", copy).await.unwrap();
    assert_eq!(copied.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens_is_refused_at_once() {
    let pair = Pair::direct().await;
    let error = within(3, "refusal", pair.a.dial(at(2, 4242))).await.unwrap_err();
    assert_eq!(error, DialError::Protocol(proto_core::endpoint::DialError::Refused));
    let error = within(6, "an unknown peer", pair.a.dial(at(77, PORT))).await.unwrap_err();
    assert!(matches!(error, DialError::Protocol(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_listener_refuses_and_frees_its_port() {
    let pair = Pair::direct().await;
    drop(pair.b.listen(PORT).unwrap());
    let error = within(3, "refusal", pair.a.dial(at(2, PORT))).await.unwrap_err();
    assert_eq!(error, DialError::Protocol(proto_core::endpoint::DialError::Refused));
    serve_echo(&pair.b, PORT);
    within(3, "dial", pair.a.dial(at(2, PORT))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_dial_leaves_nothing_behind() {
    let pair = Pair::direct().await;
    // Nobody answers for this peer, so the dial is still open when it is dropped.
    pair.a.add_static_peer(runtime_tokio::NodeId(9), pair.b.public_key(), Some("127.0.0.1:9".parse().unwrap()), true);
    let given_up = tokio::time::timeout(Duration::from_millis(50), pair.a.dial(at(9, PORT))).await;
    assert!(given_up.is_err());
    assert!(pair.a.streams().is_empty(), "{:?}", pair.a.streams());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_reads_writes_and_accepts_lose_nothing() {
    let pair = Pair::direct().await;
    let mut listener = pair.b.listen(PORT).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1), listener.accept()).await.is_err());
    let (a, b) = tokio::join!(pair.a.dial(at(2, PORT)), listener.accept());
    let (mut a, (mut b, _)) = (a.unwrap(), b.unwrap());
    let sent = pattern(2_000_000);
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        let mut rest = sent.as_slice();
        while !rest.is_empty() {
            // A future that is dropped while it waits has taken nothing.
            if let Ok(count) = tokio::time::timeout(Duration::from_micros(200), a.write(rest)).await {
                rest = &rest[count.unwrap()..];
            }
        }
        while tokio::time::timeout(Duration::from_micros(200), a.finish()).await.is_err() {}
    });
    let mut received = Vec::new();
    let mut bytes = vec![0; 10_000];
    loop {
        match tokio::time::timeout(Duration::from_micros(200), b.read(&mut bytes)).await {
            Ok(Ok(0)) => break,
            Ok(count) => received.extend_from_slice(&bytes[..count.unwrap()]),
            Err(_) => {}
        }
    }
    within(5, "finish", writer).await.unwrap();
    assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_the_writer_back() {
    let mut config = Config::default();
    config.stream.send_buffer = 256 * 1024;
    config.stream.receive_buffer = 256 * 1024;
    let pair = Pair::configured(config, None).await;
    let (mut a, mut b) = pair.streams().await;
    let sent = pattern(4_000_000);
    let mut taken = 0;
    // Nobody reads: the writer must come to rest with both buffers full and not much more.
    while let Ok(count) = tokio::time::timeout(Duration::from_millis(500), a.write(&sent[taken..])).await {
        taken += count.unwrap();
    }
    assert!(taken >= 256 * 1024, "{taken}");
    assert!(taken <= 1024 * 1024, "a writer ran {taken} bytes ahead of its reader");
    let rest = sent[taken..].to_vec();
    let writer = tokio::spawn(async move {
        a.write_all(&rest).await.unwrap();
        a.finish().await
    });
    let mut received = Vec::new();
    within(20, "the rest", b.read_to_end(&mut received)).await.unwrap();
    assert!(received == sent);
    writer.await.unwrap().unwrap();
}
