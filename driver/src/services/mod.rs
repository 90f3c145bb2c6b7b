//! The formats of the built-in services (`spec/services.md`): data exchange on port 1001, event stream on 1002.
//!
//! Formats and the sending side only; what a receiver keeps and where is the daemon's business.

pub mod events;
pub mod exchange;
pub mod filestream;
mod send;
#[cfg(test)]
mod tests;

pub use send::{SendError, SentFile, send_file, send_message};

/// Data exchange.
pub const EXCHANGE_PORT: u16 = 1001;
/// Event stream.
pub const EVENTS_PORT: u16 = 1002;
