//! One agent: public methods, and the glue between machines that do not know each other.
//!
//! Decides which machine hears of what, in which order the outgoing bytes of all of them leave, and what the host is told.
//! It refuses to know sockets, clocks and wire layouts.

mod admission;
mod command;
mod config;
mod control;
mod demux;
mod dial;
mod event;
mod exchange;
mod inner;
mod insecure;
mod lifetime;
mod listen;
mod manual;
mod mapped;
mod meeting;
mod memory;
mod outbox;
mod peer;
mod portmap;
mod recording;
mod registry;
mod search;
mod segment;
mod service;
mod status;
mod streams;
mod timers;
mod transmit;
mod trust;

pub use command::{DatagramError, DialError, ListenError, ReadError, TrustCommand, WriteError};
pub use config::{Config, Insecure, Ladder, StreamConfig};
pub use event::{Event, Input, Outcome, PathKind};
pub use inner::Endpoint;
pub use memory::Holding;
pub use recording::{Logged, RecordingError, Replayed, replay};
pub use status::{PeerStatus, Status, StreamStatus, Totals};
pub use timers::TimerKind;
pub use transmit::{Ecn, Sink, Transmit, TransmitBuf, drive};

pub use crate::path::{RelayReason, TriedPath};
pub use crate::stream::CloseReason;
