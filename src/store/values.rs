//! How domain values are written in columns, and read back: the same for every database.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::reports::CallState;
use super::{Error, Result, Sealed};
use crate::domain::ids::{CallId, Revision, ShardId};
use crate::domain::task::TaskField;

/// A row of any database, read by column; `None` is null. Numbers have the widths of PostgreSQL,
/// whose driver reads each as no other.
pub(super) trait Columns {
    /// A text.
    fn text(&self, column: &str) -> Result<Option<&str>>;
    /// A `smallint`.
    fn small(&self, column: &str) -> Result<Option<i16>>;
    /// An `integer`.
    fn int(&self, column: &str) -> Result<Option<i32>>;
    /// A `bigint`.
    fn big(&self, column: &str) -> Result<Option<i64>>;
    /// A truth.
    fn flag(&self, column: &str) -> Result<Option<bool>>;
    /// Bytes.
    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>>;
    /// A time, to the microsecond.
    fn time(&self, column: &str) -> Result<Option<DateTime<Utc>>>;
}

/// A column that holds what no version of this program wrote.
pub(super) fn corrupt(column: &str) -> Error {
    Error::Corrupt {
        what: column.to_owned(),
    }
}

/// A text.
pub(super) fn text<'r>(row: &'r impl Columns, column: &str) -> Result<&'r str> {
    row.text(column)?.ok_or_else(|| corrupt(column))
}

/// A number.
pub(super) fn number(row: &impl Columns, column: &str) -> Result<i64> {
    row.big(column)?.ok_or_else(|| corrupt(column))
}

/// A truth.
pub(super) fn flag(row: &impl Columns, column: &str) -> Result<bool> {
    row.flag(column)?.ok_or_else(|| corrupt(column))
}

/// A time.
pub(super) fn time(row: &impl Columns, column: &str) -> Result<DateTime<Utc>> {
    row.time(column)?.ok_or_else(|| corrupt(column))
}

/// Sealed bytes.
pub(super) fn sealed(row: &impl Columns, column: &str) -> Result<Sealed> {
    sealed_opt(row, column)?.ok_or_else(|| corrupt(column))
}

/// Sealed bytes that may be missing.
pub(super) fn sealed_opt(row: &impl Columns, column: &str) -> Result<Option<Sealed>> {
    Ok(row.bytes(column)?.map(Sealed))
}

/// An identity.
pub(super) fn id<T: FromStr>(row: &impl Columns, column: &str) -> Result<T> {
    id_opt(row, column)?.ok_or_else(|| corrupt(column))
}

/// An identity that may be missing.
pub(super) fn id_opt<T: FromStr>(row: &impl Columns, column: &str) -> Result<Option<T>> {
    let text = row.text(column)?;
    text.map(|text| text.parse().map_err(|_| corrupt(column)))
        .transpose()
}

/// A call, from the columns `account` and `interaction`.
pub(super) fn call_id(row: &impl Columns) -> Result<CallId> {
    Ok(CallId {
        account: id(row, "account")?,
        interaction: id(row, "interaction")?,
    })
}

/// A count.
pub(super) fn count(row: &impl Columns, column: &str) -> Result<u32> {
    count_opt(row, column)?.ok_or_else(|| corrupt(column))
}

/// A count that may be missing.
pub(super) fn count_opt(row: &impl Columns, column: &str) -> Result<Option<u32>> {
    let count = row.int(column)?;
    count
        .map(|count| u32::try_from(count).map_err(|_| corrupt(column)))
        .transpose()
}

/// A revision.
pub(super) fn revision(row: &impl Columns) -> Result<Revision> {
    let number = row.int("revision")?;
    number.map(Revision).ok_or_else(|| corrupt("revision"))
}

/// A shard that may be missing.
pub(super) fn shard_opt(row: &impl Columns) -> Result<Option<ShardId>> {
    let shard = row.small("shard")?;
    shard
        .map(|shard| u16::try_from(shard).map(ShardId))
        .transpose()
        .map_err(|_| corrupt("shard"))
}

/// A shard.
pub(super) fn shard(row: &impl Columns) -> Result<ShardId> {
    shard_opt(row)?.ok_or_else(|| corrupt("shard"))
}

/// A shard, as a column holds it.
pub(super) fn shard_column(shard: ShardId) -> i16 {
    i16::try_from(shard.0).expect("there are 256 shards")
}

/// A call's state.
pub(super) fn state(row: &impl Columns) -> Result<CallState> {
    let text = text(row, "state")?;
    let found = CallState::ALL
        .into_iter()
        .find(|state| state.as_str() == text);
    found.ok_or_else(|| corrupt("state"))
}

/// A value kept as JSON, selected as text.
pub(super) fn json<T: DeserializeOwned>(row: &impl Columns, column: &str) -> Result<T> {
    json_opt(row, column)?.ok_or_else(|| corrupt(column))
}

/// A value kept as JSON, selected as text, that may be missing.
pub(super) fn json_opt<T: DeserializeOwned>(row: &impl Columns, column: &str) -> Result<Option<T>> {
    let text = row.text(column)?;
    text.map(|text| serde_json::from_str(text).map_err(|_| corrupt(column)))
        .transpose()
}

/// The fields that attempts leave out; null where none.
pub(super) fn degraded(row: &impl Columns) -> Result<BTreeSet<TaskField>> {
    Ok(json_opt(row, "degraded")?.unwrap_or_default())
}

/// The same as a column.
pub(super) fn degraded_column(fields: &BTreeSet<TaskField>) -> Option<String> {
    (!fields.is_empty()).then(|| to_json(fields))
}

/// A value as JSON.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("domain values have string keys and no failing serializer")
}

/// An enum without content as the word that serde writes for it.
pub(super) fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("an enum without content is written as a word"),
    }
}

/// The enum that a word stands for.
pub(super) fn from_word<T: DeserializeOwned>(row: &impl Columns, column: &str) -> Result<T> {
    from_word_opt(row, column)?.ok_or_else(|| corrupt(column))
}

/// The same for a word that may be missing.
pub(super) fn from_word_opt<T: DeserializeOwned>(
    row: &impl Columns,
    column: &str,
) -> Result<Option<T>> {
    let word = row.text(column)?;
    word.map(|word| serde_json::from_value(word.into()).map_err(|_| corrupt(column)))
        .transpose()
}
