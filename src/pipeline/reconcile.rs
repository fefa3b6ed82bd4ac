//! Reconciling: asks Salesforce what became of attempts whose answer was lost.
//!
//! By SOQL over all rows, in the org and with the key that the attempt was sent with (rule 5);
//! never by SOSL, whose index lags by minutes. One query for many attempts; where their absence is
//! final, the same request proves whether the API user would see them (rule 6).

use std::sync::Arc;

use crate::domain::ids::{AccountId, AttemptId, Generation, RecordId};
use crate::domain::outcome::Failure;
use crate::domain::work::{ApiUsage, AttemptKind, OpenAttempt};
use crate::engine::{BatchId, Finding, Input};
use crate::linking::Linking;
use crate::salesforce::Client;
use crate::salesforce::tasks::{Look, Shown};

/// How far Salesforce's clock and ours may differ, with ample margin (rule 5).
const CLOCK_SKEW: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// Asks Salesforce.
pub struct Reconciler {
    /// Sessions, also of earlier generations.
    pub linking: Arc<Linking>,
    /// The query.
    pub salesforce: Client,
}

impl Reconciler {
    /// Looks for the Tasks of attempts of one org, generation and key mode. `prove`: whether the API
    /// user would see them is asked with them.
    pub async fn reconcile(
        &self,
        batch: BatchId,
        (account, generation): (AccountId, Generation),
        attempts: Vec<OpenAttempt>,
        prove: bool,
    ) -> Input {
        let session = match self.linking.session(&account, generation).await {
            Ok(session) => session,
            Err(failure) => return over(batch, vec![], Some(failure), None),
        };
        let oldest = attempts.iter().map(|a| a.send_by).min();
        let (Some(first), Some(oldest)) = (attempts.first(), oldest) else {
            return over(batch, vec![], None, None);
        };
        let keys: Vec<String> = attempts.iter().map(|a| a.call.task_key()).collect();
        // Tasks that were dialled from are older than their attempts.
        let adopted = attempts.iter().filter_map(|a| match &a.kind {
            AttemptKind::Adopt { task } => Some(task.clone()),
            AttemptKind::Create | AttemptKind::Update { .. } => None,
        });
        let adopted: Vec<RecordId> = adopted.collect();
        let look = Look {
            keys: &keys,
            also: &adopted,
            mode: &first.mode,
            created_after: oldest - CLOCK_SKEW,
            prove,
        };
        match self.salesforce.find_tasks(&session, &look).await {
            Ok(answered) => {
                let found = |a: &OpenAttempt| (a.attempt, finding(a, &answered.value));
                let findings = attempts.iter().map(found).collect();
                over(batch, findings, None, answered.usage)
            }
            Err(error) => over(batch, vec![], Some(error.failure), error.usage),
        }
    }
}

/// What a look showed of an attempt. A revision leaves nothing to be found by; writing the same
/// values again is harmless, once nothing earlier can still arrive. A Task that was to be adopted and
/// is shown without the call's key proves by itself that it was not.
fn finding(attempt: &OpenAttempt, shown: &Shown) -> Finding {
    let mut sight = shown.sight;
    let found = match &attempt.kind {
        AttemptKind::Create => shown.tasks.get(&attempt.call.task_key()),
        AttemptKind::Adopt { task } => {
            sight.untouched = shown.seen.contains(task);
            shown.tasks.get(&attempt.call.task_key())
        }
        AttemptKind::Update { .. } => None,
    };
    let found = found.cloned();
    found.map_or(Finding::Absent(sight), Finding::Found)
}

/// The end of a query.
const fn over(
    batch: BatchId,
    findings: Vec<(AttemptId, Finding)>,
    failure: Option<Failure>,
    usage: Option<ApiUsage>,
) -> Input {
    Input::Reconciled {
        batch,
        findings,
        failure,
        usage,
    }
}
