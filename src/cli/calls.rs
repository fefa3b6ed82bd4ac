//! `vcc-link calls`: where calls stand, and why.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use serde_json::{Value, json};

use super::audit;
use super::left::Left;
use super::output::{Output, print};
use super::{Global, open_store};
use crate::clock;
use crate::domain::ids::{AccountId, CallId, InteractionId};
use crate::sealing::Sealer;
use crate::store::Store;
use crate::store::reports::{CallFilter, CallLine, CallState};
use crate::telling::story::{self, Told};
use crate::telling::time;
use crate::telling::words::outcome_in_words;

/// Show where calls stand, and why, and whether each is accounted for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link calls list --state dead
  vcc-link calls audit --since 1day
  vcc-link calls why acme 016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// What to show.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be shown of calls.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List calls, the latest first.
    #[command(after_help = "\
Examples:
  vcc-link calls list --account acme --since 1h
  vcc-link calls list --state parked --state dead --json")]
    List {
        /// Only of this account.
        #[arg(long)]
        account: Option<AccountId>,
        /// Only in this state; may be given more than once.
        #[arg(long, value_parser = state_parser())]
        state: Vec<CallState>,
        /// Only calls first heard of within this time: "30m", "1day".
        #[arg(long, value_parser = humantime_serde::re::humantime::parse_duration)]
        since: Option<Duration>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Tell one call's story: its events, its lookup, every attempt, and what happens next.
    #[command(after_help = "\
Example:
  vcc-link calls why acme 016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47")]
    Why {
        /// The account.
        account: AccountId,
        /// The interaction id.
        interaction: InteractionId,
    },
    /// The audit.
    Audit(audit::Args),
}

/// So many of the latest quarantined records are searched for a call that is not stored.
const QUARANTINED: u32 = 1000;

/// Takes a state by its word, and lists the words where another is given.
fn state_parser() -> impl TypedValueParser<Value = CallState> {
    let named = |word: String| {
        let state = CallState::ALL
            .into_iter()
            .find(|state| state.as_str() == word);
        state.expect("the parser lets only the states' words pass")
    };
    PossibleValuesParser::new(CallState::ALL.map(CallState::as_str)).map(named)
}

/// Runs it. A call that is not stored is a failure.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let sections: &[&str] = match &args.action {
        Action::List { .. } => &["store"],
        Action::Why { .. } => &["store", "crypto"],
        Action::Audit(_) => &["store", "engine", "ingest", "watchdog"],
    };
    let settings = global.sections(sections)?;
    let store = open_store(&settings.config).await?;
    let as_json = args.output.json;
    match args.action {
        Action::List {
            account,
            state,
            since,
            limit,
        } => {
            let since = since.map(|age| clock::now() - age);
            let filter = CallFilter {
                account,
                states: state,
                since,
                limit,
            };
            list(&filter, &*store, as_json).await
        }
        Action::Audit(args) => audit::run(args, &settings.config, &*store, as_json).await,
        Action::Why {
            account,
            interaction,
        } => {
            let sealer = Sealer::of(&settings.config.crypto)?;
            why(
                CallId {
                    account,
                    interaction,
                },
                &*store,
                &sealer,
                as_json,
            )
            .await
        }
    }
}

/// Lists calls.
async fn list(filter: &CallFilter, store: &dyn Store, json: bool) -> anyhow::Result<()> {
    let lines = store
        .list_calls(filter)
        .await
        .context("the calls could not be read")?;
    if json {
        let lines: Vec<Value> = lines.iter().map(line_json).collect();
        return print(&(serde_json::to_string_pretty(&lines)? + "\n"));
    }
    if lines.is_empty() {
        return print("No such call. Leave a filter out, or ask for a longer time with --since.\n");
    }
    let mut text = String::new();
    for line in &lines {
        let outcome = line
            .outcome
            .as_ref()
            .map(outcome_in_words)
            .unwrap_or_default();
        let result = line
            .task
            .as_ref()
            .map_or(outcome, |task| format!("Task {task}"));
        let (state, received) = (line.state.as_str(), time(line.received_at));
        writeln!(
            text,
            "{state:<9} {received}  {}  attempts {}  {result}",
            line.id, line.attempts
        )?;
    }
    print(&text)
}

/// Tells the story of one call.
async fn why(id: CallId, store: &dyn Store, sealer: &Sealer, json: bool) -> anyhow::Result<()> {
    let found = store
        .story(&id)
        .await
        .context("the call could not be read")?;
    let Some(found) = found else {
        return not_stored(&id, store, sealer, json).await;
    };
    let links = store.links(std::slice::from_ref(&id.account)).await;
    let links = links.context("the account's link could not be read")?;
    let call = sealer.open_call(&found.call);
    let told = Told {
        story: &found,
        call: call.as_ref(),
        link: links.first(),
    };
    if json {
        print(&(serde_json::to_string_pretty(&told.json())? + "\n"))
    } else {
        print(&told.text())
    }
}

/// Tells what is known of a call that is not stored, and fails.
async fn not_stored(
    id: &CallId,
    store: &dyn Store,
    sealer: &Sealer,
    json: bool,
) -> anyhow::Result<()> {
    let traces = store.traces(id, QUARANTINED).await;
    let traces = traces.context("what is left of the call could not be read")?;
    let left = Left::of(id, &traces, sealer);
    if json {
        print(&(serde_json::to_string_pretty(&left.json())? + "\n"))?;
    }
    anyhow::bail!(left.text())
}

/// One call as JSON.
fn line_json(line: &CallLine) -> Value {
    json!({
        "account": line.id.account,
        "call": line.id.interaction,
        "state": line.state.as_str(),
        "receivedAt": time(line.received_at),
        "endedAt": line.ended_at.map(time),
        "dueAt": story::due_at(line).map(time),
        "outcome": line.outcome,
        "attempts": line.attempts,
        "task": line.task,
    })
}
