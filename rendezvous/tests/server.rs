//! The whole server on loopback: start, stop, restart, TLS and plaintext, crowds and garbage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Agent, Client, any, builder};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, crypto};

/// Takes the certificate with this fingerprint, whatever it says.
#[derive(Debug)]
struct Pin(String);

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if HEXLOWER.encode(&Sha256::digest(certificate)) == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General("another certificate".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = crypto::ring::default_provider().signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = crypto::ring::default_provider().signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn pinned(fingerprint: &str) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pin(fingerprint.to_owned())))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

//= spec/registry.md#pp-reg-6
//= type=test
//# A connection to the registry can be TLS, its certificate pinned by the SHA-256 of its DER form.
#[tokio::test]
async fn one_port_serves_plaintext_and_pinned_tls() {
    let server = builder().tls_listen(any()).start().await.unwrap();
    let mut plain = Client::connect(server.registry_addr()).await.unwrap();
    assert_eq!(Agent::new(1).join(&mut plain).await, 1);
    let connector = pinned(server.fingerprint());
    let name = || ServerName::try_from("registry.example").unwrap();
    for (agent, address) in [(2, server.registry_addr()), (3, server.tls_addr().unwrap())] {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Client(connector.connect(name(), stream).await.unwrap());
        assert_eq!(Agent::new(agent).join(&mut client).await, u64::from(agent));
    }
    let stream = TcpStream::connect(server.registry_addr()).await.unwrap();
    assert!(pinned(&"0".repeat(64)).connect(name(), stream).await.is_err(), "another pin is refused");
    let mut plain_on_tls = Client::connect(server.tls_addr().unwrap()).await.unwrap();
    assert!(plain_on_tls.ask(&json!({"type": "beacon_list"})).await.is_err());
    server.shutdown().await;
}

#[tokio::test]
async fn a_restart_keeps_ids_names_trust_mail_and_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (Agent::new(1), Agent::new(2));
    let start = || builder().data_dir(folder.path()).start();
    let server = start().await.unwrap();
    let fingerprint = server.fingerprint().to_owned();
    let mut client = Client::connect(server.registry_addr()).await.unwrap();
    let (id_a, id_b) = (a.join(&mut client).await, b.join(&mut client).await);
    client.expect(&a.set_hostname(id_a, "agent-a")).await;
    client.expect(&a.set_visibility(id_a, true)).await;
    client.expect(&a.request_handshake(id_a, id_b)).await;
    client.expect(&b.report_trust(id_b, id_a)).await;
    timeout(Duration::from_secs(4), server.shutdown()).await.expect("an idle connection does not delay the stop");

    let server = start().await.unwrap();
    assert_eq!(server.fingerprint(), fingerprint);
    let mut client = Client::connect(server.registry_addr()).await.unwrap();
    let gone = client.ask(&a.heartbeat(id_a)).await.unwrap();
    assert_eq!(gone["error"], format!("node {id_a}: node not found"), "makes daemons register again");
    assert_eq!((b.join(&mut client).await, a.join(&mut client).await), (id_b, id_a));
    assert_eq!(Agent::new(3).join(&mut client).await, 3, "ids go on");
    let found = client.expect(&json!({"type": "resolve_hostname", "hostname": "agent-a"})).await;
    assert_eq!(found["node_id"], id_a);
    let trust = client.expect(&json!({"type": "check_trust", "node_id": id_a, "peer_id": id_b})).await;
    assert_eq!(trust["trusted"], true);
    assert_eq!(client.expect(&b.poll(id_b)).await["requests"][0]["from_node_id"], id_a);
    server.shutdown().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join("tls.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_thousand_connections_at_once() {
    let server = builder().start().await.unwrap();
    let address = server.registry_addr();
    let crowd: Vec<_> = (0..1000)
        .map(|seed| {
            tokio::spawn(async move {
                let (agent, mut client) = (Agent::new(seed), Client::connect(address).await.unwrap());
                let id = agent.join(&mut client).await;
                client.expect(&agent.heartbeat(id)).await;
                (client, id)
            })
        })
        .collect();
    let mut held = Vec::new();
    for member in crowd {
        held.push(member.await.unwrap());
    }
    let mut ids: Vec<u64> = held.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=1000).collect::<Vec<u64>>());
    server.shutdown().await;
}

/// The reply to whatever `bytes` are, until the server closes.
async fn say(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut reply = Vec::new();
    // A reset behind the reply is as good as a close.
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut reply)).await.expect("the server closes");
    reply
}

