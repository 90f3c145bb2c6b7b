//! The axes on which NAT boxes differ (RFC 4787), as values.

use std::time::Duration;

/// Which destinations share one external port (RFC 4787 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// All of them.
    EndpointIndependent,
    /// All ports of one address.
    AddressDependent,
    /// None: each address and port gets its own.
    AddressAndPortDependent,
}

/// Who may send to an external port (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtering {
    /// Everybody, once the port exists.
    EndpointIndependent,
    /// Addresses that were sent to from it, whatever their port.
    AddressDependent,
    /// Addresses and ports that were sent to from it.
    AddressAndPortDependent,
}

/// Which external port a new mapping gets (RFC 4787 section 4.2). One that is taken is never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// The inside port; when taken, the next free one.
    Preserve,
    /// The last one plus this step.
    Sequential(u16),
    /// Any from 1024 on.
    Random,
    /// Each inside address has a block of this many ports for itself, and gets any of them (RFC 7422 and port block allocation).
    Block(u16),
}

/// How one box behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which destinations share an external port.
    pub mapping: Mapping,
    /// Who may send to it.
    pub filtering: Filtering,
    /// Which port it is.
    pub ports: PortChoice,
    /// A mapping, and the pass of one remote address, ends after this long without use.
    pub idle: Duration,
    /// A mapping ends this long after it began, used or not.
    pub lifetime: Option<Duration>,
    /// What comes in keeps a mapping alive too (RFC 4787 REQ-6b); what goes out always does.
    pub inbound_refreshes: bool,
    /// Hosts behind the box reach each other by their external addresses (RFC 4787 REQ-9).
    pub hairpin: bool,
    /// Flows (pairs of a mapping and a remote address) it remembers at most; what would be one more is dropped.
    pub flows: usize,
    /// No UDP passes.
    pub blocks_udp: bool,
    /// It forwards a port for a host that asks (NAT-PMP, PCP, UPnP).
    pub maps_ports: bool,
}

impl Default for Rules {
    /// A port-restricted cone with random ports, as strict as one that can be punched is.
    fn default() -> Self {
        Self {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressAndPortDependent,
            ports: PortChoice::Random,
            idle: Duration::from_secs(120),
            lifetime: None,
            inbound_refreshes: true,
            hairpin: true,
            flows: 65_536,
            blocks_udp: false,
            maps_ports: false,
        }
    }
}

impl Rules {
    /// The default with this mapping and filtering.
    #[must_use]
    pub fn new(mapping: Mapping, filtering: Filtering) -> Self {
        Self { mapping, filtering, ..Self::default() }
    }

    /// Endpoint-independent mapping: one external port, which a beacon can tell.
    #[must_use]
    pub fn is_cone(&self) -> bool {
        self.mapping == Mapping::EndpointIndependent
    }
}
