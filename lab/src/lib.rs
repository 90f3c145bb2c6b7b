//! Processes, deadlines and network namespaces for tests.
//!
//! Decides how a test starts the real program, waits for it, sees how it ended and what the network between programs
//! does. Knows the program only by its path and command line, and nothing of what a test wants to show. Linux only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure of the equipment fails the test")]

pub mod agent;
pub mod echo;
pub mod igd;
pub mod netns;
pub mod noise;
pub mod place;
pub mod process;
pub mod rendezvous;
mod router;
pub mod traffic;
pub mod wait;
