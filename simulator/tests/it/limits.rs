//! What counts, and what happens when too much does.

use std::time::Duration;

use reqwest::Method;
use salesforce_simulator::{Config, InstanceUrlStyle, RequestFilter, Simulator};
use serde_json::json;

use crate::harness::{Org, eventually, read};

#[tokio::test]
async fn the_daily_limit_is_told_enforced_and_rolls_on() {
    let org = Org::start(json!({"daily_limit": 3})).await;
    for used in 1..=3 {
        let response = org.request(Method::GET, "sobjects").send().await.unwrap();
        assert_eq!(
            response.headers()["sforce-limit-info"],
            format!("api-usage={used}/3")
        );
    }
    let (status, body) = org.get("sobjects").await;
    assert_eq!(status, 403);
    assert_eq!(
        body,
        json!([{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}])
    );
    org.control().advance(Duration::from_hours(25));
    let token = org.control().log_in(crate::harness::API_USER).unwrap();
    let org = Org { token, ..org };
    assert_eq!(org.get("sobjects").await.0, 200);
    org.patch(json!({"used_today": 3}));
    assert_eq!(org.get("sobjects").await.0, 403);
}

#[tokio::test]
async fn long_requests_shut_the_door_on_others() {
    let org = Org::start(json!({"long_running_limit": 2})).await;
    org.fault(json!({"id": "slow", "times": 2, "action": {"type": "delay", "ms": 60_000}}));
    let slow = || tokio::spawn(org.request(Method::GET, "sobjects").send());
    let (one, two) = (slow(), slow());
    let control = org.control();
    eventually("two requests are running", || {
        control.requests(&RequestFilter::default()).unwrap().len() == 2
    })
    .await;
    assert_eq!(org.get("sobjects").await.0, 200, "they are not long yet");
    org.control().advance(Duration::from_secs(21));
    let (status, body) = org.get("sobjects").await;
    assert_eq!(status, 403);
    assert_eq!(
        body[0]["message"],
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    );
    org.control().advance(Duration::from_mins(1));
    assert_eq!(one.await.unwrap().unwrap().status(), 200);
    assert_eq!(two.await.unwrap().unwrap().status(), 200);
    assert_eq!(org.get("sobjects").await.0, 200);
}

#[tokio::test]
async fn versions_and_lengths_have_their_bounds() {
    let org = Org::start(json!({})).await;
    let base = org.running.base_url();
    for (version, status) in [
        ("v30.0", 410),
        ("v31.0", 200),
        ("v68.0", 200),
        ("v69.0", 404),
        ("66", 404),
    ] {
        let url = format!("{base}/services/data/{version}/sobjects");
        let response = org
            .client
            .get(url)
            .bearer_auth(&org.token)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{version}");
    }
    let long = "x".repeat(16_500);
    assert_eq!(org.get(&format!("query?q={long}")).await.0, 414);
    let request = org.request(Method::GET, "sobjects").header("x-long", long);
    assert_eq!(read(request.send().await.unwrap()).await.0, 431);
    let open = org
        .client
        .get(format!("{base}/services/data/"))
        .send()
        .await
        .unwrap();
    assert!(!open.headers().contains_key("sforce-limit-info"));
}

#[tokio::test]
async fn a_batch_counts_each_of_its_requests() {
    let org = Org::start(json!({})).await;
    let body = json!({"batchRequests": [
        {"method": "GET", "url": "v66.0/sobjects"},
        {"method": "GET", "url": "v66.0/search?q=FIND+%7Bnobody%7D+RETURNING+Contact"},
    ]});
    let request = org.request(Method::POST, "composite/batch").json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(
        response.headers()["sforce-limit-info"],
        "api-usage=2/100000"
    );
    assert_eq!(read(response).await.1["hasErrors"], false);
}

#[tokio::test]
async fn latency_grows_with_the_rows() {
    let org = Org::start(json!({"latency": {"base_ms": 60_000, "per_record_ms": 1_000}})).await;
    let control = org.control();
    let before = control.now();
    org.control().set_time_scale(100_000.0);
    assert_eq!(org.collect(&vec![json!({}); 30]).await.0, 200);
    assert!(control.now() - before >= chrono::TimeDelta::seconds(90));
}

#[tokio::test]
async fn data_calls_belong_to_the_orgs_own_host() {
    let seed = json!({"orgs": [
        {"name": "Acme", "users": [{"username": "api@acme.example"}]},
        {"name": "Bolt", "users": [{"username": "api@bolt.example"}]},
    ]});
    let running = Simulator::start(Config {
        seed: serde_json::from_value(seed).unwrap(),
        instance_url_style: InstanceUrlStyle::Subdomain,
        ..Config::default()
    })
    .await
    .unwrap();
    let token = running.control().log_in("api@acme.example").unwrap();
    let base = running.base_url();
    let port = base.rsplit(':').next().unwrap();
    let url = format!("{base}/services/data/v66.0/sobjects");
    for (host, status, code) in [
        ("acme.localhost", 200, json!(null)),
        ("bolt.localhost", 401, json!("INVALID_SESSION_ID")),
        ("login.localhost", 404, json!("URL_NOT_RESET")),
        ("127.0.0.1", 404, json!("URL_NOT_RESET")),
    ] {
        let request = reqwest::Client::new().get(&url).bearer_auth(&token);
        let request = request.header("host", format!("{host}:{port}"));
        let (told, body) = read(request.send().await.unwrap()).await;
        assert_eq!((told, &body[0]["errorCode"]), (status, &code), "{host}");
    }
}
