//! Bulk API 2.0, step by step.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Org;

/// Creates a job that inserts Tasks, and returns its path.
async fn insert_tasks(org: &Org) -> String {
    let body = json!({"object": "Task", "operation": "insert", "lineEnding": "CRLF", "columnDelimiter": "SEMICOLON"});
    let (status, job) = org.send(Method::POST, "jobs/ingest", &body).await;
    assert_eq!((status, &job["state"]), (200, &json!("Open")), "{job}");
    format!("jobs/ingest/{}", job["id"].as_str().unwrap())
}

async fn upload(org: &Org, job: &str, csv: &'static str) -> u16 {
    let request = org.request(Method::PUT, &format!("{job}/batches"));
    let request = request.header("content-type", "text/csv").body(csv);
    request.send().await.unwrap().status().as_u16()
}

async fn set_state(org: &Org, job: &str, state: &str) -> (u16, Value) {
    org.send(Method::PATCH, job, &json!({ "state": state }))
        .await
}

async fn text(org: &Org, path: &str) -> String {
    let response = org.request(Method::GET, path).send().await.unwrap();
    response.text().await.unwrap()
}

#[tokio::test]
async fn rows_are_written_when_the_upload_is_complete() {
    let org = Org::start(json!({})).await;
    org.fault(json!({"kind": "bulk", "match": {"field": "Subject", "contains": "Locked"}, "action": {"type": "lock_rows"}}));
    let job = insert_tasks(&org).await;
    let csv = "Subject;Description\r\nOne;\"a;\"\"b\"\"\"\r\nLocked;\r\n";
    assert_eq!(upload(&org, &job, csv).await, 201);
    assert!(org.control().tasks(None).unwrap().is_empty());

    let (status, told) = set_state(&org, &job, "UploadComplete").await;
    assert_eq!((status, &told["state"]), (200, &json!("UploadComplete")));
    let (_, told) = org.get(&job).await;
    let counts = (
        &told["numberRecordsProcessed"],
        &told["numberRecordsFailed"],
    );
    assert_eq!(told["state"], "JobComplete");
    assert_eq!(counts, (&json!(2), &json!(1)));
    let id = org.control().tasks(None).unwrap()[0]["Id"].clone();
    assert_eq!(
        text(&org, &format!("{job}/successfulResults")).await,
        format!(
            "\"sf__Id\";\"sf__Created\";\"Subject\";\"Description\"\r\n\"{}\";\"true\";\"One\";\"a;\"\"b\"\"\"\r\n",
            id.as_str().unwrap()
        )
    );
    let failed = text(&org, &format!("{job}/failedResults")).await;
    assert!(
        failed.contains("\"\";\"UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record: --\";\"Locked\""),
        "{failed}"
    );
}

#[tokio::test]
async fn a_job_takes_each_step_once() {
    let org = Org::start(json!({})).await;
    let job = insert_tasks(&org).await;
    assert_eq!(upload(&org, &job, "Subject\r\nOne\r\n").await, 201);
    assert_eq!(upload(&org, &job, "Subject\r\nTwo\r\n").await, 400);
    let (status, body) = set_state(&org, &job, "JobComplete").await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (400, &json!("INVALIDJOBSTATE"))
    );
    assert_eq!(set_state(&org, &job, "UploadComplete").await.0, 200);
    assert_eq!(set_state(&org, &job, "Aborted").await.0, 400);
    assert_eq!(org.control().tasks(None).unwrap().len(), 1);

    let ragged = insert_tasks(&org).await;
    upload(&org, &ragged, "Subject\r\nOne;two\r\n").await;
    set_state(&org, &ragged, "UploadComplete").await;
    let (_, told) = org.get(&ragged).await;
    assert_eq!(told["state"], "Failed");
    assert!(told["errorMessage"].is_string());
    let deleted = org.send(Method::DELETE, &ragged, &json!({})).await;
    assert_eq!((deleted.0, org.get(&ragged).await.0), (204, 404));
}

#[tokio::test]
async fn a_query_comes_as_csv_with_the_fields_of_parents() {
    let contact = json!({"type": "Contact", "Id": "003000000000001", "LastName": "Lovelace"});
    let org = Org::start(json!({"records": [contact]})).await;
    for subject in ["One", "Two", "Three"] {
        org.create(json!({"Subject": subject, "WhoId": "003000000000001"}))
            .await;
    }
    let soql = "SELECT Subject, Who.Name, CallDurationInSeconds FROM Task ORDER BY Subject";
    let body = json!({"operation": "query", "query": soql});
    let (_, job) = org.send(Method::POST, "jobs/query", &body).await;
    let results = format!("jobs/query/{}/results", job["id"].as_str().unwrap());

    let first = org.request(Method::GET, &format!("{results}?maxRecords=2"));
    let first = first.send().await.unwrap();
    let locator = first.headers()["sforce-locator"].clone();
    assert_eq!(first.headers()["sforce-numberofrecords"], "2");
    assert_eq!(
        first.text().await.unwrap(),
        "\"Subject\",\"Who.Name\",\"CallDurationInSeconds\"\n\"One\",\"Lovelace\",\"\"\n\"Three\",\"Lovelace\",\"\"\n"
    );
    let rest = format!("{results}?locator={}", locator.to_str().unwrap());
    let rest = org.request(Method::GET, &rest).send().await.unwrap();
    assert_eq!(rest.headers()["sforce-locator"], "null");
    assert!(
        rest.text()
            .await
            .unwrap()
            .ends_with("\"Two\",\"Lovelace\",\"\"\n")
    );
}
