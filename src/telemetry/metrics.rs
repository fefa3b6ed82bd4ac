//! The instruments: one method for each thing that happens, in the domain's words, so that names
//! and labels are decided here and nowhere else.

use std::time::Duration;

use chrono::{DateTime, Utc};
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use serde::Serialize;

use super::instruments::{class, counter, gauge, histogram, kafka, spell, text, word};
use super::names::{self, label};
use crate::domain::call::{CallOutcome, Direction};
use crate::domain::link::{Health, LinkStatus};
use crate::domain::matching::LookupAnswer;
use crate::domain::notice::Channel;
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::pause::{Pause, Scope};
use crate::domain::task::OwnerSource;
use crate::domain::work::Lane;

/// What became of a consumed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumed {
    /// It is in the inbox, or was there before.
    Stored,
    /// Its type is none of ours.
    Ignored,
    /// It is no valid event.
    Quarantined,
}

/// What became of a token refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// There is a fresh token.
    Fresh,
    /// To be tried again.
    Later,
    /// The link is dead.
    Dead,
}

/// A request to Salesforce that is over.
#[derive(Clone, Copy, Debug)]
pub struct SalesforceRequest<'a> {
    /// What was asked for, one of a few words: `search`, `create_tasks`. Never an address.
    pub operation: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// What failed, where something did.
    pub failure: Option<&'a Failure>,
    /// From the first byte sent to the last one received.
    pub took: Duration,
}

/// A request to this process that is over.
#[derive(Clone, Copy, Debug)]
pub struct ServedRequest<'a> {
    /// The HTTP method.
    pub method: &'static str,
    /// The route's pattern; `None` where no route matched.
    pub route: Option<&'a str>,
    /// The HTTP status.
    pub status: u16,
    /// From the request's head to the answer's.
    pub took: Duration,
}

/// Every instrument. Cheap to clone; the clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Counter<u64>,
    call_logs: Counter<u64>,
    call_log_lag: Histogram<f64>,
    lookups: Counter<u64>,
    lookup_duration: Histogram<f64>,
    task_owners: Counter<u64>,
    retries: Counter<u64>,
    batch_calls: Histogram<f64>,
    in_flight: Gauge<f64>,
    open_calls: Gauge<f64>,
    open_call_age: Gauge<f64>,
    stuck_calls: Gauge<f64>,
    never_ended: Counter<u64>,
    links: Gauge<f64>,
    pauses: Gauge<f64>,
    pause_age: Gauge<f64>,
    token_refreshes: Counter<u64>,
    notices: Counter<u64>,
    quota_used: Gauge<f64>,
    open_breakers: Gauge<f64>,
    consumer_lag: Gauge<f64>,
    consumer_delay: Gauge<f64>,
    stopped_partitions: Gauge<f64>,
    rebalances: Counter<u64>,
    outbox_waiting: Gauge<f64>,
    leases_owned: Gauge<f64>,
    recovering: Gauge<f64>,
    consumed: Counter<u64>,
    sent: Counter<u64>,
    client_requests: Histogram<f64>,
    server_requests: Histogram<f64>,
}

impl Metrics {
    /// The instruments of a meter; `role` is the subcommand that runs.
    pub fn new(meter: &Meter, role: &'static str) -> Self {
        let labels = [
            text(label::VERSION, env!("CARGO_PKG_VERSION")),
            text(label::ROLE, role),
        ];
        gauge(meter, names::BUILD_INFO).record(1.0, &labels);
        let metrics = Self {
            calls: counter(meter, names::CALLS),
            call_logs: counter(meter, names::CALL_LOGS),
            call_log_lag: histogram(meter, names::CALL_LOG_LAG),
            lookups: counter(meter, names::LOOKUPS),
            lookup_duration: histogram(meter, names::LOOKUP_DURATION),
            task_owners: counter(meter, names::TASK_OWNERS),
            retries: counter(meter, names::RETRIES),
            batch_calls: histogram(meter, names::BATCH_CALLS),
            in_flight: gauge(meter, names::IN_FLIGHT),
            open_calls: gauge(meter, names::OPEN_CALLS),
            open_call_age: gauge(meter, names::OPEN_CALL_AGE),
            stuck_calls: gauge(meter, names::STUCK_CALLS),
            never_ended: counter(meter, names::NEVER_ENDED),
            links: gauge(meter, names::LINKS),
            pauses: gauge(meter, names::PAUSES),
            pause_age: gauge(meter, names::PAUSE_AGE),
            token_refreshes: counter(meter, names::TOKEN_REFRESHES),
            notices: counter(meter, names::NOTICES),
            quota_used: gauge(meter, names::QUOTA_USED),
            open_breakers: gauge(meter, names::OPEN_BREAKERS),
            consumer_lag: gauge(meter, names::CONSUMER_LAG),
            consumer_delay: gauge(meter, names::CONSUMER_DELAY),
            stopped_partitions: gauge(meter, names::STOPPED_PARTITIONS),
            rebalances: counter(meter, names::REBALANCES),
            outbox_waiting: gauge(meter, names::OUTBOX_WAITING),
            leases_owned: gauge(meter, names::LEASES_OWNED),
            recovering: gauge(meter, names::RECOVERING),
            consumed: counter(meter, names::CONSUMED),
            sent: counter(meter, names::SENT),
            client_requests: histogram(meter, names::CLIENT_REQUESTS),
            server_requests: histogram(meter, names::SERVER_REQUESTS),
        };
        // A counter that appears with its first increase hides that increase from `rate()`.
        metrics.rebalances.add(0, &[]);
        metrics.never_ended.add(0, &[]);
        metrics
    }

