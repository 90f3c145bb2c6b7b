//! The peer as the one that dials: to bring its acceptance to the friend's port 444. Everything goes wrong for it once.

use super::trust::TRUST_PORT;
use crate::probe::actor::{Actor, PATIENCE};
use crate::probe::bench::Bench;
use crate::probe::check::{Check, Needs, Outcome, Stop, ensure};
use crate::probe::stream::{Segment, Stream, ahead};
use proto_core::wire::{Flags, Protocol};
use std::time::Duration;

/// What a dialler did.
#[derive(Clone, Debug)]
pub(in crate::probe) struct Dialled {
    syn: Segment,
    /// The SYN that followed when the first was not answered.
    repeated: Option<Segment>,
    /// Whether a SYN-ACK of another number was answered with RST and another SYN.
    refused: (bool, bool),
    /// The ACK, or data with it, that completes the handshake.
    completed: bool,
    /// What it said.
    pub(in crate::probe) data: Vec<u8>,
    /// A FIN came while data was unacknowledged.
    hasty: bool,
    fin: Option<Segment>,
    repeated_fin: bool,
}

pub(super) fn checks() -> Vec<Check> {
    let check = |name, ids, run| Check::new(Needs::Friend, name, ids, run);
    vec![
        check("dial/syn", &["PP-SES-3", "PP-PORT-1"], syn),
        check("dial/random-number", &["PP-SES-4"], random_number),
        check("dial/syn-is-repeated", &["PP-SES-8"], repeated),
        check("dial/wrong-syn-ack", &["PP-SES-7"], wrong_syn_ack),
        check("dial/established", &["PP-SES-6"], established),
        check("dial/fin-after-data", &["PP-SES-13"], fin_after_data),
        check("dial/fin-takes-a-number", &["PP-SES-14", "PP-SES-17"], fin_number),
        check("dial/fin-is-repeated", &["PP-SES-16"], fin_repeated),
    ]
}

/// Waits for a dial and plays the listener. `None` when nobody dials.
pub(super) fn observe(friend: &mut Actor) -> Option<Dialled> {
    let syn = friend.find(PATIENCE, |received| {
        let packet = received.packet().filter(|_| super::trust::is_dial(received))?;
        Some(Segment { at: received.at, header: packet.header, payload: packet.payload.clone() })
    })?;
    let mut stream = Stream::new(friend, syn.header.src_port);
    (stream.own_port, stream.irs) = (TRUST_PORT, syn.header.seq);
    let later = |segment: &Segment, than: &Segment| segment.header.flags == Flags::SYN && segment.at > than.at;
    let repeated = stream.find(friend, Duration::from_millis(3500), |segment| later(segment, &syn));
    // An answer to a SYN that was never sent.
    friend.turn_the_page();
    stream.expected = syn.header.seq + 100;
    stream.send(friend, Flags::SYN | Flags::ACK, stream.iss, &[]);
    let is_reset = |segment: &Segment| segment.header.flags.contains(Flags::RST);
    let reset = stream.find(friend, Duration::from_millis(600), is_reset).is_some();
    let again = stream.find(friend, Duration::from_millis(300), |segment| segment.header.flags == Flags::SYN);
    // The dialler may have chosen another number for its second attempt.
    stream.irs = again.as_ref().map_or(stream.irs, |segment| segment.header.seq);
    stream.expected = stream.irs + 1;
    stream.send(friend, Flags::SYN | Flags::ACK, stream.iss, &[]);
    let completes = |segment: &Segment| segment.header.flags == Flags::ACK && segment.header.ack == stream.next;
    let completed = stream.find(friend, PATIENCE, completes).is_some();
    let mut dialled = Dialled {
        syn,
        repeated,
        refused: (reset, again.is_some()),
        completed,
        data: Vec::new(),
        hasty: false,
        fin: None,
        repeated_fin: false,
    };
    if completed {
        hear(friend, &mut stream, &mut dialled);
    }
    Some(dialled)
}