//= spec/registry.md#pp-reg-31
//= type=test
//# The binary preamble of published registries gets that protocol's error frame, and the connection ends.
#[tokio::test]
async fn garbage_is_answered_or_closed_and_harms_nobody() {
    let server = builder().start().await.unwrap();
    let address = server.registry_addr();
    let mut witness = Client::connect(address).await.unwrap();
    let id = Agent::new(1).join(&mut witness).await;
    let json_of = |reply: &[u8]| serde_json::from_slice::<Value>(&reply[4..]).unwrap();
    assert_eq!(json_of(&say(address, b"\0\0\0\x02[]").await)["type"], "error");
    assert_eq!(json_of(&say(address, b"\0\0\0\x01{").await)["error"], "invalid request");
    assert_eq!(json_of(&say(address, b"\0\x01\0\x01").await)["error"], "request too long");
    let binary = say(address, b"PILT\x01").await;
    assert_eq!(binary[4], 0xFF);
    assert_eq!(say(address, b"\0\0\x10\0 cut").await, b"");
    assert!(say(address, b"\x16\x03\x01\0\x05junk!").await.len() <= 7, "at most a TLS alert");
    let mut state = 1_u64;
    for round in 0..300 {
        let junk: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(round % 64 + 1)
        .collect();
        say(address, &junk).await;
    }
    witness.expect(&Agent::new(1).heartbeat(id)).await;
    server.shutdown().await;
}

//= spec/relay.md#pp-relay-18
//= type=test
//# The beacon tells a node when a handshake message waits for it.
#[tokio::test]
async fn the_beacon_answers_on_both_ports_and_tells_of_handshakes() {
    let server = builder().start().await.unwrap();
    let socket = UdpSocket::bind(any()).await.unwrap();
    let mut client = Client::connect(server.registry_addr()).await.unwrap();
    let (a, b) = (Agent::new(1), Agent::new(2));
    let (id_a, id_b) = (a.join(&mut client).await, b.join(&mut client).await);
    let mut buffer = [0; 64];
    let mut receive = async || {
        let received = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await.unwrap();
        let (len, from) = received.unwrap();
        (buffer[..len].to_vec(), from)
    };
    let port = socket.local_addr().unwrap().port().to_be_bytes();
    for beacon in server.beacon_addrs() {
        let discover = [&[1][..], &u32::try_from(id_b).unwrap().to_be_bytes()].concat();
        socket.send_to(&discover, beacon).await.unwrap();
        let (reply, from) = receive().await;
        assert_eq!((reply, from), ([&[2, 4, 127, 0, 0, 1][..], &port].concat(), *beacon));
    }
    client.expect(&a.request_handshake(id_a, id_b)).await;
    assert_eq!(receive().await, (vec![0x0A, 1], server.beacon_addrs()[0]));
    server.shutdown().await;
}

#[tokio::test]
async fn health_and_metrics_are_for_loopback() {
    let refused = builder().metrics_listen("0.0.0.0:0".parse::<std::net::SocketAddr>().unwrap()).start().await;
    assert!(matches!(refused, Err(rendezvous::StartError::MetricsNotLoopback(_))));
    let server = builder().metrics_listen(any()).start().await.unwrap();
    let mut client = Client::connect(server.registry_addr()).await.unwrap();
    Agent::new(1).join(&mut client).await;
    let address = server.metrics_addr().unwrap();
    let get = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        String::from_utf8(say(address, request.as_bytes()).await).unwrap()
    };
    let health = get("/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""nodes_online":1"#), "{health}");
    let metrics = get("/metrics").await;
    for line in ["pilot_nodes_total 1", r#"pilot_requests_total{type="register"} 1"#, "pilot_connections 1"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn connections_in_any_state_do_not_delay_the_stop() {
    let server = builder().metrics_listen(any()).start().await.unwrap();
    let address = server.registry_addr();
    let mut plain = Client::connect(address).await.unwrap();
    Agent::new(1).join(&mut plain).await;
    let name = ServerName::try_from("registry.example").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut secured = Client(pinned(server.fingerprint()).connect(name, stream).await.unwrap());
    Agent::new(2).join(&mut secured).await;
    let silent = TcpStream::connect(address).await.unwrap();
    let mut half_a_request = TcpStream::connect(address).await.unwrap();
    half_a_request.write_all(b"\0\0\0\x10{\"type\"").await.unwrap();
    let mut half_a_hello = TcpStream::connect(address).await.unwrap();
    half_a_hello.write_all(b"\x16\x03\x01").await.unwrap();
    let mut scraper = TcpStream::connect(server.metrics_addr().unwrap()).await.unwrap();
    scraper.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    scraper.read_exact(&mut status).await.unwrap();
    timeout(Duration::from_secs(4), server.shutdown()).await.expect("nothing to wait for");
    drop((plain, secured, silent, half_a_request, half_a_hello, scraper));
}
