//! The life of an attempt: what an answer means for a call.
//!
//! One pure function, [`judge`], from (attempt, answer) to an [`Outcome`]. What the same answer
//! means for the token, the link and the org is decided beside it, once for the whole request.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rand::RngCore;

use super::config::Config;
use super::parking::park;
use super::reconcile;
use crate::domain::outcome::{
    Answer, DeadReason, Failure, FailureClass, FailureScope, LoggedAs, Outcome, ParkReason,
};
use crate::domain::task::{Hidden, TaskField};
use crate::domain::work::AttemptKind;

/// What was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent<'a> {
    /// Attempts of the call so far, this one included.
    pub(super) attempts: u32,
    /// What was left out.
    pub(super) degraded: &'a BTreeSet<TaskField>,
    /// The most calls that its request was allowed to hold.
    pub(super) batch_limit: Option<u32>,
    /// Where its Task may exist already, unseen.
    pub(super) hidden: Option<&'a Hidden>,
    /// Create, adopt or update.
    pub(super) kind: &'a AttemptKind,
    /// No byte was written after this.
    pub(super) send_by: DateTime<Utc>,
    /// When the call ended.
    pub(super) ended_at: Option<DateTime<Utc>>,
    /// Calls in the same request.
    pub(super) together: u32,
}

/// What holds for the whole request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circumstances {
    /// Nothing can be sent before this.
    pub(super) not_before: Option<DateTime<Utc>>,
    /// Since when the org's daily limit is used up.
    pub(super) quota_since: Option<DateTime<Utc>>,
    /// The link is dead, and that is not our own doing (rule 12).
    pub(super) link_dead: bool,
}

/// Judges one call's answer.
pub(super) fn judge(
    config: &Config,
    now: DateTime<Utc>,
    rng: &mut dyn RngCore,
    sent: &Sent<'_>,
    around: Circumstances,
    answer: Answer,
) -> Outcome {
    let mut judge = Judge {
        config,
        now,
        rng,
        sent,
        around,
    };
    let outcome = match answer {
        Answer::Created(task) => Outcome::Logged {
            how: LoggedAs::Created,
            task,
        },
        Answer::Updated(task) => Outcome::Logged {
            how: LoggedAs::Updated,
            task,
        },
        Answer::Exists(task) => Outcome::Logged {
            how: LoggedAs::Adopted,
            task,
        },
        Answer::NotSent(failure) => judge.not_sent(failure),
        Answer::Failed(failure) => judge.failed(failure),
    };
    reconcile::admit(outcome, sent.hidden.is_some())
}

/// How large the halves of a batch are that failed as a whole.
pub(super) const fn half(together: u32) -> u32 {
    together.div_ceil(2)
}

struct Judge<'a> {
    config: &'a Config,
    now: DateTime<Utc>,
    rng: &'a mut dyn RngCore,
    sent: &'a Sent<'a>,
    around: Circumstances,
}

