//! `make run`: all of vcc-link on this machine, with nothing to install.
//!
//! ```text
//!  world ─> outside: Salesforce simulator, Kafka broker          in this process
//!              ↑  ↓
//!           house: `vcc-link run`                                a child process
//!              ↑  ↓
//!  call ─> feed   results ─> tally ─> screen, report             in this process
//! ```
//!
//! What came of the calls is counted from what anybody could see: the events that vcc-link
//! publishes, and the Tasks that there really are at Salesforce. Its database is never looked into.

#![forbid(unsafe_code)]

mod arguments;
mod call;
mod feed;
mod house;
mod outside;
mod portal;
mod report;
mod results;
mod run;
mod screen;
mod settings;
mod signals;
mod state;
mod tally;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(ended) = house::play_if_told(std::env::args_os()).await {
        return ended;
    }
    match run::run(Arguments::parse()).await {
        Ok(code) => code,
        // Whoever reads it has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nobody reads what is written any more.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
