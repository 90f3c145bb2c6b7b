//! The Pilot Protocol on tokio: one loop per node, and handles that read and write like TCP.
//!
//! Decides how the endpoint's inputs and outputs meet sockets, timers and tasks. Refuses to know the protocol: every
//! rule of it is in [`proto_core`].
//!
//! ```no_run
//! use runtime_tokio::{Identity, Node};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::from_seed(runtime_common::entropy::seed()?);
//! let node = Node::builder(identity)
//!     .registry("rendezvous.example.org:9000")
//!     .beacon("rendezvous.example.org:9001")
//!     .hostname("agent-a")
//!     .start()
//!     .await?;
//!
//! let mut stream = node.dial_target(&"agent-b".parse()?, 1000).await?;
//! stream.write_all(b"hello").await?;
//! let mut answer = [0; 7];
//! stream.read_exact(&mut answer).await?;
//! stream.finish().await?; // the peer has it all, and knows that no more comes
//!
//! let mut listener = node.listen(1000)?;
//! while let Ok((mut stream, from)) = listener.accept().await {
//!     println!("{from} is here");
//!     tokio::spawn(async move {
//!         stream.write_all(b"welcome").await?;
//!         stream.shutdown().await // dropped without it, the stream is reset
//!     });
//! }
//! # Ok(())
//! # }
//! ```

mod builder;
mod control;
mod datagram;
mod driver;
mod error;
mod listener;
mod node;
mod pipe;
mod shared;
mod sockets;
mod split;
mod stream;
mod target;
mod tls;
mod upnp;
mod waiting;

pub use builder::{Builder, RegistryTls};
pub use datagram::{Datagram, Datagrams};
pub use error::{
    BindError, DialError, NodeClosed, PingError, ResolveError, SendDatagramError, StartError, StreamError,
};
pub use listener::Listener;
pub use node::{Events, EventsError, Node, Pong};
pub use proto_core::Config;
pub use proto_core::crypto::{Identity, PublicKey};
pub use proto_core::endpoint::{Event, Insecure, Outcome, PathKind};
pub use proto_core::ids::NodeId;
pub use proto_core::wire::{Address, SocketAddress};
pub use split::{ReadHalf, WriteHalf};
pub use stream::Stream;
pub use target::{Target, TargetError};
pub use tls::Fingerprint;

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeDoctests;
