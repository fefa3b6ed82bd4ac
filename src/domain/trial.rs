//! The Task that an admin makes to see that the link works: marked, so that nobody takes it for a
//! call.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ids::AccountId;
use super::link::LinkedOrg;
use super::matching::Candidate;
use super::task::{Config, OwnerSource, TaskDraft, TaskField, local_day, references};

/// What the key of such a Task begins with. A call's begins with `vcc:`, so that they never meet.
const MARK: &str = "vcc-test:";

/// The key of an account's test Task.
pub fn key(account: &AccountId, id: Uuid) -> String {
    format!("{MARK}{account}:{id}")
}

/// Whether a Task with this key was made by a test of this account.
pub fn is_key_of(account: &AccountId, key: &str) -> bool {
    // No account's name holds a colon.
    let rest = key.strip_prefix(MARK);
    rest.is_some_and(|rest| rest.split(':').next() == Some(account.as_str()))
}

/// What the Task is called.
pub const SUBJECT: &str = "TEST of the call logging: no call, may be deleted";

/// The Task of a test, of the record that a lookup found; the API user owns it.
pub fn draft(
    key: String,
    record: Option<&Candidate>,
    org: &LinkedOrg,
    omit: &BTreeSet<TaskField>,
    config: &Config,
    now: DateTime<Utc>,
) -> TaskDraft {
    let (who, what) = record.map_or((None, None), references);
    let text = "An admin of the contact centre made this Task to see that calls can be logged here. \
                There was no call. It may be deleted.";
    TaskDraft {
        key,
        subject: SUBJECT.to_owned().into(),
        description: Some(text.to_owned().into()),
        who,
        what,
        owner: None,
        owner_source: OwnerSource::Fallback,
        status: org.closed_status.as_ref().unwrap_or(&config.status).clone(),
        priority: config.priority.clone(),
        call_type: "Inbound",
        duration_seconds: 0,
        disposition: None,
        activity_date: local_day(now, org.time_zone.as_deref()),
        omit: omit.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CallId;

    #[test]
    fn a_test_is_taken_for_no_call_and_for_no_other_accounts() {
        let account = |text: &str| text.parse::<AccountId>().expect("an account");
        let ours = key(&account("acme"), Uuid::nil());
        assert!(is_key_of(&account("acme"), &ours));
        assert!(!is_key_of(&account("acm"), &ours));
        let call = CallId {
            account: account("acme"),
            interaction: "test".parse().expect("an id"),
        };
        assert!(!is_key_of(&account("acme"), &call.task_key()));
        assert!(!ours.starts_with("vcc:"));
    }
}
