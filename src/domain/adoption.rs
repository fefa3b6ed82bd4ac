//! Tasks that are there before their call: an agent dialled from one, or an earlier revision made it.

use std::collections::BTreeSet;

use super::call::{Call, CallFacts};
use super::ids::RecordId;
use super::task::TaskField;
use super::work::AttemptKind;

/// The Task that the agent dialled from, if so: as the end tells, else the begin.
pub fn dialled_from(call: &Call) -> Option<&RecordId> {
    let of = |facts: &CallFacts| facts.crm.existing_task.is_some();
    let ended = call.ended.as_deref().map(|ended| &ended.facts);
    let started = call.started.as_deref().map(|started| &started.facts);
    let facts = ended.filter(|facts| of(facts)).or(started)?;
    facts.crm.existing_task.as_ref()
}

/// Whether a Task that the agent dialled from may carry this call: its key is empty or ours. A
/// Task with another call's key stays that call's (two calls dialled from one Task).
pub fn may_adopt(existing: Option<&str>, ours: &str) -> bool {
    existing.is_none_or(|key| key.trim().is_empty() || key == ours)
}

/// What an attempt leaves as it is, whatever the call says: of a Task that the agent dialled from,
/// what a person wrote there; of a Task that the call has already, its Status, as somebody may
/// have opened it again.
pub fn kept(call: &Call, kind: &AttemptKind) -> BTreeSet<TaskField> {
    let dialled = kind.task().is_some() && kind.task() == dialled_from(call);
    let revises = matches!(kind, AttemptKind::Update { .. });
    let fields = [
        (dialled, TaskField::Description),
        (revises, TaskField::Status),
    ];
    let kept = fields.into_iter().filter(|(kept, _)| *kept);
    kept.map(|(_, field)| field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_adopted_only_if_its_key_is_free_or_ours() {
        assert!(may_adopt(None, "vcc:a:1"));
        assert!(may_adopt(Some(""), "vcc:a:1"));
        assert!(may_adopt(Some("vcc:a:1"), "vcc:a:1"));
        assert!(!may_adopt(Some("vcc:a:2"), "vcc:a:1"));
    }

    #[test]
    fn what_people_wrote_on_a_dialled_task_stays_and_so_does_the_status_of_a_logged_one() {
        let task = |id: &str| id.parse::<RecordId>().expect("an id");
        let (planned, own) = (task("00T000000000001"), task("00T000000000002"));
        let call = dialled(&planned);
        let kept = |kind| kept(&call, &kind);
        let update = |task: &RecordId| AttemptKind::Update { task: task.clone() };
        let adopt = AttemptKind::Adopt {
            task: planned.clone(),
        };
        let (text, status) = (TaskField::Description, TaskField::Status);
        assert_eq!(kept(AttemptKind::Create), BTreeSet::new());
        assert_eq!(kept(adopt), BTreeSet::from([text]));
        assert_eq!(kept(update(&planned)), BTreeSet::from([text, status]));
        assert_eq!(kept(update(&own)), BTreeSet::from([status]));
    }

    /// A call that began, dialled from this Task.
    fn dialled(task: &RecordId) -> Call {
        use super::super::call::{
            Agent, CallStarted, CrmContext, Direction, EventMeta, Party, Service,
        };
        let id = super::super::ids::CallId {
            account: "acme".parse().expect("an account"),
            interaction: "i1".parse().expect("an interaction"),
        };
        let mut call = Call::new(id.clone());
        let time = chrono::DateTime::UNIX_EPOCH;
        call.started = Some(Box::new(CallStarted {
            meta: EventMeta {
                id: "e1".parse().expect("an event id"),
                time,
                traceparent: None,
            },
            facts: CallFacts {
                id,
                conversation_id: None,
                direction: Direction::Outbound,
                started_at: time,
                from: Party::default(),
                to: Party::default(),
                customer_side: None,
                service: Service::default(),
                agent: Agent::default(),
                crm: CrmContext {
                    existing_task: Some(task.clone()),
                    ..CrmContext::default()
                },
                attributes: std::collections::BTreeMap::new(),
                test: false,
            },
            expires_at: None,
        }));
        call
    }
}