impl Judge<'_> {
    fn not_sent(&mut self, failure: Failure) -> Outcome {
        if failure.class == FailureClass::Link && self.around.link_dead {
            return self.park(ParkReason::LinkBroken, failure);
        }
        Outcome::NotSent {
            at: self.next_try(),
        }
    }

    fn failed(&mut self, failure: Failure) -> Outcome {
        if failure.class == FailureClass::Ambiguous {
            let look_at =
                reconcile::first_look(&self.config.reconcile, self.now, self.sent, failure.ended);
            return Outcome::InDoubt { look_at, failure };
        }
        if failure.scope == FailureScope::Everyone {
            return self.again(failure);
        }
        match failure.class {
            FailureClass::Transient | FailureClass::Throttled => self.retry(failure),
            FailureClass::Session => self.again(failure),
            FailureClass::Quota => self.quota(failure),
            FailureClass::Link if self.around.link_dead => {
                self.park(ParkReason::LinkBroken, failure)
            }
            FailureClass::Link => self.again(failure),
            FailureClass::Admin => self.refused(failure),
            FailureClass::Payload => self.degrade(failure),
            FailureClass::Split if self.is_shared(&failure) => self.bisect(failure),
            FailureClass::Split => self.retry(failure),
            // Our key is taken, and the Task that has it cannot be seen, or it would have been
            // answered with `Exists`: sending again would only say so again (rules 6 and 7).
            FailureClass::Done => dead(DeadReason::Unknown, failure),
            FailureClass::Bug if self.is_shared(&failure) => self.bisect(failure),
            FailureClass::Bug => dead(DeadReason::Bug, failure),
            FailureClass::Ambiguous => unreachable!("an ambiguous answer is reconciled above"),
        }
    }

    /// Later, or never again.
    fn retry(&mut self, failure: Failure) -> Outcome {
        let Sent {
            attempts, ended_at, ..
        } = *self.sent;
        let next = self
            .config
            .retry
            .next(self.now, self.rng, attempts, ended_at);
        match next {
            Some(at) => self.retry_at(self.not_before(at), failure),
            None => dead(DeadReason::RetriesExhausted, failure),
        }
    }

    /// As soon as what stands in the way of the whole request is gone.
    fn again(&mut self, failure: Failure) -> Outcome {
        let at = self.around.not_before.unwrap_or(self.now);
        self.retry_at(at, failure)
    }

    fn quota(&mut self, failure: Failure) -> Outcome {
        let patience = self.config.pacing.quota_park_after;
        match self.around.quota_since {
            Some(since) if self.now >= since + patience => self.park(ParkReason::Quota, failure),
            _ => {
                let at = self
                    .around
                    .not_before
                    .unwrap_or(self.now + self.config.pacing.quota_probe);
                self.retry_at(at, failure)
            }
        }
    }

    fn refused(&mut self, failure: Failure) -> Outcome {
        if self.sent.attempts < self.config.retry.refusals {
            return self.retry(failure);
        }
        self.park(ParkReason::OrgRefuses, failure)
    }

    /// Leaves out what is named. Nothing new named: the org refuses the record for a reason that
    /// leaving out does not mend, or one record of many spoils the request.
    fn degrade(&mut self, failure: Failure) -> Outcome {
        let mut degraded = self.sent.degraded.clone();
        degraded.extend(failure.fields.iter().copied());
        if degraded.len() > self.sent.degraded.len() {
            return Outcome::RetryAt {
                at: self.now,
                failure,
                degraded,
                batch_limit: self.sent.batch_limit,
                hidden: self.sent.hidden.cloned(),
            };
        }
        if self.is_shared(&failure) {
            return self.bisect(failure);
        }
        match self.sent.kind {
            AttemptKind::Update { .. } if failure.fields.is_empty() => self.unwritable(failure),
            // The next attempt makes a Task of its own.
            AttemptKind::Adopt { .. } if failure.fields.is_empty() => self.retry(failure),
            _ => self.park(ParkReason::OrgRefuses, failure),
        }
    }

    /// The Task that is to be changed is gone or out of reach, whatever the change says: no
    /// setting of the org brings it back, so the change is given up once that is believed.
    fn unwritable(&mut self, failure: Failure) -> Outcome {
        if self.sent.attempts < self.config.retry.refusals {
            return self.retry(failure);
        }
        dead(DeadReason::Refused, failure)
    }

    /// Sends again in halves.
    fn bisect(&self, failure: Failure) -> Outcome {
        Outcome::RetryAt {
            at: self.now,
            failure,
            degraded: self.sent.degraded.clone(),
            batch_limit: Some(half(self.sent.together)),
            hidden: self.sent.hidden.cloned(),
        }
    }

    /// Whether another call of the request may have caused the failure.
    fn is_shared(&self, failure: &Failure) -> bool {
        self.sent.together > 1 && failure.scope >= FailureScope::Request
    }

    fn park(&self, reason: ParkReason, failure: Failure) -> Outcome {
        let at_most = self.config.links.parked_at_most;
        park(at_most, self.now, self.sent.ended_at, reason, Some(failure))
    }

    fn next_try(&mut self) -> DateTime<Utc> {
        let wait = self.config.retry.tasks.full(self.sent.attempts, self.rng);
        self.not_before(self.now + wait)
    }

    /// Not while nothing can be sent.
    fn not_before(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let not_before = self.around.not_before;
        not_before.map_or(at, |not_before| at.max(not_before))
    }

    fn retry_at(&self, at: DateTime<Utc>, failure: Failure) -> Outcome {
        Outcome::RetryAt {
            at,
            failure,
            degraded: self.sent.degraded.clone(),
            batch_limit: self.sent.batch_limit,
            hidden: self.sent.hidden.cloned(),
        }
    }
}

