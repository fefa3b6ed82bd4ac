//! The drivers' errors as what the caller can do.

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use super::{Error, postgres, sqlite};

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(ref database) => {
                if let Some(answer) = database.try_downcast_ref::<PgDatabaseError>() {
                    return postgres::errors::of_answer(answer);
                }
                match database.try_downcast_ref::<SqliteError>() {
                    Some(answer) => sqlite::errors::of_answer(answer),
                    None => Self::Other(Box::new(error)),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(Box::new(error)),
            sqlx::Error::ColumnDecode { index, .. } => Self::Corrupt { what: index },
            _ => Self::Other(Box::new(error)),
        }
    }
}
