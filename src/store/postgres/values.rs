//! How domain values are written in columns, and read back.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::domain::ids::{CallId, ShardId};
use crate::domain::task::TaskField;
use crate::store::reports::CallState;
use crate::store::{Error, Result, Sealed};

/// A column that holds what no version of this program wrote.
pub(super) fn corrupt(column: &str) -> Error {
    Error::Corrupt {
        what: column.to_owned(),
    }
}

/// A column of a type that the driver knows.
pub(super) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get(column)?)
}

/// An identity.
pub(super) fn id<T: FromStr>(row: &PgRow, column: &str) -> Result<T> {
    get::<&str>(row, column)?
        .parse()
        .map_err(|_| corrupt(column))
}

/// An identity that may be missing.
pub(super) fn id_opt<T: FromStr>(row: &PgRow, column: &str) -> Result<Option<T>> {
    let text = get::<Option<&str>>(row, column)?;
    text.map(|text| text.parse().map_err(|_| corrupt(column)))
        .transpose()
}

/// A call, from the columns `account` and `interaction`.
pub(super) fn call_id(row: &PgRow) -> Result<CallId> {
    Ok(CallId {
        account: id(row, "account")?,
        interaction: id(row, "interaction")?,
    })
}

/// A count.
pub(super) fn count(row: &PgRow, column: &str) -> Result<u32> {
    u32::try_from(get::<i32>(row, column)?).map_err(|_| corrupt(column))
}

/// A count that may be missing.
pub(super) fn count_opt(row: &PgRow, column: &str) -> Result<Option<u32>> {
    let count = get::<Option<i32>>(row, column)?;
    count
        .map(|count| u32::try_from(count).map_err(|_| corrupt(column)))
        .transpose()
}

/// A shard.
pub(super) fn shard(row: &PgRow) -> Result<ShardId> {
    u16::try_from(get::<i16>(row, "shard")?)
        .map(ShardId)
        .map_err(|_| corrupt("shard"))
}

/// A shard, as a column holds it.
pub(super) fn shard_column(shard: ShardId) -> i16 {
    i16::try_from(shard.0).expect("there are 256 shards")
}

/// Sealed bytes that may be missing.
pub(super) fn sealed_opt(row: &PgRow, column: &str) -> Result<Option<Sealed>> {
    Ok(get::<Option<Vec<u8>>>(row, column)?.map(Sealed))
}

/// A call's state.
pub(super) fn state(row: &PgRow) -> Result<CallState> {
    let text = get::<&str>(row, "state")?;
    let found = CallState::ALL
        .into_iter()
        .find(|state| state.as_str() == text);
    found.ok_or_else(|| corrupt("state"))
}

/// A value kept as JSON, selected as text.
pub(super) fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T> {
    serde_json::from_str(get::<&str>(row, column)?).map_err(|_| corrupt(column))
}

/// A value kept as JSON, selected as text, that may be missing.
pub(super) fn json_opt<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>> {
    let text = get::<Option<&str>>(row, column)?;
    text.map(|text| serde_json::from_str(text).map_err(|_| corrupt(column)))
        .transpose()
}

/// The fields that attempts leave out; null where none.
pub(super) fn degraded(row: &PgRow) -> Result<BTreeSet<TaskField>> {
    Ok(json_opt(row, "degraded")?.unwrap_or_default())
}

/// The same as a column.
pub(super) fn degraded_column(fields: &BTreeSet<TaskField>) -> Option<String> {
    (!fields.is_empty()).then(|| to_json(fields))
}

/// A value as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> String {
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
pub(super) fn from_word<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T> {
    let word = get::<String>(row, column)?;
    serde_json::from_value(word.into()).map_err(|_| corrupt(column))
}

/// The same for a word that may be missing.
pub(super) fn from_word_opt<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>> {
    let word = get::<Option<String>>(row, column)?;
    word.map(|word| serde_json::from_value(word.into()).map_err(|_| corrupt(column)))
        .transpose()
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