const fn dead(reason: DeadReason, failure: Failure) -> Outcome {
    Outcome::Dead {
        reason,
        failure: Some(failure),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn judged(attempts: u32, together: u32, failure: Failure) -> Outcome {
        judged_of(&AttemptKind::Create, attempts, together, failure)
    }

    fn judged_of(kind: &AttemptKind, attempts: u32, together: u32, failure: Failure) -> Outcome {
        let degraded = BTreeSet::from([TaskField::WhoId]);
        let sent = Sent {
            attempts,
            degraded: &degraded,
            batch_limit: None,
            hidden: None,
            kind,
            send_by: NOW + Duration::from_secs(30),
            ended_at: Some(NOW - Duration::from_mins(1)),
            together,
        };
        let mut rng = StdRng::seed_from_u64(1);
        let around = Circumstances {
            link_dead: true,
            ..Circumstances::default()
        };
        judge(
            &Config::default(),
            NOW,
            &mut rng,
            &sent,
            around,
            Answer::Failed(failure),
        )
    }

    fn kind(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Parked { reason, .. } => format!("parked {reason:?}"),
            Outcome::Dead { reason, .. } => format!("dead {reason:?}"),
            Outcome::RetryAt { at, degraded, .. } => {
                let wait = if *at == NOW { "now" } else { "later" };
                format!("retry {wait} without {}", degraded.len())
            }
            Outcome::InDoubt { .. } => "in doubt".to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table, one row for each class")]
    fn each_class_has_its_way_out() {
        use FailureClass::{Admin, Ambiguous, Bug, Done, Link, Payload, Session, Split, Transient};
        use FailureScope::{Everyone, Record, Request};
        let mut named = Failure::new(Payload, Record, "INVALID_FIELD");
        named.fields = BTreeSet::from([TaskField::WhatId]);
        let mut known = Failure::new(Payload, Record, "INVALID_FIELD");
        known.fields = BTreeSet::from([TaskField::WhoId]);
        let table = [
            (
                1,
                9,
                Failure::new(Transient, Record, "x"),
                "retry later without 1",
            ),
            (
                99,
                9,
                Failure::new(Transient, Record, "x"),
                "retry later without 1",
            ),
            (
                1,
                9,
                Failure::new(Session, Request, "x"),
                "retry now without 1",
            ),
            (1, 9, Failure::new(Link, Request, "x"), "parked LinkBroken"),
            (
                1,
                9,
                Failure::new(Link, Everyone, "x"),
                "retry now without 1",
            ),
            (
                1,
                9,
                Failure::new(Admin, Record, "x"),
                "retry later without 1",
            ),
            (3, 9, Failure::new(Admin, Record, "x"), "parked OrgRefuses"),
            (1, 9, named, "retry now without 2"),
            (1, 9, known, "parked OrgRefuses"),
            (
                1,
                9,
                Failure::new(Payload, Request, "x"),
                "retry now without 1",
            ),
            (
                1,
                1,
                Failure::new(Payload, Request, "x"),
                "parked OrgRefuses",
            ),
            (
                1,
                9,
                Failure::new(Split, Request, "x"),
                "retry now without 1",
            ),
            (
                1,
                1,
                Failure::new(Split, Request, "x"),
                "retry later without 1",
            ),
            (1, 9, Failure::new(Done, Record, "x"), "dead Unknown"),
            (1, 9, Failure::new(Bug, Record, "x"), "dead Bug"),
            (1, 9, Failure::new(Ambiguous, Request, "x"), "in doubt"),
            (1, 9, Failure::new(Ambiguous, Everyone, "x"), "in doubt"),
        ];
        for (attempts, together, failure, expected) in table {
            let told = format!("{failure:?}");
            assert_eq!(
                kind(&judged(attempts, together, failure)),
                expected,
                "{told}"
            );
        }
    }

    #[test]
    fn a_change_of_a_task_that_is_gone_is_given_up() {
        let change = AttemptKind::Update {
            task: "00T000000000001".parse().expect("an id"),
        };
        let gone = || {
            Failure::new(
                FailureClass::Payload,
                FailureScope::Record,
                "ENTITY_IS_DELETED",
            )
        };
        let adopt = AttemptKind::Adopt {
            task: "00T000000000001".parse().expect("an id"),
        };
        let ends = |change, attempts| kind(&judged_of(change, attempts, 9, gone()));
        assert_eq!(ends(&change, 1), "retry later without 1");
        assert_eq!(ends(&change, 3), "dead Refused");
        let own = "retry later without 1";
        assert_eq!(ends(&adopt, 3), own, "it gets a Task of its own");
        assert_eq!(kind(&judged(3, 9, gone())), "parked OrgRefuses");
    }

    #[test]
    fn what_is_too_large_though_alone_is_tried_for_as_long_as_the_settings_say() {
        let large = Failure::new(FailureClass::Split, FailureScope::Request, "QUERY_TIMEOUT");
        let mut config = Config::default();
        config.retry.at_least_for = Duration::ZERO;
        let mut rng = StdRng::seed_from_u64(1);
        let degraded = BTreeSet::new();
        let mut ends = |attempts| {
            let sent = Sent {
                attempts,
                degraded: &degraded,
                batch_limit: Some(1),
                hidden: None,
                kind: &AttemptKind::Create,
                send_by: NOW,
                ended_at: Some(NOW),
                together: 1,
            };
            let (around, answer) = (Circumstances::default(), Answer::Failed(large.clone()));
            kind(&judge(&config, NOW, &mut rng, &sent, around, answer))
        };
        assert_eq!(ends(1), "retry later without 0");
        assert_eq!(ends(30), "dead RetriesExhausted");
    }

    /// Its answer tells of the last request alone; what an earlier one did nobody saw.
    #[test]
    fn what_may_be_hidden_is_never_said_not_to_exist() {
        let mut config = Config::default();
        config.retry.at_least_for = Duration::ZERO;
        let mut rng = StdRng::seed_from_u64(1);
        let degraded = BTreeSet::new();
        let hidden = Hidden {
            org: "00D000000000001EAA".parse().expect("an org"),
            field: "VCC_Call_Key__c".to_owned(),
        };
        let mut judged = |attempts, class| {
            let sent = Sent {
                attempts,
                degraded: &degraded,
                batch_limit: None,
                hidden: Some(&hidden),
                kind: &AttemptKind::Create,
                send_by: NOW,
                ended_at: Some(NOW),
                together: 1,
            };
            let failure = Failure::new(class, FailureScope::Record, "x");
            let (around, answer) = (Circumstances::default(), Answer::Failed(failure));
            judge(&config, NOW, &mut rng, &sent, around, answer)
        };
        let again = judged(1, FailureClass::Transient);
        let Outcome::RetryAt { hidden: kept, .. } = again else {
            panic!("it is sent again");
        };
        assert_eq!(kept, Some(hidden.clone()));
        let end = judged(30, FailureClass::Transient);
        assert_eq!(kind(&end), "dead Unknown");
        assert_eq!(kind(&judged(1, FailureClass::Bug)), "dead Unknown");
    }

    proptest! {
        /// One spoilt call in a batch of any size: bisecting ends, sends every other call, and
        /// gives up that one alone.
        #[test]
        fn bisecting_finds_the_spoilt_call(size in 1_u32..=200, spoilt in 0_u32..200) {
            let spoilt = spoilt % size;
            let mut ready: Vec<(u32, u32)> = (0..size).map(|call| (call, size)).collect();
            let (mut sent, mut dead, mut requests) = (Vec::new(), Vec::new(), 0);
            while let Some((_, limit)) = ready.first().copied() {
                let batch: Vec<_> = ready.drain(..ready.len().min(limit as usize)).collect();
                requests += 1;
                if batch.iter().all(|(call, _)| *call != spoilt) {
                    sent.extend(batch.iter().map(|(call, _)| *call));
                    continue;
                }
                let failure = Failure::new(FailureClass::Bug, FailureScope::Request, "x");
                let together = u32::try_from(batch.len()).expect("at most 200");
                match judged(1, together, failure) {
                    Outcome::RetryAt { batch_limit: Some(limit), .. } => {
                        prop_assert!(limit < together);
                        ready.splice(0..0, batch.into_iter().map(|(call, _)| (call, limit)));
                    }
                    _ => dead.extend(batch.iter().map(|(call, _)| *call)),
                }
            }
            sent.sort_unstable();
            prop_assert_eq!(dead, vec![spoilt]);
            prop_assert_eq!(sent.len() + 1, size as usize);
            prop_assert!(requests <= 2 * 8 + 1, "{} requests", requests);
        }
    }
}
