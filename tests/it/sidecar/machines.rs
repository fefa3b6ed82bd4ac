//! What programs may do with the API.

use reqwest::Method;
use serde_json::{Value, json};
use vcc_link::http::sidecar::session::Role;

use super::api::{come_back, told};
use super::world::{ADMIN_MACHINE, API_USER, LINKING_MACHINE, VIEWER_MACHINE, World};

#[tokio::test]
async fn a_machine_sees_and_changes_what_it_may() {
    let world = World::start().await;
    let browser = world.browser("acme", Role::Admin).await;
    come_back(&world, &browser, API_USER).await;
    let etag = browser.reads(world.api(Method::GET, "acme", "link"));
    let etag = etag.send().await.expect("an answer").headers()["etag"].clone();
    let status = async |token: &str, method: Method, account: &str| {
        let request = world.api(method, account, "link").bearer_auth(token);
        let request = request.header("if-match", &etag);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(status("nobody's", Method::GET, "acme").await, 401);
    assert_eq!(status(VIEWER_MACHINE, Method::GET, "beta").await, 200);
    assert_eq!(status(VIEWER_MACHINE, Method::DELETE, "acme").await, 403);
    assert_eq!(status(ADMIN_MACHINE, Method::GET, "beta").await, 403);
    let wish = json!({ "login": "sandbox" });
    let begin = world
        .api(Method::POST, "acme", "authorizations")
        .json(&wish);
    let (begun, problem) = told(begin.bearer_auth(ADMIN_MACHINE)).await;
    assert_eq!(
        (begun.as_u16(), &problem["type"]),
        (403, &json!("urn:vcc-link:problem:forbidden"))
    );
    assert_eq!(status(ADMIN_MACHINE, Method::DELETE, "acme").await, 200);
    world.stop().await;
}

/// Begins a login as a program; gives its id and where the browser is to go.
async fn begin(world: &World) -> (String, String) {
    let wish = json!({ "login": "production" });
    let begin = world.api(Method::POST, "acme", "authorizations");
    let (status, begun) = told(begin.json(&wish).bearer_auth(LINKING_MACHINE)).await;
    assert_eq!(status, 201, "{begun}");
    let text = |field: &str| begun[field].as_str().expect("text").to_owned();
    (text("id"), text("authorizeUrl"))
}

#[tokio::test]
async fn a_program_that_may_link_confirms_who_logged_in() {
    let world = World::start().await;
    let (id, authorize) = begin(&world).await;
    let path = format!("authorizations/{id}");
    let read = || world.api(Method::GET, "acme", &path);
    // Somebody's browser goes there and comes back, without a session here.
    let back = world.log_in(&authorize, API_USER).await;
    for _ in 0..2 {
        let answer = world
            .client
            .get(back.clone())
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        let page = answer.text().await.expect("a page");
        assert!(page.contains("Back from Salesforce"), "{page}");
        assert!(!page.contains("acme"), "it is told nothing: {page}");
    }
    let (_, progress) = told(read().bearer_auth(LINKING_MACHINE)).await;
    assert_eq!(progress["doubts"], json!(["begun_by_program"]));
    assert_eq!(progress["org"]["username"], API_USER);
    let link = world
        .linking
        .link(&"acme".parse().expect("an account"))
        .await;
    assert_eq!(link.expect("read").org, None, "nothing is linked before");

    // Nobody else may look or confirm: another program, or a session of the account.
    let admin = world.browser("acme", Role::Admin).await;
    let confirm = || world.api(Method::POST, "acme", &format!("{path}/confirm"));
    for (request, status) in [
        (read().bearer_auth(ADMIN_MACHINE), 403),
        (confirm().bearer_auth(ADMIN_MACHINE), 403),
        (admin.reads(read()), 404),
        (admin.changes(confirm()), 404),
    ] {
        assert_eq!(told(request).await.0, status);
    }
    let (_, confirmed) = told(confirm().bearer_auth(LINKING_MACHINE)).await;
    assert_eq!(confirmed["stage"], "linked");

    let history = world.api(Method::GET, "acme", "history");
    let (_, history) = told(history.bearer_auth(VIEWER_MACHINE)).await;
    let first: &Value = &history["changes"][0];
    assert_eq!(
        (&first["by"], &first["name"]),
        (&json!("machine"), &json!("linker"))
    );
    world.stop().await;
}

#[tokio::test]
async fn a_program_may_give_up_what_it_began() {
    let world = World::start().await;
    let (id, authorize) = begin(&world).await;
    let back = world.log_in(&authorize, API_USER).await;
    let answer = world.client.get(back).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let cancel = world.api(Method::POST, "acme", &format!("authorizations/{id}/cancel"));
    let (_, cancelled) = told(cancel.bearer_auth(LINKING_MACHINE)).await;
    assert_eq!(cancelled["fault"]["kind"], "cancelled");
    let link = world
        .linking
        .link(&"acme".parse().expect("an account"))
        .await;
    assert_eq!(link.expect("read").org, None);
    world.stop().await;
}
