//! The `vcc-link` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use vcc_link::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    // Where this binary has crash points, the variable FAILPOINTS says which of them strike.
    let _scenario = fail::has_failpoints().then(fail::FailScenario::setup);
    cli::run(Cli::parse()).await
}
