//! Any record of the contract, in either mode and encoding, as one JSON document: for people who
//! look at a topic, and for tests.

use prost::Message;
use serde::Serialize;
use serde_json::{Map, Value};

use super::envelope::{Record, Rejected, header};
use super::proto;

/// The record as a CloudEvent in JSON (structured mode). Shows everything, numbers and names too.
pub fn print(record: Record<'_>) -> Result<Value, Rejected> {
    let value = record
        .value
        .ok_or_else(|| Rejected::new("the record has no value"))?;
    let content_type = header(record, "content-type")?.unwrap_or_default();
    if header(record, "ce_specversion")?.is_none() {
        return json(value);
    }
    let mut document = Map::new();
    for (name, _) in record.headers {
        let attribute = name.strip_prefix("ce_").unwrap_or(name);
        if name != "content-type"
            && let Some(text) = header(record, name)?
        {
            document.insert(attribute.to_owned(), text.into());
        }
    }
    let event_type = header(record, "ce_type")?.unwrap_or_default();
    let data = if content_type == "application/protobuf" {
        protobuf(&event_type, value)?
    } else {
        json(value)?
    };
    document.insert("data".into(), data);
    Ok(document.into())
}

/// A JSON text.
fn json(text: &[u8]) -> Result<Value, Rejected> {
    serde_json::from_slice(text).map_err(|_| Rejected::new("the value is no JSON"))
}

/// The data of an event of this type, by the canonical mapping.
fn protobuf(event_type: &str, bytes: &[u8]) -> Result<Value, Rejected> {
    match event_type {
        "call.started.v1" => mapped::<proto::CallStarted>(bytes),
        "call.ended.v1" => mapped::<proto::CallEnded>(bytes),
        "call.lookedup.v1" => mapped::<proto::CallLookedUp>(bytes),
        "calllog.deferred.v1" => mapped::<proto::CallLogDeferred>(bytes),
        "calllog.succeeded.v1" => mapped::<proto::CallLogSucceeded>(bytes),
        "calllog.failed.v1" => mapped::<proto::CallLogFailed>(bytes),
        "link.statuschanged.v1" => mapped::<proto::LinkStatusChanged>(bytes),
        _ => Err(Rejected::new("the event is of no type of the contract")),
    }
}

/// A message by the canonical mapping.
fn mapped<T: Message + Default + Serialize>(bytes: &[u8]) -> Result<Value, Rejected> {
    let message = T::decode(bytes)
        .map_err(|_| Rejected::new("the data is no Protobuf message of the event's type"))?;
    // A time beyond the year 9999 has no JSON.
    serde_json::to_value(message).map_err(|_| Rejected::new("the data has no JSON form"))
}
