//! What SQLite's driver reads, and batches as one text.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};

use crate::domain::ids::CallId;
use crate::store::values::{Columns, corrupt, to_json};
use crate::store::{Result, Sealed};

impl Columns for SqliteRow {
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
        let micros = self.big(column)?;
        micros
            .map(|micros| DateTime::from_timestamp_micros(micros).ok_or_else(|| corrupt(column)))
            .transpose()
    }
}

/// A column of a type that the driver knows.
fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    Ok(row.try_get(column)?)
}

/// A time, as a column holds it.
pub(super) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A batch as `json_each` takes it: a list, whose items are lists of columns.
pub(super) fn batch<I, T: Serialize>(
    items: impl IntoIterator<Item = I>,
    columns: impl FnMut(I) -> T,
) -> String {
    let rows: Vec<T> = items.into_iter().map(columns).collect();
    to_json(&rows)
}

/// Calls as a batch of two columns.
pub(super) fn keys<'a>(calls: impl IntoIterator<Item = &'a CallId>) -> String {
    batch(calls, |call| (&call.account, &call.interaction))
}

/// Sealed bytes of a batch, joined to one value; the statement cuts it by place and length.
pub(super) struct Joined(Vec<u8>);

impl Joined {
    /// None. It begins with a byte that is nobody's, as SQLite takes a part of nothing for null.
    pub(super) fn new() -> Self {
        Self(vec![0])
    }

    /// Adds bytes; gives their place, as `substr` counts, and their length.
    pub(super) fn push(&mut self, sealed: &Sealed) -> (usize, usize) {
        let place = self.0.len() + 1;
        self.0.extend_from_slice(&sealed.0);
        (place, sealed.0.len())
    }

    /// The value.
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}
