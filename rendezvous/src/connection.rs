//! One registry connection: requests in, replies out, in order. Decides how long a peer may take; refuses to know
//! whether there is TLS below and what requests mean.

use crate::hub::Hub;
use crate::limits::{FRAME_DEADLINE, IDLE, KEPT_BUFFER, WRITE_DEADLINE};
use rendezvous_core::Session;
use rendezvous_core::limits::MAX_REQUEST_BYTES;
use rendezvous_core::registry::{BINARY_PREAMBLE, binary_protocol_refusal};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::timeout;

/// What came instead of silence.
enum Incoming {
    /// A request is in the buffer.
    Request,
    /// The peer speaks the reference's binary protocol.
    Binary,
    /// The peer announced more than anybody may send.
    TooLong,
    /// The peer left, was silent or too slow; or the server stops.
    Over,
}

/// Serves until the peer leaves, breaks a limit, or `stop` turns true between two requests.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut session: Session,
    hub: &Hub,
    mut stop: watch::Receiver<bool>,
) {
    let mut request = Vec::new();
    let last_words = loop {
        match next_request(&mut stream, &mut request, &mut stop).await {
            Incoming::Request => {}
            //= spec/registry.md#pp-reg-31
            //# The binary preamble of published registries gets that protocol's error frame, and the connection ends.
            Incoming::Binary => break Some(binary_protocol_refusal()),
            Incoming::TooLong => break Some(frame(br#"{"error":"request too long","type":"error"}"#)),
            Incoming::Over => break None,
        }
        let Some(reply) = hub.request(&mut session, &request).await else {
            break Some(frame(br#"{"error":"request failed","type":"error"}"#));
        };
        if send(&mut stream, &frame(&reply)).await.is_err() {
            break None;
        }
        request.clear();
        request.shrink_to(KEPT_BUFFER);
    };
    if let Some(last_words) = last_words {
        // Whether they arrive or not, the connection ends here.
        let _ = send(&mut stream, &last_words).await;
    }
    let _ = timeout(WRITE_DEADLINE, stream.shutdown()).await;
}

/// A stop does not wait for the rest of a request: what was not received whole was not promised anything.
async fn next_request(
    stream: &mut (impl AsyncRead + Unpin),
    request: &mut Vec<u8>,
    stop: &mut watch::Receiver<bool>,
) -> Incoming {
    tokio::select! {
        incoming = receive(stream, request) => incoming,
        _ = stop.wait_for(|stop| *stop) => Incoming::Over,
    }
}

async fn receive(stream: &mut (impl AsyncRead + Unpin), request: &mut Vec<u8>) -> Incoming {
    let mut length = [0; 4];
    let Ok(Ok(begun @ 1..)) = timeout(IDLE, stream.read(&mut length)).await else { return Incoming::Over };
    let complete = async {
        if let Some(rest) = length.get_mut(begun..) {
            stream.read_exact(rest).await?;
        }
        if length == BINARY_PREAMBLE {
            return Ok(Incoming::Binary);
        }
        let length = u32::from_be_bytes(length);
        if usize::try_from(length).map_or(true, |length| length > MAX_REQUEST_BYTES) {
            return Ok(Incoming::TooLong);
        }
        // Grows with what arrives, not with what was announced.
        let got = stream.take(u64::from(length)).read_to_end(request).await?;
        if u32::try_from(got) == Ok(length) { Ok(Incoming::Request) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    match timeout(FRAME_DEADLINE, complete).await {
        Ok(Ok(incoming)) => incoming,
        Ok(Err::<_, io::Error>(_)) | Err(_) => Incoming::Over,
    }
}

/// `json` behind its length.
fn frame(json: &[u8]) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], json].concat()
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    timeout(WRITE_DEADLINE, written).await?
}
