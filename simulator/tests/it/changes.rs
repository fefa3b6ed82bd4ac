//! The lists of what changed and of what was deleted.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Org;

async fn list(org: &Org, which: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> (u16, Value) {
    let path = format!("sobjects/Task/{which}");
    let span = [("start", from.to_rfc3339()), ("end", to.to_rfc3339())];
    let request = org.request(Method::GET, &path).query(&span);
    crate::harness::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn they_tell_of_the_span_that_is_asked_for() {
    let org = Org::start(json!({})).await;
    let old = org.create(json!({"Subject": "Old"})).await;
    org.control().advance(Duration::from_hours(1));
    let gone = org.create(json!({"Subject": "Gone"})).await;
    org.control().delete_task(&gone).unwrap();
    let kept = org.create(json!({"Subject": "Kept"})).await;

    let now = org.control().now();
    let (from, to) = (now - TimeDelta::minutes(5), now + TimeDelta::minutes(5));
    let (_, updated) = list(&org, "updated", from, to).await;
    assert_eq!(updated["ids"], json!([kept]));
    let (_, deleted) = list(&org, "deleted", from, to).await;
    assert_eq!(deleted["deletedRecords"][0]["id"], gone);
    let (_, updated) = list(&org, "updated", now - TimeDelta::hours(2), to).await;
    assert_eq!(updated["ids"], json!([old, kept]));

    for (from, to) in [(to, from), (now - TimeDelta::days(31), to)] {
        let (status, body) = list(&org, "updated", from, to).await;
        let code = &body[0]["errorCode"];
        assert_eq!((status, code), (400, &json!("INVALID_REPLICATION_DATE")));
    }
}
