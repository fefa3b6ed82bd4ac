//! Replay: what a person's wish to have calls back does with each of them.
//!
//! Only a replay or a later revision revives a call that came to its end. A call whose Task may
//! exist is looked for first (rule 6), in the org that it was sent to, and nowhere else.

use serde::{Deserialize, Serialize};

use super::ids::OrgId;
use super::outcome::{DeadReason, Outcome, ParkReason, SkipReason};

/// Where a call stands from where a person may want it back, and why it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stand {
    /// Given up.
    Dead(DeadReason),
    /// It waits.
    Parked(ParkReason),
    /// It ended without a Task.
    Skipped(SkipReason),
}

impl Stand {
    /// Every one, with the reason as it is published.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::Dead(DeadReason::Refused), "refused"),
        (
            Self::Dead(DeadReason::RetriesExhausted),
            "retries_exhausted",
        ),
        (Self::Dead(DeadReason::Unknown), "unknown"),
        (
            Self::Dead(DeadReason::UnresolvedInPreviousOrg),
            "unresolved_in_previous_org",
        ),
        (Self::Dead(DeadReason::Bug), "bug"),
        (Self::Parked(ParkReason::LinkBroken), "link_broken"),
        (Self::Parked(ParkReason::OrgRefuses), "org_refuses"),
        (Self::Parked(ParkReason::Quota), "quota"),
        (Self::Parked(ParkReason::Paused), "paused"),
        (Self::Parked(ParkReason::Unlinked), "unlinked"),
        (Self::Skipped(SkipReason::Unlinked), "unlinked"),
        (Self::Skipped(SkipReason::Policy), "policy"),
        (Self::Skipped(SkipReason::Internal), "internal"),
        (Self::Skipped(SkipReason::TooOld), "too_old"),
        (Self::Skipped(SkipReason::Expired), "expired"),
    ];

    /// Why it stands there, as it is published.
    pub fn reason(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(stand, _)| *stand == self);
        found.expect("ALL lists every one").1
    }

    /// Where this outcome leads, if a person may want it back from there.
    pub const fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Dead { reason, .. } => Some(Self::Dead(*reason)),
            Outcome::Parked { reason, .. } => Some(Self::Parked(*reason)),
            Outcome::Skipped { reason } => Some(Self::Skipped(*reason)),
            Outcome::Logged { .. }
            | Outcome::RetryAt { .. }
            | Outcome::InDoubt { .. }
            | Outcome::NotSent { .. } => None,
        }
    }

    /// Whether a Task of the call may exist that nobody has seen.
    pub const fn may_have_a_task(self) -> bool {
        matches!(
            self,
            Self::Dead(DeadReason::Unknown | DeadReason::UnresolvedInPreviousOrg)
        )
    }
}

/// What a replay does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// It is sent, as if it had just ended.
    Send,
    /// Its Task may exist: Salesforce is asked, and it is sent if it certainly has none.
    Look,
    /// It stays as it is.
    Leave(Why),
}

/// Why a replay leaves a call as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its account has no working link.
    NoWorkingLink,
    /// Its Task may exist in an org that the account is not linked to any more.
    OtherOrg,
    /// It goes out by itself.
    GoesByItself,
    /// An operator paused its account.
    Paused,
    /// It earns no Task, whoever asks.
    NoTaskEarned,
}

/// What a replay does with a call of an account that is linked to `org`, if it has a working link.
/// `sent_to` is the org of the call's last attempt. `certain`: a person has looked, and the call has
/// no Task anywhere.
pub fn effect(stand: Stand, sent_to: Option<&OrgId>, org: Option<&OrgId>, certain: bool) -> Effect {
    match stand {
        Stand::Parked(ParkReason::Paused) => return Effect::Leave(Why::Paused),
        Stand::Skipped(SkipReason::Policy | SkipReason::Internal | SkipReason::TooOld) => {
            return Effect::Leave(Why::NoTaskEarned);
        }
        _ => {}
    }
    if org.is_none() {
        return Effect::Leave(Why::NoWorkingLink);
    }
    match stand {
        Stand::Parked(ParkReason::LinkBroken | ParkReason::Unlinked) => {
            Effect::Leave(Why::GoesByItself)
        }
        stand if !stand.may_have_a_task() || certain => Effect::Send,
        _ if sent_to == org => Effect::Look,
        _ => Effect::Leave(Why::OtherOrg),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_that_are_stored() {
        for (stand, word) in Stand::ALL {
            let stored = match stand {
                Stand::Dead(reason) => serde_json::to_value(reason),
                Stand::Parked(reason) => serde_json::to_value(reason),
                Stand::Skipped(reason) => serde_json::to_value(reason),
            };
            assert_eq!(stored.expect("a word"), word);
            assert_eq!(stand.reason(), word);
        }
    }

    #[test]
    fn a_call_whose_task_may_exist_is_looked_for_where_it_was_sent_to() {
        use Effect::{Leave, Look, Send};
        let here: OrgId = "00D000000000001".parse().expect("an org");
        let there: OrgId = "00D000000000002".parse().expect("an org");
        let (here, there) = (Some(&here), Some(&there));
        let unknown = Stand::Dead(DeadReason::Unknown);
        let table = [
            (here, here, false, Look),
            (there, here, false, Leave(Why::OtherOrg)),
            (None, here, false, Leave(Why::OtherOrg)),
            (there, here, true, Send),
            (here, None, true, Leave(Why::NoWorkingLink)),
        ];
        for (sent_to, org, certain, wanted) in table {
            assert_eq!(effect(unknown, sent_to, org, certain), wanted);
        }
        assert_eq!(
            effect(Stand::Dead(DeadReason::Bug), there, here, false),
            Send
        );
    }

    #[test]
    fn what_waits_for_something_else_stays() {
        use Effect::{Leave, Send};
        use Stand::{Parked, Skipped};
        let here: OrgId = "00D000000000001".parse().expect("an org");
        let table = [
            (Parked(ParkReason::OrgRefuses), Send),
            (Parked(ParkReason::Quota), Send),
            (Parked(ParkReason::LinkBroken), Leave(Why::GoesByItself)),
            (Parked(ParkReason::Unlinked), Leave(Why::GoesByItself)),
            (Parked(ParkReason::Paused), Leave(Why::Paused)),
            (Skipped(SkipReason::Expired), Send),
            (Skipped(SkipReason::Unlinked), Send),
            (Skipped(SkipReason::Policy), Leave(Why::NoTaskEarned)),
            (Skipped(SkipReason::TooOld), Leave(Why::NoTaskEarned)),
        ];
        for (stand, wanted) in table {
            assert_eq!(effect(stand, None, Some(&here), false), wanted, "{stand:?}");
        }
        let unlinked = effect(Parked(ParkReason::LinkBroken), None, None, false);
        assert_eq!(unlinked, Leave(Why::NoWorkingLink));
    }
}
