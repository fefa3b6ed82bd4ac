//! Why an org that was asked did not do it, and what to do.

use super::faults::{Told, told};
use crate::domain::outcome::{Failure, FailureClass};

/// What is said where Salesforce did not do what it was asked.
pub(in super::super) fn unanswered(failure: &Failure) -> Told {
    let (line, step) = match failure.class {
        FailureClass::Session => (
            "The access to Salesforce has run out, as it does from time to time. It is being renewed.",
            "Try again in two minutes.",
        ),
        FailureClass::Link => (
            "Salesforce no longer accepts the connection.",
            "Go back, press Relink, and log in as the API user.",
        ),
        FailureClass::Admin => (
            "A setting or a permission in your Salesforce org forbids it.",
            "Give the API user what the check on the account's page names, then try again.",
        ),
        FailureClass::Quota => (
            "Your Salesforce org has used up its API requests of the last 24 hours.",
            "Try again later. In Salesforce, Setup > Company Information shows how many are left.",
        ),
        FailureClass::Payload => (
            "Salesforce refuses what the Task holds: a validation rule, a flow or a trigger of your org, or a field that it may not have.",
            "Ask your Salesforce admin about what Salesforce says, then try again.",
        ),
        FailureClass::Transient
        | FailureClass::Throttled
        | FailureClass::Split
        | FailureClass::Ambiguous => (
            "Salesforce did not answer, or not as it should.",
            "Try again in a few minutes.",
        ),
        FailureClass::Done | FailureClass::Bug => (
            "Salesforce answered something that we do not understand.",
            "Try again. If that does not help, contact support, and tell them what Salesforce says.",
        ),
    };
    let mut told = told("Salesforce did not do it", line, &[step]);
    told.lines
        .push(format!("Salesforce says: {}", failure.code));
    told
}

/// What is said where an org is asked too often.
pub(in super::super) fn too_often() -> Told {
    told(
        "Not so fast",
        "Each question takes API requests that your other tools need too.",
        &["Try again in a minute."],
    )
}
