//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// See calls become Salesforce Tasks: vcc-link with a Kafka broker, a database and a Salesforce of
/// its own, on this machine, with nothing to install.
///
/// Calls of several accounts are made up and sent to Kafka. vcc-link looks each caller up while
/// the call rings, and makes a Task of it when it has ended. One account is not linked, and the
/// link of another is broken, so that you see what comes of that. Ctrl-C ends it in good order; a
/// second one at once.
#[derive(Debug, Parser)]
#[command(name = "make run", override_usage = USAGE, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Calls to make; 0 for no end
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) calls: u64,

    /// Calls that begin in a second; 0 for as fast as they are logged
    #[arg(long, value_name = "R", default_value_t = 5.0, value_parser = rate, allow_negative_numbers = true)]
    pub(crate) rate: f64,

    /// Accounts; one of them is not linked, and the link of one is broken
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(3..=100))]
    pub(crate) accounts: u16,

    /// Stop when it is known of every call what came of it
    #[arg(long, requires = "calls")]
    pub(crate) once: bool,

    /// Write one JSON object to standard output at the end, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    /// Begin with an empty folder: forget the calls of earlier runs
    #[arg(long)]
    pub(crate) fresh: bool,

    /// The folder that holds everything: database, settings, log
    #[arg(long, value_name = "FOLDER", default_value = ".vcc-link-dev")]
    pub(crate) state: PathBuf,

    /// Port of vcc-link's operations pages; 0 for any
    #[arg(long, value_name = "PORT", default_value_t = 9464)]
    pub(crate) port: u16,

    /// Port of the admins' pages, where accounts are linked; 0 for any
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) pages_port: u16,

    /// Port of the Salesforce simulator; 0 for any
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) salesforce_port: u16,
}

const USAGE: &str = "\
make run ARGS=\"[OPTIONS]\"
       cargo run -p dev -- [OPTIONS]";

const EXAMPLES: &str = "\
Examples:
  make run                                              five calls a second, until Ctrl-C
  make run ARGS=\"--rate 50 --accounts 20\"               a busier day
  make run ARGS=\"--calls 10000 --rate 0 --once\"         as fast as it goes, and a summary
  make run ARGS=\"--calls 500 --rate 0 --once --json\"    the same for a script
  make run ARGS=\"--fresh\"                               forget what earlier runs left

While it runs, ask in another terminal what came of a call:
  cargo run --bin vcc-link -- --config .vcc-link-dev/vcc-link.toml calls list --account acme-1
  cargo run --bin vcc-link -- --config .vcc-link-dev/vcc-link.toml links list

It exits with 0 if every call is accounted for and none has two Tasks, with 130 after a second
Ctrl-C, and else with 1. A call that waits for its broken link to be mended counts as accounted for:
it is parked.";

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("write calls a second, such as 5 or 0.5; 0 for as fast as they are logged".into()),
    }
}

impl Arguments {
    /// What is wrong with them together.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.once || self.calls > 0,
            "--once never comes with endless calls: say how many with --calls N"
        );
        Ok(())
    }

    /// How many calls to make, if there is an end.
    pub(crate) fn limit(&self) -> Option<u64> {
        (self.calls > 0).then_some(self.calls)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let parse = |line: &str| {
            let words = std::iter::once("dev").chain(line.split_whitespace());
            let parsed = Arguments::try_parse_from(words).map_err(anyhow::Error::from)?;
            parsed.check()
        };
        for good in ["", "--calls 3 --once --rate 0.5", "--accounts 3 --port 0"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "--once",
            "--once --calls 0",
            "--rate -1",
            "--rate NaN",
            "--rate fast",
            "--accounts 2",
            "--port 70000",
            "--call 3",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
