//! The `vcc-link` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;
use vcc_link::cli::{self, Cli};

fn main() -> ExitCode {
    // Where this binary has crash points, the variable FAILPOINTS says which of them strike.
    let _scenario = fail::has_failpoints().then(fail::FailScenario::setup);
    let arguments = Cli::parse();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no thread can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(arguments));
    // A thread that is stuck, as in Kafka's library after the clock went back, does not hold the end up.
    runtime.shutdown_background();
    code
}
