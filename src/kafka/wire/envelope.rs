//! CloudEvents 1.0 on Kafka: attributes in `ce_` headers (binary mode) or with the data in one
//! JSON document (structured mode).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::Encoding;

/// A record as Kafka gives it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Header names and values, in order. A name may come twice; the last counts.
    pub headers: &'a [(String, Vec<u8>)],
    /// The value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Why a record is no valid event: what is wrong and what to do, without its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejected {
    /// In one sentence.
    pub reason: String,
}

impl Rejected {
    /// A rejection for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// An event, its type looked at before anything else: an event of a type that is not read is none
/// of our business, whatever else it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `type`.
    pub event_type: String,
    /// The rest, for whoever reads the type: it may be no valid event.
    pub content: Result<Content, Rejected>,
}

/// What an event holds beside its type, its data still as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// `id`.
    pub id: String,
    /// `source`.
    pub source: String,
    /// `time`; the data may tell better.
    pub time: Option<DateTime<Utc>>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// When its use ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// How the data is written.
    pub encoding: Encoding,
    /// The data.
    pub data: Vec<u8>,
}

/// The longest attribute that is read, in bytes.
const LONGEST_ATTRIBUTE: usize = 1024;

/// The content type of a CloudEvent in one JSON document.
const STRUCTURED: &str = "application/cloudevents+json";

impl Envelope {
    /// Reads a record in either mode, whose value may have `longest` bytes.
    pub fn read(record: Record<'_>, longest: usize) -> Result<Self, Rejected> {
        let content_type = header(record, "content-type").map(|found| {
            let found = found.unwrap_or_default();
            let essence = found.split(';').next().unwrap_or_default();
            essence.trim().to_lowercase()
        });
        let named = content_type.as_deref().unwrap_or_default();
        if named == STRUCTURED {
            return Self::structured(value_of(record, longest)?);
        }
        if named.starts_with("application/cloudevents") {
            return Err(Rejected::new(
                "content-type: of the structured forms only application/cloudevents+json is read",
            ));
        }
        if header(record, "ce_specversion")?.is_some() {
            return Ok(Self {
                event_type: required_header(record, "ce_type")?,
                content: content_type.and_then(|named| Content::binary(record, &named, longest)),
            });
        }
        let value = value_of(record, longest)?;
        // Console producers set no headers: a JSON document that says that it is an event is one.
        if named.is_empty() && value.first() == Some(&b'{') {
            return Self::structured(value);
        }
        Err(Rejected::new(
            "neither ce_specversion nor content-type application/cloudevents+json is set: send CloudEvents 1.0, binary or structured",
        ))
    }

    /// Structured mode: one JSON document.
    pub(crate) fn structured(value: &[u8]) -> Result<Self, Rejected> {
        match serde_json::from_slice::<Structured>(value) {
            Ok(mut document) => Ok(Self {
                event_type: required("type", document.event_type.take())?,
                content: Content::structured(document),
            }),
            Err(error) => {
                let rejected = Rejected::new(format!(
                    "the value is no CloudEvent in JSON: {} at line {} column {}",
                    kind(&error),
                    error.line(),
                    error.column()
                ));
                // Whatever else is amiss, the type may be one that is not read.
                let typed = serde_json::from_slice::<Typed>(value);
                match typed.ok().and_then(|typed| typed.event_type) {
                    Some(event_type) if !event_type.is_empty() => Ok(Self {
                        event_type,
                        content: Err(rejected),
                    }),
                    _ => Err(rejected),
                }
            }
        }
    }
}

impl Content {
    /// Binary mode: attributes in headers, the value is the data.
    fn binary(record: Record<'_>, content_type: &str, longest: usize) -> Result<Self, Rejected> {
        let value = value_of(record, longest)?;
        let encoding = match content_type {
            "" | "application/json" => Encoding::Json,
            "application/protobuf" | "application/x-protobuf" => Encoding::Protobuf,
            _ => {
                return Err(Rejected::new(
                    "content-type: write application/json or application/protobuf",
                ));
            }
        };
        check_version(&required_header(record, "ce_specversion")?)?;
        Ok(Self {
            id: required_header(record, "ce_id")?,
            source: required_header(record, "ce_source")?,
            time: header(record, "ce_time")?
                .map(|t| time("ce_time", &t))
                .transpose()?,
            traceparent: match header(record, "traceparent")? {
                Some(context) => Some(context),
                None => header(record, "ce_traceparent")?,
            },
            expires_at: header(record, "ce_expirytime")?
                .map(|t| time("ce_expirytime", &t))
                .transpose()?,
            encoding,
            data: value.to_vec(),
        })
    }

