//! `vcc-link privacy`: erasing what is about a person or an account, and what was erased.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};

use super::erasures;
use super::links::operator;
use super::output::{Output, print};
use super::progress::Progress;
use super::{Global, open_store};
use crate::clock;
use crate::config::Config;
use crate::domain::ids::{AccountId, CallId, Sequence};
use crate::domain::link::{Actor, LinkStatus};
use crate::domain::phone::{self, Number};
use crate::sealing::Sealer;
use crate::sealing::finding::{Finder, Found};
use crate::store::account_keys::KeyEnd;
use crate::store::privacy::{Erasable, ErasureNote, Subject};
use crate::store::{Store, Written};

/// Erase what is stored about a phone number or an account, or list what was erased.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link privacy erase --number '+44 20 7946 0001' --dry-run
  vcc-link privacy erase --account acme
  vcc-link privacy log")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on people's data.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Erase the content of calls, and quarantined bytes, that are about a number or an account.
    ///
    /// Calls that are not over keep theirs, as there is a Task to be made of it: run it again later.
    /// A dead letter cannot be replayed afterwards. What stays elsewhere (Salesforce, Kafka, backups)
    /// is told. It may be interrupted, and run again.
    ///
    /// An account's data key is destroyed once nothing of it needs the key: then nothing that was sealed
    /// by it opens any more, wherever it still lies.
    ///
    /// A number is found by opening every value, as none is stored where it could be searched for.
    #[command(
        group(ArgGroup::new("whose").required(true).args(["number", "account"])),
        after_help = "\
Examples:
  vcc-link privacy erase --number '+44 20 7946 0001' --dry-run
  vcc-link privacy erase --account acme --json"
    )]
    Erase {
        /// A phone number, with its country code.
        #[arg(long)]
        number: Option<String>,
        /// An account, which must be unlinked.
        #[arg(long)]
        account: Option<AccountId>,
        /// Only say what would be erased.
        #[arg(long)]
        dry_run: bool,
    },
    /// List what was erased and by whom, the latest first.
    #[command(after_help = "\
Example:
  vcc-link privacy log")]
    Log,
}

/// Calls in one transaction.
const PAGE: u32 = 500;

/// What came of an erasure.
#[derive(Default)]
struct Erased {
    /// Calls whose content is gone.
    calls: u32,
    /// Calls that are not over, and so kept theirs.
    kept: Vec<CallId>,
    /// Tasks of erased calls, which stay at Salesforce.
    tasks: Vec<(CallId, String)>,
    /// Quarantined records that are gone.
    records: u32,
    /// Events that wait to be published.
    events: u64,
    /// Values that do not open.
    unreadable: u64,
    /// What became of the account's data key, where it is an account.
    key: Option<KeyEnd>,
    /// It is an account that was never linked, and that nothing is stored of: a slip, maybe.
    unknown: bool,
}

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let config = global.sections(&["store", "crypto", "kafka"])?.config;
    let store = open_store(&config).await?;
    let as_json = args.output.json;
    match args.action {
        Action::Log => erasures::list(&*store, as_json).await,
        Action::Erase {
            number: Some(number),
            dry_run,
            ..
        } => {
            let Some(number) = phone::normalise(&number, None) else {
                bail!("--number: write it with its country code, as in +44 20 7946 0001");
            };
            let erase = Erase::new(&config, store, dry_run, as_json)?;
            erase.number(&number).await
        }
        Action::Erase {
            account: Some(account),
            dry_run,
            ..
        } => {
            let erase = Erase::new(&config, store, dry_run, as_json)?;
            erase.account(&account).await
        }
        Action::Erase { .. } => bail!("write --number or --account"),
    }
}

/// An erasure under way.
struct Erase<'a> {
    config: &'a Config,
    store: Arc<dyn Store>,
    finder: Finder,
    dry_run: bool,
    as_json: bool,
}

impl<'a> Erase<'a> {
    fn new(
        config: &'a Config,
        store: Arc<dyn Store>,
        dry_run: bool,
        as_json: bool,
    ) -> anyhow::Result<Self> {
        let finder = Finder::new(Arc::clone(&store), Sealer::of(&config.crypto)?);
        Ok(Self {
            config,
            store,
            finder,
            dry_run,
            as_json,
        })
    }