    /// Messages of a topic were consumed.
    pub fn consumed(&self, topic: &str, result: Consumed, messages: u64) {
        let topic = text(label::DESTINATION, topic.to_owned());
        self.consumed
            .add(messages, &[kafka(), topic, word(label::RESULT, &result)]);
    }

    /// Messages were published to a topic; `error` is a short code, where they failed.
    pub fn sent(&self, topic: &str, messages: u64, error: Option<&'static str>) {
        let mut labels = vec![kafka(), text(label::DESTINATION, topic.to_owned())];
        labels.extend(error.map(|code| text(label::ERROR_TYPE, code)));
        self.sent.add(messages, &labels);
    }

    /// An ended call reached the inbox.
    pub fn call_ended(&self, direction: Direction, outcome: CallOutcome) {
        let labels = [
            word(label::DIRECTION, &direction),
            word(label::OUTCOME, &outcome),
        ];
        self.calls.add(1, &labels);
    }

    /// A lookup was answered.
    pub fn looked_up(&self, answer: &LookupAnswer, started_at: DateTime<Utc>) {
        let result = word(label::RESULT, &answer.result);
        let via = answer
            .via
            .map_or_else(|| text(label::VIA, "none"), |via| word(label::VIA, &via));
        self.lookups.add(1, &[result.clone(), via]);
        self.lookup_duration
            .record(between(started_at, answer.answered_at), &[result]);
    }

    /// A Task was drafted.
    pub fn task_drafted(&self, owner: OwnerSource) {
        self.task_owners.add(1, &[word(label::SOURCE, &owner)]);
    }

    /// It was decided what becomes of an ended call. Steps on the way count as retries.
    pub fn decided(&self, outcome: &Outcome, ended_at: DateTime<Utc>, decided_at: DateTime<Utc>) {
        let none = || "none".to_owned();
        let (action, reason, failure) = match outcome {
            Outcome::Logged { how, .. } => (spell(how), none(), None),
            Outcome::Skipped { reason } => ("skipped".into(), spell(reason), None),
            Outcome::Parked {
                reason, failure, ..
            } => ("parked".into(), spell(reason), failure.as_ref()),
            Outcome::Dead { reason, failure } => {
                ("dead_letter".into(), spell(reason), failure.as_ref())
            }
            Outcome::RetryAt { failure, .. } | Outcome::InDoubt { failure, .. } => {
                self.retries.add(1, &[class(Some(failure.class))]);
                return;
            }
            Outcome::NotSent { .. } => return,
        };
        let action = text(label::ACTION, action);
        let failure_class = class(failure.map(|f| f.class));
        self.call_logs.add(
            1,
            &[action.clone(), text(label::REASON, reason), failure_class],
        );
        if outcome.is_terminal() {
            self.call_log_lag
                .record(between(ended_at, decided_at), &[action]);
        }
    }

    /// A batch goes out.
    pub fn batch(&self, lane: Lane, calls: usize) {
        self.batch_calls
            .record(calls as f64, &[text(label::LANE, lane.as_str())]);
    }

    /// So many requests of a lane wait for their answer.
    pub fn in_flight(&self, lane: Lane, requests: usize) {
        self.in_flight
            .record(requests as f64, &[text(label::LANE, lane.as_str())]);
    }

    /// A request to Salesforce is over.
    pub fn salesforce_request(&self, request: &SalesforceRequest<'_>) {
        let mut labels = vec![
            text(label::OPERATION, request.operation),
            text(label::METHOD, request.method),
        ];
        labels.extend(
            request
                .status
                .map(|s| text(label::STATUS_CODE, i64::from(s))),
        );
        labels.extend(
            request
                .failure
                .map(|f| text(label::ERROR_TYPE, f.code.clone())),
        );
        self.client_requests
            .record(request.took.as_secs_f64(), &labels);
    }

