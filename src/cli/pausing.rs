//! `vcc-link links pause`, `resume` and `pauses`: the brakes.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::links::every_link;
use super::moment;
use super::operator::By;
use super::output::print;
use crate::domain::ids::{AccountId, Generation, OrgId};
use crate::domain::link::LinkState;
use crate::domain::pause::{Pause, Scope};
use crate::domain::work::Lane;
use crate::store::Store;
use crate::store::pauses::{NewPause, PauseLine};
use crate::telling::time;

/// What is paused or resumed.
#[derive(Clone, Debug, clap::Args)]
struct What {
    /// The account.
    #[arg(
        required_unless_present_any = ["org", "all"],
        conflicts_with_all = ["org", "all"]
    )]
    account: Option<AccountId>,
    /// Every account that is linked to this org.
    #[arg(long, conflicts_with = "all")]
    org: Option<OrgId>,
    /// Every account.
    #[arg(long)]
    all: bool,
    /// Only Tasks; without this and --lookups, both.
    #[arg(long)]
    tasks: bool,
    /// Only lookups.
    #[arg(long)]
    lookups: bool,
    /// Whose name is noted.
    #[command(flatten)]
    by: By,
}

impl What {
    fn scope(&self) -> Scope {
        match (&self.account, &self.org) {
            (Some(account), _) => Scope::Account(account.clone()),
            (None, Some(org)) => Scope::Org(org.clone()),
            (None, None) => Scope::All,
        }
    }

    fn lanes(&self) -> Vec<Lane> {
        match (self.tasks, self.lookups) {
            (true, false) => vec![Lane::Task],
            (false, true) => vec![Lane::Lookup],
            _ => vec![Lane::Lookup, Lane::Task],
        }
    }
}

/// The arguments of `pause`.
#[derive(Clone, Debug, clap::Args)]
pub struct PauseArgs {
    #[command(flatten)]
    what: What,
    /// Why, for everybody who finds it paused. The account's admins see it too.
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Until then it resumes by itself: in "30m", "2h", or at a time. Without it, `links resume` does.
    #[arg(long, value_name = "TIME", value_parser = moment::ahead)]
    until: Option<DateTime<Utc>>,
}

/// The arguments of `resume`.
#[derive(Clone, Debug, clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    what: What,
}

/// The longest reason, in characters.
const LONGEST_REASON: usize = 200;

/// A reason that can be shown in a line.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=LONGEST_REASON).contains(&text.chars().count());
    if fits && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "write one line of 1 to {LONGEST_REASON} characters"
        ))
    }
}

/// Pauses.
pub(super) async fn pause(args: PauseArgs, store: &dyn Store, as_json: bool) -> anyhow::Result<()> {
    let scope = args.what.scope();
    check(&scope, store).await?;
    let new = NewPause {
        scope: scope.clone(),
        lanes: args.what.lanes(),
        reason: args.reason,
        by: args.what.by.name(),
        until: args.until,
    };
    let paused = store.pause(&new).await;
    paused.context("nothing was paused")?;
    let pauses = store.pauses().await;
    let pauses = pauses.context("it is paused; the pauses could not be read")?;
    let own: Vec<&Pause> = pauses.iter().filter(|p| p.scope == scope).collect();
    tell(&own, as_json)
}

/// Makes sure that a pause would stop anything: a misspelt account must not be taken for paused.
async fn check(scope: &Scope, store: &dyn Store) -> anyhow::Result<()> {
    match scope {
        Scope::Account(account) => {
            let links = store.links(std::slice::from_ref(account)).await;
            let links = links.context("the link could not be read")?;
            if links.iter().all(|l| l.generation == Generation::default()) {
                bail!("nothing was paused: {account} was never linked; see `vcc-link links list`");
            }
        }
        Scope::Org(org) => {
            let linked = |link: &LinkState| link.org.as_ref().is_some_and(|o| &o.org == org);
            if !every_link(store).await?.iter().any(linked) {
                bail!(
                    "nothing was paused: no account is linked to {org}; see `vcc-link links list`"
                );
            }
        }
        Scope::All => {}
    }
    Ok(())
}

