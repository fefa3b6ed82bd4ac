//! Everything that goes wrong, seen by the client and by the oracle.

use std::time::Duration;

use reqwest::Method;
use salesforce_simulator::RequestFilter;
use serde_json::{Value, json};

use crate::harness::{Org, REFRESH_TOKEN, collection, eventually, read};

fn tasks(org: &Org) -> usize {
    org.control().tasks(None).unwrap().len()
}

async fn post(org: &Org, objects: &[&str]) -> reqwest::Result<reqwest::Response> {
    let records: Vec<Value> = objects
        .iter()
        .map(|object| json!({ "CallObject": object }))
        .collect();
    let request = org.request(Method::POST, "composite/sobjects");
    request.json(&collection(&records)).send().await
}

#[tokio::test]
async fn a_dropped_connection_says_nothing_of_the_commit() {
    let org = Org::start(json!({})).await;
    for (action, committed) in [("commit_then_drop", 1), ("drop_before_commit", 0)] {
        let before = tasks(&org);
        org.fault(
            json!({"id": "drop", "kind": "collections", "times": 1, "action": {"type": action}}),
        );
        assert!(post(&org, &["call"]).await.is_err(), "{action}");
        assert_eq!(tasks(&org) - before, committed, "{action}");
    }
    let requests = org.control().requests(&RequestFilter::default()).unwrap();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.status, request.records))
        .collect();
    assert_eq!(seen, [(None, 1), (None, 0)]);
}

#[tokio::test]
async fn a_late_commit_happens_long_after_the_connection_is_gone() {
    let org = Org::start(json!({})).await;
    org.fault(json!({"kind": "collections", "action": {"type": "commit_late", "ms": 300_000}}));
    assert!(post(&org, &["call"]).await.is_err());
    assert_eq!(tasks(&org), 0);
    org.control().advance(Duration::from_mins(5));
    eventually("the commit has happened", || tasks(&org) == 1).await;
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_undo_the_work() {
    let org = Org::start(json!({"latency": {"base_ms": 600_000}})).await;
    let control = org.control();
    let request = org.request(Method::POST, "sobjects/Task").json(&json!({}));
    let client = tokio::spawn(request.send());
    eventually("the request has come in", || {
        !control
            .requests(&RequestFilter::default())
            .unwrap()
            .is_empty()
    })
    .await;
    client.abort();
    assert!(client.await.is_err());
    control.advance(Duration::from_mins(10));
    eventually("the work is done", || tasks(&org) == 1).await;
}

#[tokio::test]
async fn other_answers_come_instead_of_the_work() {
    let org = Org::start(json!({})).await;
    let strike = |action: Value| org.fault(json!({"id": "fault", "action": action}));

    strike(json!({"type": "html", "status": 200}));
    let response = post(&org, &["call"]).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/html;charset=UTF-8"
    );
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("We are down for maintenance.")
    );

    strike(json!({"type": "constant_500"}));
    let (status, body) = read(post(&org, &["call"]).await.unwrap()).await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (500, &json!("UNKNOWN_EXCEPTION"))
    );

    strike(
        json!({"type": "status", "status": 503, "errorCode": "SERVER_UNAVAILABLE", "message": "busy"}),
    );
    let (status, body) = read(post(&org, &["call"]).await.unwrap()).await;
    assert_eq!(
        (status, body),
        (
            503,
            json!([{"message": "busy", "errorCode": "SERVER_UNAVAILABLE"}])
        )
    );

    strike(json!({"type": "redirect", "location": "https://elsewhere.example/"}));
    let response = post(&org, &["call"]).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"https://elsewhere.example/".parse().unwrap())
    );
    assert_eq!(tasks(&org), 0, "none of these commit");
}

#[tokio::test]
async fn answers_are_spoiled_after_the_commit() {
    let org = Org::start(json!({})).await;
    let strike = |action: Value| org.fault(json!({"id": "fault", "action": action}));

    strike(json!({"type": "truncated"}));
    assert!(post(&org, &["call"]).await.unwrap().text().await.is_err());
    strike(json!({"type": "bad_json"}));
    assert_eq!(
        read(post(&org, &["call"]).await.unwrap()).await,
        (200, Value::Null)
    );
    strike(json!({"type": "wrong_array_length"}));
    let (_, body) = read(post(&org, &["a", "b"]).await.unwrap()).await;
    assert_eq!(body.as_array().unwrap().len(), 1);
    strike(json!({"type": "oversized", "bytes": 1_000_000}));
    assert!(
        post(&org, &["call"])
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .len()
            > 1_000_000
    );
    strike(json!({"type": "slow_drip", "bytes_per_s": 10}));
    org.control().set_time_scale(100_000.0);
    assert_eq!(read(post(&org, &["call"]).await.unwrap()).await.0, 200);
    assert_eq!(tasks(&org), 6, "all of these commit");
}

