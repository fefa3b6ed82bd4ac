//! The test of a link: what it finds, and that its Task is made once and is no call's.

use reqwest::Method;
use salesforce_simulator::{Action, Kind, Rule};
use serde_json::{Value, json};
use vcc_link::http::sidecar::session::Role;

use super::api::come_back;
use super::world::{API_USER, Browser, World, heard, listen};

/// The number of the tests, as a person types it.
const NUMBER: &str = "+44 (0)20 7946 0018";

/// An id of a test Task.
const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

/// Asks; gives the status and the answer.
async fn ask(world: &World, browser: &Browser, path: &str, body: Value) -> (u16, Value) {
    let request = world.api(Method::POST, "acme", path).json(&body);
    let answer = browser.changes(request).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

/// The Tasks that there are.
fn tasks(world: &World) -> Vec<Value> {
    world.simulator.control().tasks(None).expect("the Tasks")
}

/// Adds a record to the org.
fn add(world: &World, record: &Value) -> String {
    let record = record.as_object().expect("an object").clone();
    let added = world.simulator.control().add_records("Acme", vec![record]);
    added.expect("added")[0].to_string()
}

/// A linked account, and its admin's browser.
async fn linked() -> (World, Browser) {
    let world = World::start().await;
    let browser = world.browser("acme", Role::Admin).await;
    come_back(&world, &browser, API_USER).await;
    (world, browser)
}

#[tokio::test]
async fn a_number_shows_the_record_and_the_rule_and_stays_out_of_the_log() {
    listen();
    let (world, browser) = linked().await;
    let older = json!({ "type": "Contact", "LastName": "Canary", "Phone": "020 7946 0018" });
    let lead = json!({ "type": "Lead", "LastName": "Bird", "Company": "B", "MobilePhone": "+442079460018" });
    let (contact, lead) = (add(&world, &older), add(&world, &lead));
    let (status, seen) = ask(&world, &browser, "test/lookup", json!({ "number": NUMBER })).await;
    assert_eq!((status, &seen["number"]), (200, &json!("+442079460018")));
    assert_eq!(
        (&seen["result"], &seen["rule"], &seen["record"]),
        (
            &json!("matched"),
            &json!("object_priority"),
            &json!(contact)
        )
    );
    let shown: Vec<&Value> = seen["shown"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["id"])
        .collect();
    assert_eq!(
        (&seen["candidates"], shown),
        (&json!(2), vec![&json!(contact), &json!(lead)])
    );

    let (_, seen) = ask(
        &world,
        &browser,
        "test/lookup",
        json!({ "number": "anonymous" }),
    )
    .await;
    assert_eq!(
        (&seen["result"], &seen["number"]),
        (&json!("withheld"), &Value::Null)
    );
    let (status, wrong) = ask(&world, &browser, "test/lookup", json!({ "nummer": NUMBER })).await;
    assert_eq!(status, 422);
    for secret in ["7946", "Canary"] {
        assert!(!heard().contains(secret), "{secret} is logged: {}", heard());
        assert!(!wrong.to_string().contains(secret), "{wrong}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_test_task_is_made_once_and_no_other_is_deleted() {
    let (world, browser) = linked().await;
    let wish = json!({ "number": NUMBER, "id": ID });
    let (status, made) = ask(&world, &browser, "test/tasks", wish.clone()).await;
    assert_eq!((status, &made["state"]), (200, &json!("created")), "{made}");
    let (_, again) = ask(&world, &browser, "test/tasks", wish).await;
    assert_eq!(again["task"], made["task"]);
    assert_eq!(tasks(&world).len(), 1);
    let key = format!("vcc-test:acme:{ID}");
    assert_eq!(tasks(&world)[0]["CallObject"], key);

    let delete = async |task: &str| {
        let path = format!("test/tasks/{task}");
        let request = browser.changes(world.api(Method::DELETE, "acme", &path));
        request.send().await.expect("an answer").status().as_u16()
    };
    let foreign = add(
        &world,
        &json!({ "type": "Task", "Subject": "A call", "CallObject": "vcc:acme:c1" }),
    );
    let of_beta = add(
        &world,
        &json!({ "type": "Task", "Subject": "TEST", "CallObject": "vcc-test:beta:1" }),
    );
    for task in [foreign.as_str(), &of_beta, "nobody's"] {
        assert_eq!(delete(task).await, 404, "{task}");
    }
    let task = made["task"].as_str().expect("an id");
    assert_eq!(delete(task).await, 204);
    assert_eq!(delete(task).await, 404, "it is gone");
    let living = tasks(&world)
        .into_iter()
        .filter(|task| task["IsDeleted"] != true);
    assert_eq!(living.count(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_create_without_an_answer_is_looked_for_and_never_sent_again() {
    let (world, browser) = linked().await;
    let fault = |action| {
        let rule = Rule {
            kind: Some(Kind::Collections),
            times: Some(1),
            ..Rule::new(action)
        };
        world.simulator.control().add_fault(rule);
    };
    let make = async |id: &str| {
        let wish = json!({ "number": NUMBER, "id": id });
        let (status, made) = ask(&world, &browser, "test/tasks", wish).await;
        assert_eq!(status, 200, "{made}");
        made["state"].clone()
    };
    fault(Action::CommitThenDrop);
    assert_eq!(make(ID).await, "created", "it is found");
    let lost = "00000000-0000-4000-8000-000000000001";
    fault(Action::DropBeforeCommit);
    assert_eq!(make(lost).await, "unknown");
    assert_eq!(make(lost).await, "unknown", "and not sent again");
    assert_eq!(tasks(&world).len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn without_a_link_that_works_nothing_is_asked() {
    let world = World::start().await;
    let browser = world.browser("acme", Role::Admin).await;
    let number = json!({ "number": NUMBER });
    let (status, problem) = ask(&world, &browser, "test/lookup", number.clone()).await;
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:vcc-link:problem:not-linked"))
    );
    let viewer = world.browser("acme", Role::Viewer).await;
    assert_eq!(ask(&world, &viewer, "test/lookup", number).await.0, 403);
    world.stop().await;
}
