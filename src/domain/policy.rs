//! Which calls earn a Task: the contract's table of outcome × direction.
//!
//! VCC's own rule is the default: an interaction that an agent handled is logged. A setting may
//! decide otherwise for each outcome; internal calls never earn a Task, as they have no customer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::{CallEnded, CallOutcome, Direction};
use super::fault::Fault;
use super::outcome::SkipReason;

/// What the table says of one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Earns a Task.
    Log,
    /// Earns none.
    Skip,
}

/// The table. Outcomes that are not in it follow VCC's rule.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Inbound calls.
    pub inbound: BTreeMap<CallOutcome, Rule>,
    /// Outbound calls.
    pub outbound: BTreeMap<CallOutcome, Rule>,
}

impl Policy {
    /// Collects what is wrong with the table: any outcome may stand in it, so nothing is.
    pub const fn validate(&self, _faults: &mut Vec<Fault>) {}

    /// Why an ended call earns no Task whatever its link; `None`: it earns one.
    pub fn skip(&self, ended: &CallEnded) -> Option<SkipReason> {
        let table = match ended.facts.direction {
            Direction::Internal => return Some(SkipReason::Internal),
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        let by_default = || {
            let handled = ended.outcome == CallOutcome::Answered || ended.handled_by.is_some();
            if handled { Rule::Log } else { Rule::Skip }
        };
        let rule = table
            .get(&ended.outcome)
            .copied()
            .unwrap_or_else(by_default);
        (rule == Rule::Skip).then_some(SkipReason::Policy)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::call::{Agent, CallFacts, CrmContext, Durations, EventMeta, Party, Service};
    use crate::domain::ids::{CallId, Revision};

    fn ended(direction: Direction, outcome: CallOutcome, handled_by: Option<&str>) -> CallEnded {
        let at = DateTime::UNIX_EPOCH;
        CallEnded {
            meta: EventMeta {
                id: "e-1".parse().expect("an id"),
                time: at,
                traceparent: None,
            },
            facts: CallFacts {
                id: CallId {
                    account: "acme".parse().expect("an account"),
                    interaction: "call-1".parse().expect("an interaction"),
                },
                conversation_id: None,
                direction,
                started_at: at,
                from: Party::default(),
                to: Party::default(),
                customer_side: None,
                service: Service::default(),
                agent: Agent::default(),
                crm: CrmContext::default(),
                attributes: BTreeMap::new(),
                test: false,
            },
            ended_at: at,
            durations: Durations::default(),
            outcome,
            ended_by: None,
            handled_by: handled_by.map(Into::into),
            legs: Vec::new(),
            disposition: None,
            notes: None,
            recording: None,
            voicemail: None,
            revision: Revision(0),
            last: true,
        }
    }

    #[test]
    fn a_setting_wins_over_the_rule_but_internal_calls_earn_nothing() {
        use CallOutcome::{Answered, Missed};
        use Direction::{Inbound, Internal, Outbound};
        let policy = Policy {
            inbound: BTreeMap::from([(Answered, Rule::Skip), (Missed, Rule::Log)]),
            ..Policy::default()
        };
        let check = |policy: &Policy, direction, outcome, handled_by, skip| {
            assert_eq!(policy.skip(&ended(direction, outcome, handled_by)), skip);
        };
        let by_rule = Policy::default();
        check(&by_rule, Inbound, Answered, None, None);
        check(&by_rule, Inbound, Missed, None, Some(SkipReason::Policy));
        check(&by_rule, Inbound, Missed, Some("1042"), None);
        check(
            &policy,
            Inbound,
            Answered,
            Some("1042"),
            Some(SkipReason::Policy),
        );
        check(&policy, Inbound, Missed, None, None);
        check(&policy, Outbound, Missed, None, Some(SkipReason::Policy));
        check(
            &policy,
            Internal,
            Answered,
            Some("1042"),
            Some(SkipReason::Internal),
        );
    }
}
