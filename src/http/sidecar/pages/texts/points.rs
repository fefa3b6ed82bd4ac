//! What a preflight found, point by point.

use crate::domain::preflight::{Found, Point};

/// What was found, in a word.
pub(in super::super) const fn word(found: Found) -> &'static str {
    match found {
        Found::Yes => "OK",
        Found::No => "Missing",
        Found::Unknown => "Unknown",
    }
}

/// What a preflight came to, in a word and in a sentence. `lacks`: of what is needed.
pub(in super::super) fn summary(asked: bool, lacks: usize) -> (&'static str, String) {
    match lacks {
        _ if !asked => (
            "Not yet",
            "The org is asked by itself within a few minutes.".to_owned(),
        ),
        0 => ("OK", "All that is needed is there.".to_owned()),
        1 => (
            "Missing",
            "1 thing that is needed is missing. Until it is there, the link is at risk.".to_owned(),
        ),
        lacks => (
            "Missing",
            format!(
                "{lacks} things that are needed are missing. Until they are there, the link is at risk."
            ),
        ),
    }
}

/// How many API requests are left of the day's.
pub(in super::super) fn left(usage: Option<(u64, u64)>) -> String {
    match usage {
        Some((used, limit)) => format!(
            "{} of {}, for all tools of the org",
            grouped(limit.saturating_sub(used)),
            grouped(limit)
        ),
        None => "Salesforce did not tell".to_owned(),
    }
}

/// A number with its thousands apart: `15,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a point is about, as something that the API user does or has.
pub(in super::super) fn title(point: &Point) -> String {
    match point {
        Point::ApiEnabled => "Using the API".to_owned(),
        Point::EditTasks => "Creating Tasks".to_owned(),
        Point::WriteField { field } => format!("Writing the field {field} of Task"),
        Point::SearchSome => "Looking callers up, in at least one object".to_owned(),
        Point::SearchObject { object } => format!("Looking callers up in {object}s"),
        Point::KeyField { field } => format!("The unique field {field} of Task"),
        Point::ViewAllData => "Seeing all data".to_owned(),
        Point::ViewAllUsers => "Seeing all users".to_owned(),
        Point::RequestsLeft { .. } => "API requests left today".to_owned(),
        Point::ApiOnly => "Using nothing but the API".to_owned(),
    }
}

/// The fields that can be written, told together.
pub(in super::super) const WRITES: &str = "Writing these fields of Task:";

/// What follows where it is missing, or may be.
pub(in super::super) fn without(point: &Point, found: Found) -> String {
    let follows = match point {
        Point::ApiEnabled => "Without it, nothing works.".to_owned(),
        Point::EditTasks => "Without it, no call is logged: calls wait.".to_owned(),
        Point::WriteField { field } if field == "CallObject" => {
            "Without it, calls wait: a Task is found again by this field.".to_owned()
        }
        Point::WriteField { .. } => "Without it, Tasks go out without this field.".to_owned(),
        Point::SearchSome => {
            "Without it, no caller is found, and Tasks belong to no record.".to_owned()
        }
        Point::SearchObject { object } => {
            format!("Without it, callers that are {object}s are not found.")
        }
        Point::KeyField { .. } => {
            "Calls are logged all the same. With it, Salesforce itself refuses a second Task for a call.".to_owned()
        }
        Point::ViewAllData => {
            "Calls are logged all the same. With it, a Task whose confirmation was lost is found again, however records are shared.".to_owned()
        }
        Point::ViewAllUsers => {
            "Without it, Tasks of agents whom the API user does not see belong to the API user.".to_owned()
        }
        Point::RequestsLeft { .. } => "Until it has some again, Tasks wait.".to_owned(),
        Point::ApiOnly => {
            "Calls are logged all the same. A user that people log in as is easily changed or deactivated by mistake.".to_owned()
        }
    };
    match found {
        Found::Unknown => format!("Salesforce does not tell the API user. {follows}"),
        Found::Yes | Found::No => follows,
    }
}
