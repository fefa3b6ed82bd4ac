//! The stage that tells contacts: decides what the changes of links are worth, and sends what is due.
//!
//! Every sidecar runs it. What it does is claimed in the store first, so it does not matter which
//! one does what, or that one dies of it: the claim runs out, and another sends the same notice with
//! the same id.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::contacts::{new_id, open};
use super::mail::Mailer;
use super::texts::{Letter, payload};
use super::webhook::{Webhook, Webhooks};
use crate::clock;
use crate::domain::notice::{Channel, Condition, DeliveryFault, Notice, NoticeKind};
use crate::sealing::Sealer;
use crate::store::contacts::ContactRow;
use crate::store::notices::{ClaimedNotice, Decision, NewNotice, NoticeEnd, Settled, Verdict};
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(2);

/// How many accounts are looked at, and notices sent, in one step.
const AT_ONCE: u32 = 16;

/// How long a claim holds: longer than mail and webhook may take.
const CLAIM: TimeDelta = TimeDelta::minutes(2);

/// How long a notice is tried. Then it is old news, and the page says what holds.
const LONGEST: TimeDelta = TimeDelta::days(1);

/// How long the ends of notices are kept.
const KEPT: TimeDelta = TimeDelta::days(30);

/// What changes are counted within.
const HOUR: TimeDelta = TimeDelta::hours(1);

/// How long an account is left alone of which enough was told.
const HELD: TimeDelta = TimeDelta::minutes(5);

/// The first wait after a notice did not arrive, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Tells contacts.
pub struct Teller {
    store: Arc<dyn Store>,
    sealer: Sealer,
    config: Config,
    mailer: Option<Mailer>,
    webhooks: Webhooks,
    /// What is counted; nothing where nobody looks.
    metrics: Option<Metrics>,
}

impl Teller {
    /// A teller by valid settings.
    pub fn new(store: Arc<dyn Store>, sealer: Sealer, config: Config) -> anyhow::Result<Self> {
        Ok(Self {
            mailer: Mailer::new(&config.smtp)?,
            webhooks: Webhooks::new(config.trusted_hosts.clone())?,
            store,
            sealer,
            config,
            metrics: None,
        })
    }

    /// Counts notices there.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Tells until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let worked = match self.step(clock::now()).await {
                Ok(worked) => worked,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "notices wait for the database");
                    false
                }
            };
            let pause = if worked { Duration::ZERO } else { EVERY };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Decides what has settled, and sends what is due; whether there may be more at once.
    pub async fn step(&self, now: DateTime<Utc>) -> store::Result<bool> {
        let settled = self
            .store
            .settled(now - self.config.settle, now - HOUR, now, AT_ONCE)
            .await?;
        for settled in &settled {
            let decision = self.decision(settled, now).await?;
            self.store.decide(&decision).await?;
        }
        let claimed = self.store.claim_notices(now, now + CLAIM, AT_ONCE).await?;
        let sent: Vec<_> = claimed.iter().map(|n| self.tell(n, now)).collect();
        join_all(sent)
            .await
            .into_iter()
            .collect::<store::Result<()>>()?;
        // The old ones go as others come.
        if !claimed.is_empty() {
            self.store.forget_notices(now - KEPT).await?;
        }
        let full = AT_ONCE as usize;
        Ok(settled.len() == full || claimed.len() == full)
    }

    /// What an account's contacts are told of how its link stands.
    async fn decision(&self, settled: &Settled, now: DateTime<Utc>) -> store::Result<Decision> {
        let state = &settled.state;
        let condition = Condition::of(state);
        let (kind, told) = settled.told.after(&condition, now);
        let verdict = match kind {
            None => Verdict::Tell(told, Vec::new()),
            Some(_) if settled.told_lately >= u64::from(self.config.per_hour) => {
                Verdict::Hold(now + HELD)
            }
            Some(kind) => {
                let missing = match condition {
                    Condition::Works(missing) => missing.into_iter().collect(),
                    Condition::Unlinked | Condition::Broken => Vec::new(),
                };
                let notice = Notice {
                    kind,
                    reason: state.reason,
                    missing,
                    waiting: settled.waiting,
                    since: state.since,
                };
                let contacts = self.store.contacts(&state.account).await?.contacts;
                // Of a recovery hear those who could hear of what went before.
                let concerned = |row: &ContactRow| {
                    kind != NoticeKind::Recovered
                        || settled.told.at.is_some_and(|at| row.added_at <= at)
                };
                let new = |row: ContactRow| NewNotice {
                    id: new_id(),
                    contact: row.id,
                    notice: notice.clone(),
                };
                let rows = contacts.into_iter().map(|(row, _)| row);
                Verdict::Tell(told, rows.filter(concerned).map(new).collect())
            }
        };
        Ok(Decision {
            account: state.account.clone(),
            change: settled.change,
            verdict,
            at: now,
        })
    }

    /// Sends a notice, and notes how that ended.
    async fn tell(&self, claimed: &ClaimedNotice, now: DateTime<Utc>) -> store::Result<()> {
        let end = match self.send(claimed, now).await {
            Ok(()) => NoticeEnd::Sent,
            Err(fault) => after(fault, claimed, now),
        };
        let (account, notice) = (&claimed.account, &claimed.id);
        let result = match end {
            NoticeEnd::Sent => {
                tracing::info!(%account, %notice, "a contact is told");
                "sent"
            }
            NoticeEnd::Retry(at, fault) => {
                tracing::info!(%account, %notice, ?fault, %at, "a notice did not arrive; it is sent again");
                "again"
            }
            NoticeEnd::GivenUp(fault) => {
                tracing::warn!(%account, %notice, ?fault, "a notice did not arrive, and is given up; the account's page says so");
                "given_up"
            }
        };
        if let Some(metrics) = &self.metrics {
            metrics.notice(claimed.channel, result);
        }
        self.store.end_notice(notice, end, clock::now()).await?;
        Ok(())
    }

    /// Sends a notice.
    async fn send(&self, claimed: &ClaimedNotice, now: DateTime<Utc>) -> Result<(), DeliveryFault> {
        let ClaimedNotice {
            id,
            account,
            notice,
            ..
        } = claimed;
        let target = open(&self.sealer, account, &claimed.contact, &claimed.target);
        let target = target.map_err(|_| DeliveryFault::Unreadable)?;
        let page = self.config.page(account);
        match claimed.channel {
            Channel::Mail => {
                let mailer = self.mailer.as_ref().ok_or(DeliveryFault::NotConfigured)?;
                let letter = Letter::of(account, notice, page);
                let to = target.address.expose();
                mailer.send(to, id, &letter, claimed.made_at).await
            }
            Channel::Webhook => {
                let key = target.key.ok_or(DeliveryFault::Unreadable)?;
                let webhook = Webhook {
                    url: target.address.expose(),
                    key: &SecretString::from(key.expose().clone()),
                };
                let body = payload(account, notice, page, claimed.made_at).to_string();
                self.webhooks.send(webhook, id, body, now).await
            }
        }
    }
}

/// What follows from a notice that did not arrive.
fn after(fault: DeliveryFault, claimed: &ClaimedNotice, now: DateTime<Utc>) -> NoticeEnd {
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build();
    let wait = waits.nth(claimed.attempts as usize).unwrap_or(LONGEST_WAIT);
    let again = now + wait;
    if fault.is_final() || again > claimed.made_at + LONGEST {
        NoticeEnd::GivenUp(fault)
    } else {
        NoticeEnd::Retry(again, fault)
    }
}
