//! `vcc-link links unlink` and `history`: ending a link, and what was done to it.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::output::print;

use crate::domain::ids::AccountId;
use crate::domain::invitation::Step;
use crate::domain::link::{Actor, LinkStatus};
use crate::linking::Linking;
use crate::store::Store;
use crate::store::authorizations::{Happened, HistoryLine};
use crate::telling::time;
use crate::telling::words::{health, status};

/// Changes read with one question.
const PAGE: u32 = 500;

/// Unlinks an account, once it was asked for.
pub(super) async fn unlink(
    store: &dyn Store,
    linking: &Linking,
    account: &AccountId,
    actor: &Actor,
    (yes, as_json): (bool, bool),
) -> anyhow::Result<()> {
    let links = store.links(std::slice::from_ref(account)).await;
    let links = links.context("the link could not be read")?;
    let linked = links
        .into_iter()
        .next()
        .filter(|state| state.status != LinkStatus::Unlinked);
    let Some(state) = linked else {
        bail!("the account {account} is not linked; `vcc-link links list` shows those that are");
    };
    let waiting = store.parked_calls(account).await;
    let waiting = waiting.context("the waiting calls could not be counted")?;
    if !yes {
        confirm(account, waiting)?;
    }
    let unlinked = linking.unlink(account, state.generation, actor).await;
    let unlinked = unlinked.context("the account was not unlinked")?;
    if unlinked.status != LinkStatus::Unlinked {
        bail!("the account was relinked meanwhile, and stays so; look at it, then try again");
    }
    if as_json {
        let document = json!({
            "account": account,
            "status": unlinked.status,
            "generation": unlinked.generation,
            "waitingCalls": waiting,
        });
        return print(&format!("{document}\n"));
    }
    print(&format!(
        "{account} is unlinked; a running worker revokes its token. {waiting} calls were waiting\n"
    ))
}

/// Asks on the terminal.
fn confirm(account: &AccountId, waiting: u64) -> anyhow::Result<()> {
    let mut input = std::io::stdin().lock();
    if !input.is_terminal() {
        bail!("nobody can be asked here: write `--yes` if {account} is to be unlinked");
    }
    eprint!(
        "The calls of {account} will not be logged any more. {waiting} calls wait; they end without \
         a Task unless it is linked to the same org again soon. Unlink it? [y/N] "
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("{account} stays linked"),
    }
}

/// Lists every change of an account's link.
pub(super) async fn history(
    store: &dyn Store,
    account: &AccountId,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut lines: Vec<HistoryLine> = Vec::new();
    loop {
        let before = lines.last().map(|line| line.line);
        let page = store.history(account, before, PAGE).await;
        let page = page.context("the history could not be read")?;
        if page.is_empty() {
            break;
        }
        lines.extend(page);
    }
    if as_json {
        let all: Vec<Value> = lines.iter().map(line_json).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    if lines.is_empty() {
        return print(&format!("Nothing was ever done to a link of {account}.\n"));
    }
    let mut text = String::new();
    for line in &lines {
        let (at, actor) = (time(line.at), actor(&line.actor));
        let word = line.what.word().replace('_', " ");
        let _ = match line.what {
            Happened::Link(_) => {
                let (from, to) = (state(line.from), state(line.to));
                writeln!(text, "{at}  {from} -> {to}  {word}, by {actor}")
            }
            Happened::Invitation(Step::Used) => writeln!(text, "{at}  {word}, of {actor}"),
            Happened::Invitation(_) => writeln!(text, "{at}  {word}, by {actor}"),
        };
    }
    print(&text)
}

/// Status and health in words.
fn state((of, how): (LinkStatus, crate::domain::link::Health)) -> String {
    match of {
        LinkStatus::Unlinked => status(of).to_owned(),
        of => format!("{}, {}", status(of), health(how)),
    }
}

/// Who it was, in words.
fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Admin(name) => format!("the admin {name}"),
        Actor::Operator(name) => format!("the operator {name}"),
        Actor::Machine(name) => format!("the program {name}"),
        Actor::System => "vcc-link".to_owned(),
        Actor::Salesforce => "Salesforce".to_owned(),
    }
}

/// One change as JSON.
fn line_json(line: &HistoryLine) -> Value {
    json!({
        "sequence": line.sequence,
        "generation": line.generation,
        "at": time(line.at),
        "actor": line.actor,
        "fromStatus": line.from.0,
        "fromHealth": line.from.1,
        "toStatus": line.to.0,
        "toHealth": line.to.1,
        "reason": line.what.word(),
    })
}
