//! Every metric and span field, with its unit and meaning.
//!
//! Where OpenTelemetry's semantic conventions have a name (`messaging.*`, `http.*`), it is used.
//! Our own begin with `vcc_link.`; Prometheus sees `vcc_link_`, the unit, and `_total` on
//! counters ([`Metric::prometheus`]). No metric has an account, an org or a call among its labels:
//! who is affected is in the published results, in `vcc-link calls` and in the logs.

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Grows only.
    Counter,
    /// A level that goes up and down.
    Gauge,
    /// A distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its OpenTelemetry name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Its unit by UCUM; what is counted stands in braces.
    pub unit: &'static str,
    /// What it tells, and by which labels.
    pub meaning: &'static str,
}

impl Metric {
    /// Describes a metric.
    const fn new(
        name: &'static str,
        kind: Kind,
        unit: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit,
            meaning,
        }
    }

    /// The name on the metrics page. A histogram has `_bucket`, `_sum` and `_count` behind it.
    pub fn prometheus(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "1" => "_ratio",
            _ => "",
        };
        let total = if self.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

/// Seconds from a call's end to its outcome: fine around the promise of 60 s and 15 min, coarse
/// for what waits for a person.
const LAGS: &[f64] = &[
    0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0,
];
/// Seconds from a call's begin to its lookup's answer: fine around the promise of 2 s.
const LOOKUPS_TAKE: &[f64] = &[0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];
/// Seconds of an HTTP request: the buckets of the semantic conventions, and on to the time-out.
const REQUESTS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
];
/// Calls in one request: up to 200, the most that Salesforce takes.
const BATCHES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 150.0, 200.0];

/// Declares the metrics, and the list of them all.
macro_rules! metrics {
    ($($name:ident = $text:literal, $kind:expr, $unit:literal, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Metric = Metric::new($text, $kind, $unit, $meaning);
        )*
        /// Every metric there is.
        pub const ALL: &[Metric] = &[$($name),*];
    };
}

metrics! {
    CALLS = "vcc_link.calls", Kind::Counter, "{call}",
        "Ended calls that were ingested, by direction and outcome.";
    CALL_LOGS = "vcc_link.call_logs", Kind::Counter, "{call}",
        "Calls decided, by action (created, updated, adopted, skipped, parked, dead letter), reason and class of failure; a call that is parked first is counted once more when it ends.";
    CALL_LOG_LAG = "vcc_link.call_log.lag", Kind::Histogram(LAGS), "s",
        "Time from a call's end to its terminal outcome, by action.";
    LOOKUPS = "vcc_link.lookups", Kind::Counter, "{call}",
        "Lookups answered, by result and by where the answer came from (via).";
    LOOKUP_DURATION = "vcc_link.lookup.duration", Kind::Histogram(LOOKUPS_TAKE), "s",
        "Time from a call's begin to its lookup's answer, by result.";
    TASK_OWNERS = "vcc_link.task_owners", Kind::Counter, "{call}",
        "Tasks drafted, by how their owner was decided (source: event, email, fallback).";
    RETRIES = "vcc_link.retries", Kind::Counter, "{call}",
        "Calls to be sent again or to be reconciled, by failure class.";
    BATCH_CALLS = "vcc_link.batch.calls", Kind::Histogram(BATCHES), "{call}",
        "Calls that share one request to Salesforce, by lane: the more, the cheaper for the customer.";
    IN_FLIGHT = "vcc_link.requests.in_flight", Kind::Gauge, "{request}",
        "Requests to Salesforce that wait for their answer, by lane.";
    OPEN_CALLS = "vcc_link.open_calls", Kind::Gauge, "{call}",
        "Calls that are not terminal, by state; every replica tells the whole: take the maximum.";
    OPEN_CALL_AGE = "vcc_link.oldest_open_call.age", Kind::Gauge, "s",
        "Age of the oldest call in a state since it was first heard of; 0 where there is none; every replica tells the whole: take the maximum.";
    STUCK_CALLS = "vcc_link.stuck_calls", Kind::Gauge, "{call}",
        "Calls that need a look, by reason: overdue (due for longer than the watchdog allows), unresolved (in an attempt for longer), expiring (parked, and soon at their maximum age); every replica tells the whole: take the maximum.";
    NEVER_ENDED = "vcc_link.calls.never_ended", Kind::Counter, "{call}",
        "Calls that began and were closed because their end did not come within the watchdog's time.";
    LINKS = "vcc_link.links", Kind::Gauge, "{link}",
        "Links, by status and health; every replica tells the whole: take the maximum.";
    PAUSES = "vcc_link.pauses", Kind::Gauge, "{pause}",
        "Pauses that operators ordered and that are in force, by lane and scope (account, org, all); every replica tells the whole: take the maximum.";
    PAUSE_AGE = "vcc_link.oldest_pause.age", Kind::Gauge, "s",
        "Age of the pause that is in force for the longest time, by lane; 0 where nothing is paused; every replica tells the whole: take the maximum.";
    TOKEN_REFRESHES = "vcc_link.token_refreshes", Kind::Counter, "{refresh}",
        "Access tokens refreshed, by result (fresh, later, dead).";
    NOTICES = "vcc_link.notices", Kind::Counter, "{notice}",
        "Tries to tell a contact, by channel (mail, webhook) and result (sent, again, given up).";
    QUOTA_USED = "vcc_link.salesforce.quota_used", Kind::Gauge, "1",
        "Share of the daily API limit that is used, of the org where it is highest.";
    OPEN_BREAKERS = "vcc_link.salesforce.open_breakers", Kind::Gauge, "{org}",
        "Orgs that are left alone because their requests fail.";
    CONSUMER_LAG = "vcc_link.consumer.lag", Kind::Gauge, "{message}",
        "Messages behind the end of the assigned partitions; each replica tells its own: add them up.";
    CONSUMER_DELAY = "vcc_link.consumer.delay", Kind::Gauge, "s",
        "Age of the oldest message that is being taken in; it grows while messages wait and nothing is stored; 0 where nothing waits.";
    STOPPED_PARTITIONS = "vcc_link.consumer.stopped_partitions", Kind::Gauge, "{partition}",
        "Assigned partitions that stand, because Kafka no longer has the offset that comes next.";
    REBALANCES = "vcc_link.consumer.rebalances", Kind::Counter, "{rebalance}",
        "Changes of the partitions that this replica consumes.";
    OUTBOX_WAITING = "vcc_link.outbox.waiting", Kind::Gauge, "{event}",
        "Events written and not yet published, in the shards of this replica.";
    LEASES_OWNED = "vcc_link.leases.owned", Kind::Gauge, "{shard}",
        "Shards that this replica works for.";
    RECOVERING = "vcc_link.recovering", Kind::Gauge, "",
        "1 while the database is one that came back from the past, so that nothing is sent; every replica tells the whole: take the maximum.";
    BUILD_INFO = "vcc_link.build_info", Kind::Gauge, "",
        "Always 1, by version and role.";
    CONSUMED = "messaging.client.consumed.messages", Kind::Counter, "{message}",
        "Messages consumed from Kafka, by topic and result (stored, ignored, quarantined).";
    SENT = "messaging.client.sent.messages", Kind::Counter, "{message}",
        "Messages published to Kafka, by topic; those that failed have an error type.";
    CLIENT_REQUESTS = "http.client.request.duration", Kind::Histogram(REQUESTS), "s",
        "Time of requests to Salesforce, by method, operation, HTTP status and, where they failed, error type; its count is the number of API calls.";
    SERVER_REQUESTS = "http.server.request.duration", Kind::Histogram(REQUESTS), "s",
        "Time of requests to this process, by method, route and HTTP status.";
}

