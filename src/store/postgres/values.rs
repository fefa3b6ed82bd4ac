//! What PostgreSQL's driver reads, and columns of batches as `unnest` takes them.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::domain::ids::CallId;
use crate::store::Result;
use crate::store::values::Columns;

impl Columns for PgRow {
    fn text(&self, column: &str) -> Result<Option<&str>> {
        get(self, column)
    }

    fn small(&self, column: &str) -> Result<Option<i16>> {
        get(self, column)
    }

    fn int(&self, column: &str) -> Result<Option<i32>> {
        get(self, column)
    }

    fn big(&self, column: &str) -> Result<Option<i64>> {
        get(self, column)
    }

    fn flag(&self, column: &str) -> Result<Option<bool>> {
        get(self, column)
    }

    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>> {
        get(self, column)
    }

    fn time(&self, column: &str) -> Result<Option<DateTime<Utc>>> {
        get(self, column)
    }
}

/// A column of a type that the driver knows.
pub(super) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get(column)?)
}

/// Calls as the two columns that `unnest` takes, borrowed.
pub(super) fn key_columns<'a>(
    calls: impl IntoIterator<Item = &'a CallId>,
) -> (Vec<&'a str>, Vec<&'a str>) {
    calls
        .into_iter()
        .map(|call| (call.account.as_str(), call.interaction.as_str()))
        .unzip()
}

/// One column of a batch, as `unnest` takes it.
pub(super) fn column<'a, I, T>(items: &'a [I], of: impl FnMut(&'a I) -> T) -> Vec<T> {
    items.iter().map(of).collect()
}
