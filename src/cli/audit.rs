//! `vcc-link calls audit`: whether every call is accounted for.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::moment;
use super::output::print;
use super::progress::Progress;
use crate::clock;
use crate::config::Config;
use crate::domain::ids::AccountId;
use crate::store::Store;
use crate::store::audit::LedgerPage;
use crate::telling::audit::{Ages, Audit};
use crate::telling::time;

/// Calls read with one question: few enough for memory, many enough for speed.
const PAGE: u32 = 2_000;

/// How much later than it must the watchdog may close a call that does not end.
const CLOSING: Duration = Duration::from_hours(1);

/// How much earlier than the dedupe horizon events are no longer asked for, as they are being
/// forgotten.
const FORGETTING: Duration = Duration::from_hours(1);

/// Count the calls in each state, and list those that nobody can account for: exit code 1 if there
/// are any.
///
/// Accounted for are calls that came to their one end and were told of, and those with something that
/// takes them there: a time at which they are due, an attempt that can be resolved, a reason why they
/// are parked and a day until when. Events so old that their call would not be remembered are told
/// of as skipped (`too_old`), and not kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link calls audit --since 1day
  vcc-link calls audit --since 2026-11-01T00:00:00Z --until 1h --account acme --json")]
pub struct Args {
    /// Calls first heard of since: an age (\"30m\", \"7days\"), or a time (\"2026-11-01T00:00:00Z\").
    #[arg(long, default_value = "1day", value_parser = moment::ago)]
    since: DateTime<Utc>,
    /// Calls first heard of before: an age or a time; without it, until now.
    #[arg(long, value_parser = moment::ago)]
    until: Option<DateTime<Utc>>,
    /// Only of this account.
    #[arg(long)]
    account: Option<AccountId>,
    /// List at most so many; all are counted.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    list: u32,
}

/// Runs it. Calls that nobody can account for are a failure.
pub(super) async fn run(
    args: Args,
    config: &Config,
    store: &dyn Store,
    json: bool,
) -> anyhow::Result<()> {
    let now = clock::now();
    let ages = Ages {
        now,
        ends_within: config.watchdog.ends_within + CLOSING,
        stuck_after: config.watchdog.stuck_after,
        parked_at_most: config.engine.links.parked_at_most,
    };
    let mut page = LedgerPage {
        account: args.account,
        since: args.since,
        until: args.until.unwrap_or(now),
        after: None,
        told_since: now - config.ingest.dedupe_horizon.saturating_sub(FORGETTING),
        limit: PAGE,
    };
    let mut audit = Audit::new(ages, args.list as usize);
    let mut progress = Progress::new(!json);
    loop {
        let rows = store.ledger(&page).await;
        let rows = rows.context("the calls could not be read")?;
        audit.take(&rows);
        let Some(last) = rows.into_iter().next_back() else {
            break;
        };
        let calls = audit.calls();
        progress.tell(|| format!("{calls} calls, up to {}", time(last.received_at)));
        page.after = Some((last.received_at, last.id));
    }
    progress.end();
    if json {
        print(&(serde_json::to_string_pretty(&audit.json())? + "\n"))?;
    } else {
        print(&audit.text())?;
    }
    anyhow::ensure!(
        audit.unaccounted() == 0,
        "{} of {} calls are not accounted for; `vcc-link calls why` tells the story of one",
        audit.unaccounted(),
        audit.calls()
    );
    Ok(())
}
