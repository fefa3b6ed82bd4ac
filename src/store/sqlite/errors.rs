//! SQLite's errors as what the caller can do. Never with a row's content: SQLite names columns and
//! conditions, and quotes no values.

use std::path::Path;

use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

use crate::store::Error;

/// By result code (sqlite.org/rescode.html); the primary one is the lowest byte.
pub(in crate::store) fn of_answer(answer: &SqliteError) -> Error {
    let code: Option<i32> = answer.code().and_then(|code| code.parse().ok());
    let text = format!(
        "{} (SQLite result {})",
        answer.message(),
        code.unwrap_or_default()
    );
    match code.unwrap_or_default() & 0xff {
        // Another process writes; a cancelled statement; too little memory; I/O.
        5 | 6 | 7 | 9 | 10 | 15 => Error::Unavailable(text.into()),
        13 => Error::Unavailable(format!("make room on the disk: {text}").into()),
        8 => file(&text, "let this user write the file and its folder"),
        11 => file(&text, "the file is damaged: bring a backup back"),
        14 => file(
            &text,
            "let this user read and write the file and its folder",
        ),
        26 => file(
            &text,
            "it holds something else: name another file in store.url",
        ),
        18..=20 | 25 => Error::Refused {
            rule: answer.message().to_owned(),
            source: text.into(),
        },
        _ => Error::Other(text.into()),
    }
}

/// A file that cannot be used.
fn file(text: &str, advice: &str) -> Error {
    Error::File(format!("{advice}: {text}"))
}

/// A file that cannot be used, by name.
pub(super) fn of_file(path: &Path, advice: &str) -> Error {
    Error::File(format!("{}: {advice}", path.display()))
}

/// What went wrong when a file was opened.
pub(super) fn of_opening(path: &Path, error: sqlx::Error) -> Error {
    match Error::from(error) {
        Error::File(advice) => of_file(path, &advice),
        error => error,
    }
}
