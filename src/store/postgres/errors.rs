//! PostgreSQL's errors as what the caller can do. Never with a row's content: where PostgreSQL
//! quotes values in its message, only the code and the constraint are kept.

use sqlx::postgres::PgDatabaseError;

use crate::store::Error;

/// What is kept of a refusal.
#[derive(Debug, thiserror::Error)]
#[error("SQLSTATE {code}{}", about(code, constraint.as_deref()))]
struct Refusal {
    /// The SQLSTATE.
    code: String,
    /// The constraint that was violated.
    constraint: Option<String>,
}

/// What stands behind a SQLSTATE.
fn about(code: &str, constraint: Option<&str>) -> String {
    match (code, constraint) {
        ("57014", _) => ", cancelled: it took longer than store.statement_timeout".to_owned(),
        (_, Some(constraint)) => format!(", constraint {constraint}"),
        (_, None) => String::new(),
    }
}

/// By SQLSTATE (PostgreSQL manual, appendix A).
pub(in crate::store) fn of_answer(answer: &PgDatabaseError) -> Error {
    let kept = Refusal {
        code: answer.code().to_owned(),
        constraint: answer.constraint().map(str::to_owned),
    };
    if goes_away(answer.code()) {
        return Error::Unavailable(Box::new(kept));
    }
    if answer.code().starts_with("22") || answer.code().starts_with("23") {
        let rule = kept.constraint.clone().unwrap_or_else(|| kept.code.clone());
        return Error::Refused {
            rule,
            source: Box::new(kept),
        };
    }
    // The rest is about statements and rights, not rows, so its message may be kept.
    let text = format!("{} (SQLSTATE {})", answer.message(), answer.code());
    Error::Other(text.into())
}

/// Whether trying again later may help: connection exceptions, shutdown and cancelled statements,
/// too few resources, lost races, a lock not had, a server that became a standby, and I/O.
fn goes_away(code: &str) -> bool {
    const CLASSES: [&str; 5] = ["08", "53", "57", "40", "58"];
    const CODES: [&str; 3] = ["55P03", "25006", "25P03"];
    CLASSES.iter().any(|class| code.starts_with(class)) || CODES.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::goes_away;

    #[test]
    fn only_what_goes_away_is_tried_again() {
        for code in [
            "08006", "57P01", "57014", "53300", "40001", "40P01", "25006",
        ] {
            assert!(goes_away(code), "{code}");
        }
        for code in ["22021", "23505", "42P01", "28P01"] {
            assert!(!goes_away(code), "{code}");
        }
    }
}
