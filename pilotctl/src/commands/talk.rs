//! A conversation over one stream: when it is over, and whether everything arrived.
//!
//! Pilot has no half-close: who finishes ends both directions. So the end of the input does not finish the stream. First
//! the peer acknowledges what was written, then it may reply until it finishes or falls quiet.

use super::pulse::Pulse;
use crate::cli::{CliError, Kind, Result};
use driver::{Conn, Delivery, DriverError, ErrorKind};
use std::cell::Cell;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

/// Between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(40);
/// The rest of what arrived is read within this time after the end.
const REST: Duration = Duration::from_secs(10);
/// Input that waits when the peer ends shows within this time.
const NEXT_INPUT: Duration = Duration::from_millis(200);

/// When a conversation is over, besides by the peer's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// Nothing came or went for this long after the end of the input.
    pub(super) quiet_after: Duration,
    /// Quiet counts only after something came.
    pub(super) awaits_reply: bool,
    /// Longer than this it never takes; a peer that has everything and did not reply by then has had its chance.
    pub(super) patience: Option<Duration>,
    /// More than this many bytes is an error.
    pub(super) most: u64,
}

/// Who ended a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Peer,
    Quiet,
    NoReply,
}

impl End {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Quiet => "quiet",
            Self::NoReply => "no_reply",
        }
    }
}

/// What has moved so far.
struct Moved<'p> {
    pulse: &'p Pulse,
    taken: Cell<u64>,
    written: Cell<u64>,
    acknowledged: Cell<u64>,
    received: Cell<u64>,
    /// Received bytes are on their way to whoever reads them.
    passing_on: Cell<bool>,
    input_ended: Cell<bool>,
}

/// Carries `input` to the peer and what it says to `output`, and finishes the stream when that is over.
///
/// `Ok` means that the peer has every byte of the input that came until then, or until [`NEXT_INPUT`] after the peer's end, and `output` every byte
/// that the peer sent before the end.
pub(super) async fn talk(
    conn: Conn,
    mut input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    pulse: &Pulse,
    manners: Manners,
) -> Result<End> {
    let zero = || Cell::new(0);
    let (passing_on, input_ended) = (Cell::new(false), Cell::new(false));
    let (taken, written, acknowledged, received) = (zero(), zero(), zero(), zero());
    let moved = Moved { pulse, taken, written, acknowledged, received, passing_on, input_ended };
    let delivery = conn.delivery();
    let (mut reader, mut writer) = tokio::io::split(conn);
    let receiving = receive(&mut reader, output, &moved, manners.most);
    tokio::pin!(receiving);
    let end = tokio::select! {
        biased;
        received = &mut receiving => received.map(|()| End::Peer),
        sent = send(&mut input, &mut writer, &moved) => sent.map(|()| End::Quiet),
        end = watch(&delivery, &moved, manners) => end,
    }?;
    if end == End::Peer {
        if !moved.input_ended.get()
            && let Ok(read) = tokio::time::timeout(NEXT_INPUT, input.read(&mut [0; 1024])).await
        {
            add(&moved.taken, read?);
        }
        return finished(writer.shutdown().await, &moved).map(|()| end);
    }
    // What was under way when the end was decided still belongs to the reply.
    let rest = tokio::time::timeout(REST, receiving);
    let (sent, rest) = tokio::join!(writer.shutdown(), rest);
    finished(sent, &moved)?;
    rest.unwrap_or_else(|_| Err(CliError::new(Kind::Timeout, "the end of the stream did not come")))?;
    Ok(end)
}

/// Ends only with an error: the input's end is not the conversation's.
async fn send(mut input: impl AsyncRead + Unpin, writer: &mut WriteHalf<Conn>, moved: &Moved<'_>) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = input.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        add(&moved.taken, read);
        writer.write_all(buffer.get(..read).unwrap_or_default()).await?;
        add(&moved.written, read);
        moved.pulse.beat();
    }
    moved.pulse.watch();
    moved.input_ended.set(true);
    std::future::pending().await
}

/// Ends with the peer's end.
async fn receive(
    reader: &mut ReadHalf<Conn>,
    mut output: impl AsyncWrite + Unpin,
    moved: &Moved<'_>,
    most: u64,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = reader.read(&mut buffer).await.map_err(broken)?;
        if read == 0 {
            return Ok(());
        }
        add(&moved.received, read);
        if moved.received.get() > most {
            return Err(CliError::new(Kind::ConnectionFailed, format!("more than {most} bytes came back"))
                .hint("`pilotctl nc` takes any amount"));
        }
        moved.passing_on.set(true);
        output.write_all(buffer.get(..read).unwrap_or_default()).await?;
        output.flush().await?;
        moved.passing_on.set(false);
        moved.pulse.beat();
    }
}

/// Ends when all was delivered and nothing more is to be expected.
async fn watch(delivery: &Delivery, moved: &Moved<'_>, manners: Manners) -> Result<End> {
    let began = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let acknowledged = match delivery.acknowledged().await {
            Ok(count) => count,
            // A daemon of the reference does not count: its `Finish`, which it lacks too, cannot tell either.
            Err(DriverError::Daemon(text)) if ErrorKind::of_text(&text) == ErrorKind::InvalidArgument => {
                moved.written.get()
            }
            Err(error) => return Err(error.into()),
        };
        if acknowledged > moved.acknowledged.replace(acknowledged) {
            moved.pulse.beat();
        }
        let delivered = moved.input_ended.get() && acknowledged >= moved.taken.get();
        let awaits_reply = manners.awaits_reply && moved.received.get() == 0;
        let quiet = !moved.passing_on.get() && moved.pulse.silence() >= manners.quiet_after;
        if delivered && quiet && !awaits_reply {
            return Ok(End::Quiet);
        }
        if manners.patience.is_some_and(|patience| began.elapsed() >= patience) {
            return if delivered && awaits_reply { Ok(End::NoReply) } else { Err(unfinished(moved)) };
        }
    }
}

/// Time is up while something still moves.
fn unfinished(moved: &Moved<'_>) -> CliError {
    let (taken, arrived, received) = (moved.taken.get(), moved.acknowledged.get(), moved.received.get());
    let words =
        format!("timed out with {arrived} of {taken} bytes delivered and {received} received, and no end of it");
    CliError::new(Kind::Timeout, words)
}

/// Whether the peer has everything that was taken from the input.
fn finished(outcome: std::io::Result<()>, moved: &Moved<'_>) -> Result<()> {
    let (taken, written) = (moved.taken.get(), moved.written.get());
    let why = match outcome {
        Ok(()) if taken == written => return Ok(()),
        Ok(()) => "the peer finished first".to_owned(),
        Err(error) => error.to_string(),
    };
    let missing = taken.saturating_sub(moved.acknowledged.get());
    Err(CliError::new(Kind::ConnectionFailed, format!("up to {missing} of {taken} bytes were not delivered: {why}")))
}

/// A stream that broke off.
pub(super) fn broken(error: std::io::Error) -> CliError {
    CliError::new(Kind::ConnectionFailed, format!("the stream broke off: {error}"))
}

fn add(count: &Cell<u64>, bytes: usize) {
    count.set(count.get() + u64::try_from(bytes).unwrap_or(0));
}
