//! A node over real sockets: datagrams, ping, limits of its life.

mod support;

use runtime_tokio::{
    BindError, DialError, Event, EventsError, Identity, Node, NodeClosed, NodeId, PathKind, StartError,
};
use std::time::Duration;
use support::{PORT, Pair, at, loopback, pattern, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datagram_arrives_with_its_sender() {
    let pair = Pair::direct().await;
    let mut datagrams = pair.b.datagrams(PORT).unwrap();
    assert_eq!(pair.b.datagrams(PORT).unwrap_err(), BindError::InUse(PORT));
    let from_port = pair.a.send_datagram(at(2, PORT), 0, b"news").unwrap();
    let datagram = within(5, "datagram", datagrams.next()).await.unwrap();
    assert_eq!((datagram.from, datagram.data.as_ref()), (at(1, from_port), b"news".as_slice()));
    assert_eq!(datagrams.dropped(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_nobody_took_is_everybodys() {
    let pair = Pair::direct().await;
    let mut claimed = pair.b.datagrams(PORT).unwrap();
    let mut rest = pair.b.unclaimed_datagrams().unwrap();
    assert_eq!(pair.b.datagrams(0).unwrap_err(), BindError::Reserved(0));
    pair.a.send_datagram(at(2, PORT), 0, b"claimed").unwrap();
    pair.a.send_datagram(at(2, PORT + 1), 0, b"unclaimed").unwrap();
    let datagram = within(5, "unclaimed datagram", rest.next()).await.unwrap();
    assert_eq!((datagram.to_port, datagram.data.as_ref()), (PORT + 1, b"unclaimed".as_slice()));
    let datagram = within(5, "claimed datagram", claimed.next()).await.unwrap();
    assert_eq!((datagram.to_port, datagram.data.as_ref()), (PORT, b"claimed".as_slice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_tells_its_path() {
    let pair = Pair::direct().await;
    let pong = pair.a.ping(NodeId(2), Duration::from_secs(5)).await.unwrap();
    assert_eq!(pong.path, PathKind::Direct(pair.b.local_address()));
    assert!(pong.rtt < Duration::from_secs(1));
    assert!(pair.a.ping(NodeId(77), Duration::from_millis(200)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_hear_of_peers() {
    let pair = Pair::direct().await;
    let mut events = pair.b.events();
    pair.a.ping(NodeId(2), Duration::from_secs(5)).await.unwrap();
    let up = async { while events.next().await.unwrap() != Event::PeerUp(NodeId(1)) {} };
    within(5, "peer up", up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_delivers_what_was_finished_and_closes_everything() {
    let pair = Pair::direct().await;
    let (mut a, mut b) = pair.streams().await;
    let sent = pattern(500_000);
    a.write_all(&sent).await.unwrap();
    let finishing = tokio::spawn(async move { a.finish().await });
    tokio::task::yield_now().await;
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.map(|_| all)
    });
    within(5, "finish", finishing).await.unwrap().unwrap();
    let mut listener = pair.a.listen(PORT).unwrap();
    let accepting = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
    within(5, "shutdown", pair.a.shutdown()).await;
    assert!(within(5, "end", reading).await.unwrap().unwrap() == sent);
    assert_eq!(within(5, "accept", accepting).await.unwrap(), Err(NodeClosed));
    assert_eq!(pair.a.dial(at(2, PORT)).await.unwrap_err(), DialError::NodeClosed);
    assert_eq!(pair.a.listen(PORT).unwrap_err(), BindError::NodeClosed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_resets_what_was_not_finished() {
    let pair = Pair::direct().await;
    let (_a, mut b) = pair.streams().await;
    let mut events = pair.a.events();
    within(5, "shutdown", pair.a.shutdown()).await;
    let end = async { while events.next().await != Err(EventsError::Closed) {} };
    within(5, "the end of events", end).await;
    assert_eq!(pair.a.events().next().await, Err(EventsError::Closed));
    assert!(within(5, "reset", b.read(&mut [0])).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_resets_as_many_streams_as_there_are() {
    let pair = Pair::direct().await;
    let mut listener = pair.b.listen(PORT).unwrap();
    let (mut dialled, mut accepted) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let (a, b) = tokio::join!(pair.a.dial(at(2, PORT)), listener.accept());
        dialled.push(a.unwrap());
        accepted.push(b.unwrap().0);
    }
    within(5, "shutdown", pair.a.shutdown()).await;
    for (number, stream) in accepted.iter_mut().enumerate() {
        assert!(within(5, "reset", stream.read(&mut [0])).await.is_err(), "stream {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_handle_frees_the_socket() {
    let node = Node::builder(Identity::from_seed([1; 32])).listen(loopback()).start().await.unwrap();
    let address = node.local_address();
    let taken = Node::builder(Identity::from_seed([2; 32])).listen(address).start().await;
    assert!(matches!(taken, Err(StartError::Listen(..))));
    let listener = node.listen(PORT).unwrap();
    drop(node);
    assert!(std::net::UdpSocket::bind(address).is_err(), "a listener keeps its node alive");
    drop(listener);
    let freed = async {
        while std::net::UdpSocket::bind(address).is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(5, "closing", freed).await;
}
