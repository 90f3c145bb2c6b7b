//! `pilotctl`: the Pilot Protocol's command line, daemon and rendezvous server in one binary.

mod agent;
mod cli;
mod commands;
mod server;
mod state;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os().collect())
}
