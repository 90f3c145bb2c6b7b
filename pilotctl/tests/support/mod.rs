//! What the tests with real processes share: waiting, programs with deadlines, network namespaces, agents.

#![allow(dead_code, reason = "every test binary uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure of the equipment fails the test")]

pub(crate) mod agent;
pub(crate) mod echo;
pub(crate) mod netns;
pub(crate) mod noise;
pub(crate) mod process;
pub(crate) mod wait;
