//! What calls and links came to, in words.

use std::fmt::Write as _;

use super::time;
use crate::domain::link::{Health, LinkStatus};
use crate::domain::outcome::{DeadReason, Failure, LoggedAs, Outcome, ParkReason, SkipReason};

/// An outcome in words, with what a person can do.
pub fn outcome_in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Logged { how, task } => {
            let how = match how {
                LoggedAs::Created => "created",
                LoggedAs::Updated => "updated",
                LoggedAs::Adopted => "found, made by an attempt whose answer was lost",
            };
            format!("done: Task {task} was {how}.")
        }
        Outcome::Skipped { reason } => skip_in_words(*reason).to_owned(),
        Outcome::Dead { reason, failure } => {
            let why = dead_in_words(*reason);
            failure.as_ref().map_or_else(
                || why.to_owned(),
                |f| format!("{why} {}", failure_in_words(f)),
            )
        }
        Outcome::RetryAt { at, failure, .. } => format!(
            "to be sent again at {}, {}",
            time(*at),
            failure_in_words(failure)
        ),
        Outcome::InDoubt { look_at, failure } => format!(
            "in doubt, to be looked for at {}, {}",
            time(*look_at),
            failure_in_words(failure)
        ),
        Outcome::Parked {
            reason,
            failure,
            until,
        } => {
            let mut words = park_in_words(*reason).to_owned();
            if let Some(failure) = failure {
                let _ = write!(words, " {}", failure_in_words(failure));
            }
            if let Some(until) = until {
                let _ = write!(words, " It is kept until {}.", time(*until));
            }
            words
        }
        Outcome::NotSent { at } => format!("nothing was sent; ready again at {}.", time(*at)),
    }
}

/// A failure in words.
pub fn failure_in_words(failure: &Failure) -> String {
    let status = failure
        .http_status
        .map(|s| format!(", HTTP {s}"))
        .unwrap_or_default();
    let fields: Vec<&str> = failure.fields.iter().map(|f| f.as_str()).collect();
    let fields = if fields.is_empty() {
        String::new()
    } else {
        format!(", fields {}", fields.join(", "))
    };
    format!(
        "{} ({}{status}{fields}). {}",
        failure.code,
        failure.class.as_str(),
        failure.hint
    )
    .trim_end()
    .to_owned()
}

/// Why a call earns no Task.
const fn skip_in_words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Unlinked => {
            "no Task: the account is not linked. Link it, and later calls are logged; `vcc-link calls replay` puts this one back."
        }
        SkipReason::Policy => {
            "no Task: by the table of outcomes and directions, this call earns none."
        }
        SkipReason::Internal => "no Task: it was between agents.",
        SkipReason::TooOld => {
            "no Task: it is beyond the dedupe horizon, so it may have been logged before."
        }
        SkipReason::Expired => "no Task: it was parked longer than the maximum age.",
    }
}

/// Why a call waits.
const fn park_in_words(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::LinkBroken => {
            "parked: the link is broken. Relink the account, and it goes out by itself."
        }
        ParkReason::OrgRefuses => "parked: the org refuses it until a setting is changed there.",
        ParkReason::Quota => {
            "parked: the org's daily API limit is used up; it goes out when that recovers."
        }
        ParkReason::Paused => {
            "parked: an operator paused the account. `vcc-link links list` tells why; it goes out when that is resumed."
        }
        ParkReason::Unlinked => {
            "parked: the account was unlinked. Link it to the same org in time, and it goes out by itself."
        }
    }
}

/// Why a call was given up.
const fn dead_in_words(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::Refused => "given up: Salesforce refuses it, and nothing is left to leave out.",
        DeadReason::RetriesExhausted => "given up: the retries are used up.",
        DeadReason::Unknown => {
            "given up: it was sent, never answered, and the org hides whether the Task exists. `vcc-link calls replay` looks for it again, and makes one only if there is none for sure."
        }
        DeadReason::UnresolvedInPreviousOrg => {
            "given up: it was still open in the previous org when that link was given up. Look for it there by its key; `vcc-link calls replay --no-task` sends it to the org of now."
        }
        DeadReason::Bug => "given up: a fault of ours. Please report it with this story.",
    }
}

/// The status in words.
pub const fn status(status: LinkStatus) -> &'static str {
    match status {
        LinkStatus::Unlinked => "Unlinked",
        LinkStatus::Linked => "Linked",
        LinkStatus::Legacy => "Legacy",
    }
}

/// The health in words.
pub const fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::AtRisk => "at risk",
        Health::Broken => "broken",
    }
}
