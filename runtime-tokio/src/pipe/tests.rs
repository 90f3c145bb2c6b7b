use super::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Echoes every connection, over TLS when there is a certificate.
async fn echo_server(tls: Option<TlsAcceptor>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let pipe: Box<dyn ReadWrite> = match tls.clone() {
                None => Box::new(tcp),
                Some(acceptor) => match acceptor.accept(tcp).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => continue,
                },
            };
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(pipe);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    authority
}

fn acceptor() -> (TlsAcceptor, Fingerprint) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["anything".to_owned()]).unwrap();
    let fingerprint = Fingerprint::of(cert.der());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), fingerprint)
}

async fn assert_echo(pipe: &mut Pipe) {
    assert!(pipe.command(PipeCommand::Connect));
    assert!(matches!(pipe.next().await, Report::Connected));
    assert!(pipe.command(PipeCommand::Send(Bytes::from_static(b"hello"))));
    let mut back = Vec::new();
    while back.len() < 5 {
        let Report::Data(bytes) = pipe.next().await else { panic!("closed") };
        back.extend_from_slice(&bytes);
    }
    assert_eq!(back, b"hello");
}

#[tokio::test]
async fn plain_tcp_carries_bytes_and_a_closed_pipe_takes_none() {
    let authority = echo_server(None).await;
    let mut pipe = Pipe::new(Some(RegistryAddress { authority, pin: None }));
    assert!(!pipe.command(PipeCommand::Send(Bytes::new())), "not connected yet");
    assert_echo(&mut pipe).await;
    assert!(pipe.command(PipeCommand::Disconnect));
    assert!(!pipe.command(PipeCommand::Send(Bytes::new())));
    assert_echo(&mut pipe).await;
}

#[tokio::test]
async fn the_pinned_certificate_is_believed_and_no_other() {
    let (tls, pin) = acceptor();
    let authority = echo_server(Some(tls)).await;
    let mut pinned = Pipe::new(Some(RegistryAddress { authority: authority.clone(), pin: Some(pin) }));
    assert_echo(&mut pinned).await;
    let mut wrong = Pipe::new(Some(RegistryAddress { authority, pin: Some(Fingerprint([7; 32])) }));
    assert!(wrong.command(PipeCommand::Connect));
    assert!(matches!(wrong.next().await, Report::Closed));
}

#[tokio::test]
async fn nobody_there_is_told_as_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut pipe = Pipe::new(Some(RegistryAddress { authority, pin: None }));
    assert!(pipe.command(PipeCommand::Connect));
    assert!(matches!(pipe.next().await, Report::Closed));
    assert!(!Pipe::new(None).command(PipeCommand::Connect), "no registry configured");
}

#[tokio::test]
async fn a_registry_that_reads_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let mut pipe = Pipe::new(Some(RegistryAddress { authority, pin: None }));
    assert!(pipe.command(PipeCommand::Connect));
    assert!(matches!(pipe.next().await, Report::Connected));
    let chunk = Bytes::from(vec![0; 1024 * 1024]);
    let refused = (0..=WRITE_QUEUE).any(|_| !pipe.command(PipeCommand::Send(chunk.clone())));
    assert!(refused);
}
