//! This endpoint's own view of its network address translator.
//!
//! Decides what the beacons' observations mean: our reflexive address ([`Discovery`]), the kind of mapping ([`NatType`]) and
//! whether a beacon's punch command is obeyed ([`PunchPolicy`]); and asks the router for a port ([`PortMapper`]). Refuses to know any peer; ways to a peer are `path`.
//!
//! Later rungs have their room here: `predict` (the next port of a sequential mapping) and `spray` (many sockets or many ports
//! against one symmetric side).

mod classify;
mod discover;
mod portmap;
mod punch;

pub use classify::{Mapping, NatType, Observation};
pub use discover::{Discovery, DiscoveryAction, DiscoveryEvent};
pub use portmap::{
    GATEWAY_PORT, Gateway, PortMapAction, PortMapEvent, PortMapState, PortMapStatus, PortMapper, Protocol, UpnpAnswer,
    UpnpRequest,
};
pub use punch::{PUNCH_COPIES, PunchPolicy};

#[cfg(test)]
mod tests;
