//! Did the unanswered attempt happen? When to ask, whom to ask, and what the answer is worth.
//!
//! An answer that shows the Task ends it at any time. An answer that shows none is worth nothing
//! while the request may still run: Salesforce lets one run for ten minutes (rule 5). And it is
//! worth nothing at all if the API user cannot see what it may have made (rule 6): whether it can is
//! proven with the look that counts, as an admin may have taken the permission away since the link
//! was made.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::config::Retry;
use super::journal::{Sent, half};
use crate::domain::fault::Fault;
use crate::domain::ids::{Generation, RecordId};
use crate::domain::link::LinkState;
use crate::domain::outcome::{DeadReason, Failure, FailureClass, FailureScope, LoggedAs, Outcome};
use crate::domain::task::{Hidden, KeyMode};
use crate::domain::work::{AttemptKind, OpenAttempt, Sight};

/// What reconciling found of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The Task exists.
    Found(RecordId),
    /// Salesforce shows none, and what that is worth.
    Absent(Sight),
}

/// Section `engine.reconcile` of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When to ask first; each further wait is twice as long.
    #[serde(with = "humantime_serde")]
    pub first_look: Duration,
    /// How long after `send_by` a request may still take effect: Salesforce's longest request. At
    /// least ten minutes, but with a stand-in for Salesforce (`salesforce.trusted_hosts`).
    #[serde(with = "humantime_serde")]
    pub final_after: Duration,
    /// How far the clocks of database, workers and Salesforce may differ. Of the first two it is seen to
    /// (`store::leases`).
    #[serde(with = "humantime_serde")]
    pub clock_margin: Duration,
    /// Attempts in one query, 1 to 200.
    pub batch: usize,
    /// The wait after a query that failed, or that cannot be asked now.
    #[serde(with = "humantime_serde")]
    pub repeat: Duration,
    /// How long after `send_by` an attempt is asked for in an org that the account has left
    /// (rule 8). Longer than `final_after`, or no attempt is ever settled there.
    #[serde(with = "humantime_serde")]
    pub previous_org_patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            first_look: Duration::from_secs(30),
            final_after: Duration::from_mins(10),
            clock_margin: Duration::from_secs(30),
            batch: 200,
            repeat: Duration::from_mins(1),
            previous_org_patience: Duration::from_hours(1),
        }
    }
}

impl Config {
    pub(super) fn validate(&self, faults: &mut Vec<Fault>) {
        let mut check = |ok: bool, setting: &str, advice: &str| {
            if !ok {
                faults.push(Fault::new(format!("engine.reconcile.{setting}"), advice));
            }
        };
        check(
            !self.first_look.is_zero(),
            "first_look",
            "must be longer than 0s",
        );
        check(
            !self.final_after.is_zero(),
            "final_after",
            "must be longer than 0s",
        );
        check((1..=200).contains(&self.batch), "batch", "must be 1 to 200");
        check(!self.repeat.is_zero(), "repeat", "must be longer than 0s");
        check(
            self.previous_org_patience > self.final_after + self.clock_margin,
            "previous_org_patience",
            "must be longer than engine.reconcile.final_after and clock_margin together",
        );
    }

    /// From when on "no Task" is final. Where a unique field protects the org this is no shorter:
    /// within these minutes the account may be linked to another org, where nothing would refuse
    /// the second Task. A request that Salesforce's application server answered is over (rule 4).
    pub(super) fn final_at(&self, attempt: &OpenAttempt) -> DateTime<Utc> {
        if attempt.answered {
            return DateTime::<Utc>::MIN_UTC;
        }
        attempt.send_by + self.final_after + self.clock_margin
    }
}

/// When to look for an attempt whose answer was just lost: at once if its request is over. An update
/// is not looked for: it is repeated, which changes nothing if it was done, once an older one
/// cannot overtake it.
pub(super) fn first_look(
    config: &Config,
    now: DateTime<Utc>,
    sent: &Sent<'_>,
    answered: bool,
) -> DateTime<Utc> {
    match sent.kind {
        _ if answered => now,
        AttemptKind::Create | AttemptKind::Adopt { .. } => now + config.first_look,
        AttemptKind::Update { .. } => {
            (sent.send_by + config.final_after + config.clock_margin).max(now)
        }
    }
}

