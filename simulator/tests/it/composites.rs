//! Several things in one request: batches, graphs and trees.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Org;

const BASE: &str = "/services/data/v66.0";

fn made(reference: &str, object: &str, body: Value) -> Value {
    json!({"method": "POST", "url": format!("{BASE}/sobjects/{object}"), "referenceId": reference, "body": body})
}

#[tokio::test]
async fn each_graph_happens_whole_or_not_at_all() {
    let org = Org::start(json!({})).await;
    let good = json!([
        made("account", "Account", json!({"Name": "Big"})),
        made(
            "contact",
            "Contact",
            json!({"LastName": "Ada", "AccountId": "@{account.id}"})
        ),
    ]);
    let bad = json!([
        made("task", "Task", json!({"Subject": "Call"})),
        made("wrong", "Contact", json!({})),
        {"method": "GET", "url": format!("{BASE}/query?q=SELECT+Id+FROM+Task"), "referenceId": "asked"},
    ]);
    let body = json!({"graphs": [
        {"graphId": "good", "compositeRequest": good},
        {"graphId": "bad", "compositeRequest": bad},
    ]});
    let (status, answer) = org.send(Method::POST, "composite/graph", &body).await;
    assert_eq!(status, 200, "{answer}");
    let graph = |place: usize| &answer["graphs"][place];
    assert_eq!(
        (&graph(0)["graphId"], &graph(0)["isSuccessful"]),
        (&json!("good"), &json!(true))
    );
    assert_eq!(graph(1)["isSuccessful"], false);
    let nodes = &graph(1)["graphResponse"]["compositeResponse"];
    let codes = [0, 1, 2].map(|place| nodes[place]["body"][0]["errorCode"].as_str().unwrap());
    assert_eq!(
        codes,
        [
            "PROCESSING_HALTED",
            "REQUIRED_FIELD_MISSING",
            "INVALID_INPUT"
        ]
    );
    assert!(org.control().tasks(None).unwrap().is_empty());
    let rows = org.rows("SELECT Account.Name FROM Contact").await;
    assert_eq!(rows[0]["Account"]["Name"], "Big");
    let counted: u64 = org
        .control()
        .counters()
        .values()
        .map(|org| org.api_calls)
        .sum();
    assert_eq!(counted, 2, "a graph request is one call");

    let twice = json!({"graphs": [
        {"graphId": "a", "compositeRequest": []}, {"graphId": "a", "compositeRequest": []},
    ]});
    assert_eq!(
        org.send(Method::POST, "composite/graph", &twice).await.0,
        400
    );
}

fn leaf(object: &str, reference: &str, mut fields: Value) -> Value {
    fields["attributes"] = json!({"type": object, "referenceId": reference});
    fields
}

#[tokio::test]
async fn a_tree_is_planted_whole() {
    let org = Org::start(json!({})).await;
    let task = leaf("Task", "task", json!({"Subject": "Call"}));
    let contact = leaf(
        "Contact",
        "contact",
        json!({"LastName": "Ada", "Tasks": {"records": [task]}}),
    );
    let account = leaf(
        "Account",
        "account",
        json!({"Name": "Big", "Contacts": {"records": [contact]}}),
    );
    let body = json!({"records": [account]});
    let (status, answer) = org
        .send(Method::POST, "composite/tree/Account", &body)
        .await;
    assert_eq!(
        (status, &answer["hasErrors"]),
        (201, &json!(false)),
        "{answer}"
    );
    let references =
        [0, 1, 2].map(|place| answer["results"][place]["referenceId"].as_str().unwrap());
    assert_eq!(references, ["account", "contact", "task"]);
    let rows = org.rows("SELECT Who.Name, Account.Name FROM Task").await;
    assert_eq!(
        (&rows[0]["Who"]["Name"], &rows[0]["Account"]["Name"]),
        (&json!("Ada"), &json!("Big"))
    );

    let body = json!({"records": [
        leaf("Account", "a", json!({"Name": "Small"})),
        leaf("Account", "b", json!({})),
    ]});
    let (status, answer) = org
        .send(Method::POST, "composite/tree/Account", &body)
        .await;
    assert_eq!((status, &answer["hasErrors"]), (400, &json!(true)));
    assert_eq!(answer["results"].as_array().unwrap().len(), 1);
    assert_eq!(answer["results"][0]["referenceId"], "b");
    assert_eq!(
        answer["results"][0]["errors"][0]["statusCode"],
        "REQUIRED_FIELD_MISSING"
    );
    assert_eq!(org.rows("SELECT Id FROM Account").await.len(), 1);
}

#[tokio::test]
async fn a_batch_goes_on_or_halts_after_an_error() {
    let org =
        Org::start(json!({"users": [{"username": "api@acme.example", "view_setup": true}]})).await;
    let create =
        |body: Value| json!({"method": "POST", "url": "v66.0/sobjects/Task", "richInput": body});
    for (halt, statuses) in [(false, [201, 400, 200]), (true, [201, 400, 412])] {
        let body = json!({"haltOnError": halt, "batchRequests": [
            create(json!({"Subject": "Call"})), create(json!({"Foo": 1})), {"method": "GET", "url": "v66.0/limits"},
        ]});
        let (status, answer) = org.send(Method::POST, "composite/batch", &body).await;
        assert_eq!((status, &answer["hasErrors"]), (200, &json!(true)));
        let told = [0, 1, 2].map(|place| answer["results"][place]["statusCode"].as_u64().unwrap());
        assert_eq!(told, statuses);
        if halt {
            assert_eq!(
                answer["results"][2]["result"][0]["errorCode"],
                "BATCH_PROCESSING_HALTED"
            );
        }
    }
    assert_eq!(
        org.control().tasks(None).unwrap().len(),
        2,
        "what was done stays done"
    );
}
