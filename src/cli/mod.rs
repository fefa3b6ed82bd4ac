//! The command line: one file for each family of subcommands.
//!
//! Here arguments become calls, and results become text and exit codes. Nothing is decided.

mod audit;
pub mod calls;
pub mod check;
mod erasures;
pub mod keys;
mod left;
mod legacy;
pub mod links;
pub mod migrate;
mod moment;
mod operator;
pub mod output;
mod pausing;
mod preflight;
pub mod privacy;
mod progress;
pub mod publish;
pub mod quarantine;
pub mod recover;
mod replay;
mod resend;
pub mod sidecar;
pub mod topics;
mod unlinking;
pub mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use self::output::Output;
use crate::app::Role;
use crate::config::{self, Config, Faults, Settings};
use crate::store::{Database, Store};

/// Something went wrong on the way; standard error says what.
pub const FAILED: u8 = 1;
/// The settings are wrong (`EX_CONFIG` of `sysexits.h`). A supervisor need not try again.
pub const WRONG_SETTINGS: u8 = 78;

/// What stands below `vcc-link --help`.
const AFTER_HELP: &str = "\
Examples:
  vcc-link check --settings     which settings are in effect, and where were they set?
  vcc-link migrate              bring the database up to this version
  vcc-link topics apply         create the topics that are missing
  vcc-link check --production   is everything as it must be?
  vcc-link worker               consume calls, log them as Tasks

Settings come from the file, and from environment variables over it:
  VCC_LINK_CONFIG=/etc/vcc-link.toml VCC_LINK_HTTP__LISTEN=0.0.0.0:9464 vcc-link check

Exit codes:
  0   done
  1   failed; standard error says what and, where known, what to do
  2   the command line is wrong
  78  the settings are wrong; every fault is listed

With --json, standard output holds the result alone, and a failure is one JSON object on standard
error: {\"error\": …}, and \"settings\" where those are wrong. A wrong command line is told in text.";

/// Logs contact-centre calls as Salesforce Tasks: exactly one per call, from Kafka.
#[derive(Debug, Parser)]
#[command(name = "vcc-link", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Settings file; without one, defaults and the environment alone.
    #[arg(long, global = true, env = "VCC_LINK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Global {
    /// Reads and validates the settings.
    pub fn settings(&self) -> Result<Settings, Faults> {
        self.sections(&[])
    }

    /// Reads the settings and validates the sections that a command needs; none: all.
    pub fn sections(&self, sections: &[&str]) -> Result<Settings, Faults> {
        // A variable that is not text is no setting of ours: each of their names is ASCII, and a
        // value that is not UTF-8 would be refused by its setting as if it were not there.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = std::env::vars_os().filter_map(text);
        config::load_sections(self.config.as_deref(), variables, sections)
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    Worker(worker::Args),
    Sidecar(sidecar::Args),
    Run(worker::RunArgs),
    Migrate(migrate::Args),
    Check(check::Args),
    Topics(topics::Args),
    Links(links::Args),
    Keys(keys::Args),
    Calls(calls::Args),
    Quarantine(quarantine::Args),
    Publish(publish::Args),
    Recover(recover::Args),
    Privacy(privacy::Args),
}

impl Command {
    /// How its result is written; those that serve have none.
    fn output(&self) -> Option<Output> {
        match self {
            Self::Worker(_) | Self::Run(_) => None,
            Self::Sidecar(args) => args.output(),
            Self::Migrate(args) => Some(args.output),
            Self::Check(args) => Some(args.output),
            Self::Topics(args) => Some(args.output),
            Self::Links(args) => Some(args.output),
            Self::Keys(args) => Some(args.output),
            Self::Calls(args) => Some(args.output),
            Self::Quarantine(args) => Some(args.output),
            Self::Publish(args) => Some(args.output),
            Self::Recover(args) => Some(args.output),
            Self::Privacy(args) => Some(args.output),
        }
    }
}

/// Runs a command and returns its exit code.
pub async fn run(cli: Cli) -> ExitCode {
    let as_json = cli.command.output().is_some_and(|output| output.json);
    let result = match cli.command {
        Command::Worker(_) => worker::run(&cli.global, Role::Worker).await,
        Command::Sidecar(args) => sidecar::run(args, &cli.global).await,
        Command::Run(_) => worker::run(&cli.global, Role::Both).await,
        Command::Migrate(args) => migrate::run(&args, &cli.global).await,
        Command::Check(args) => check::run(&args, &cli.global).await,
        Command::Links(args) => links::run(args, &cli.global).await,
        Command::Keys(args) => keys::run(args, &cli.global).await,
        Command::Calls(args) => calls::run(args, &cli.global).await,
        Command::Quarantine(args) => quarantine::run(args, &cli.global).await,
        Command::Publish(args) => publish::run(args, &cli.global).await,
        Command::Topics(args) => topics::run(args, &cli.global).await,
        Command::Privacy(args) => privacy::run(args, &cli.global).await,
        Command::Recover(args) => recover::run(&args, &cli.global).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", output::told(&error, as_json));
            ExitCode::from(if error.is::<Faults>() {
                WRONG_SETTINGS
            } else {
                FAILED
            })
        }
    }
}

/// Connects to the database of the settings, and makes sure that its schema is this binary's.
async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let database = Database::open(&config.store).await;
    let database = database.context("store.url: the database cannot be reached")?;
    let usable = database.check().await;
    usable.context("the database cannot be used")?;
    Ok(database.store())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_offered_where_there_is_a_result() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).ok();
        for serving in ["worker", "sidecar", "run"] {
            assert!(parse(&format!("vcc-link {serving}")).is_some());
            assert!(parse(&format!("vcc-link {serving} --json")).is_none());
        }
        for line in [
            "migrate --json",
            "check --json",
            "topics plan --json",
            "topics --json apply",
            "links list --json",
            "links add acme --json",
            "sidecar token acme --json",
            "links import-legacy - --json",
            "links unlink acme --yes --json",
            "links history acme --json",
            "links pause acme --reason x --json",
            "links resume --all --tasks --json",
            "links pauses --json",
            "links preflight acme --json",
            "keys list --json",
            "keys add --json",
            "keys rotate --json",
            "calls list --json",
            "calls why acme 1 --json",
            "calls audit --since 1day --json",
            "calls replay --state dead --dry-run --json",
            "calls replays --json",
            "quarantine list --json",
            "quarantine show vcc.calls/3/17 --json",
            "quarantine replay vcc.calls/3/17 --json",
            "quarantine replay --all --since 1h --dry-run --json",
            "publish - --json",
            "recover --dry-run --json",
            "privacy erase --account acme --dry-run --json",
            "privacy log --json",
        ] {
            let cli = parse(&format!("vcc-link {line}")).expect(line);
            assert!(cli.command.output().expect("a result").json, "{line}");
        }
    }

    #[test]
    fn every_subcommand_shows_an_example() {
        let shows = |text: Option<&clap::builder::StyledStr>| {
            text.is_some_and(|text| text.to_string().contains("vcc-link "))
        };
        for command in Cli::command().get_subcommands() {
            assert!(shows(command.get_after_help()), "{}", command.get_name());
        }
    }
}
