//! One request to a router over UPnP Internet Gateway Device: a search by UDP, then SOAP over HTTP. The library bounds each answer to 1 MiB
//! and each SOAP call to 10 s, and follows no redirect.

use core::time::Duration;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddAnyPortError, AddPortError, GetExternalIpError, PortMappingProtocol, RequestError, SearchOptions};
use proto_core::nat::{Gateway, UpnpAnswer, UpnpRequest};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// For a whole request: shorter than the endpoint waits.
const PATIENCE: Duration = Duration::from_secs(40);
/// For one search. Devices may wait 3 s before they answer.
const SEARCH: Duration = Duration::from_secs(5);
/// Where devices listen for a search.
const SSDP_PORT: u16 = 1900;
/// All of them.
const SSDP_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250));
/// What the router's pages show beside the mapping.
const DESCRIPTION: &str = "pilot";

type Device = igd_next::aio::Gateway<Tokio>;

/// Carries out one request after the other, until nobody asks any more.
pub(super) async fn serve(mut asked: mpsc::Receiver<UpnpRequest>, told: mpsc::Sender<(Gateway, UpnpAnswer)>) {
    let mut router = Router::default();
    while let Some(request) = asked.recv().await {
        match request {
            UpnpRequest::Map { gateway, external_port, lifetime } => {
                let asking = router.map(gateway, external_port, lifetime);
                let answer = timeout(PATIENCE, asking).await.unwrap_or(UpnpAnswer::Silence);
                tracing::debug!(?answer, gateway = %gateway.address, "asked the router for a port by UPnP");
                // Whoever asked may have gone.
                let _ = told.send((gateway, answer)).await;
            }
            UpnpRequest::Unmap { gateway, external_port } => {
                let _ = timeout(PATIENCE, router.unmap(gateway, external_port)).await;
            }
        }
    }
}

/// What was found of the router.
#[derive(Default)]
struct Router {
    device: Option<Device>,
}

impl Router {
    async fn map(&mut self, gateway: Gateway, external_port: u16, lifetime: u32) -> UpnpAnswer {
        let known = self.device.is_some();
        let answer = self.map_once(gateway, external_port, lifetime).await;
        if known && answer == UpnpAnswer::Silence {
            // A router that restarted may listen elsewhere.
            return self.map_once(gateway, external_port, lifetime).await;
        }
        answer
    }

    async fn map_once(&mut self, gateway: Gateway, external_port: u16, lifetime: u32) -> UpnpAnswer {
        let Some(device) = self.device(gateway).await else { return UpnpAnswer::Silence };
        let answer = match forward(device, gateway.socket, external_port, lifetime).await {
            Err(Failure::OnlyForEver) => forward(device, gateway.socket, external_port, 0).await,
            answer => answer,
        };
        let answer = match answer {
            Ok(port) => {
                outside(device).await.map_or_else(|failure| failure.told(), |ip| UpnpAnswer::Mapped((ip, port).into()))
            }
            Err(failure) => failure.told(),
        };
        if answer == UpnpAnswer::Silence {
            self.device = None;
        }
        answer
    }

    async fn unmap(&mut self, gateway: Gateway, external_port: u16) {
        if let Some(device) = self.device(gateway).await
            && let Err(error) = device.remove_port(PortMappingProtocol::UDP, external_port).await
        {
            tracing::debug!(%error, external_port, "the router keeps a port mapped until its lease ends");
        }
    }

    async fn device(&mut self, gateway: Gateway) -> Option<&Device> {
        self.device = match self.device.take().filter(|device| device.addr.ip() == gateway.address) {
            Some(known) => Some(known),
            None => search(gateway).await,
        };
        self.device.as_ref()
    }
}

