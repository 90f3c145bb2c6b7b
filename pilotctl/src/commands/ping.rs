//! `ping` and `bench`: how far a peer is, which way, and how much goes through.

use super::{connect, file, peer};
use crate::cli::{CliError, Context, Kind, Result};
use driver::{Driver, SocketAddress};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of a ping's line in the reference's JSON.
const PING_BYTES: u64 = 6;
/// Wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between pings.
const INTERVAL: Duration = Duration::from_secs(1);
/// The echo service.
const ECHO_PORT: u16 = 7;

pub(super) async fn ping(context: &Context, name: &str, count: u32, until_direct: bool) -> Result<()> {
    let driver = context.driver().await?;
    let to = peer::resolve(context, &driver, name).await?;
    let mut results = Vec::new();
    let (mut answered, mut direct) = (0_u32, false);
    let mut last_error = None;
    for sequence in 0..count {
        if sequence > 0 {
            tokio::time::sleep(INTERVAL).await;
        }
        match driver.ping(to.node.0, context.timeout.unwrap_or(ANSWER)).await {
            Ok(reply) => {
                answered += 1;
                direct = reply.pointer("/path/kind").and_then(Value::as_str) == Some("direct");
                results.push(answer(context, name, sequence, &reply));
            }
            Err(error) => {
                let error = CliError::from(error);
                if !context.output.json {
                    context.output.line(&format!("seq={sequence} {}", error.message()));
                }
                results.push(json!({"seq": sequence, "error": error.message()}));
                last_error = Some(error);
            }
        }
        if until_direct && direct {
            break;
        }
    }
    if let Some(error) = last_error.filter(|_| answered == 0) {
        return Err(error.context(format!("no answer from {name}")));
    }
    let lost = results.len() - usize::try_from(answered).unwrap_or(0);
    let data = json!({"target": to.to_string(), "results": results, "timeout": lost > 0, "direct": direct, "to": to.to_string()});
    if until_direct && !direct {
        return Err(CliError::new(Kind::Timeout, format!("the path to {name} did not become direct"))
            .hint("`pilotctl status` says why it goes through the relay")
            .with_data(data));
    }
    context.output.result(&data, String::new);
    Ok(())
}

fn answer(context: &Context, name: &str, sequence: u32, reply: &Value) -> Value {
    let rtt = reply.get("rtt_ms").and_then(Value::as_f64).unwrap_or(0.0);
    let kind = reply.pointer("/path/kind").and_then(Value::as_str).unwrap_or("unknown");
    let address = reply.pointer("/path/address").and_then(Value::as_str).unwrap_or_default();
    if !context.output.json {
        let way = match kind {
            "direct" => format!("direct {address}"),
            "unknown" => format!("at {address}"),
            _ => format!("via {kind}"),
        };
        context.output.line(&format!("seq={sequence} from {name} time={rtt:.3} ms {way}"));
    }
    json!({"seq": sequence, "bytes": PING_BYTES, "rtt_ms": rtt, "path": kind, "endpoint": address})
}

/// What the reference calls a traceroute: the overlay has no hops to show.
pub(super) async fn traceroute(context: &Context, name: &str) -> Result<()> {
    let driver = context.driver().await?;
    let to = peer::resolve_port(context, &driver, name, ECHO_PORT).await?;
    let began = Instant::now();
    let dialling = async { connect::dial(&driver, name, to).await };
    let mut conn = context.within(ANSWER, &format!("{name} to answer"), dialling).await?;
    let setup = milliseconds(began.elapsed());
    let mut samples = Vec::new();
    let echoing = async {
        for number in 0..3 {
            let probe = format!("trace-{number}");
            let (asked, mut answer) = (Instant::now(), vec![0; probe.len()]);
            conn.write_all(probe.as_bytes()).await?;
            conn.read_exact(&mut answer).await?;
            samples.push(json!({"bytes": probe.len(), "rtt_ms": milliseconds(asked.elapsed())}));
        }
        Ok(())
    };
    context.within(ANSWER, &format!("{name} to echo"), echoing).await?;
    conn.close().await?;
    let data = json!({"target": to.address.to_string(), "setup_ms": setup, "rtt_samples": samples});
    context.output.result(&data, || {
        let times: Vec<String> = samples.iter().map(|sample| format!("{} ms", peer::words(sample, "rtt_ms"))).collect();
        format!("{name}: connected in {setup} ms; round trips {}", times.join(", "))
    });
    Ok(())
}

/// With a fraction.
fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

pub(super) async fn bench(context: &Context, name: &str, megabytes: u64) -> Result<()> {
    let driver = context.driver().await?;
    let to = peer::resolve_port(context, &driver, name, ECHO_PORT).await?;
    let bytes = megabytes * 1_000_000;
    let (sent_in, echoed_in) = echo(context, &driver, name, to, bytes).await?;
    let (out, back) = (file::rate_mb(bytes, sent_in), file::rate_mb(bytes, echoed_in));
    let whole = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let data = json!({
        "target": to.address.to_string(),
        "sent_bytes": bytes,
        "recv_bytes": bytes,
        "send_duration_ms": whole(sent_in),
        "total_duration_ms": whole(echoed_in),
        "send_mbps": out * 8.0,
        "total_mbps": back * 8.0,
        "mb_per_s": back,
        "complete": true,
    });
    context
        .output
        .result(&data, || format!("{megabytes} MB there and back in {echoed_in:.2?}: {back:.1} MB/s each way"));
    Ok(())
}

/// Writes and reads at once, as the echo cannot hold everything.
async fn echo(
    context: &Context,
    driver: &Driver,
    name: &str,
    to: SocketAddress,
    bytes: u64,
) -> Result<(Duration, Duration)> {
    let bar = context.output.bar(bytes, name);
    let started = Instant::now();
    let (mut reader, mut writer) = tokio::io::split(connect::dial(driver, name, to).await?);
    let sending = async {
        let chunk = vec![0x5A; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            writer.write_all(chunk.get(..length).unwrap_or_default()).await?;
            left -= u64::try_from(length).unwrap_or(left);
        }
        Ok::<_, CliError>(started.elapsed())
    };
    let receiving = async {
        let mut buffer = vec![0; 128 * 1024];
        let mut got = 0;
        while got < bytes {
            let read = reader.read(&mut buffer).await?;
            if read == 0 {
                return Err(CliError::new(
                    Kind::ConnectionFailed,
                    format!("{name} closed after {got} of {bytes} bytes"),
                ));
            }
            got += u64::try_from(read).unwrap_or(0);
            bar.set_position(got);
        }
        Ok(started.elapsed())
    };
    let work = async { tokio::try_join!(sending, receiving) };
    let spans = context.within(Duration::from_secs(600), &format!("{name} to echo"), work).await?;
    bar.finish_and_clear();
    Ok(spans)
}