    /// Erases what is about a number.
    async fn number(&self, number: &Number) -> anyhow::Result<()> {
        let mut progress = Progress::new(!self.as_json);
        let found = self
            .finder
            .of_number(number, |seen| {
                progress.tell(|| format!("{seen} values opened"));
            })
            .await;
        progress.end();
        let found = found.context("the stored values could not be read")?;
        let mut erased = Erased::default();
        let calls: Vec<CallId> = found.calls.iter().cloned().collect();
        for page in calls.chunks(PAGE as usize) {
            self.calls(page, &mut erased).await?;
        }
        self.records(&found, &mut erased).await?;
        self.conclude(Subject::Number, None, &erased).await
    }

    /// Erases what is about an account.
    async fn account(&self, account: &AccountId) -> anyhow::Result<()> {
        let links = self.store.links(std::slice::from_ref(account)).await?;
        if links.iter().any(|l| l.status != LinkStatus::Unlinked) {
            bail!("{account} is linked: `vcc-link links unlink {account}` comes first");
        }
        let mut progress = Progress::new(!self.as_json);
        let mut erased = Erased::default();
        let mut last = None;
        loop {
            let page = self.store.calls_of(account, last.as_ref(), PAGE).await?;
            last = page.last().map(|call| call.interaction.clone());
            if last.is_none() {
                break;
            }
            self.calls(&page, &mut erased).await?;
            progress.tell(|| format!("{} calls erased", erased.calls));
        }
        let found = self
            .finder
            .of_account(account, |seen| {
                progress.tell(|| format!("{seen} quarantined records opened"));
            })
            .await;
        progress.end();
        let found = found.context("the quarantine could not be read")?;
        self.records(&found, &mut erased).await?;
        let nothing = erased.calls == 0 && erased.kept.is_empty() && erased.records == 0;
        erased.unknown = nothing && links.iter().all(|l| l.sequence == Sequence::default());
        if !self.dry_run {
            if self.store.erase_history(account).await? == Written::Stale {
                bail!("{account} was linked meanwhile: its history stays");
            }
            let end = self.store.destroy_key(account).await;
            erased.key = Some(end.context("its key is not destroyed; run it again")?);
        }
        self.conclude(Subject::Account, Some(account), &erased)
            .await
    }

    /// Erases the content of calls.
    async fn calls(&self, calls: &[CallId], erased: &mut Erased) -> anyhow::Result<()> {
        let found = if self.dry_run {
            self.store.erasable(calls).await
        } else {
            self.store.erase_calls(calls).await
        };
        for found in found.context("the calls could not be erased; run it again")? {
            erased.take(found);
        }
        Ok(())
    }

    /// Erases quarantined records.
    async fn records(&self, found: &Found, erased: &mut Erased) -> anyhow::Result<()> {
        erased.records = u32::try_from(found.records.len()).unwrap_or(u32::MAX);
        (erased.events, erased.unreadable) = (found.events, found.unreadable);
        if self.dry_run {
            return Ok(());
        }
        for page in found.records.chunks(PAGE as usize) {
            self.store.erase_records(page).await?;
        }
        Ok(())
    }

    /// Notes and tells it.
    async fn conclude(
        &self,
        subject: Subject,
        account: Option<&AccountId>,
        erased: &Erased,
    ) -> anyhow::Result<()> {
        let note = ErasureNote {
            at: clock::now(),
            by: match operator() {
                Actor::Operator(name) => name,
                _ => String::new(),
            },
            subject,
            account: account.cloned(),
            calls: erased.calls,
            kept: u32::try_from(erased.kept.len()).unwrap_or(u32::MAX),
            records: erased.records,
        };
        if !self.dry_run {
            self.store.note_erasure(&note).await?;
        }
        print(&if self.as_json {
            erased.json(self.dry_run, self.config)
        } else {
            erased.text(self.dry_run, self.config)
        })?;
        if erased.unreadable > 0 {
            bail!(
                "{} values do not open, and may be about it: `vcc-link keys list` names the keys that are missing",
                erased.unreadable
            );
        }
        Ok(())
    }
}

impl Erased {
    /// Counts a call.
    fn take(&mut self, found: Erasable) {
        if !found.may_go() {
            self.kept.push(found.call);
            return;
        }
        self.calls += 1;
        if let Some(task) = found.task {
            self.tasks.push((found.call, task.to_string()));
        }
    }

