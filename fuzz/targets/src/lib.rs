//! The fuzz targets as plain functions: whatever the bytes, each must return. A broken property is a panic.
//!
//! `fuzz/` wraps them for libFuzzer; `tests/replay.rs` replays the committed corpora on stable Rust and mutates them a little, from a seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target reports what it found by panicking"
)]

mod address;
mod beacon;
mod channel;
pub mod corpus;
mod endpoint;
mod ipc;
pub mod ledger;
pub mod mutate;
mod null_crypto;
mod portmap;
pub mod reach;
mod registry;
mod registry_json;
mod scenario;
mod script;
mod services;
mod stream;
mod trust;
mod tunnel;
mod wire;

/// A target: bytes in, nothing out, a panic when a property does not hold.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($module:ident :: $name:ident),* $(,)?) => {
        $(pub use $module::$name;)*

        /// Every target by its name.
        pub const TARGETS: &[(&str, Target)] = &[$((stringify!($name), $name)),*];

        /// Where each is written.
        const MODULES: &[(&str, &str)] = &[$((stringify!($name), stringify!($module))),*];
    };
}

targets! {
    wire::header,
    wire::frame,
    wire::relay_wrapping,
    wire::sack,
    wire::options,
    wire::candidates,
    beacon::beacon_message,
    beacon::beacon_machine,
    address::address_text,
    channel::secure_frame,
    channel::secure_channel,
    trust::trust_message,
    trust::trust_snapshot,
    trust::compat_message,
    registry_json::registry_frames,
    registry_json::registry_reply,
    registry_json::registry_envelope,
    registry_json::registry_change,
    registry::registry_machine,
    ipc::ipc_request,
    ipc::ipc_reply,
    ipc::ipc_framing,
    services::exchange_frame,
    services::file_stream,
    services::event_stream,
    tunnel::tunnel_machine,
    stream::stream_ops,
    endpoint::endpoint_raw,
    endpoint::endpoint_real,
    endpoint::recording,
    wire::meet,
    portmap::port_mapping,
    portmap::port_mapper,
    scenario::scenario,
}

/// The target called `name`.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// The module of this crate that the target called `name` is in.
fn module_of(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(known, _)| *known == name).map(|(_, module)| *module)
}