/// When to look again after `looks` looks that settled nothing.
fn next_look(
    config: &Config,
    asked_at: DateTime<Utc>,
    looks: u32,
    end: DateTime<Utc>,
) -> DateTime<Utc> {
    let growing = asked_at + config.first_look.saturating_mul(1 << looks.min(16));
    // The look that counts is the first one from `end` on: neither missed nor delayed.
    if asked_at < end {
        growing.min(end)
    } else {
        asked_at + config.repeat
    }
}

/// What to do about an open attempt now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask with the tokens of this generation.
    Ask(Generation),
    /// Not before this.
    Wait(DateTime<Utc>),
    /// It is over without asking.
    Over(Box<Outcome>),
}

/// What a finding is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// It is over.
    Over(Box<Outcome>),
    /// Look again then.
    Look(DateTime<Utc>),
}

/// Settles attempts by the settings.
pub(super) struct Settler<'a> {
    pub(super) config: &'a Config,
    pub(super) retry: &'a Retry,
    /// How long after `send_by` an attempt is kept that nobody can ask for.
    pub(super) kept_at_most: Duration,
    pub(super) rng: &'a mut dyn RngCore,
}

impl Settler<'_> {
    /// Decides whether and with which tokens to ask for an attempt at `now`.
    pub(super) fn plan(
        &mut self,
        now: DateTime<Utc>,
        attempt: &OpenAttempt,
        link: &LinkState,
    ) -> Step {
        let config = self.config;
        let same_org = link.org.as_ref().is_some_and(|org| org.org == attempt.org);
        if !same_org {
            let end = attempt.send_by + config.previous_org_patience;
            return if now >= end {
                Step::Over(Box::new(Outcome::Dead {
                    reason: DeadReason::UnresolvedInPreviousOrg,
                    failure: None,
                }))
            } else if matches!(attempt.kind, AttemptKind::Update { .. }) {
                // Nothing that can be asked settles an update; the old org cannot be written any more.
                Step::Wait(end)
            } else {
                Step::Ask(attempt.generation)
            };
        }
        if !link.is_live() {
            return match self.unanswered(now, attempt, now + config.repeat) {
                Conclusion::Over(outcome) => Step::Over(outcome),
                Conclusion::Look(at) => Step::Wait(at),
            };
        }
        if matches!(attempt.kind, AttemptKind::Update { .. }) {
            let end = config.final_at(attempt);
            return if now >= end {
                Step::Over(Box::new(self.again(now, attempt, None)))
            } else {
                Step::Wait(end)
            };
        }
        Step::Ask(link.generation)
    }

    /// Concludes from a query that began at `asked_at`: what was true before it began is what it
    /// shows, however late its answer comes.
    pub(super) fn conclude(
        &mut self,
        asked_at: DateTime<Utc>,
        attempt: &OpenAttempt,
        looks: u32,
        link: &LinkState,
        finding: &Finding,
    ) -> Conclusion {
        let sight = match finding {
            Finding::Found(task) => {
                let how = match attempt.kind {
                    AttemptKind::Create => LoggedAs::Adopted,
                    AttemptKind::Adopt { .. } | AttemptKind::Update { .. } => LoggedAs::Updated,
                };
                let task = task.clone();
                return Conclusion::Over(Box::new(Outcome::Logged { how, task }));
            }
            Finding::Absent(sight) => *sight,
        };
        let end = self.config.final_at(attempt);
        if asked_at < end {
            return Conclusion::Look(next_look(self.config, asked_at, looks, end));
        }
        // What the API user cannot see may exist all the same (rule 6): it goes again only where
        // Salesforce would refuse to double it.
        let refused = guard(attempt, link).filter(|_| sight.key_field);
        let outcome = match (sight.sees_all, refused) {
            (true, _) => self.again(asked_at, attempt, None),
            // What an earlier attempt may have hidden stays so.
            (false, _) if sight.untouched => self.again(asked_at, attempt, attempt.hidden.clone()),
            (false, Some(hidden)) => self.again(asked_at, attempt, Some(hidden)),
            (false, None) => not_proven(),
        };
        Conclusion::Over(Box::new(outcome))
    }

    /// Nobody can ask now, or Salesforce refuses to answer: again at `then`, unless the attempt is
    /// older than calls are kept.
    pub(super) fn unanswered(
        &self,
        now: DateTime<Utc>,
        attempt: &OpenAttempt,
        then: DateTime<Utc>,
    ) -> Conclusion {
        if now < attempt.send_by + self.kept_at_most {
            return Conclusion::Look(then);
        }
        Conclusion::Over(Box::new(unknown(
            "nobody_to_ask",
            "the link did not work for as long as calls are kept: look in the org whether the call has a Task, and replay the call if it has none",
        )))
    }

    /// The request had no effect. Its calls go again in halves, as one of them may be the reason;
    /// only one that failed alone, again and again, is given up.
    fn again(
        &mut self,
        now: DateTime<Utc>,
        attempt: &OpenAttempt,
        hidden: Option<Hidden>,
    ) -> Outcome {
        let mut failure = Failure::new(
            FailureClass::Ambiguous,
            FailureScope::Record,
            "attempt_without_effect",
        );
        let (tried, ended_at) = (attempt.attempts, attempt.call_ended_at);
        let at = match self.retry.next(now, self.rng, tried, ended_at) {
            None if attempt.together > 1 => Some(now),
            next => next,
        };
        let Some(at) = at else {
            "Salesforce fails on this call each time: its earlier attempts tell how."
                .clone_into(&mut failure.hint);
            let reason = DeadReason::RetriesExhausted;
            let failure = Some(failure);
            return admit(Outcome::Dead { reason, failure }, hidden.is_some());
        };
        "The request before had no effect; it is sent again.".clone_into(&mut failure.hint);
        Outcome::RetryAt {
            at,
            failure,
            degraded: attempt.degraded.clone(),
            batch_limit: Some(half(attempt.together)),
            hidden,
        }
    }
}

