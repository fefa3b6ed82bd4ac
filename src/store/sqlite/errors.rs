//! SQLite's errors as what the caller can do. Never with a row's content.
use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

use crate::store::Error;

/// By primary result code.
pub(in crate::store) fn of_answer(answer: &SqliteError) -> Error {
    Error::Other(answer.message().to_owned().into())
}
