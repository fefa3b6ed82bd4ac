//! Salesforce's answers at their worst: every kind of answer that a write may meet.

use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, PATIENCE, Setup, World};

pub(super) const ROWS: [Row; 1] = [Row::new(
    "hostile",
    "hostile answers: 50 kinds; 10 of them a trial, 20 calls each",
    250,
    |world, trial| hostile(world, trial).boxed(),
)
.in_worlds(Setup {
    // What Salesforce refuses for good may be given up, with this reason.
    reasons: &["refused"],
    ..Setup::USUAL
})];

/// Kinds of a trial.
const A_TRIAL: usize = 10;

/// Each kind strikes a few times while calls go out, and all of them come to an end.
async fn hostile(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let kinds = kinds();
    let first = usize::try_from(trial.number)? * A_TRIAL;
    let mut struck = u64::MAX;
    for kind in (first..first + A_TRIAL).map(|place| &kinds[place % kinds.len()]) {
        for org in ["Acme", "Beta"] {
            world.fault(json!({
                "id": org, "org": org, "kind": "collections", "times": 2, "action": kind,
            }))?;
        }
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        world.settled(PATIENCE).await?;
        struck = struck.min(world.faults_fired()?);
    }
    Ok(struck)
}

/// The fifty kinds, as the simulator's page writes them.
fn kinds() -> Vec<Value> {
    let mut kinds = vec![
        json!({"type": "commit_then_drop"}),
        json!({"type": "drop_before_commit"}),
        json!({"type": "commit_late", "ms": 1500}),
        json!({"type": "stall_after_commit", "ms": 5000}),
        json!({"type": "delay", "ms": 1500}),
        json!({"type": "truncated"}),
        json!({"type": "oversized", "bytes": 20_000_000}),
        json!({"type": "slow_drip", "bytes_per_s": 40}),
        json!({"type": "bad_json"}),
        json!({"type": "wrong_array_length"}),
        json!({"type": "redirect", "location": "http://127.0.0.1:9/"}),
        json!({"type": "constant_500"}),
        json!({"type": "lock_rows"}),
    ];
    for commit in [true, false] {
        for status in [200, 201, 500, 502, 503, 504] {
            kinds.push(json!({"type": "html", "status": status, "commit": commit}));
        }
        for status in [500, 503] {
            kinds.push(error(status, "UNKNOWN_EXCEPTION", commit));
        }
    }
    let clean = [
        (401, "INVALID_SESSION_ID"),
        (403, "REQUEST_LIMIT_EXCEEDED"),
        (400, "REQUEST_RUNNING_TOO_LONG"),
        (503, "SERVER_UNAVAILABLE"),
        (500, "UNABLE_TO_LOCK_ROW"),
        (429, "TOO_MANY_REQUESTS"),
        (500, "SOMETHING_NOBODY_HAS_SEEN"),
    ];
    kinds.extend(clean.map(|(status, code)| error(status, code, false)));
    let rows = [
        ("UNABLE_TO_LOCK_ROW", ""),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ""),
        ("REQUIRED_FIELD_MISSING", "Type"),
        ("STRING_TOO_LONG", "Subject"),
        ("INVALID_CROSS_REFERENCE_KEY", "WhoId"),
        ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "WhoId"),
        ("INACTIVE_OWNER_OR_USER", "OwnerId"),
        ("STORAGE_LIMIT_EXCEEDED", ""),
        ("ENTITY_IS_DELETED", ""),
        ("BAD_CUSTOM_ENTITY_PARENT_DOMAIN", ""),
        ("CANNOT_EXECUTE_FLOW_TRIGGER", ""),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "CallType"),
        ("SOMETHING_NOBODY_HAS_SEEN", ""),
    ];
    kinds.extend(rows.map(|(code, field)| {
        let fields: &[&str] = if field.is_empty() { &[] } else { &[field] };
        json!({"type": "row_error", "statusCode": code, "message": "made up", "fields": fields})
    }));
    kinds.push(json!({
        "type": "whole_chunk_failure", "statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "message": "VccTrigger: execution of AfterInsert",
    }));
    kinds
}

/// An error of the application server.
fn error(status: u16, code: &str, commit: bool) -> Value {
    json!({
        "type": "status", "status": status, "errorCode": code, "message": "made up",
        "commit": commit,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn there_are_fifty_kinds_and_no_two_are_the_same() {
        let kinds = super::kinds();
        let different: BTreeSet<String> = kinds.iter().map(ToString::to_string).collect();
        assert_eq!((kinds.len(), different.len()), (50, 50));
        for kind in kinds {
            let action: Result<salesforce_simulator::Action, _> = serde_json::from_value(kind);
            action.expect("an action of the simulator");
        }
    }
}
