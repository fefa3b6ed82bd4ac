//! SOSL: who is found by which spelling, and when.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{AGENT, Org, read};

fn names(body: &Value) -> Vec<&str> {
    let rows = body["searchRecords"].as_array().unwrap();
    rows.iter()
        .map(|row| row["Name"].as_str().unwrap())
        .collect()
}

async fn phone_book(more: Value) -> Org {
    let mut org = json!({"records": [
        {"type": "Contact", "LastName": "Spaced", "Phone": "+44 20 7946 0001"},
        {"type": "Contact", "LastName": "National", "MobilePhone": "(020) 7946-0001"},
        {"type": "Contact", "LastName": "American", "Phone": "(415) 901-7000"},
        {"type": "Lead", "LastName": "Leading", "Company": "L", "MobilePhone": "+44 20 7946 0001"},
        {"type": "Lead", "LastName": "Converted", "Company": "L", "Phone": "4159017000", "IsConverted": true},
    ]});
    org.as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    Org::start(org).await
}

#[tokio::test]
async fn numbers_are_found_by_digits() {
    let org = phone_book(json!({})).await;
    let returning = "RETURNING Contact(Name ORDER BY Name), Lead(Name WHERE IsConverted = false)";
    for (term, expected) in [
        ("442079460001", vec!["Spaced", "Leading"]),
        ("2079460001", vec!["National", "Spaced", "Leading"]),
        ("02079460001", vec!["National"]),
        ("4159017000", vec!["American"]),
        (r#""\+44 20 7946 0001""#, vec!["Spaced", "Leading"]),
        ("4159017000 OR 02079460001", vec!["American", "National"]),
        ("415*", vec!["American"]),
        ("9999999999", vec![]),
    ] {
        let sosl = format!("FIND {{{term}}} IN PHONE FIELDS {returning}");
        let (status, body) = org.search(&sosl).await;
        assert_eq!(status, 200, "{body}");
        let found = names(&body);
        let national_first = |name: &&str| (*name != "National", name.to_string());
        let (mut found, mut expected) = (found, expected);
        found.sort_by_key(national_first);
        expected.sort_by_key(national_first);
        assert_eq!(found, expected, "{term}");
    }
}

#[tokio::test]
async fn a_phrase_is_found_inside_a_number() {
    let org = Org::start(json!({"records": [
        {"type": "Contact", "LastName": "German", "Phone": "+49 (0)1512 3456789"},
    ]}))
    .await;
    for term in [r#""1512 3456789""#, "3456789", r#""0 1512 3456789""#] {
        for rest in ["IN PHONE FIELDS", "IN ALL FIELDS"] {
            let (_, body) = org
                .search(&format!("FIND {{{term}}} {rest} RETURNING Contact(Name)"))
                .await;
            assert_eq!(names(&body), ["German"], "{term} {rest}");
        }
    }
}

#[tokio::test]
async fn a_strict_org_wants_international_numbers_as_they_are_written() {
    let org = phone_book(json!({"strict_international": true})).await;
    let find = |term: &str| format!("FIND {{{term}}} IN PHONE FIELDS RETURNING Contact(Name)");
    let (_, body) = org.search(&find("442079460001")).await;
    assert!(names(&body).is_empty());
    let (_, body) = org.search(&find(r#""\+44 20 7946 0001""#)).await;
    assert_eq!(names(&body), ["Spaced"]);
    let (_, body) = org.search(&find("4159017000")).await;
    assert_eq!(names(&body), ["American"]);
}

#[tokio::test]
async fn the_index_lags_behind_the_database() {
    let org = Org::start(json!({"index_delay_ms": 300_000})).await;
    let record = json!({"type": "Contact", "LastName": "Fresh", "Phone": "02079460001"});
    let record = record.as_object().cloned().unwrap();
    org.control().add_records("Acme", vec![record]).unwrap();
    let sosl = "FIND {02079460001} IN PHONE FIELDS RETURNING Contact(Name)";
    assert_eq!(org.rows("SELECT Id FROM Contact").await.len(), 1);
    assert!(names(&org.search(sosl).await.1).is_empty());
    org.control().advance(Duration::from_secs(301));
    assert_eq!(names(&org.search(sosl).await.1), ["Fresh"]);
}

#[tokio::test]
async fn sharing_hides_hits_after_the_cut_off() {
    let owner = |number: u32| format!("00500000000000{number}");
    let records: Vec<Value> = (0..2_100)
        .map(|n| {
            let owner = if n < 2_050 { owner(2) } else { owner(1) };
            json!({"type": "Contact", "LastName": "Crowd", "Phone": "02079460001", "OwnerId": owner})
        })
        .collect();
    let users = json!([
        {"id": owner(1), "username": "api@acme.example"},
        {"id": owner(2), "username": AGENT},
    ]);
    let org =
        Org::start(json!({"users": users, "private_records": true, "records": records})).await;
    let sosl = "FIND {02079460001} IN PHONE FIELDS RETURNING Contact(Name)";
    let (_, body) = org.search(sosl).await;
    assert!(
        names(&body).is_empty(),
        "fifty are ours, but others crowded them out"
    );
    assert_eq!(org.rows("SELECT Id FROM Contact").await.len(), 50);
}

#[tokio::test]
async fn a_search_by_parameters_finds_the_same() {
    let org = phone_book(json!({})).await;
    let body = json!({"q": "4159017000", "in": "PHONE", "fields": ["Name"], "sobjects": [{"name": "Contact"}, {"name": "Lead", "where": "IsConverted = false"}]});
    let (status, body) = org
        .send(reqwest::Method::POST, "parameterizedSearch", &body)
        .await;
    assert_eq!((status, names(&body)), (200, vec!["American"]));
}

#[tokio::test]
async fn a_search_is_also_given_by_parameters() {
    let org = phone_book(json!({})).await;
    let body = json!({"q": "+44 20 7946 0001", "in": "PHONE", "fields": ["Id"], "defaultLimit": 5,
        "sobjects": [{"name": "Contact", "fields": ["Name"], "where": "LastName LIKE 'S%'"}, {"name": "Lead", "limit": 1}]});
    let (status, posted) = org.send(Method::POST, "parameterizedSearch", &body).await;
    assert_eq!(status, 200, "{posted}");
    let rows = posted["searchRecords"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["Name"]), (2, &json!("Spaced")));
    assert_eq!(
        (&rows[1]["attributes"]["type"], &rows[1]["Name"]),
        (&json!("Lead"), &json!(null))
    );

    let parameters = "parameterizedSearch?q=2079460001&in=PHONE&sobject=Contact&Contact.fields=Id,Name&Contact.limit=1";
    let (_, got) = org.get(parameters).await;
    assert_eq!(names(&got).len(), 1);
    let (_, got) = org
        .get("parameterizedSearch?q=2079460001&sobject=Contact,Lead&overallLimit=2")
        .await;
    assert_eq!(got["searchRecords"].as_array().unwrap().len(), 2);
    let braces = json!({"q": "a} RETURNING Lead", "sobjects": [{"name": "Contact"}]});
    assert_eq!(
        org.send(Method::POST, "parameterizedSearch", &braces)
            .await
            .0,
        200,
        "what is asked stays a text"
    );
    assert_eq!(
        org.get("parameterizedSearch?q=a&sobject=Contact").await.0,
        400
    );
}

#[tokio::test]
async fn old_versions_answer_a_search_with_the_bare_rows() {
    let org = phone_book(json!({})).await;
    let url = format!("{}/services/data/v36.0/search", org.running.base_url());
    let sosl = "FIND {4159017000} IN PHONE FIELDS RETURNING Contact(Name)";
    let request = org
        .client
        .get(url)
        .bearer_auth(&org.token)
        .query(&[("q", sosl)]);
    let (_, body) = read(request.send().await.unwrap()).await;
    assert_eq!(body[0]["Name"], "American");
}
