//! Reconciling: asks Salesforce what became of attempts whose answer was lost.
//!
//! By SOQL over all rows, in the org and with the key that the attempt was sent with (rule 5);
//! never by SOSL, whose index lags by minutes. One query for many attempts.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::ids::{AccountId, Generation};
use crate::domain::task::KeyMode;
use crate::domain::work::{ApiUsage, AttemptKind, OpenAttempt};
use crate::engine::{BatchId, Finding, Input};
use crate::linking::Linking;
use crate::salesforce::Client;

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
    /// Looks for the Tasks of attempts of one org, generation and key mode.
    pub async fn reconcile(
        &self,
        batch: BatchId,
        account: AccountId,
        generation: Generation,
        attempts: Vec<OpenAttempt>,
    ) -> Input {
        let session = match self.linking.session(&account, generation).await {
            Ok(session) => session,
            Err(failure) => return failed(batch, failure, None),
        };
        let (Some(first), Some(oldest)) =
            (attempts.first(), attempts.iter().map(|a| a.send_by).min())
        else {
            return Input::Reconciled {
                batch,
                findings: vec![],
                failure: None,
                usage: None,
            };
        };
        let mode: KeyMode = first.mode.clone();
        let keys: Vec<String> = attempts.iter().map(|a| a.call.task_key()).collect();
        let answer = self
            .salesforce
            .find_tasks(&session, &keys, &mode, oldest - CLOCK_SKEW)
            .await;
        match answer {
            Ok(answered) => {
                let found: HashMap<_, _> = answered.value.into_iter().collect();
                let findings = attempts.iter().map(|attempt| {
                    // An update leaves nothing to be found by; writing the same values again is
                    // harmless, once nothing earlier can still arrive.
                    let task = match attempt.kind {
                        AttemptKind::Create => found.get(&attempt.call.task_key()).cloned(),
                        AttemptKind::Update { .. } => None,
                    };
                    (
                        attempt.attempt,
                        task.map_or(Finding::Absent, Finding::Found),
                    )
                });
                let (findings, usage) = (findings.collect(), answered.usage);
                Input::Reconciled {
                    batch,
                    findings,
                    failure: None,
                    usage,
                }
            }
            Err(error) => failed(batch, error.failure, error.usage),
        }
    }
}

/// A query that told nothing.
fn failed(
    batch: BatchId,
    failure: crate::domain::outcome::Failure,
    usage: Option<ApiUsage>,
) -> Input {
    Input::Reconciled {
        batch,
        findings: vec![],
        failure: Some(failure),
        usage,
    }
}
