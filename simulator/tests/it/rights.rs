//! What there is, and what of it a user sees: versions, resources, limits, describe.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{API_USER, Org, object, read};

#[tokio::test]
async fn versions_and_resources_lead_to_what_there_is() {
    let org = Org::start(json!({})).await;
    let base = org.running.base_url();
    let (_, versions) = read(
        org.client
            .get(format!("{base}/services/data"))
            .send()
            .await
            .unwrap(),
    )
    .await;
    let versions = versions.as_array().unwrap();
    assert_eq!(versions[0]["version"], "31.0");
    let spring = json!({"label": "Spring '26", "url": "/services/data/v66.0", "version": "66.0"});
    assert!(versions.contains(&spring));
    let (status, resources) = org.get("").await;
    assert_eq!(status, 200);
    for (name, path) in object(resources) {
        let path = path.as_str().unwrap();
        let url = if name == "identity" {
            path.to_owned()
        } else {
            format!("{base}{path}")
        };
        let request = org.client.get(&url).bearer_auth(&org.token);
        assert_ne!(request.send().await.unwrap().status(), 404, "{name}: {url}");
    }
}

#[tokio::test]
async fn limits_need_a_permission() {
    let org = Org::start(json!({"daily_limit": 10})).await;
    assert_eq!(org.get("limits").await.0, 403);
    let setup = object(json!({"view_setup": true}));
    org.control().patch_user(API_USER, setup).unwrap();
    let (status, limits) = org.get("limits").await;
    assert_eq!(status, 200);
    assert_eq!(
        limits["DailyApiRequests"],
        json!({"Max": 10, "Remaining": 8})
    );
    assert!(limits["DataStorageMB"]["Remaining"].is_u64() && limits["SingleEmail"]["Max"].is_u64());
}

fn field<'d>(describe: &'d Value, name: &str) -> Option<&'d Value> {
    let fields = describe["fields"].as_array().unwrap();
    fields.iter().find(|field| field["name"] == name)
}

#[tokio::test]
async fn describe_tells_what_the_user_may_do() {
    let org = Org::start(json!({})).await;
    let (_, task) = org.get("sobjects/Task/describe").await;
    assert_eq!(task["createable"], true);
    assert_eq!(field(&task, "CallObject").unwrap()["createable"], true);
    let less = json!({"hidden_fields": ["Task.CallDisposition"], "read_only_fields": ["Task.CallObject"],
        "hidden_objects": ["Lead"], "read_only_objects": ["Contact"]});
    org.control().patch_user(API_USER, object(less)).unwrap();
    let (_, task) = org.get("sobjects/Task/describe").await;
    assert!(field(&task, "CallDisposition").is_none());
    let call_object = field(&task, "CallObject").unwrap();
    assert_eq!(
        (&call_object["createable"], &call_object["filterable"]),
        (&json!(false), &json!(true))
    );
    let (status, body) = org
        .send(Method::POST, "sobjects/Task", &json!({"CallObject": "x"}))
        .await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (400, &json!("INVALID_FIELD_FOR_INSERT_UPDATE"))
    );

    let (_, contact) = org.get("sobjects/Contact/describe").await;
    assert_eq!(
        (&contact["createable"], &contact["queryable"]),
        (&json!(false), &json!(true))
    );
    let (status, body) = org
        .send(Method::POST, "sobjects/Contact", &json!({"LastName": "A"}))
        .await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (400, &json!("INVALID_TYPE_FOR_OPERATION"))
    );
    assert_eq!(org.get("sobjects/Lead/describe").await.0, 404);
    let (_, global) = org.get("sobjects").await;
    let names: Vec<&Value> = global["sobjects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(!names.contains(&&json!("Lead")) && names.contains(&&json!("Contact")));
    org.control()
        .patch_user(API_USER, object(json!({"edit_tasks": false})))
        .unwrap();
    let (_, task) = org.get("sobjects/Task/describe").await;
    assert_eq!(task["createable"], false);
}

#[tokio::test]
async fn describe_knows_the_children() {
    let org = Org::start(json!({})).await;
    let (_, account) = org.get("sobjects/Account/describe").await;
    let children = account["childRelationships"].as_array().unwrap();
    let contacts = children
        .iter()
        .find(|child| child["relationshipName"] == "Contacts")
        .unwrap();
    assert_eq!(
        (&contacts["childSObject"], &contacts["field"]),
        (&json!("Contact"), &json!("AccountId"))
    );
}