/// What the dialler says, and how it ends.
fn hear(friend: &mut Actor, stream: &mut Stream, dialled: &mut Dialled) {
    let first = stream.find(friend, PATIENCE, |segment| !segment.data().is_empty());
    friend.listen(Duration::from_millis(700));
    let is_fin = |segment: &Segment| segment.header.flags.contains(Flags::FIN);
    dialled.hasty = first.is_some() && stream.seen(friend).iter().any(is_fin);
    // Whatever order it came in; the message is far below a window.
    while let Some(segment) = stream
        .seen(friend)
        .into_iter()
        .find(|segment| segment.header.seq == stream.expected && !segment.data().is_empty())
    {
        dialled.data.extend_from_slice(segment.data());
        stream.expected = ahead(stream.expected, segment.data().len());
    }
    stream.ack(friend);
    dialled.fin = stream.find(friend, PATIENCE, is_fin);
    if let Some(fin) = &dialled.fin {
        let later = |segment: &Segment| is_fin(segment) && segment.at > fin.at;
        dialled.repeated_fin = stream.find(friend, PATIENCE, later).is_some();
        stream.expected = fin.header.seq + 1;
        stream.ack(friend);
    }
}

fn dialled(bench: &Bench) -> Result<&Dialled, Stop> {
    bench.dialled.as_ref().ok_or_else(|| Stop::skipped("the peer did not dial the probe"))
}

fn syn(bench: &mut Bench) -> Outcome {
    let header = dialled(bench)?.syn.header;
    let right = header.protocol == Protocol::Stream && header.ack.0 == 0 && header.src_port >= 49_152;
    ensure(right, || format!("a dial from port {} acknowledges {}", header.src_port, header.ack.0))
}

fn random_number(bench: &mut Bench) -> Outcome {
    let number = dialled(bench)?.syn.header.seq.0;
    ensure(number != 0 && number < 1 << 31, || format!("a dial begins with number {number}"))
}

fn repeated(bench: &mut Bench) -> Outcome {
    let dialled = dialled(bench)?;
    let Some(repeated) = &dialled.repeated else {
        return Err(Stop::failed("an unanswered SYN is not repeated within 3.5 s"));
    };
    let (first, after) = (dialled.syn.header.seq, repeated.at - dialled.syn.at);
    ensure(repeated.header.seq == first, || "a repeated SYN has another number".to_owned())?;
    // A round-trip time that is known from before allows less than a second.
    let range = Duration::from_millis(150)..Duration::from_millis(1700);
    ensure(range.contains(&after), || format!("an unanswered SYN is repeated after {after:.1?}"))
}

fn wrong_syn_ack(bench: &mut Bench) -> Outcome {
    let (reset, again) = dialled(bench)?.refused;
    ensure(reset && again, || format!("a SYN-ACK of another number: answered with RST {reset}, SYN sent again {again}"))
}

fn established(bench: &mut Bench) -> Outcome {
    ensure(dialled(bench)?.completed, || "a SYN-ACK is not answered with an ACK of its number plus one".to_owned())
}

fn fin_after_data(bench: &mut Bench) -> Outcome {
    ensure(!dialled(bench)?.hasty, || "FIN is sent while data before it is unacknowledged".to_owned())
}

fn ended(bench: &Bench) -> Result<(&Dialled, &Segment), Stop> {
    let dialled = dialled(bench)?;
    let fin = dialled.fin.as_ref().ok_or_else(|| Stop::failed("the dialler does not end its stream within 3 s"))?;
    Ok((dialled, fin))
}

fn fin_number(bench: &mut Bench) -> Outcome {
    let (_, fin) = ended(bench)?;
    ensure(fin.header.flags == Flags::FIN, || format!("a stream is ended with {:?}", fin.header.flags))
}

fn fin_repeated(bench: &mut Bench) -> Outcome {
    let (dialled, _) = ended(bench)?;
    ensure(dialled.repeated_fin, || "a FIN that nobody acknowledges is not repeated within 3 s".to_owned())
}
