//! The house's arrows: who may know whom, held by reading the sources.
//!
//! Tests inside the sources are left out: what a test builds, it may know.

mod rules;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{Source, faults};

/// Every source file of a folder of this package, by its path.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the package") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the package").to_str();
                let text = fs::read_to_string(&path).expect("source is text");
                sources.push(Source::new(name.expect("source names are ASCII"), &text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

#[test]
fn the_house_keeps_its_arrows() {
    let faults = faults(&sources("src"));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_source_is_too_long() {
    let all = ["src", "simulator", "dev", "faults"]
        .into_iter()
        .flat_map(sources);
    let faults: Vec<String> = all.filter_map(|source| rules::too_long(&source)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The faults of made-up sources.
fn of(sources: &[(&str, &str)]) -> Vec<String> {
    faults(
        &sources
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn a_room_that_knows_too_much_is_told() {
    let cases = [
        ("src/domain/call.rs", "use crate::store::Inbox;"),
        (
            "src/domain/call.rs",
            "fn f() { crate::telemetry::count(); }",
        ),
        ("src/engine/mod.rs", "use crate::{domain::ids, kafka};"),
        (
            "src/kafka/mod.rs",
            "use crate::{\n    domain::{ids::CallId, call},\n    store::Inbox,\n};",
        ),
        ("src/store/mod.rs", "use super::engine;"),
        (
            "src/store/postgres/links.rs",
            "use super::super::super::crypto;",
        ),
        ("src/pipeline/ingest.rs", "use crate::http::Readiness;"),
        ("src/http/mod.rs", "use crate::pipeline;"),
        ("src/linking.rs", "use crate::pipeline::ingest;"),
        ("src/pipeline/relay.rs", "use crate::app;"),
        ("src/attic.rs", "use crate::domain::ids;"),
        ("src/pipeline/relay.rs", "sqlx::query(\"select 1\")"),
        ("src/app.rs", "const Q: &str = \"select id from calls\";"),
        ("src/sealing.rs", "use prost::Message;"),
        ("src/linking.rs", "use reqwest::Client;"),
        ("src/domain/ids.rs", "use tokio::time::sleep;"),
        ("src/engine/mod.rs", "let now = Utc::now();"),
        ("src/pipeline/relay.rs", "tokio::spawn(run());"),
        (
            "src/pipeline/relay.rs",
            "use tokio::task; fn f() { task::spawn(run()); }",
        ),
        ("src/app.rs", "use salesforce_simulator::Org;"),
        ("src/app.rs", "let url = \"http://simulator:8080\";"),
        (
            "src/pipeline/relay.rs",
            "use crate::kafka::wire::proto::CallEnded;",
        ),
    ];
    for (path, text) in cases {
        let faults = of(&[(path, text)]);
        assert_eq!(faults.len(), 1, "{path}: {text}: {faults:?}");
        assert!(faults[0].starts_with(path), "{faults:?}");
    }
}

#[test]
fn what_is_allowed_is_not_told() {
    let cases = [
        (
            "src/domain/call.rs",
            "use super::ids; use crate::domain::ids::CallId;",
        ),
        (
            "src/store/postgres/mod.rs",
            "use super::Inbox; sqlx::query(\"select id from calls\");",
        ),
        (
            "src/kafka/wire/encode.rs",
            "use super::super::Config; use prost::Message;",
        ),
        (
            "src/engine/mod.rs",
            "/// Like [`crate::store::Inbox`].\n// crate::kafka\nfn f() {}",
        ),
        (
            "src/domain/ids.rs",
            "#[cfg(test)]\nmod tests { use crate::store; fn f() { sqlx::x() } }",
        ),
        (
            "src/domain/ids.rs",
            "const TEXT: &str = r#\"use \"crate::store\" here\"#;",
        ),
        (
            "src/pipeline/relay.rs",
            "fn f<'a>(c: char) { c == '\"'; crate::crash_point(\"x\") }",
        ),
        ("src/app.rs", "tokio::spawn(run()); crate::pipeline::run();"),
        ("src/http/mod.rs", "use axum::http::StatusCode;"),
    ];
    for (path, text) in cases {
        assert_eq!(of(&[(path, text)]), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn an_error_code_of_salesforce_stays_in_its_room() {
    let room = (
        "src/salesforce/error.rs",
        "match code { \"UNABLE_TO_LOCK_ROW\" => 1 }",
    );
    let elsewhere = (
        "src/engine/journal.rs",
        "if code == \"UNABLE_TO_LOCK_ROW\" {}",
    );
    let own = ("src/engine/journal.rs", "if code == \"SOME_WORD\" {}");
    assert_eq!(of(&[room, elsewhere]).len(), 1);
    assert_eq!(of(&[room, own]), Vec::<String>::new());
}

#[test]
fn a_long_source_is_told_and_its_tests_do_not_count() {
    let long = "fn f() {}\n".repeat(401);
    let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert!(rules::too_long(&Source::new("src/app.rs", &long)).is_some());
    assert!(rules::too_long(&Source::new("src/app.rs", &tests)).is_none());
}