    /// Structured mode: all in one document.
    fn structured(document: Structured) -> Result<Self, Rejected> {
        check_version(document.specversion.as_deref().unwrap_or_default())?;
        let content_type = document.datacontenttype.unwrap_or_default().to_lowercase();
        let (encoding, data) = data(&content_type, document.data, document.data_base64)?;
        Ok(Self {
            id: required("id", document.id)?,
            source: required("source", document.source)?,
            time: document.time.map(|t| time("time", &t)).transpose()?,
            traceparent: document
                .traceparent
                .filter(|t| t.len() <= LONGEST_ATTRIBUTE),
            expires_at: document
                .expirytime
                .map(|t| time("expirytime", &t))
                .transpose()?,
            encoding,
            data,
        })
    }
}

/// The record's value, if there is one and it is not too long.
fn value_of(record: Record<'_>, longest: usize) -> Result<&[u8], Rejected> {
    let value = record
        .value
        .ok_or_else(|| Rejected::new("the record has no value; call topics take no tombstones"))?;
    let length = value.len();
    if length > longest {
        return Err(Rejected::new(format!(
            "the value has {length} bytes, and at most {longest} are read (kafka.max_event_bytes)"
        )));
    }
    Ok(value)
}

/// A header that must be there.
fn required_header(record: Record<'_>, name: &str) -> Result<String, Rejected> {
    header(record, name)?
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Rejected::new(format!("the header {name} is missing")))
}

/// An attribute of a JSON document that must be there.
fn required(name: &str, text: Option<String>) -> Result<String, Rejected> {
    text.filter(|t| !t.is_empty())
        .ok_or_else(|| Rejected::new(format!("the attribute {name} is missing")))
}

/// The type alone, out of a document that is otherwise not as it should be.
#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    event_type: Option<String>,
}

/// The JSON document of structured mode. Other attributes are ignored.
#[derive(Deserialize)]
struct Structured {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    traceparent: Option<String>,
    expirytime: Option<String>,
    data: Option<Box<serde_json::value::RawValue>>,
    data_base64: Option<String>,
}

/// The data of a structured event.
fn data(
    content_type: &str,
    json: Option<Box<serde_json::value::RawValue>>,
    base64: Option<String>,
) -> Result<(Encoding, Vec<u8>), Rejected> {
    let encoding = match content_type.split(';').next().unwrap_or_default().trim() {
        "" | "application/json" => Encoding::Json,
        "application/protobuf" | "application/x-protobuf" => Encoding::Protobuf,
        _ => {
            return Err(Rejected::new(
                "datacontenttype: write application/json or application/protobuf",
            ));
        }
    };
    match (json, base64) {
        (Some(json), None) if encoding == Encoding::Json => {
            Ok((encoding, json.get().as_bytes().to_vec()))
        }
        (None, Some(text)) => STANDARD
            .decode(text)
            .map(|bytes| (encoding, bytes))
            .map_err(|_| Rejected::new("data_base64 is no base64")),
        _ => Err(Rejected::new(
            "the event has no data: JSON in `data`, or other bytes in `data_base64`",
        )),
    }
}

/// Only version 1.0 is known.
fn check_version(version: &str) -> Result<(), Rejected> {
    if version == "1.0" {
        Ok(())
    } else {
        Err(Rejected::new(
            "specversion: write 1.0, the only version of CloudEvents that is read",
        ))
    }
}

/// A header's text. Names compare without case.
pub(super) fn header(record: Record<'_>, name: &str) -> Result<Option<String>, Rejected> {
    let found = record
        .headers
        .iter()
        .rev()
        .find(|(n, _)| n.eq_ignore_ascii_case(name));
    let Some((_, bytes)) = found else {
        return Ok(None);
    };
    if bytes.len() > LONGEST_ATTRIBUTE {
        return Err(Rejected::new(format!(
            "the header {name} has over {LONGEST_ATTRIBUTE} bytes"
        )));
    }
    String::from_utf8(bytes.clone())
        .map(Some)
        .map_err(|_| Rejected::new(format!("the header {name} is no UTF-8")))
}

/// An RFC 3339 time.
fn time(name: &str, text: &str) -> Result<DateTime<Utc>, Rejected> {
    DateTime::parse_from_rfc3339(text)
        .map(|t| t.with_timezone(&Utc))
        .map_err(|_| {
            Rejected::new(format!(
                "{name} is no time: write RFC 3339, 2026-11-23T21:10:00Z"
            ))
        })
}

/// What is wrong with a JSON text, without repeating any of it.
pub(super) fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax => "it is no JSON",
        serde_json::error::Category::Data => "a value is of the wrong kind",
        serde_json::error::Category::Io => "it cannot be read",
    }
}
