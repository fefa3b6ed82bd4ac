//! The command line.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::row::Row;

/// What stands below `--help`.
const AFTER_HELP: &str = "\
Examples:
  make faults                               every row, in full: days
  make faults SCALE=0.01                    a hundredth of the trials, at least one of each row
  make faults ROWS=kill,frozen SEED=7       two rows, with other moments
  make faults ROWS=flood-million RELEASE=1  one row, with an optimized build
  make faults ARGS='--list'                 the rows

Exit codes:
  0   every chosen row holds, and its fault struck in every trial
  1   a row lost or doubled a call, or was not run; the table says which
  2   the command line is wrong";

/// Breaks vcc-link on purpose, with real Kafka and PostgreSQL, and counts what was lost or doubled.
#[derive(Debug, Parser)]
#[command(name = "faults", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Share of each row's full trials that is run, at least one trial of each; of a million calls, the
    /// share that comes
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub(crate) scale: f64,

    /// Seed of chance: the same seed, the same moments and the same calls
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Rows to run, separated by commas; all of them if absent
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    pub(crate) rows: Vec<String>,

    /// Only the rows that are short, as `make test` does
    #[arg(long)]
    pub(crate) short: bool,

    /// Trials of each row, in place of its full number times the scale
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trials: Option<u32>,

    /// Number of the first trial, from 0: to repeat one that failed
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) first: u32,

    /// List the rows, with their full trials
    #[arg(long)]
    pub(crate) list: bool,

    /// Rows that are run at a time; those that kill a service that others use are run alone. They mostly
    /// wait, so that two for each core are sensible; with more, waits get longer than what is tried
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,

    /// How the result is told.
    #[command(flatten)]
    pub(crate) output: Output,

    /// The vcc-link to break, built with the feature failpoints; the one beside this program if absent
    #[arg(long, value_name = "FILE")]
    pub(crate) vcc_link: Option<PathBuf>,

    /// Where the logs of failed trials are kept
    #[arg(long, default_value = "target/faults", value_name = "DIR")]
    pub(crate) keep: PathBuf,
}

/// How the result is written to standard output; progress goes to standard error.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Output {
    /// Write the result as JSON
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Write the table as it stands in docs/RELIABILITY.md
    #[arg(long)]
    pub(crate) markdown: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "this is no number".to_owned())?;
    if scale > 0.0 && scale.is_finite() {
        Ok(scale)
    } else {
        Err("it must be above 0".to_owned())
    }
}

impl Arguments {
    /// The program that is broken.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        let program = match &self.vcc_link {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("vcc-link"),
        };
        program.canonicalize().with_context(|| {
            format!(
                "there is no {}; build it: cargo build --workspace --features vcc-link/failpoints",
                program.display()
            )
        })
    }

    /// How many trials of a row are run.
    pub(crate) fn trials_of(&self, row: &Row) -> u32 {
        let scaled = if row.calls.is_some() {
            row.full
        } else {
            self.scaled(row.full)
        };
        self.trials.unwrap_or(scaled)
    }

    /// How many calls a trial has, in a row whose trials are scaled.
    pub(crate) fn calls_of(&self, row: &Row) -> Option<u32> {
        row.calls.map(|calls| self.scaled(calls))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to numbers that fit"
    )]
    fn scaled(&self, full: u32) -> u32 {
        (f64::from(full) * self.scale).round().clamp(1.0, 1e9) as u32
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Arguments, Row};

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_scale_leaves_at_least_one_trial_and_a_number_of_trials_wins() {
        for (line, trials) in [
            ("faults", 200),
            ("faults --scale 0.1", 20),
            ("faults --scale 0.0001", 1),
            ("faults --scale 2", 400),
            ("faults --scale 0.1 --trials 7", 7),
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.trials_of(&row(200)), trials, "{line}");
        }
    }

    #[test]
    fn a_scale_makes_a_trial_of_a_million_calls_smaller() {
        let million = row(1).of_calls(1_000_000);
        let arguments = Arguments::try_parse_from(["faults", "--scale", "0.02"]).unwrap();
        assert_eq!(arguments.trials_of(&million), 1);
        assert_eq!(arguments.calls_of(&million), Some(20_000));
    }

    fn row(full: u32) -> Row {
        Row::new("row", "a fault", full, |_, _| Box::pin(async { Ok(1) }))
    }
}
