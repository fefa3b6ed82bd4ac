//! Whatever is asked, there is an answer: the core is pure, so it can be asked a thousand things.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::{Reply, Request};
use crate::clock::Timestamp;
use crate::config::InstanceUrlStyle;
use crate::seed::Seed;
use crate::world::World;

const SEED: &str = r#"{"orgs": [{"task_external_id_field": "Key__c", "users": [{"access_token": "token", "refresh_token": "refresh", "view_setup": true}],
    "generate": {"contacts": 3, "leads": 3, "accounts": 2}}]}"#;

fn world(now: Timestamp) -> World {
    let mut world = World::new(1, InstanceUrlStyle::Shared);
    let seed: Seed = serde_json::from_str(SEED).unwrap();
    world.seed(seed, now).unwrap();
    world
}

fn answer(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let ticket = world.admit(now, request);
    let reply = match ticket.refusal.clone() {
        Some(refusal) => refusal,
        None => world.execute(now, request, &ticket),
    };
    world.close(&ticket, Some(reply.status), reply.rows);
    reply
}

const PATHS: &[&str] = &[
    "",
    "%FF/%",
    "composite",
    "composite/batch",
    "composite/graph",
    "composite/tree/Account",
    "composite/sobjects",
    "composite/sobjects/Task",
    "composite/sobjects/Task/Key__c",
    "jobs/ingest",
    "jobs/ingest/750000000000001",
    "jobs/query",
    "limits",
    "parameterizedSearch",
    "query",
    "query/01g000000000001AAA-5",
    "queryAll",
    "search",
    "sobjects",
    "sobjects/Contact/x%20y",
    "sobjects/Task",
    "sobjects/Task/00T000000000001",
    "sobjects/Task/Key__c/a%2Fb",
    "sobjects/Task/describe",
];

const QUERIES: &[&str] = &[
    "q=SELECT+Id,Who.Name+FROM+Task+WHERE+Owner.Name+LIKE+'%25a_'",
    "q=SELECT+COUNT(Id)+n+FROM+Lead+GROUP+BY+Status+ORDER+BY+COUNT(Id)",
    "q=FIND+%7Bab*%7D+RETURNING+Contact(Id+LIMIT+1)",
];

const BODIES: &[&str] = &[
    r#"{"records": [{"attributes": {"type": "Task"}, "WhoId": 5, "Subject": null}]}"#,
    r#"{"records": [{}, 1]}"#,
    r#"{"compositeRequest": [{"method": "GET", "url": "@{a.b[1]}", "referenceId": "a"}]}"#,
    r#"{"batchRequests": [{"method": "GET", "url": "v66.0/composite/batch"}]}"#,
    r#"{"Subject": "x", "CallDurationInSeconds": 1e300, "ActivityDate": "2026-02-30"}"#,
    r#"{"Subject": "x", "CallDurationInSeconds": 65, "ActivityDate": "2026-02-28"}"#,
    r#"{"graphs": [{"graphId": "1", "compositeRequest": [{"method": "POST", "url": "/services/data/v66.0/sobjects/Task", "referenceId": "a", "body": {}}]}]}"#,
    r#"{"records": [{"attributes": {"type": "Account", "referenceId": "a"}, "Name": "A", "Tasks": {"records": [{"attributes": {"type": "Task", "referenceId": "b"}}]}}]}"#,
    r#"{"records": [{"attributes": {"type": "Task"}, "Key__c": "k"}, {"attributes": {"type": "Task"}, "Key__c": 5}]}"#,
    r#"{"object": "Task", "operation": "upsert", "externalIdFieldName": "Key__c", "lineEnding": "CRLF"}"#,
    r#"{"operation": "queryAll", "query": "SELECT Id, Who.Name FROM Task"}"#,
    r#"{"q": "ab", "sobjects": [{"name": "Lead"}], "overallLimit": 3}"#,
];

fn any_request() -> impl Strategy<Value = Request> {
    use prop::sample::select;
    let methods = vec![
        Method::GET,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
    ];
    let (method, path) = (select(methods), select(PATHS));
    let query = prop_oneof![
        select(QUERIES).prop_map(str::to_owned),
        "q=[ -~]{0,40}",
        "ids=[0-9A-Za-z,]{0,40}&fields=[A-Za-z.,]{0,20}",
    ];
    let body = prop_oneof![select(BODIES).prop_map(str::to_owned), "[ -~]{0,40}"];
    (method, path, query, body).prop_map(|(method, path, query, body)| {
        let mut headers = HeaderMap::new();
        headers.insert(
            "authorization",
            http::HeaderValue::from_static("Bearer token"),
        );
        Request {
            method,
            path: format!("/services/data/v66.0/{path}"),
            query,
            headers,
            body: Bytes::from(body),
            base_url: "http://127.0.0.1:1".to_owned(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
        }
    })
}

proptest! {
    #[test]
    fn every_request_is_answered_and_counted(requests in prop::collection::vec(any_request(), 1..20)) {
        let mut now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut world = world(now);
        for request in &requests {
            now += TimeDelta::seconds(1);
            let reply = answer(&mut world, now, request);
            prop_assert!(reply.headers.iter().any(|(name, _)| *name == "Sforce-Limit-Info"));
            prop_assert!((200..500).contains(&reply.status), "{} {}", reply.status, request.path);
        }
        prop_assert!(world.journal.requests(None, 0).all(|entry| entry.done && entry.counted > 0));
        // What was refused left nothing behind; what was created can be seen.
        let created: u64 = world.journal.counters().values().map(|org| org.tasks_created).sum();
        prop_assert_eq!(created, world.tasks(None).len() as u64);
    }

    #[test]
    fn no_path_upsets_the_router(path in "(/[ -~]{0,12}){0,6}") {
        let _ = super::resource::Resource::of(&path);
    }
}
