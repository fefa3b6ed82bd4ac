//! Records by External ID, one at a time and in collections.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{API_USER, Org, collection, object, read};

const KEY: &str = "Call_Key__c";

async fn keyed() -> Org {
    Org::start(json!({
        "task_external_id_field": KEY,
        "custom_fields": [{"object": "Contact", "name": "Crm__c", "external_id": true}],
        "records": [
            {"type": "Contact", "Id": "003000000000001", "LastName": "One", "Crm__c": "same"},
            {"type": "Contact", "Id": "003000000000002", "LastName": "Two", "Crm__c": "same"},
        ],
    }))
    .await
}

#[tokio::test]
async fn an_upsert_creates_and_then_changes() {
    let org = keyed().await;
    let path = format!("sobjects/Task/{KEY}/a%2F1");
    let (status, made) = org
        .send(Method::PATCH, &path, &json!({"Subject": "Call"}))
        .await;
    assert_eq!(
        (status, &made["created"], &made["errors"]),
        (201, &json!(true), &json!([]))
    );
    let (status, again) = org
        .send(Method::PATCH, &path, &json!({"Subject": "Again"}))
        .await;
    assert_eq!(
        (status, &again["created"], &again["id"]),
        (200, &json!(false), &made["id"])
    );
    let (_, task) = org.get(&format!("{path}?fields=Subject,{KEY}")).await;
    assert_eq!(
        (&task["Subject"], &task[KEY]),
        (&json!("Again"), &json!("a/1"))
    );

    let url = format!("{}/services/data/v45.0/{path}", org.running.base_url());
    let request = org
        .client
        .patch(url)
        .bearer_auth(&org.token)
        .json(&json!({}));
    assert_eq!(
        request.send().await.unwrap().status(),
        204,
        "before v46 there is no body"
    );

    let deleted = org.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(org.get(&path).await.0, 404);
}

#[tokio::test]
async fn an_upsert_is_refused_where_it_is_not_clear_or_not_wanted() {
    let org = keyed().await;
    for (path, body, status, told) in [
        (
            format!("Task/{KEY}/b?updateOnly=true"),
            json!({}),
            404,
            "NOT_FOUND",
        ),
        ("Task/Subject/b".to_owned(), json!({}), 404, "NOT_FOUND"),
        (
            format!("Task/{KEY}/b"),
            json!({KEY: "b"}),
            400,
            "INVALID_FIELD",
        ),
        (
            format!("Task/{KEY}/b"),
            json!({"Foo": 1}),
            400,
            "INVALID_FIELD",
        ),
    ] {
        let (refused, answer) = org
            .send(Method::PATCH, &format!("sobjects/{path}"), &body)
            .await;
        assert_eq!(
            (refused, &answer[0]["errorCode"]),
            (status, &json!(told)),
            "{path}"
        );
    }
    let (status, urls) = org
        .send(Method::PATCH, "sobjects/Contact/Crm__c/SAME", &json!({}))
        .await;
    assert_eq!(status, 300);
    let base = "/services/data/v66.0/sobjects/Contact";
    assert_eq!(
        urls,
        json!([
            format!("{base}/003000000000001AAA"),
            format!("{base}/003000000000002AAA")
        ])
    );
    assert!(org.control().tasks(None).unwrap().is_empty());
}

#[tokio::test]
async fn a_collection_is_upserted_row_by_row() {
    let org = keyed().await;
    let id = org.create(json!({KEY: "old", "Subject": "Old"})).await;
    let rows = [
        json!({KEY: "old", "Subject": "New"}),
        json!({KEY: "new"}),
        json!({"Subject": "No key"}),
        json!({KEY: "twin"}),
        json!({KEY: "TWIN"}),
    ];
    let path = format!("composite/sobjects/Task/{KEY}");
    let (status, body) = org.send(Method::PATCH, &path, &collection(&rows)).await;
    assert_eq!(status, 200);
    assert_eq!(
        body[0],
        json!({"id": id, "success": true, "errors": [], "created": false})
    );
    assert_eq!(body[1]["created"], true);
    let code = |place: usize| &body[place]["errors"][0]["statusCode"];
    assert_eq!(
        [code(2), code(3), code(4)],
        ["MISSING_ARGUMENT", "DUPLICATE_VALUE", "DUPLICATE_VALUE"]
    );
    assert_eq!(org.control().tasks(None).unwrap().len(), 2);
}

#[tokio::test]
async fn faults_see_the_key_in_the_path() {
    let org = keyed().await;
    org.fault(json!({"kind": "upsert", "match": {"field": KEY, "contains": "bad"},
        "action": {"type": "status", "status": 503, "errorCode": "SERVER_UNAVAILABLE", "message": "busy"}}));
    for (key, status) in [("good", 201), ("bad", 503)] {
        let path = format!("sobjects/Task/{KEY}/{key}");
        assert_eq!(org.send(Method::PATCH, &path, &json!({})).await.0, status);
    }
}

#[tokio::test]
async fn the_key_of_a_task_that_sharing_hides_is_taken() {
    let org = keyed().await;
    org.patch(json!({"private_tasks": true}));
    let orgs = org.control().orgs();
    let agent = orgs[0]["users"][1]["id"].clone();
    let _hidden = org.create(json!({KEY: "mine", "OwnerId": agent})).await;
    let request = org.request(Method::PATCH, &format!("sobjects/Task/{KEY}/mine"));
    let (status, body): (u16, Value) = read(request.json(&json!({})).send().await.unwrap()).await;
    let code = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY";
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)));
    let all = object(json!({"view_all_data": true}));
    org.control().patch_user(API_USER, all).unwrap();
    let path = format!("sobjects/Task/{KEY}/mine");
    assert_eq!(org.send(Method::PATCH, &path, &json!({})).await.0, 200);
}
