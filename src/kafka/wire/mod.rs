//! The wire format of the contract: CloudEvents 1.0 on Kafka, with JSON or Protobuf data.
//!
//! - [`envelope`]: CloudEvents, binary and structured;
//! - [`decode`]: the platform's events → domain;
//! - [`encode`]: domain → what is published;
//! - [`quarantine`]: what could not be read, as received;
//! - [`print`](mod@print): any record of the contract → one JSON document, for people and tests.
//!
//! Architecture invariant: nothing outside `kafka::wire` names a wire type.

pub mod decode;
pub mod encode;
pub mod envelope;
mod fields;
pub mod print;
pub mod quarantine;
pub mod timestamp;

/// The schema's types, generated from `proto/`.
#[expect(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated; documented in proto/"
)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/vcc.link.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/vcc.link.v1.serde.rs"));
}

/// The schema with its comments, as a Protobuf `FileDescriptorSet`: the contract's documents are
/// made from it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// How the data of an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `application/json`: Protobuf's canonical mapping.
    #[default]
    Json,
    /// `application/protobuf`.
    Protobuf,
}

impl Encoding {
    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/protobuf",
        }
    }
}