    /// A request to this process is over.
    pub fn served(&self, request: &ServedRequest<'_>) {
        let mut labels = vec![
            text(label::METHOD, request.method),
            text(label::STATUS_CODE, i64::from(request.status)),
        ];
        let route = request.route.map(str::to_owned);
        labels.extend(route.map(|route| text(label::ROUTE, route)));
        self.server_requests
            .record(request.took.as_secs_f64(), &labels);
    }

    /// A token refresh is over.
    pub fn token_refreshed(&self, result: Refresh) {
        self.token_refreshes.add(1, &[word(label::RESULT, &result)]);
    }

    /// A try to tell a contact is over.
    pub fn notice(&self, channel: Channel, result: &'static str) {
        let labels = [word(label::CHANNEL, &channel), text(label::RESULT, result)];
        self.notices.add(1, &labels);
    }

    /// So many calls are in a state, the oldest since so long. Tell every state each time, those
    /// without calls too: a gauge keeps its last value.
    pub fn open_calls(&self, state: &'static str, calls: u64, oldest: Duration) {
        let labels = [text(label::STATE, state)];
        self.open_calls.record(calls as f64, &labels);
        self.open_call_age.record(oldest.as_secs_f64(), &labels);
    }

    /// So many calls need a look for a reason. Tell every reason each time.
    pub fn stuck(&self, reason: &'static str, calls: u64) {
        self.stuck_calls
            .record(calls as f64, &[text(label::REASON, reason)]);
    }

    /// Calls were closed whose end did not come.
    pub fn never_ended(&self, calls: u64) {
        self.never_ended.add(calls, &[]);
    }

    /// So many links have each status and health; what is not listed is none.
    pub fn links(&self, counts: &[(LinkStatus, Health, u64)]) {
        for status in [LinkStatus::Unlinked, LinkStatus::Linked, LinkStatus::Legacy] {
            for health in [Health::Healthy, Health::AtRisk, Health::Broken] {
                let same = counts
                    .iter()
                    .filter(|(s, h, _)| (*s, *h) == (status, health));
                let links: u64 = same.map(|(_, _, links)| links).sum();
                let labels = [word(label::STATUS, &status), word(label::HEALTH, &health)];
                self.links.record(links as f64, &labels);
            }
        }
    }

    /// These pauses are in force.
    pub fn pauses(&self, pauses: &[Pause], now: DateTime<Utc>) {
        for lane in [Lane::Lookup, Lane::Task] {
            let of_lane = || pauses.iter().filter(|pause| pause.lane == lane);
            let lane = text(label::LANE, lane.as_str());
            for scope in Scope::WORDS {
                let of_scope = of_lane().filter(|pause| pause.scope.as_str() == scope);
                let labels = [lane.clone(), text(label::SCOPE, scope)];
                self.pauses.record(of_scope.count() as f64, &labels);
            }
            let oldest = of_lane().map(|pause| pause.since).min();
            let age = oldest.map_or(0.0, |since| between(since, now));
            self.pause_age.record(age, &[lane]);
        }
    }

    /// The highest share of a daily API limit that an org has used, 0 to 1.
    pub fn quota_used(&self, highest: f64) {
        self.quota_used.record(highest, &[]);
    }

    /// So many orgs are left alone.
    pub fn open_breakers(&self, orgs: usize) {
        self.open_breakers.record(orgs as f64, &[]);
    }

    /// How far this replica is behind on its partitions.
    pub fn consumer_lag(&self, messages: u64, delay: Duration) {
        self.consumer_lag.record(messages as f64, &[]);
        self.consumer_delay.record(delay.as_secs_f64(), &[]);
    }

    /// So many of this replica's partitions stand, because Kafka does not have their offset.
    pub fn stopped_partitions(&self, partitions: usize) {
        self.stopped_partitions.record(partitions as f64, &[]);
    }

    /// The assigned partitions changed.
    pub fn rebalanced(&self) {
        self.rebalances.add(1, &[]);
    }

    /// So many events wait to be published.
    pub fn outbox_waiting(&self, events: usize) {
        self.outbox_waiting.record(events as f64, &[]);
    }

    /// This replica works for so many shards.
    pub fn leases_owned(&self, shards: usize) {
        self.leases_owned.record(shards as f64, &[]);
    }

    /// The database came back from the past, or did not.
    pub fn recovering(&self, is_so: bool) {
        self.recovering.record(f64::from(u8::from(is_so)), &[]);
    }
}

/// Seconds between two instants by the platform's and our clock; 0 where they disagree.
fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).to_std().unwrap_or_default().as_secs_f64()
}
