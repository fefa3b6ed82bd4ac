//! The contract with the platform: its documents follow from the schema, and what we read and
//! write follows the documents.
//!
//! `UPDATE_CONTRACT=1 cargo test --test it contract` writes the documents and samples anew.

#![expect(
    clippy::too_many_lines,
    clippy::unnecessary_wraps,
    reason = "tables of a contract are as long as it is, and its fields are options"
)]

mod arbitrary;
mod asyncapi;
mod following;
mod reading;
mod readme;
mod samples;
mod schema;
mod writing;

use std::path::PathBuf;

/// Which way events of a type go, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The platform sends, we read.
    Read,
    /// We send.
    Published,
}

/// A type of event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventType {
    /// The CloudEvents type.
    pub(crate) name: &'static str,
    /// The message of its data.
    pub(crate) message: &'static str,
    /// The topic by default.
    pub(crate) topic: &'static str,
    /// What the topic's key is.
    pub(crate) key: &'static str,
    /// Which way.
    pub(crate) way: Way,
}

/// All types, in the order of a call's life.
pub(crate) const EVENTS: [EventType; 7] = [
    read("call.started.v1", "CallStarted"),
    read("call.ended.v1", "CallEnded"),
    published("call.lookedup.v1", "CallLookedUp"),
    published("calllog.deferred.v1", "CallLogDeferred"),
    published("calllog.succeeded.v1", "CallLogSucceeded"),
    published("calllog.failed.v1", "CallLogFailed"),
    EventType {
        topic: "vcc.link-status",
        key: "the account id",
        ..published("link.statuschanged.v1", "LinkStatusChanged")
    },
];

const fn read(name: &'static str, message: &'static str) -> EventType {
    EventType {
        name,
        message,
        topic: "vcc.calls",
        key: "the interaction id",
        way: Way::Read,
    }
}

const fn published(name: &'static str, message: &'static str) -> EventType {
    EventType {
        topic: "vcc.call-logs",
        way: Way::Published,
        ..read(name, message)
    }
}

/// A path in the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Fails if a generated file is not what it should be; writes it where that was asked for.
pub(crate) fn check_file(relative: &str, wanted: &[u8]) {
    let path = path(relative);
    if std::env::var_os("UPDATE_CONTRACT").is_some() {
        let folder = path.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder).expect("the folder is made");
        std::fs::write(&path, wanted).expect("the file is written");
    }
    let is = std::fs::read(&path).unwrap_or_default();
    assert!(
        is == wanted,
        "{relative} does not follow from the schema any more. If the change of the contract is \
         meant, `UPDATE_CONTRACT=1 cargo test --test it contract` writes it anew"
    );
}

/// A JSON file's text.
pub(crate) fn json_text(value: &serde_json::Value) -> Vec<u8> {
    (serde_json::to_string_pretty(value).expect("JSON") + "\n").into_bytes()
}

#[test]
fn the_documents_follow_from_the_schema() {
    for event in EVENTS {
        let file = format!("docs/contract/{}.schema.json", event.name);
        check_file(&file, &json_text(&schema::of(event)));
    }
    check_file(
        "docs/contract/asyncapi.json",
        &json_text(&asyncapi::document()),
    );
    check_file(
        "docs/contract/openapi.json",
        &json_text(&vcc_link::http::sidecar::api::document()),
    );
    check_file("docs/contract/README.md", readme::text().as_bytes());
}
