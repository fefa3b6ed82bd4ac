//! `vcc-link calls`: where calls stand, why, and how they are put back.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use serde_json::{Value, json};

use super::audit;
use super::left::Left;
use super::output::{Output, print};
use super::{Global, moment, open_store, replay};
use crate::domain::ids::{AccountId, CallId, InteractionId};
use crate::domain::replay::Stand;
use crate::sealing::Sealer;
use crate::sealing::vault::Vault;
use crate::store::Store;
use crate::store::reports::{CallFilter, CallLine, CallState};
use crate::telling::replay::Requests;
use crate::telling::story::{self, Told};
use crate::telling::time;
use crate::telling::words::outcome_in_words;

/// Show where calls stand, and why, and whether each is accounted for; put back what was given up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link calls list --state dead
  vcc-link calls audit --since 1day
  vcc-link calls replay --state dead --reason bug --dry-run
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
  vcc-link calls list --state parked --reason org_refuses --until 1day
  vcc-link calls list --state parked --state dead --json")]
    List {
        /// Which calls.
        #[command(flatten)]
        which: Which,
        /// Only in this state; may be given more than once.
        #[arg(long, value_parser = state_parser(&CallState::ALL))]
        state: Vec<CallState>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Put calls back that were given up, or that wait for the org.
    ///
    /// Calls that Salesforce had no answer for (`unknown`, `unresolved_in_previous_org`) may have a Task:
    /// they are looked for by their key first, and a Task is made only of those that have none for
    /// sure. Parked calls that the org refuses, or has no budget for, are tried now; those that wait
    /// for a link or a pause stay. Skipped ones can be put back where the reason was unlinked or
    /// expired. It may be interrupted at any moment, and run again: a call that is back is not put back
    /// twice. A running worker sends them; each replay is noted.
    #[command(after_help = "\
Examples:
  vcc-link calls replay --state dead --reason bug --since 2day --dry-run
  vcc-link calls replay --state dead --reason bug --since 2day --rate 50
  vcc-link calls replay --account acme --state parked --reason org_refuses
  vcc-link calls replay --account acme --reason unknown --no-task --by ann")]
    Replay {
        /// Which calls.
        #[command(flatten)]
        which: Which,
        /// In which state; may be given more than once.
        #[arg(long, default_value = "dead", value_parser = state_parser(&RESTING))]
        state: Vec<CallState>,
        /// At most so many, the longest known first.
        #[arg(long, default_value_t = u32::MAX, hide_default_value = true, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// How it goes.
        #[command(flatten)]
        how: replay::Args,
    },
    /// List replays, the latest first: who, when, which calls, and what was done.
    #[command(after_help = "\
Example:
  vcc-link calls replays --json")]
    Replays {
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

/// Which calls are meant.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// Only of this account.
    #[arg(long)]
    account: Option<AccountId>,
    /// Only those parked, given up or skipped for this reason.
    #[arg(long, value_parser = reason_parser())]
    reason: Option<String>,
    /// Only calls first heard of since then: "30m" ago, "1day", or a time.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    since: Option<DateTime<Utc>>,
    /// Only calls first heard of before then.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    until: Option<DateTime<Utc>>,
}

impl Which {
    /// As the store asks.
    fn filter(self, states: Vec<CallState>, limit: u32) -> CallFilter {
        CallFilter {
            account: self.account,
            states,
            reason: self.reason,
            since: self.since,
            until: self.until,
            limit,
        }
    }
}

/// The states from where calls can be put back.
const RESTING: [CallState; 3] = [CallState::Dead, CallState::Parked, CallState::Skipped];

/// A filter in words, for the record.
fn in_words(filter: &CallFilter) -> String {
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let mut words = vec![states.join(" or ")];
    let mut add = |what: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{what} {value}")));
    };
    add("account", filter.account.as_ref().map(ToString::to_string));
    add("reason", filter.reason.clone());
    add("since", filter.since.map(time));
    add("until", filter.until.map(time));
    add(
        "at most",
        (filter.limit < u32::MAX).then(|| filter.limit.to_string()),
    );
    words.join(", ")
}

/// Takes a reason by its word, and lists the words where another is given.
fn reason_parser() -> PossibleValuesParser {
    let words: BTreeSet<&str> = Stand::ALL.iter().map(|(_, word)| *word).collect();
    PossibleValuesParser::new(words)
}

/// So many of the latest quarantined records are searched for a call that is not stored.
const QUARANTINED: u32 = 1000;

/// Takes a state by its word, and lists the words where another is given.
fn state_parser(states: &[CallState]) -> impl TypedValueParser<Value = CallState> + use<> {
    let named = |word: String| {
        let state = CallState::ALL
            .into_iter()
            .find(|state| state.as_str() == word);
        state.expect("the parser lets only the states' words pass")
    };
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    PossibleValuesParser::new(words).map(named)
}

/// Runs it. A call that is not stored is a failure.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let sections: &[&str] = match &args.action {
        Action::List { .. } | Action::Replays { .. } => &["store"],
        Action::Replay { .. } => &["store", "engine"],
        Action::Why { .. } => &["store", "crypto"],
        Action::Audit(_) => &["store", "engine", "ingest", "watchdog"],
    };
    let settings = global.sections(sections)?;
    let store = open_store(&settings.config).await?;
    let as_json = args.output.json;
    match args.action {
        Action::List {
            which,
            state,
            limit,
        } => list(&which.filter(state, limit), &*store, as_json).await,
        Action::Replay {
            which,
            state,
            limit,
            how,
        } => {
            let filter = which.filter(state, limit);
            let words = in_words(&filter);
            let engine = &settings.config.engine;
            let requests = Requests {
                tasks: engine.batching.tasks as u64,
                looks: engine.reconcile.batch as u64,
            };
            replay::run(&how, (filter, words), &*store, requests, as_json).await
        }
        Action::Audit(args) => audit::run(args, &settings.config, &*store, as_json).await,
        Action::Replays { limit } => replay::list(&*store, limit, as_json).await,
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
                store,
                sealer,
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
    let ids: Vec<String> = lines.iter().map(|line| line.id.to_string()).collect();
    let widest = ids.iter().map(String::len).max().unwrap_or_default();
    let mut text = String::new();
    for (line, id) in lines.iter().zip(&ids) {
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
        let attempts = line.attempts;
        writeln!(
            text,
            "{state:<9} {received}  {id:<widest$}  attempts {attempts}  {result}"
        )?;
    }
    print(&text)
}

/// Tells the story of one call.
async fn why(id: CallId, store: Arc<dyn Store>, sealer: Sealer, json: bool) -> anyhow::Result<()> {
    let found = store
        .story(&id)
        .await
        .context("the call could not be read")?;
    let Some(found) = found else {
        return not_stored(&id, &*store, &sealer, json).await;
    };
    let links = store.links(std::slice::from_ref(&id.account)).await;
    let links = links.context("the account's link could not be read")?;
    let vault = Vault::new(store, sealer);
    let keys = vault.open(found.call.keys().collect()).await;
    let keys = keys.context("the account's key could not be read")?;
    let call = keys.call(&found.call);
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
