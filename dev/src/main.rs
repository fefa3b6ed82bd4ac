//! Will tie the program, the Salesforce simulator and a call feed together on one machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!(
        "`make run` is not there yet: the README tells how to run it with Kafka and PostgreSQL"
    );
    ExitCode::FAILURE
}