    /// It as one document.
    fn json(&self, dry_run: bool, config: &Config) -> String {
        let name = |call: &CallId| json!({ "account": call.account, "call": call.interaction });
        let tasks = self.tasks.iter().map(|(call, task)| {
            let (account, call) = (&call.account, &call.interaction);
            json!({ "account": account, "call": call, "task": task })
        });
        let document = json!({
            "dryRun": dry_run,
            "calls": self.calls,
            "quarantined": self.records,
            "notOver": self.kept.iter().map(name).collect::<Vec<Value>>(),
            "waitingEvents": self.events,
            "unreadable": self.unreadable,
            "keyDestroyed": self.key.map(|key| key == KeyEnd::Destroyed),
            "remains": {
                "salesforceTasks": tasks.collect::<Vec<Value>>(),
                "kafkaTopics": topics(config),
            },
        });
        document.to_string() + "\n"
    }

    /// It in words.
    fn text(&self, dry_run: bool, config: &Config) -> String {
        let is = if dry_run { "would be" } else { "were" };
        let mut text = format!(
            "The content of {} calls and {} quarantined records {is} erased.\n",
            self.calls, self.records
        );
        // Writing to a string cannot fail.
        if !self.kept.is_empty() {
            let _ = writeln!(
                text,
                "Not over yet, so that they keep it; run it again later:"
            );
            for call in &self.kept {
                let _ = writeln!(text, "  {call}");
            }
        }
        if self.events > 0 {
            let _ = writeln!(
                text,
                "{} events wait to be published, and lose their content then.",
                self.events
            );
        }
        if self.unknown {
            text.push_str(
                "Nothing is known of that account: `vcc-link links list` tells how accounts are spelled.\n",
            );
        } else {
            text.push_str(self.key.map_or("", says));
        }
        text.push_str("What remains elsewhere, and is not ours to erase:\n");
        let _ = writeln!(
            text,
            "  {} Tasks at Salesforce, which their orgs' admins may delete{}",
            self.tasks.len(),
            if self.tasks.is_empty() { "" } else { ":" }
        );
        for (call, task) in &self.tasks {
            let _ = writeln!(text, "    {task} of {call}");
        }
        let _ = writeln!(
            text,
            "  events in Kafka ({}), until their retention ends",
            topics(config).join(", ")
        );
        text.push_str("  backups of the database, until they are dropped\n");
        text
    }
}

/// What became of an account's data key, in words.
const fn says(key: KeyEnd) -> &'static str {
    match key {
        KeyEnd::Destroyed => {
            "Its data key is destroyed: what it sealed opens nowhere any more, but in a backup with the key.\n"
        }
        KeyEnd::InUse => {
            "Its data key stays, as calls that are not over, or their events, need it; run it again later.\n"
        }
        KeyEnd::Linked => "Its data key stays, as the account was linked meanwhile.\n",
    }
}

/// The topics that hold what is about people.
fn topics(config: &Config) -> Vec<&str> {
    let names = &config.kafka.topics;
    let calls = names.calls.iter().map(String::as_str);
    calls
        .chain([names.call_logs.as_str(), names.quarantine.as_str()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::reports::CallState;

    #[test]
    fn what_remains_is_told() {
        let config = Config::default();
        let mut erased = Erased::default();
        for (call, state, task) in [
            ("over", CallState::Logged, Some("00TB0000001AbCd")),
            ("dead", CallState::Dead, None),
            ("parked", CallState::Parked, None),
        ] {
            erased.take(Erasable {
                call: CallId {
                    account: "acme".parse().expect("an account"),
                    interaction: call.parse().expect("a call"),
                },
                state,
                task: task.map(|task| task.parse().expect("a record")),
            });
        }
        let text = erased.text(true, &config);
        for told in [
            "The content of 2 calls and 0 quarantined records would be erased.",
            "  acme/parked\n",
            " of acme/over\n",
            "vcc.calls, vcc.call-logs, vcc.calls.quarantine",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
        let document: Value = serde_json::from_str(&erased.json(false, &config)).expect("JSON");
        assert_eq!(document["calls"], 2);
        assert_eq!(document["notOver"][0]["call"], "parked");
        assert_eq!(document["remains"]["salesforceTasks"][0]["call"], "over");
    }
}
