//! The rendezvous server: sockets, TLS, a durable store and metrics around the machines of `rendezvous-core`.
//!
//! Decides how bytes reach the registry and the beacon and when a reply may leave: never before what it acknowledges
//! is on disk. Refuses to know what any message means.
//!
//! ```no_run
//! # async fn example() -> Result<(), rendezvous::StartError> {
//! let server = rendezvous::Server::builder().data_dir("/var/lib/pilot-rendezvous").start().await?;
//! println!("registry {}, pin {}", server.registry_addr(), server.fingerprint());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod builder;
mod clock;
mod connection;
mod http;
mod hub;
mod limits;
mod listener;
mod metrics;
mod server;
mod store;
mod tls;
mod udp;

pub use builder::Builder;
pub use rendezvous_core::{BeaconConfig, RegistryConfig};
pub use server::{Server, StartError};