/// Asks the gateway itself, which devices since UPnP 1.1 answer, and then everybody, as older ones want it.
//= spec/port-mapping.md#pp-pmap-12
//# Over UPnP only a device at the default gateway's own address is believed.
async fn search(gateway: Gateway) -> Option<Device> {
    for address in [gateway.address, SSDP_GROUP] {
        let mut options = SearchOptions::default();
        options.bind_addr = SocketAddr::new(gateway.socket.ip(), 0);
        options.broadcast_address = SocketAddr::new(address, SSDP_PORT);
        options.timeout = Some(SEARCH);
        options.single_search_timeout = Some(SEARCH);
        match search_gateway(options).await {
            Ok(device) if device.addr.ip() == gateway.address => return Some(device),
            Ok(device) => tracing::debug!(address = %device.addr, "a router over UPnP that is not the default gateway"),
            Err(error) => tracing::debug!(%error, %address, "no router was found by UPnP"),
        }
    }
    None
}

/// Why there is no mapping.
#[derive(Debug)]
enum Failure {
    /// The router knows no leases.
    OnlyForEver,
    /// It said no.
    Refused,
    /// It said nothing, or nothing that could be understood.
    Silence,
}

impl Failure {
    const fn told(self) -> UpnpAnswer {
        match self {
            Self::OnlyForEver | Self::Refused => UpnpAnswer::Refused,
            Self::Silence => UpnpAnswer::Silence,
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::ErrorCode(..) | RequestError::UnsupportedAction(_) => Self::Refused,
            RequestError::IoError(_)
            | RequestError::InvalidResponse(_)
            | RequestError::HyperError(_)
            | RequestError::HyperClientError(_)
            | RequestError::HttpError(_)
            | RequestError::Utf8Error(_) => Self::Silence,
        }
    }
}

/// The external port: `wish`, or another one where somebody else has that. `lifetime` in seconds, 0 for ever.
async fn forward(device: &Device, to: SocketAddr, wish: u16, lifetime: u32) -> Result<u16, Failure> {
    match device.add_port(PortMappingProtocol::UDP, wish, to, lifetime, DESCRIPTION).await {
        Ok(()) => Ok(wish),
        Err(AddPortError::PortInUse | AddPortError::SamePortValuesRequired) => forward_any(device, to, lifetime).await,
        Err(AddPortError::OnlyPermanentLeasesSupported) => Err(Failure::OnlyForEver),
        Err(AddPortError::RequestError(error)) => Err(error.into()),
        Err(
            AddPortError::ActionNotAuthorized
            | AddPortError::InternalPortZeroInvalid
            | AddPortError::ExternalPortZeroInvalid
            | AddPortError::DescriptionTooLong,
        ) => Err(Failure::Refused),
    }
}

async fn forward_any(device: &Device, to: SocketAddr, lifetime: u32) -> Result<u16, Failure> {
    match device.add_any_port(PortMappingProtocol::UDP, to, lifetime, DESCRIPTION).await {
        Ok(port) => Ok(port),
        Err(AddAnyPortError::OnlyPermanentLeasesSupported) => Err(Failure::OnlyForEver),
        Err(AddAnyPortError::RequestError(error)) => Err(error.into()),
        Err(
            AddAnyPortError::ActionNotAuthorized
            | AddAnyPortError::InternalPortZeroInvalid
            | AddAnyPortError::NoPortsAvailable
            | AddAnyPortError::ExternalPortInUse
            | AddAnyPortError::DescriptionTooLong,
        ) => Err(Failure::Refused),
    }
}

/// The router's address outward, unspecified when it has none now.
async fn outside(device: &Device) -> Result<IpAddr, Failure> {
    match device.get_external_ip().await {
        Ok(address) => Ok(address),
        Err(GetExternalIpError::RequestError(RequestError::ErrorCode(..))) => Ok(Ipv4Addr::UNSPECIFIED.into()),
        Err(GetExternalIpError::RequestError(error)) => Err(error.into()),
        Err(GetExternalIpError::ActionNotAuthorized) => Err(Failure::Refused),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
