//! Which beacons exist, as they announce themselves (PP-REG-25).

use super::call::{Call, Fields, fields};
use super::refusal::{Handled, Refusal};
use crate::limits::{BEACON_ANNOUNCEMENT_LIFETIME, MAX_ADDRESS_BYTES, MAX_BEACONS};
use crate::validate;
use proto_core::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Beacons announced lately, by their own number.
#[derive(Debug, Default)]
pub(super) struct AnnouncedBeacons(BTreeMap<u32, (String, Timestamp)>);

impl AnnouncedBeacons {
    fn forget_silent(&mut self, now: Timestamp) {
        self.0.retain(|_, (_, announced)| now.saturating_since(*announced) < BEACON_ANNOUNCEMENT_LIFETIME);
    }
}

/// `beacon_register`, with the admin token: every daemon would use a rogue beacon within a minute.
pub(super) fn register(call: &mut Call<'_>) -> Handled<Fields> {
    //= spec/registry.md#pp-reg-25
    //# A beacon is announced only with the administrator's token.
    call.require_admin()?;
    let id = call.request.node("beacon_id").0;
    let address = call.request.short_text("addr", MAX_ADDRESS_BYTES)?.unwrap_or_default().to_owned();
    if !validate::is_service_address(&address) {
        return Err(Refusal::invalid("addr"));
    }
    let (now, beacons) = (call.now, &mut call.registry.beacons);
    beacons.forget_silent(now);
    if beacons.0.len() >= MAX_BEACONS && !beacons.0.contains_key(&id) {
        return Err(Refusal::full("beacons"));
    }
    beacons.0.insert(id, (address, now));
    Ok(fields(json!({"beacon_id": id})))
}

/// `beacon_list`. An empty list makes daemons use the beacon they were configured with.
pub(super) fn list(call: &mut Call<'_>) -> Handled<Fields> {
    let (now, beacons) = (call.now, &mut call.registry.beacons);
    beacons.forget_silent(now);
    let list: Vec<Value> = beacons.0.iter().map(|(id, (addr, _))| json!({"id": id, "addr": addr})).collect();
    Ok(fields(json!({"beacons": list})))
}
