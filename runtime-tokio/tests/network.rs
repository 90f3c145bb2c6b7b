//! Two nodes that only know a rendezvous: registration, names, trust, and what a rendezvous that is gone does to them.

#![allow(clippy::unwrap_used, reason = "a network that cannot be set up has failed")]

mod support;

use proto_core::trust::Snapshot;
use rendezvous::Server;
use runtime_tokio::{
    Builder, Config, DialError, Event, Identity, Node, NodeId, Outcome, RegistryTls, ResolveError, Target,
};
use std::sync::{Arc, Mutex};
use support::{PORT, loopback, serve_echo, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn rendezvous() -> Server {
    Server::builder().registry_listen(loopback()).beacon_listen(vec![loopback(), loopback()]).start().await.unwrap()
}

fn builder(server: &Server, seed: u8, hostname: &str) -> Builder {
    let config = Config { punch_private_targets: true, ..Config::default() };
    let mut builder = Node::builder(Identity::from_seed([seed; 32]))
        .config(config)
        .listen(loopback())
        .hostname(hostname)
        .registry(server.registry_addr().to_string())
        .registry_tls(RegistryTls::Pinned(server.fingerprint().parse().unwrap()));
    for beacon in server.beacon_addrs() {
        builder = builder.beacon(beacon.to_string());
    }
    builder
}

async fn registered(builder: Builder) -> Node {
    let node = builder.start().await.unwrap();
    let mut events = node.events();
    let done = async {
        while node.address().is_none() {
            let _ = events.next().await;
        }
    };
    within(10, "registration", done).await;
    node
}

async fn trust_each_other(a: &Node, b: &Node) {
    let (at_a, at_b) = (a.address().unwrap().node, b.address().unwrap().node);
    let mut events = b.events();
    let requested = within(10, "requesting", a.trust_request(at_b, "to test")).await;
    assert!(matches!(requested, Ok(Outcome::Trust(_))), "{requested:?}");
    let asked =
        async { while !matches!(events.next().await.unwrap(), Event::TrustRequested { node, .. } if node == at_a) {} };
    within(15, "the request", asked).await;
    let mut told = a.events();
    let approved = within(10, "approving", b.approve(at_a)).await;
    assert!(matches!(approved, Ok(Outcome::Trust(_))), "{approved:?}");
    let granted = async {
        while !matches!(told.next().await.unwrap(), Event::TrustChanged { node, trusted: true } if node == at_b) {}
    };
    within(15, "the approval", granted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_become_friends_and_talk_by_name() {
    let server = rendezvous().await;
    let saved: Arc<Mutex<Option<Snapshot>>> = Arc::default();
    let save = Arc::clone(&saved);
    let a = builder(&server, 1, "agent-a").on_trust_change(move |snapshot| *save.lock().unwrap() = Some(snapshot));
    let (a, b) = (registered(a).await, registered(builder(&server, 2, "agent-b")).await);
    serve_echo(&b, PORT);
    let target: Target = "agent-b".parse().unwrap();
    assert!(within(6, "a stranger", a.dial_target(&target, PORT)).await.is_err());

    trust_each_other(&a, &b).await;
    // Its key is told by the registry a moment later, and saved as well.
    let kept = async {
        while *saved.lock().unwrap() != Some(a.trust_snapshot()) {
            tokio::task::yield_now().await;
        }
    };
    within(10, "what is trusted to be saved", kept).await;
    // The registry tells a private name once it has heard of the trust as well.
    let heard = async {
        loop {
            match a.resolve("agent-b").await {
                Err(ResolveError::Refused(_)) => tokio::task::yield_now().await,
                told => break told,
            }
        }
    };
    assert_eq!(within(10, "resolution", heard).await, Ok(b.address().unwrap()));
    let mut stream = within(6, "dial", a.dial_target(&target, PORT)).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    within(5, "echo", stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"hello");

    // Withdrawn trust closes the stream on both sides at once.
    within(10, "revoking", a.revoke(b.address().unwrap().node)).await.unwrap();
    assert!(within(5, "revocation", stream.read(&mut back)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_nobody_holds_and_a_registry_that_is_gone_are_told_apart() {
    let server = rendezvous().await;
    let node = registered(builder(&server, 1, "agent-a")).await;
    let nobody = within(6, "resolution", node.resolve("nobody")).await;
    assert!(matches!(nobody, Err(ResolveError::Refused(_))), "{nobody:?}");
    let unknown = within(5, "dial", node.dial_target(&Target::Node(NodeId(4711)), PORT)).await;
    assert!(matches!(unknown, Err(DialError::Protocol(_))), "{unknown:?}");
    drop(server);
    let gone = async {
        while node.status().registry_connected {
            tokio::task::yield_now().await;
        }
    };
    within(10, "noticing", gone).await;
    assert_eq!(within(5, "resolution", node.resolve("nobody")).await, Err(ResolveError::RegistryUnavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_with_another_certificate_is_not_believed() {
    let server = rendezvous().await;
    let pin = RegistryTls::Pinned(runtime_tokio::Fingerprint([7; 32]));
    let node = builder(&server, 1, "agent-a").registry_tls(pin).start().await.unwrap();
    let asked = within(5, "resolution", node.resolve("agent-a")).await;
    assert_eq!(asked, Err(ResolveError::RegistryUnavailable));
    assert_eq!(node.address(), None);
}
