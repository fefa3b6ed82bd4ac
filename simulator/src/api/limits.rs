//! `GET /limits`: what the org may use, and what is left of it.

use serde_json::{Map, Value, json};

use super::{Answer, Reply};
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// Limits that nothing here uses up.
const UNTOUCHED: &[(&str, u64)] = &[
    ("ConcurrentAsyncGetReportInstances", 200),
    ("ConcurrentSyncReportRuns", 20),
    ("DailyAsyncApexExecutions", 250_000),
    ("DailyBulkApiBatches", 15_000),
    ("DailyBulkV2QueryFileStorageMB", 976_562),
    ("DailyBulkV2QueryJobs", 10_000),
    ("DailyDurableGenericStreamingApiEvents", 100_000),
    ("DailyDurableStreamingApiEvents", 100_000),
    ("DailyGenericStreamingApiEvents", 100_000),
    ("DailyStreamingApiEvents", 100_000),
    ("DailyWorkflowEmails", 100_000),
    ("FileStorageMB", 10_240),
    ("HourlyAsyncReportRuns", 1_200),
    ("HourlyDashboardRefreshes", 200),
    ("HourlyDashboardResults", 5_000),
    ("HourlyDashboardStatuses", 999_999_999),
    ("HourlyODataCallout", 20_000),
    ("HourlySyncReportRuns", 500),
    ("HourlyTimeBasedWorkflow", 1_000),
    ("MassEmail", 5_000),
    ("PermissionSets", 1_500),
    ("SingleEmail", 5_000),
    ("StreamingApiConcurrentClients", 2_000),
];

/// Needs "View Setup and Configuration".
pub(crate) fn limits(work: &mut Transaction<'_>) -> Answer {
    if !work.user.settings.view_setup {
        let text = "You do not have access to this resource";
        return Err(Refusal::new(403, "FORBIDDEN", text));
    }
    let mut limits: Map<String, Value> = UNTOUCHED
        .iter()
        .map(|(name, max)| ((*name).to_owned(), limit(*max, *max)))
        .collect();
    let max = work.org.switches.daily_limit;
    let left = max.saturating_sub(work.org.usage.used(work.now));
    limits.insert("DailyApiRequests".to_owned(), limit(max, left));
    let storage = if work.org.switches.storage_full {
        0
    } else {
        1_000
    };
    limits.insert("DataStorageMB".to_owned(), limit(1_024, storage));
    Ok(Reply::ok(Value::Object(limits)))
}

fn limit(max: u64, remaining: u64) -> Value {
    json!({ "Max": max, "Remaining": remaining })
}