/// Labels of metrics.
pub mod label {
    /// Which way a call went.
    pub const DIRECTION: &str = "direction";
    /// How a call ended.
    pub const OUTCOME: &str = "outcome";
    /// What became of a call.
    pub const ACTION: &str = "action";
    /// Why a call was skipped, parked or given up.
    pub const REASON: &str = "reason";
    /// What can be done about a failure; `none` where nothing failed.
    pub const FAILURE_CLASS: &str = "failure_class";
    /// By what a contact is told.
    pub const CHANNEL: &str = "channel";
    /// What a lookup, a refresh, a notice or a message came to.
    pub const RESULT: &str = "result";
    /// Where a lookup's answer came from.
    pub const VIA: &str = "via";
    /// How an owner was decided.
    pub const SOURCE: &str = "source";
    /// Lookup or Task.
    pub const LANE: &str = "lane";
    /// How much a pause stops.
    pub const SCOPE: &str = "scope";
    /// Where a call stands.
    pub const STATE: &str = "state";
    /// A link's status.
    pub const STATUS: &str = "status";
    /// A link's health.
    pub const HEALTH: &str = "health";
    /// This software's version.
    pub const VERSION: &str = "version";
    /// The subcommand that runs.
    pub const ROLE: &str = "role";
    /// What is asked of Salesforce.
    pub const OPERATION: &str = "operation";
    /// Semantic convention.
    pub const ERROR_TYPE: &str = "error.type";
    /// Semantic convention.
    pub const MESSAGING_SYSTEM: &str = "messaging.system";
    /// Semantic convention: the topic.
    pub const DESTINATION: &str = "messaging.destination.name";
    /// Semantic convention.
    pub const METHOD: &str = "http.request.method";
    /// Semantic convention.
    pub const STATUS_CODE: &str = "http.response.status_code";
    /// Semantic convention.
    pub const ROUTE: &str = "http.route";
}

/// Fields of spans and log lines: identities, times and counts only. In the macros of `tracing`
/// they stand in braces: `info!({ field::ACCOUNT } = %account, "…")`.
pub mod field {
    /// The account.
    pub const ACCOUNT: &str = "vcc_link.account";
    /// The interaction within the account.
    pub const INTERACTION: &str = "vcc_link.interaction";
    /// The Salesforce org.
    pub const ORG: &str = "vcc_link.org";
    /// The link's generation.
    pub const GENERATION: &str = "vcc_link.generation";
    /// How many calls share the request.
    pub const CALLS: &str = "vcc_link.calls";
}
