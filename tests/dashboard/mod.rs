//! What the dashboard asks, and a process that has something to tell about each of it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use vcc_link::domain::call::{CallOutcome, Direction};
use vcc_link::domain::ids::RecordId;
use vcc_link::domain::link::{Health, LinkStatus};
use vcc_link::domain::matching::{LookupAnswer, LookupResult};
use vcc_link::domain::notice::Channel;
use vcc_link::domain::outcome::{
    DeadReason, Failure, FailureClass, FailureScope, LoggedAs, Outcome, ParkReason, SkipReason,
};
use vcc_link::domain::task::OwnerSource;
use vcc_link::domain::work::Lane;
use vcc_link::store::reports::CallState;
use vcc_link::telemetry::Metrics;
use vcc_link::telemetry::metrics::{Consumed, Refresh, SalesforceRequest, ServedRequest};

/// The dashboard as it is shipped.
pub(crate) const OVERVIEW: &str = include_str!("../../deploy/grafana/overview.json");

/// One question of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// The panel's title.
    pub(crate) panel: String,
    /// The question, in Prometheus' language, with Grafana's variables.
    pub(crate) expr: String,
}

/// Every question of a dashboard. A panel without one is a fault, unless it is a row.
pub(crate) fn queries(dashboard: &Value) -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a panel has a title");
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(
            panel["type"] == "row" || !targets.is_empty(),
            "{title} asks nothing"
        );
        queries.extend(targets.iter().map(|target| {
            Query {
                panel: title.to_owned(),
                expr: target["expr"]
                    .as_str()
                    .expect("a target has a question")
                    .to_owned(),
            }
        }));
    }
    queries
}

/// Lets everything happen once that is measured.
pub(crate) fn let_everything_happen(metrics: &Metrics) {
    let begun = DateTime::<Utc>::UNIX_EPOCH;
    let ended = begun + TimeDelta::seconds(90);
    calls(metrics, begun, ended);
    requests(metrics);
    levels(metrics);
}

/// What happens to calls.
fn calls(metrics: &Metrics, begun: DateTime<Utc>, ended: DateTime<Utc>) {
    for result in [Consumed::Stored, Consumed::Ignored, Consumed::Quarantined] {
        metrics.consumed("vcc.calls", result, 1);
    }
    metrics.call_ended(Direction::Inbound, CallOutcome::Answered);
    for result in [
        LookupResult::Matched,
        LookupResult::None,
        LookupResult::Timeout,
    ] {
        let answered = begun + TimeDelta::milliseconds(700);
        metrics.looked_up(&LookupAnswer::without_record(result, answered), begun);
    }
    for owner in [
        OwnerSource::Event,
        OwnerSource::Email,
        OwnerSource::Fallback,
    ] {
        metrics.task_drafted(owner);
    }
    for outcome in outcomes(ended) {
        metrics.decided(&outcome, ended, ended + TimeDelta::seconds(3));
    }
    metrics.sent("vcc.call-logs", 3, None);
    metrics.sent("vcc.call-logs", 1, Some("message_timed_out"));
    metrics.rebalanced();
}

/// One outcome of each kind.
fn outcomes(at: DateTime<Utc>) -> Vec<Outcome> {
    let task: RecordId = "00T000000000001".parse().expect("a record id");
    let failure = Failure::new(
        FailureClass::Throttled,
        FailureScope::Org,
        "REQUEST_LIMIT_EXCEEDED",
    );
    let refused = Failure::new(
        FailureClass::Admin,
        FailureScope::Org,
        "INSUFFICIENT_ACCESS",
    );
    let logged = |how| Outcome::Logged {
        how,
        task: task.clone(),
    };
    vec![
        logged(LoggedAs::Created),
        logged(LoggedAs::Updated),
        logged(LoggedAs::Adopted),
        Outcome::Skipped {
            reason: SkipReason::Unlinked,
        },
        Outcome::Dead {
            reason: DeadReason::Refused,
            failure: Some(refused.clone()),
        },
        Outcome::RetryAt {
            at,
            failure: failure.clone(),
            degraded: [].into(),
            batch_limit: None,
            hidden: None,
        },
        Outcome::InDoubt {
            look_at: at,
            failure,
        },
        Outcome::Parked {
            reason: ParkReason::OrgRefuses,
            failure: Some(refused),
            until: None,
        },
        Outcome::NotSent { at },
    ]
}

/// Requests to Salesforce and to the process.
fn requests(metrics: &Metrics) {
    let failure = Failure::new(
        FailureClass::Throttled,
        FailureScope::Org,
        "REQUEST_LIMIT_EXCEEDED",
    );
    let took = Duration::from_millis(300);
    let answered = SalesforceRequest {
        operation: "create_tasks",
        method: "POST",
        status: Some(200),
        failure: None,
        took,
    };
    metrics.salesforce_request(&answered);
    metrics.salesforce_request(&SalesforceRequest {
        status: Some(403),
        failure: Some(&failure),
        ..answered
    });
    let route = Some("/readyz");
    metrics.served(&ServedRequest {
        method: "GET",
        route,
        status: 200,
        took,
    });
    for lane in [Lane::Lookup, Lane::Task] {
        metrics.batch(lane, 20);
    }
    for result in [Refresh::Fresh, Refresh::Later, Refresh::Dead] {
        metrics.token_refreshed(result);
    }
    for result in ["sent", "again", "given_up"] {
        metrics.notice(Channel::Mail, result);
    }
}

/// Levels.
fn levels(metrics: &Metrics) {
    for state in CallState::ALL {
        metrics.open_calls(state.as_str(), 3, Duration::from_secs(20));
    }
    for lane in [Lane::Lookup, Lane::Task] {
        metrics.in_flight(lane, 4);
    }
    metrics.stuck("expiring", 2);
    metrics.never_ended(1);
    let links = [
        (LinkStatus::Linked, Health::Healthy, 12),
        (LinkStatus::Linked, Health::Broken, 1),
    ];
    metrics.links(&links);
    metrics.pauses(&[], DateTime::<Utc>::UNIX_EPOCH);
    metrics.quota_used(0.4);
    metrics.open_breakers(1);
    metrics.consumer_lag(120, Duration::from_secs(2));
    metrics.stopped_partitions(0);
    metrics.outbox_waiting(7);
    metrics.leases_owned(256);
    metrics.recovering(false);
}
