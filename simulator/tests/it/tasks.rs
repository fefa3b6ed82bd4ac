//! Tasks: the rules they must keep, one at a time and two hundred at once.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{AGENT, API_USER, Org, collection, object, read};

const CONTACT: &str = "003000000000001AAA";
const LEAD: &str = "00Q000000000001EAA";
const ACCOUNT: &str = "001000000000001AAA";

async fn org_with_people(more: Value) -> Org {
    let mut org = json!({"records": [
        {"type": "Account", "Id": ACCOUNT, "Name": "Big"},
        {"type": "Contact", "Id": CONTACT, "LastName": "Con", "AccountId": ACCOUNT},
        {"type": "Lead", "Id": LEAD, "LastName": "Lea", "Company": "L"},
        {"type": "Lead", "Id": "00Q000000000002", "LastName": "Old", "Company": "L", "IsConverted": true},
        {"type": "Contact", "Id": "003000000000002", "LastName": "Del", "IsDeleted": true},
    ]});
    org.as_object_mut().unwrap().extend(object(more));
    Org::start(org).await
}

fn user(org: &Org, username: &str) -> String {
    let orgs = org.control().orgs();
    let users = orgs[0]["users"].as_array().unwrap().clone();
    let user = users
        .iter()
        .find(|user| user["username"] == username)
        .unwrap();
    user["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_task_is_completed_by_salesforce() {
    let org = org_with_people(json!({})).await;
    let id = org
        .create(json!({"Subject": "Call", "Status": "Completed", "WhoId": "003000000000001", "CallDurationInSeconds": 65}))
        .await;
    let (_, task) = org.get(&format!("sobjects/Task/{id}")).await;
    for (field, value) in [
        ("WhoId", json!(CONTACT)),
        ("AccountId", json!(ACCOUNT)),
        ("Priority", json!("Normal")),
        ("TaskSubtype", json!("Task")),
        ("IsClosed", json!(true)),
        ("OwnerId", json!(user(&org, API_USER))),
        ("CallType", json!(null)),
        ("CompletedDateTime", task["CreatedDate"].clone()),
    ] {
        assert_eq!(task[field], value, "{field}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one row to a rule")]
async fn every_rule_refuses_with_its_own_code() {
    let org = org_with_people(json!({})).await;
    let gone = user(&org, "gone@acme.example");
    for (task, code, message) in [
        (
            json!({"Foo": 1}),
            "INVALID_FIELD",
            "No such column 'Foo' on sobject of type Task",
        ),
        (
            json!({"IsClosed": true}),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: IsClosed. Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
        ),
        (
            json!({"CallObject": "x".repeat(256)}),
            "STRING_TOO_LONG",
            "(max length=255)",
        ),
        (
            json!({"CallType": "Sideways"}),
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Call Type: bad value for restricted picklist field: Sideways",
        ),
        (
            json!({"WhoId": "nobody"}),
            "MALFORMED_ID",
            "Name ID: id value of incorrect type: nobody",
        ),
        (
            json!({"WhoId": ACCOUNT}),
            "MALFORMED_ID",
            "id value of incorrect type",
        ),
        (
            json!({"WhoId": "003000000000009"}),
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
        ),
        (
            json!({"WhoId": "003000000000002"}),
            "ENTITY_IS_DELETED",
            "entity is deleted",
        ),
        (
            json!({"WhoId": "00Q000000000002"}),
            "CANNOT_UPDATE_CONVERTED_LEAD",
            "cannot reference converted lead",
        ),
        (
            json!({"WhoId": LEAD, "WhatId": ACCOUNT}),
            "FIELD_INTEGRITY_EXCEPTION",
            "Related To ID",
        ),
        (
            json!({"OwnerId": gone}),
            "INACTIVE_OWNER_OR_USER",
            "as owner of task",
        ),
        (
            json!({"CallDurationInSeconds": "long"}),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of int from VALUE_STRING value long",
        ),
    ] {
        let (status, body) = org.send(Method::POST, "sobjects/Task", &task).await;
        assert_eq!(
            (status, &body[0]["errorCode"]),
            (400, &json!(code)),
            "{task}"
        );
        assert!(
            body[0]["message"].as_str().unwrap().contains(message),
            "{body}"
        );
    }
    assert!(org.control().tasks(None).unwrap().is_empty());
}

#[tokio::test]
async fn what_the_admin_switches_is_kept() {
    let org = org_with_people(json!({"task_external_id_field": "VCC_Call_Key__c"})).await;
    let id = org.create(json!({"VCC_Call_Key__c": "vcc:1:a"})).await;
    let (_, body) = org
        .send(
            Method::POST,
            "sobjects/Task",
            &json!({"VCC_Call_Key__c": "VCC:1:A"}),
        )
        .await;
    assert_eq!(
        body,
        json!([{"message": format!("duplicate value found: VCC_Call_Key__c duplicates value on record with id: {id}"),
            "errorCode": "DUPLICATE_VALUE", "fields": []}])
    );
    org.patch(json!({"required_task_field": "Type", "validation_rule": {"field": "Subject", "message": "Be polite", "contains": "!"}}));
    for (task, code) in [
        (json!({"Subject": "Call"}), "REQUIRED_FIELD_MISSING"),
        (
            json!({"Subject": "Call!", "Type": "Call"}),
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        ),
    ] {
        let (_, body) = org.send(Method::POST, "sobjects/Task", &task).await;
        assert_eq!(body[0]["errorCode"], code);
    }
    org.control()
        .patch_user(
            API_USER,
            object(json!({"hidden_fields": ["Task.CallDisposition"]})),
        )
        .unwrap();
    let (_, body) = org
        .send(
            Method::POST,
            "sobjects/Task",
            &json!({"Type": "Call", "CallDisposition": "ok"}),
        )
        .await;
    assert_eq!(body[0]["fields"], json!(["CallDisposition"]));
}

#[tokio::test]
async fn a_private_org_hides_a_task_from_its_maker() {
    let org = org_with_people(json!({"private_tasks": true})).await;
    let id = org
        .create(json!({"CallObject": "call", "OwnerId": user(&org, AGENT)}))
        .await;
    assert!(
        org.rows("SELECT Id FROM Task WHERE CallObject = 'call'")
            .await
            .is_empty()
    );
    assert_eq!(org.get(&format!("sobjects/Task/{id}")).await.0, 404);
    assert_eq!(org.control().tasks(Some("Acme")).unwrap().len(), 1);
    org.control()
        .patch_user(API_USER, object(json!({"view_all_data": true})))
        .unwrap();
    assert_eq!(org.rows("SELECT Id FROM Task").await.len(), 1);
}

#[tokio::test]
async fn collections_answer_row_by_row_in_order() {
    let org = org_with_people(json!({})).await;
    let tasks = [
        json!({"CallObject": "1"}),
        json!({"Foo": 1}),
        json!({"CallObject": "3"}),
    ];
    let (status, body) = org.collect(&tasks).await;
    assert_eq!(status, 200);
    assert_eq!(
        body[1],
        json!({"success": false, "errors": [{"statusCode": "INVALID_FIELD", "message": "No such column 'Foo' on sobject of type Task", "fields": []}]})
    );
    let (_, rows) = org
        .get(&format!(
            "composite/sobjects/Task?ids={},00T000000000009,{}&fields=CallObject",
            body[2]["id"].as_str().unwrap(),
            body[0]["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&rows[0]["CallObject"], &rows[1], &rows[2]["CallObject"]),
        (&json!("3"), &json!(null), &json!("1"))
    );

    let mut body = collection(&tasks);
    body["allOrNone"] = json!(true);
    let (_, body) = org.send(Method::POST, "composite/sobjects", &body).await;
    let codes: Vec<&Value> = (0..3)
        .map(|n| &body[n]["errors"][0]["statusCode"])
        .collect();
    assert_eq!(
        codes,
        [
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "INVALID_FIELD",
            "ALL_OR_NONE_OPERATION_ROLLED_BACK"
        ]
    );
    assert_eq!(
        org.control().tasks(None).unwrap().len(),
        2,
        "only those of the first request"
    );

    let (status, body) = org.collect(&vec![json!({}); 201]).await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (400, &json!("EXCEEDED_ID_LIMIT"))
    );
}

#[tokio::test]
async fn a_composite_does_several_things_in_one_call() {
    let org = org_with_people(json!({})).await;
    let base = "/services/data/v66.0";
    let body = json!({"allOrNone": true, "compositeRequest": [
        {"method": "POST", "url": format!("{base}/sobjects/Task"), "referenceId": "made", "body": {"CallObject": "call"}},
        {"method": "GET", "url": format!("{base}/query?q=SELECT+CallObject+FROM+Task+WHERE+Id='@{{made.id}}'"), "referenceId": "read"},
        {"method": "PATCH", "url": format!("{base}/sobjects/Task/@{{made.id}}"), "referenceId": "changed", "body": {"Status": "Completed"}},
        {"method": "GET", "url": format!("{base}/sobjects/Task/describe"), "referenceId": "described"},
    ]});
    let (status, answer) = org.send(Method::POST, "composite", &body).await;
    assert_eq!(status, 200);
    let statuses: Vec<&Value> = (0..4)
        .map(|n| &answer["compositeResponse"][n]["httpStatusCode"])
        .collect();
    assert_eq!(
        statuses,
        [&json!(201), &json!(200), &json!(204), &json!(200)]
    );
    assert_eq!(
        answer["compositeResponse"][1]["body"]["records"][0]["CallObject"],
        "call"
    );
    let counted: u64 = org
        .control()
        .counters()
        .values()
        .map(|org| org.api_calls)
        .sum();
    assert_eq!(counted, 1);

    let body = json!({"allOrNone": true, "compositeRequest": [
        {"method": "POST", "url": format!("{base}/sobjects/Task"), "referenceId": "a", "body": {}},
        {"method": "POST", "url": format!("{base}/sobjects/Task"), "referenceId": "b", "body": {"Foo": 1}},
    ]});
    let (_, answer) = org.send(Method::POST, "composite", &body).await;
    assert_eq!(
        answer["compositeResponse"][0]["body"][0]["errorCode"],
        "PROCESSING_HALTED"
    );
    assert_eq!(
        answer["compositeResponse"][1]["body"][0]["errorCode"],
        "INVALID_FIELD"
    );
    assert_eq!(org.control().tasks(None).unwrap().len(), 1);
}

#[tokio::test]
async fn updates_change_what_they_name() {
    let org = org_with_people(json!({})).await;
    let id = org
        .create(json!({"Subject": "Call", "CallObject": "call"}))
        .await;
    let path = format!("sobjects/Task/{id}");
    let (status, _) = org
        .send(
            Method::PATCH,
            &path,
            &json!({"Status": "Completed", "Description": "Notes"}),
        )
        .await;
    assert_eq!(status, 204);
    let (status, body) = org
        .send(Method::PATCH, &path, &json!({"TaskSubtype": "Call"}))
        .await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (400, &json!("INVALID_FIELD_FOR_INSERT_UPDATE"))
    );
    org.control()
        .edit_task(&id, &object(json!({"Subject": "Mine"})))
        .unwrap();
    let (_, task) = org
        .get(&format!("{path}?fields=Subject,CallObject,IsClosed"))
        .await;
    assert_eq!(
        (&task["Subject"], &task["CallObject"], &task["IsClosed"]),
        (&json!("Mine"), &json!("call"), &json!(true))
    );
    org.control().delete_task(&id).unwrap();
    let (status, body) = org
        .send(Method::PATCH, &path, &json!({"Subject": "x"}))
        .await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (404, &json!("ENTITY_IS_DELETED"))
    );
}

#[tokio::test]
async fn collections_delete_by_id() {
    let org = org_with_people(json!({})).await;
    let id = org.create(json!({"CallObject": "1"})).await;
    let path = format!("composite/sobjects?ids={id},{CONTACT},00T000000000009&allOrNone=");
    for (all_or_none, successes) in [
        ("true", [false, false, false]),
        ("false", [true, true, false]),
    ] {
        let request = org.request(Method::DELETE, &format!("{path}{all_or_none}"));
        let (status, body) = read(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{body}");
        let told = [0, 1, 2].map(|place| body[place]["success"].as_bool().unwrap());
        assert_eq!(told, successes, "{body}");
    }
    assert_eq!(org.get(&format!("sobjects/Task/{id}")).await.0, 404);
}
