//! Decides how trust is written down: the reference's `trust.json`, with this node's
//! own unanswered requests added. Refuses to know files.

use super::store::{Outgoing, Pending, Source, Store, Trusted};
use crate::crypto::PublicKey;
use crate::ids::NodeId;
use crate::limits::{MAX_OUTGOING_TRUST, MAX_PENDING_TRUST, MAX_TRUSTED};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything a [`super::Trust`] remembers, to be kept by the host. Its JSON is what the reference reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    trusted: Vec<TrustedEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pending: Vec<PendingEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<RevokedEntry>,
    /// Ours only; the reference forgets its own requests at a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outgoing: Vec<OutgoingEntry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct TrustedEntry {
    node_id: u32,
    public_key: String,
    approved_at: String,
    mutual: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct PendingEntry {
    node_id: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    public_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    justification: String,
    received_at: String,
    /// A network address; empty for the rendezvous.
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct RevokedEntry {
    node_id: u32,
    until: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct OutgoingEntry {
    node_id: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    justification: String,
    sent_at: String,
}

impl Snapshot {
    pub(super) fn of(store: &Store) -> Self {
        let trusted = store.trusted.iter().map(|(node, record)| TrustedEntry {
            node_id: node.0,
            public_key: encode_key(record.public_key),
            approved_at: format_time(record.approved_at),
            mutual: record.mutual,
        });
        let pending = store.pending.iter().map(|(node, request)| PendingEntry {
            node_id: node.0,
            public_key: encode_key(request.public_key),
            justification: request.justification.clone(),
            received_at: format_time(request.received_at),
            source: match request.source {
                Source::Network(address) => address.to_string(),
                Source::Rendezvous => String::new(),
            },
        });
        let revoked =
            store.revoked.iter().map(|(node, until)| RevokedEntry { node_id: node.0, until: format_time(*until) });
        let outgoing = store.outgoing.iter().map(|(node, request)| OutgoingEntry {
            node_id: node.0,
            justification: request.justification.clone(),
            sent_at: format_time(request.sent_at),
        });
        Self {
            trusted: trusted.collect(),
            pending: pending.collect(),
            revoked: revoked.collect(),
            outgoing: outgoing.collect(),
        }
    }

    /// The tables written down here. Entries that cannot be read are left out: a damaged line must not cost the rest,
    /// and a key that cannot be read must not become "any key".
    pub(super) fn into_store(self) -> Store {
        let trusted = self.trusted.into_iter().filter_map(|entry| {
            let public_key = decode_key(&entry.public_key)?;
            let approved_at = parse_time(&entry.approved_at).unwrap_or(0);
            Some((node(entry.node_id)?, Trusted { public_key, approved_at, mutual: entry.mutual }))
        });
        let pending = self.pending.into_iter().filter_map(|entry| {
            let public_key = decode_key(&entry.public_key)?;
            let received_at = parse_time(&entry.received_at)?;
            // The reference writes words of its own here.
            let source = entry.source.parse().map_or(Source::Rendezvous, Source::direct);
            let justification = super::printable(&entry.justification);
            Some((node(entry.node_id)?, Pending { public_key, justification, received_at, source }))
        });
        let revoked =
            self.revoked.into_iter().filter_map(|entry| Some((node(entry.node_id)?, parse_time(&entry.until)?)));
        let outgoing = self.outgoing.into_iter().filter_map(|entry| {
            let sent_at = parse_time(&entry.sent_at)?;
            let justification = super::printable(&entry.justification);
            let fresh_until = Timestamp::ZERO;
            let outgoing = Outgoing { justification, sent_at, fresh_until, retry_at: None, went_directly: false };
            Some((node(entry.node_id)?, outgoing))
        });
        Store {
            trusted: trusted.take(MAX_TRUSTED).collect(),
            pending: pending.take(MAX_PENDING_TRUST).collect(),
            revoked: revoked.take(MAX_TRUSTED).collect(),
            outgoing: outgoing.take(MAX_OUTGOING_TRUST).collect(),
        }
    }
}

fn node(id: u32) -> Option<NodeId> {
    Some(NodeId(id)).filter(|node| *node != NodeId::UNASSIGNED && *node != NodeId::BROADCAST)
}

fn encode_key(key: Option<PublicKey>) -> String {
    key.map_or_else(String::new, |key| key.to_string())
}

/// `None` when there is something that is not a key, `Some(None)` when there is nothing.
fn decode_key(text: &str) -> Option<Option<PublicKey>> {
    if text.is_empty() {
        return Some(None);
    }
    text.parse().ok().map(Some)
}

const SECONDS_PER_DAY: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01. Years that begin in March have their leap day last.
const EPOCH_DAYS: u64 = 719_468;
/// Days in 400 Gregorian years.
const ERA_DAYS: u64 = 146_097;

/// Unix seconds as RFC 3339 in UTC, up to the end of the year 9999.
fn format_time(unix: u64) -> String {
    let unix = unix.min(253_402_300_799);
    let days = unix / SECONDS_PER_DAY + EPOCH_DAYS;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let second = unix % SECONDS_PER_DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// RFC 3339 with any offset; the fraction of a second is dropped. `None` before 1970.
fn parse_time(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<u64> {
        text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (year, month_from_march) = if month <= 2 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let day_of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + (153 * month_from_march + 2) / 5 + day - 1;
    let days = (year / 400 * ERA_DAYS + day_of_era).checked_sub(EPOCH_DAYS)?;
    let local = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    match zone.split_at_checked(1)? {
        ("Z" | "z", "") => Some(local),
        ("+", offset) => local.checked_sub(offset_seconds(offset)?),
        ("-", offset) => Some(local + offset_seconds(offset)?),
        _ => None,
    }
}

fn offset_seconds(offset: &str) -> Option<u64> {
    let (hours, minutes) = offset.split_once(':')?;
    Some(hours.parse::<u64>().ok().filter(|h| *h < 24)? * 3600 + minutes.parse::<u64>().ok().filter(|m| *m < 60)? * 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_215_358, "2026-11-20T22:55:58Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(format_time(unix), text);
            assert_eq!(parse_time(text), Some(unix));
        }
        assert_eq!(parse_time("2026-11-20T23:55:58.123456789+01:00"), Some(1_795_215_358));
        assert_eq!(parse_time("2026-11-20T17:25:58-05:30"), Some(1_795_215_358));
        for text in
            ["", "1969-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "2026-11-20", "2026-11-20T22:55:58", "äääääääääää"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_survive(unix in 0_u64..253_402_300_799) {
            prop_assert_eq!(parse_time(&format_time(unix)), Some(unix));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = parse_time(&text);
        }
    }
}