/// Resumes.
pub(super) async fn resume(
    args: &ResumeArgs,
    store: &dyn Store,
    as_json: bool,
) -> anyhow::Result<()> {
    let scope = args.what.scope();
    let lanes = args.what.lanes();
    let resumed = store.resume(&scope, &lanes, &args.what.by.name()).await;
    let resumed = resumed.context("nothing was resumed")?;
    let still = store.pauses().await;
    let still = still.context("the pauses that are left could not be read")?;
    if resumed.is_empty() {
        let others: String = still.iter().map(line).collect();
        let others = if others.is_empty() {
            "nothing is".to_owned()
        } else {
            format!("in force are:\n{others}")
        };
        bail!(
            "there is no pause of {} to end; {}",
            scope_in_words(&scope),
            others.trim_end()
        );
    }
    if as_json {
        let all: Vec<Value> = resumed.iter().map(pause_json).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    let mut text = String::new();
    for pause in &resumed {
        let (lane, scope) = (lane(pause.lane), scope_in_words(&pause.scope));
        let since = time(pause.since);
        let _ = writeln!(text, "{lane} of {scope} are resumed; paused since {since}.");
    }
    if !still.is_empty() {
        text += "Still paused:\n";
        text.extend(still.iter().map(line));
    }
    print(&text)
}

/// Lists pauses.
pub(super) async fn list(store: &dyn Store, history: bool, as_json: bool) -> anyhow::Result<()> {
    if !history {
        let pauses = store.pauses().await;
        let pauses = pauses.context("the pauses could not be read")?;
        return tell(&pauses.iter().collect::<Vec<_>>(), as_json);
    }
    let lines = store.pause_history(HISTORY).await;
    let lines = lines.context("the pauses could not be read")?;
    if as_json {
        let all: Vec<Value> = lines.iter().map(line_json).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    if lines.is_empty() {
        return print("Nothing was ever paused.\n");
    }
    let told = |l: &PauseLine| {
        let ended = l.ended.as_ref().map(|(at, by)| {
            let at = time(*at);
            format!("    ended {at} by {by}\n")
        });
        line(&l.pause) + &ended.unwrap_or_default()
    };
    print(&lines.iter().map(told).collect::<String>())
}

/// Pauses of the history that are told.
const HISTORY: u32 = 1000;

/// Tells of pauses.
fn tell(pauses: &[&Pause], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let all: Vec<Value> = pauses.iter().map(|pause| pause_json(pause)).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    if pauses.is_empty() {
        return print("Nothing is paused.\n");
    }
    print(&pauses.iter().map(|pause| line(pause)).collect::<String>())
}

/// The pauses of an account, behind its line in a list.
pub(super) fn of_link(pauses: &[Pause], state: &LinkState) -> String {
    let told = covering(pauses, state).map(|pause| "    paused: ".to_owned() + &line(pause));
    told.collect()
}

/// The same as JSON.
pub(super) fn of_json(pauses: &[Pause], state: &LinkState) -> Value {
    covering(pauses, state).map(pause_json).collect()
}

/// The pauses that an account is under.
fn covering<'a>(pauses: &'a [Pause], state: &LinkState) -> impl Iterator<Item = &'a Pause> {
    let org = state.org.as_ref().map(|org| &org.org);
    pauses
        .iter()
        .filter(move |pause| pause.covers(&state.account, org))
}

/// A pause in a line.
fn line(pause: &Pause) -> String {
    let until = pause
        .until
        .map_or_else(String::new, |at| format!(", until {}", time(at)));
    format!(
        "{} of {} since {} by {}{until}: {}\n",
        lane(pause.lane),
        scope_in_words(&pause.scope),
        time(pause.since),
        pause.by,
        pause.reason
    )
}

/// A lane in words.
const fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Lookup => "lookups",
        Lane::Task => "Tasks",
    }
}

/// A scope in words.
fn scope_in_words(scope: &Scope) -> String {
    match scope {
        Scope::Account(account) => account.to_string(),
        Scope::Org(org) => format!("org {org}"),
        Scope::All => "all accounts".to_owned(),
    }
}

/// A pause as JSON.
fn pause_json(pause: &Pause) -> Value {
    let (account, org) = match &pause.scope {
        Scope::Account(account) => (Some(account), None),
        Scope::Org(org) => (None, Some(org)),
        Scope::All => (None, None),
    };
    json!({
        "account": account,
        "org": org,
        "all": pause.scope == Scope::All,
        "lane": pause.lane.as_str(),
        "reason": pause.reason,
        "by": pause.by,
        "since": time(pause.since),
        "until": pause.until.map(time),
    })
}

/// A pause of the history as JSON.
fn line_json(line: &PauseLine) -> Value {
    let mut value = pause_json(&line.pause);
    value["endedAt"] = json!(line.ended.as_ref().map(|(at, _)| time(*at)));
    value["endedBy"] = json!(line.ended.as_ref().map(|(_, by)| by));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(reason(" incident 7 "), Ok("incident 7".to_owned()));
        for wrong in ["", " ", "two\nlines", &"x".repeat(201)] {
            assert!(reason(wrong).is_err(), "{wrong:?}");
        }
    }
}