/// When to look again after a query that failed.
pub(super) fn after_failure(config: &Config, now: DateTime<Utc>) -> DateTime<Utc> {
    now + config.repeat
}

/// What refuses a second Task of the call, if it stands: Salesforce itself, by its unique field.
fn guard(attempt: &OpenAttempt, link: &LinkState) -> Option<Hidden> {
    let KeyMode::UniqueField { field } = &attempt.mode else {
        return None;
    };
    let hidden = Hidden {
        org: attempt.org.clone(),
        field: field.clone(),
    };
    let org = link.org.as_ref()?;
    hidden.is_refused(&org.org, &org.key_mode).then_some(hidden)
}

/// Nobody says of a call whose Task may be hidden that it has none, however it comes to its end.
pub(super) fn admit(outcome: Outcome, hidden: bool) -> Outcome {
    match outcome {
        Outcome::Skipped { .. }
        | Outcome::Dead {
            reason: DeadReason::Refused | DeadReason::RetriesExhausted | DeadReason::Bug,
            ..
        } if hidden => not_proven(),
        outcome => outcome,
    }
}

/// The API user may not see the Task that there may be.
pub(super) fn not_proven() -> Outcome {
    unknown(
        "absence_not_proven",
        "grant the API user View All Data, look in the org whether the call has a Task, and replay the call if it has none",
    )
}