#[tokio::test]
async fn rows_fail_alone_and_chunks_together() {
    let org = Org::start(json!({})).await;
    let matching = json!({"field": "CallObject", "contains": "bad"});
    org.fault(
        json!({"id": "lock", "match": matching, "times": 1, "action": {"type": "lock_rows"}}),
    );
    let (_, body) = read(post(&org, &["good", "bad"]).await.unwrap()).await;
    assert_eq!(body[0]["success"], true);
    assert_eq!(body[1]["errors"][0]["statusCode"], "UNABLE_TO_LOCK_ROW");

    org.fault(
        json!({"id": "trigger", "match": matching, "action": {"type": "whole_chunk_failure",
        "statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "message": "trigger failed"}}),
    );
    let (_, body) = read(post(&org, &["good", "bad"]).await.unwrap()).await;
    assert_eq!(body[0]["errors"], body[1]["errors"]);
    assert_eq!(
        read(post(&org, &["good"]).await.unwrap()).await.1[0]["success"],
        true
    );
}

#[tokio::test]
async fn rules_count_and_chance_repeats() {
    async fn outcomes() -> Vec<u16> {
        let org = Org::start(json!({})).await;
        org.fault(json!({"after": 2, "times": 5, "probability": 0.5, "kind": "globalDescribe", "action": {"type": "constant_500"}}));
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(org.get("sobjects").await.0);
        }
        let rule = org.control().faults().remove(0);
        assert_eq!(rule.fired, 5);
        statuses
    }
    let first = outcomes().await;
    assert_eq!(first[..2], [200, 200]);
    assert_eq!(first.iter().filter(|&&status| status == 500).count(), 5);
    assert_eq!(first, outcomes().await);
}

#[tokio::test]
async fn the_control_api_speaks_http() {
    let org = Org::start(json!({})).await;
    let url = |path: &str| format!("{}/__sim/{path}", org.running.base_url());
    let post = |path: &str, body: Value| org.client.post(url(path)).json(&body).send();
    let seed = json!({"orgs": [{"name": "Second", "users": [{"refresh_token": "other"}]}]});
    let (status, body) = read(post("seed", seed).await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(body["orgs"][0].as_str().unwrap().starts_with("00D"));
    assert_eq!(org.refresh("other").await.0, 200);

    let (status, body) = read(post("orgs/Nowhere", json!({})).await.unwrap()).await;
    assert_eq!((status, body), (404, json!({"error": "no org 'Nowhere'"})));
    let (status, _) = read(post("orgs/Acme", json!({"nonsense": 1})).await.unwrap()).await;
    assert_eq!(status, 400);

    let rule = json!({"kind": "query", "org": "Second", "action": {"type": "constant_500"}});
    let (_, body) = read(post("faults", rule).await.unwrap()).await;
    assert_eq!(
        org.query("SELECT Id FROM Task").await.0,
        200,
        "the rule is for another org"
    );
    let gone = org
        .client
        .delete(url(&format!("faults/{}", body["id"].as_str().unwrap())));
    assert_eq!(
        read(gone.send().await.unwrap()).await.1,
        json!({"removed": 1})
    );

    let (_, requests) = read(
        org.client
            .get(url("requests?org=Acme&since=0"))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(requests.as_array().unwrap().len(), 1);
    assert_eq!(requests[0]["kind"], "query");
}

#[tokio::test]
async fn faults_of_an_org_also_strike_its_calls_to_the_login_host() {
    let org = Org::start(json!({})).await;
    org.fault(json!({"org": "Acme", "action": {"type": "constant_500"}}));
    let base = org.running.base_url();
    let user = org.control().orgs()[0]["users"][0]["id"].clone();
    let id = org.control().orgs()[0]["id"].clone();
    let identity = format!(
        "{base}/id/{}/{}",
        id.as_str().unwrap(),
        user.as_str().unwrap()
    );
    for url in [format!("{base}/services/oauth2/userinfo"), identity] {
        let request = org.client.get(url).bearer_auth(&org.token);
        assert_eq!(request.send().await.unwrap().status(), 500);
    }
    let revoked = org.oauth("revoke", &[("token", REFRESH_TOKEN)]).await;
    assert_eq!(revoked.status(), 500);
    let (_, counters) = org.control().counters().pop_first().unwrap();
    assert_eq!(counters.requests.values().sum::<u64>(), 3);
}
