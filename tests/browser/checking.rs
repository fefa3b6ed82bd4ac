//! Whether a link is as it must be: the preflight, and a test with a number and a Task.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::world::World;

/// Adds records to the org.
fn add(world: &World, records: Value) {
    let records = records.as_array().expect("a list").iter();
    let records = records.map(|record| record.as_object().expect("a record").clone());
    let added = world.control().add_records("Acme", records.collect());
    added.expect("added");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_names_what_is_missing_and_asks_again() {
    let world = World::start("preflight").await;
    world.user(
        "api@acme.example",
        json!({"hidden_objects": ["Lead"], "read_only_fields": ["Task.CallDisposition"]}),
    );
    world.link("acme", "api@acme.example");
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.says("#health", "At risk").await;
    browser
        .says("#preflight", "1 thing that is needed is missing")
        .await;
    browser.says("#requests-left", "for all tools").await;
    let missing = ".checks li:first-child";
    browser
        .says(missing, "Writing the field CallDisposition of Task")
        .await;
    browser.says(missing, "Missing").await;
    browser.says(missing, "Edit Access").await;
    assert_eq!(
        browser
            .attribute(&format!("{missing} a"), "href")
            .await
            .split_once("/lightning/")
            .map(|(_, path)| path.to_owned())
            .as_deref(),
        Some("setup/ObjectManager/Task/FieldsAndRelationships/view"),
    );
    browser
        .says("#preflight", "Looking callers up in Leads")
        .await;
    browser.photograph("preflight-missing").await;

    // A hidden Lead is no risk: callers are found in Contacts and Accounts.
    world.user("api@acme.example", json!({"read_only_fields": []}));
    browser.press("#preflight button").await;
    browser
        .says("#preflight", "All that is needed is there.")
        .await;
    browser.says("#health", "Works").await;
    browser.photograph("preflight").await;

    // A page that is open sees what another asks.
    let asked = browser.attribute("#preflight", "data-asked").await;
    world.user("api@acme.example", json!({"view_all_data": true}));
    world.cli(&["links", "preflight", "acme"], "");
    browser.changes("#preflight", "data-asked", &asked).await;
    browser.close().await;

    let browser = Browser::enter(&world, "acme", "viewer").await;
    browser
        .says("#preflight", "All that is needed is there.")
        .await;
    assert!(!browser.has("#preflight button").await);
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_of_a_link_that_salesforce_refuses_says_why() {
    let world = World::start("unasked").await;
    world.link("acme", "api@acme.example");
    world.control().expire_sessions(None).expect("expired");
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.press("#preflight button").await;
    browser.says("#outcome", "Salesforce did not do it").await;
    browser.says("main", "It is being renewed").await;
    browser.photograph("unasked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_looked_up_and_one_test_task_made_and_deleted() {
    let world = World::start("test").await;
    add(
        &world,
        json!([
            {"type": "Contact", "LastName": "Lovelace", "FirstName": "Ada", "Phone": "+44 20 7946 0018"},
            {"type": "Lead", "LastName": "Lovelace", "Company": "Engines", "Phone": "+442079460018"},
        ]),
    );
    world.link("acme", "api@acme.example");
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.fill("#number", "+44 20 7946 0018").await;
    browser.press("form.ask button").await;
    browser.says("#result", "Found").await;
    browser.says(".facts", "+442079460018").await;
    browser
        .says(".facts", "A Contact comes before a Lead")
        .await;
    browser
        .says(".candidates li:first-child", "Ada Lovelace")
        .await;
    browser.says(".candidates li:first-child", "Chosen").await;
    assert_eq!(browser.count(".candidates li").await, 2);
    assert!(!browser.address().await.contains("7946"), "no number in it");
    browser.photograph("test-found").await;

    browser.press("form[action='/test/task'] button").await;
    browser.says("#outcome", "The test Task is there").await;
    browser.photograph("test-made").await;
    // A reload sends the form again, and nothing is made twice.
    browser.reload().await;
    browser.says("#outcome", "The test Task is there").await;
    let tasks = world.control().tasks(Some("Acme")).expect("the Tasks");
    let [task] = tasks.as_slice() else {
        panic!("one Task, not {tasks:?}")
    };
    let text = |field: &str| task[field].as_str().unwrap_or_default().to_owned();
    assert!(text("Subject").starts_with("TEST"), "{task}");
    assert!(text("CallObject").starts_with("vcc-test:acme:"), "{task}");
    assert!(text("WhoId").starts_with("003"), "{task}");
    let page = browser.attribute(".actions a", "href").await;
    assert!(page.ends_with(&text("Id")), "{page}");

    browser.press("button.danger").await;
    browser.says("#outcome", "The test Task is deleted").await;
    let tasks = world.control().tasks(Some("Acme")).expect("the Tasks");
    assert_eq!(tasks[0]["IsDeleted"], true);
    browser.photograph("test-deleted").await;

    browser.press("a[href='/test']").await;
    // By the keyboard.
    browser.fill("#number", "12").await;
    browser.keys("\u{e007}").await;
    browser.says("#result", "Not searched").await;
    browser.fill("#number", "+49 30 123456").await;
    browser.press("form.ask button").await;
    browser.says("#result", "No record").await;
    browser.photograph("test-none").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_needs_no_scripts() {
    let world = World::start("test_plain").await;
    world.link("acme", "api@acme.example");
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.without_scripts().await;
    browser.open("/").await;
    browser.press("#preflight button").await;
    browser
        .says("#preflight", "All that is needed is there.")
        .await;
    browser.fill("#number", "+49 30 123456").await;
    browser.press("form.ask button").await;
    browser.says("#result", "No record").await;
    browser.press("form[action='/test/task'] button").await;
    browser.says("#outcome", "The test Task is there").await;
    browser.press("button.danger").await;
    browser.says("#outcome", "The test Task is deleted").await;
    browser.close().await;
    world.finish().await;
}
