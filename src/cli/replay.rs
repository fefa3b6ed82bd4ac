//! `vcc-link calls replay` and `replays`: calls that were given up are put back.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::operator::By;
use super::output::print;
use super::progress::Progress;
use crate::domain::ids::AccountId;
use crate::store::Store;
use crate::store::replays::{ReplayId, ReplayPage, Replayed};
use crate::store::reports::CallFilter;
use crate::telling::replay::{Plan, Requests, line, line_json, why_in_words};

/// How a replay goes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only tell what would be done.
    #[arg(long)]
    dry_run: bool,
    /// You have looked in the org, and these calls have no Task: those whose Task may exist are sent
    /// without being looked for. If you are wrong, they get a second one.
    #[arg(long)]
    no_task: bool,
    /// At most so many calls each second.
    #[arg(long, default_value_t = 20, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Whose name is noted.
    #[command(flatten)]
    by: By,
}

/// Calls put back in one transaction at most: it holds their rows, which others may want.
const PAGE: u32 = 100;

/// Links read with one question.
const LINKS: usize = 500;

/// Tells what would be done, or does it.
pub(super) async fn run(
    args: &Args,
    (filter, words): (CallFilter, String),
    store: &dyn Store,
    requests: Requests,
    as_json: bool,
) -> anyhow::Result<()> {
    let plan = plan(&filter, store, args.no_task, requests).await?;
    if args.dry_run {
        return print(&if as_json {
            format!("{}\n", plan.json())
        } else {
            let without = plan.span.map(|_| "; without --dry-run it is done");
            format!(
                "{}Nothing was changed{}.\n",
                plan.text(),
                without.unwrap_or_default()
            )
        });
    }
    if plan.span.is_none() {
        return tell(None, &Totals::default(), &plan, as_json);
    }
    let actor = args.by.name();
    let replay = store.begin_replay(&actor, &words).await;
    let replay = replay.context("nothing was changed: the replay could not be noted")?;
    let wanted = u64::from(filter.limit).min(plan.send + plan.look);
    let mut run = Run {
        store,
        filter,
        replay,
        certain: args.no_task,
        totals: Totals::default(),
        progress: Progress::new(!as_json),
    };
    let interrupted = tokio::select! {
        done = run.all(args.rate, wanted) => {
            done?;
            false
        }
        _ = tokio::signal::ctrl_c() => true,
    };
    run.progress.end();
    if interrupted {
        bail!(
            "interrupted: {} calls are put back, the others stay as they were. Replay {} is noted; the same command goes on with the rest",
            run.totals.back(),
            replay.0
        );
    }
    let ended = store.end_replay(replay).await;
    ended.context("all is done; only the replay's end could not be noted")?;
    tell(Some(replay), &run.totals, &plan, as_json)
}

/// What would be done.
async fn plan(
    filter: &CallFilter,
    store: &dyn Store,
    certain: bool,
    requests: Requests,
) -> anyhow::Result<Plan> {
    let groups = store.replay_groups(filter).await;
    let groups = groups.context("the calls could not be read")?;
    let mut accounts: Vec<AccountId> = groups.iter().map(|group| group.account.clone()).collect();
    accounts.dedup();
    let mut links = Vec::new();
    for page in accounts.chunks(LINKS) {
        let page = store.links(page).await;
        links.extend(page.context("the links could not be read")?);
    }
    Ok(Plan::of(&groups, &links, certain, requests))
}

/// What was done so far.
#[derive(Debug, Default)]
struct Totals {
    sent: u64,
    looked_for: u64,
    left: std::collections::BTreeMap<crate::domain::replay::Why, u64>,
}

impl Totals {
    const fn back(&self) -> u64 {
        self.sent + self.looked_for
    }

    fn add(&mut self, page: &Replayed) {
        self.sent += page.sent;
        self.looked_for += page.looked_for;
        for (why, calls) in &page.left {
            *self.left.entry(*why).or_default() += calls;
        }
    }
}

/// A replay under way.
struct Run<'a> {
    store: &'a dyn Store,
    filter: CallFilter,
    replay: ReplayId,
    certain: bool,
    totals: Totals,
    progress: Progress,
}

impl Run<'_> {
    /// Goes through all calls once, the longest known first, at no more than so many a second. Each
    /// page is a transaction of its own: what is interrupted stands up to there.
    async fn all(&mut self, rate: u32, wanted: u64) -> anyhow::Result<()> {
        let most = u64::from(self.filter.limit);
        let mut after = None;
        loop {
            let page = u64::from(PAGE.min(rate)).min(most - self.totals.back());
            let page = u32::try_from(page).unwrap_or(PAGE);
            if page == 0 {
                return Ok(());
            }
            let page = ReplayPage {
                replay: self.replay,
                filter: CallFilter {
                    limit: page,
                    ..self.filter.clone()
                },
                after: after.clone(),
                certain: self.certain,
            };
            let done = self.store.replay(&page).await.with_context(|| {
                format!(
                    "{} calls are put back, then the database failed; the same command goes on with the rest",
                    self.totals.back()
                )
            })?;
            self.totals.add(&done);
            let back = self.totals.back();
            self.progress
                .tell(|| format!("{back} of {wanted} calls put back"));
            if done.last.is_none() {
                return Ok(());
            }
            after.clone_from(&done.last);
            let back = u32::try_from(done.sent + done.looked_for).unwrap_or(u32::MAX);
            tokio::time::sleep(Duration::from_secs(back.into()) / rate).await;
        }
    }
}

/// Tells what was done.
fn tell(
    replay: Option<ReplayId>,
    totals: &Totals,
    plan: &Plan,
    as_json: bool,
) -> anyhow::Result<()> {
    let left = if replay.is_some() {
        &totals.left
    } else {
        &plan.leave
    };
    if as_json {
        let document = json!({
            "replay": replay.map(|replay| replay.0),
            "sent": totals.sent,
            "lookedFor": totals.looked_for,
            "left": left,
        });
        return print(&format!("{document}\n"));
    }
    let mut text = match replay {
        None => "No such call is to be put back.\n".to_owned(),
        Some(replay) => format!(
            "Replay {}: {} calls are sent again, {} are looked for first. `vcc-link calls why ACCOUNT CALL` tells what comes of one.\n",
            replay.0, totals.sent, totals.looked_for
        ),
    };
    for (why, calls) in left {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{calls} stay as they are: {}", why_in_words(*why));
    }
    print(&text)
}

/// Lists replays, the latest first.
pub(super) async fn list(store: &dyn Store, limit: u32, as_json: bool) -> anyhow::Result<()> {
    let replays = store.replays(limit).await;
    let replays = replays.context("the replays could not be read")?;
    if as_json {
        let all: Vec<Value> = replays.iter().map(line_json).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    if replays.is_empty() {
        return print("Nothing was ever replayed.\n");
    }
    print(&replays.iter().map(line).collect::<String>())
}
