//! This endpoint's own view of its network address translator.
//!
//! Decides what the beacons' observations mean: our reflexive address ([`Discovery`]), the kind of mapping ([`NatType`]) and
//! whether a beacon's punch command is obeyed ([`PunchPolicy`]); and asks the router for a port ([`PortMapper`]). Refuses to know any peer; ways to a peer are `path`.
//!
//! Behind a symmetric NAT it also judges which ports its mappings probably got ([`Prediction`]), and times the search for one of them:
//! [`Lead`] on the symmetric side, [`Follow`] on the other.

mod classify;
mod discover;
mod keepalive;
mod portmap;
mod predict;
mod punch;
mod spray;

pub use classify::{Mapping, NatType, Observation};
pub use discover::{Discovery, DiscoveryAction, DiscoveryEvent};
pub use keepalive::{DEFAULT_KEEPALIVE, Lifetime, LifetimeAction};
pub use portmap::{
    GATEWAY_PORT, Gateway, PortMapAction, PortMapEvent, PortMapState, PortMapStatus, PortMapper, Protocol, UpnpAnswer,
    UpnpRequest,
};
pub use predict::{Prediction, Sighting};
pub use punch::{PUNCH_COPIES, PunchPolicy};
pub use spray::{Follow, Lead, LeadAction};

#[cfg(test)]
mod tests;