/// A Task may exist, and nothing that can be asked tells: a person must look.
fn unknown(code: &str, hint: &str) -> Outcome {
    let mut failure = Failure::new(FailureClass::Ambiguous, FailureScope::Record, code);
    hint.clone_into(&mut failure.hint);
    Outcome::Dead {
        reason: DeadReason::Unknown,
        failure: Some(failure),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::TimeDelta;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::domain::ids::{AttemptId, CallId, Revision, ShardId};
    use crate::domain::link::{Environment, Health, LinkStatus, LinkedOrg, Username};

    /// An unanswered create, sent by a link that is broken now.
    fn stranded(now: DateTime<Utc>) -> (OpenAttempt, LinkState) {
        let mut link = LinkState::unlinked("acme".parse().expect("an account"), now);
        link.status = LinkStatus::Linked;
        link.health = Health::Broken;
        let org = LinkedOrg {
            org: "00D000000000001".parse().expect("an org id"),
            user: "005000000000001".parse().expect("a user id"),
            name: None,
            username: Username::default(),
            environment: Environment::Production,
            instance_url: String::new(),
            key_mode: KeyMode::CallObject { sees_all: true },
            time_zone: None,
            default_country: None,
            closed_status: None,
            preflight: Vec::new(),
            asked_at: None,
        };
        let attempt = OpenAttempt {
            attempt: AttemptId(1),
            call: CallId {
                account: link.account.clone(),
                interaction: "c".parse().expect("an interaction"),
            },
            shard: ShardId(0),
            org: org.org.clone(),
            generation: link.generation,
            mode: org.key_mode.clone(),
            kind: AttemptKind::Create,
            revision: Revision(0),
            degraded: BTreeSet::new(),
            send_by: now,
            look_at: now,
            attempts: 1,
            together: 1,
            answered: false,
            hidden: None,
            call_ended_at: None,
        };
        link.org = Some(org);
        (attempt, link)
    }

    #[test]
    fn an_attempt_that_nobody_can_ask_for_waits_for_the_link_and_not_for_ever() {
        let now = DateTime::UNIX_EPOCH;
        let (attempt, link) = stranded(now);
        let (config, retry) = (Config::default(), Retry::default());
        let mut settler = Settler {
            config: &config,
            retry: &retry,
            kept_at_most: Duration::from_hours(30 * 24),
            rng: &mut StdRng::seed_from_u64(7),
        };
        let mut plan = |days| settler.plan(now + TimeDelta::days(days), &attempt, &link);
        assert!(matches!(plan(0), Step::Wait(_)));
        assert!(matches!(plan(29), Step::Wait(_)));
        let Step::Over(outcome) = plan(30) else {
            panic!("it waits on")
        };
        let Outcome::Dead { reason, failure } = *outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(reason, DeadReason::Unknown);
        assert_eq!(failure.expect("why").code, "nobody_to_ask");
    }

    /// What comes of an attempt of which a look, long after it, shows no Task.
    fn concluded(attempt: &OpenAttempt, link: &LinkState, sight: Sight) -> Outcome {
        let mut settler = Settler {
            config: &Config::default(),
            retry: &Retry::default(),
            kept_at_most: Duration::from_hours(30 * 24),
            rng: &mut StdRng::seed_from_u64(7),
        };
        let long_after = attempt.send_by + TimeDelta::days(300);
        match settler.conclude(long_after, attempt, 1, link, &Finding::Absent(sight)) {
            Conclusion::Over(outcome) => *outcome,
            Conclusion::Look(_) => panic!("it is final"),
        }
    }

    /// Whoever is answered by a hidden Task's absence sends again, where Salesforce would refuse a
    /// second one, and does not say in the end that there is none.
    #[test]
    fn what_may_be_hidden_is_sent_again_under_a_unique_field_and_ends_as_unknown() {
        let now = DateTime::UNIX_EPOCH;
        let (mut attempt, mut link) = stranded(now);
        let mode = KeyMode::UniqueField {
            field: "VCC_Call_Key__c".to_owned(),
        };
        attempt.mode = mode.clone();
        link.org.as_mut().expect("linked").key_mode = mode;
        let mut conclude = |attempts, sees_all| {
            attempt.attempts = attempts;
            attempt.call_ended_at = Some(now);
            let sight = Sight {
                sees_all,
                untouched: false,
                key_field: true,
            };
            match concluded(&attempt, &link, sight) {
                Outcome::Dead { reason, .. } => Some(reason),
                _ => None,
            }
        };
        assert_eq!(conclude(1, false), None);
        assert_eq!(conclude(1_000, false), Some(DeadReason::Unknown));
        assert_eq!(conclude(1_000, true), Some(DeadReason::RetriesExhausted));
    }

    /// A planned Task without the call's key proves that it was not adopted. It does not prove that
    /// an attempt before that made none.
    #[test]
    fn a_task_that_was_not_adopted_says_nothing_of_one_that_may_be_hidden() {
        let now = DateTime::UNIX_EPOCH;
        let (mut attempt, link) = stranded(now);
        let task = "00T000000000001".parse().expect("a task id");
        attempt.kind = AttemptKind::Adopt { task };
        let before = Hidden {
            org: attempt.org.clone(),
            field: "VCC_Call_Key__c".to_owned(),
        };
        let mut hidden_after = |before: Option<&Hidden>, sees_all| {
            attempt.hidden = before.cloned();
            let sight = Sight {
                sees_all,
                untouched: true,
                key_field: true,
            };
            match concluded(&attempt, &link, sight) {
                Outcome::RetryAt { hidden, .. } => hidden,
                other => panic!("it is sent again: {other:?}"),
            }
        };
        assert_eq!(hidden_after(Some(&before), false).as_ref(), Some(&before));
        assert_eq!(hidden_after(None, false), None);
        assert_eq!(hidden_after(Some(&before), true), None);
    }
}
