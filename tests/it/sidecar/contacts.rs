//! Contacts through the API, and their pages.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use vcc_link::http::sidecar::session::Role;

use super::world::{ADMIN_MACHINE, VIEWER_MACHINE, World};

/// An answer's status, `ETag` and JSON.
async fn told(request: RequestBuilder) -> (StatusCode, String, Value) {
    let answer = request.send().await.expect("an answer");
    let etag = answer.headers().get("etag");
    let etag = etag.map(|etag| etag.to_str().expect("text").to_owned());
    let status = answer.status();
    (
        status,
        etag.unwrap_or_default(),
        answer.json().await.unwrap_or_default(),
    )
}

#[tokio::test]
async fn contacts_are_changed_by_who_has_seen_them() {
    let world = World::start().await;
    let program = |method, path: &str| world.api(method, "acme", path).bearer_auth(ADMIN_MACHINE);
    let (_, etag, none) = told(program(Method::GET, "contacts")).await;
    assert_eq!(none, json!({ "contacts": [], "canMail": false }));
    let wish = json!({ "channel": "webhook", "address": "https://hooks.acme.example/x" });
    let add = || program(Method::POST, "contacts").json(&wish);
    assert_eq!(told(add()).await.0, 428);
    let (status, _, added) = told(add().header("if-match", &etag)).await;
    assert_eq!(status, 201);
    let key = added["key"].as_str().expect("a key");
    assert!(key.starts_with("whsec_"));
    assert_eq!(told(add().header("if-match", &etag)).await.0, 412);
    let mail = json!({ "channel": "mail", "address": "ops@acme.example" });
    let mail = program(Method::POST, "contacts").json(&mail);
    let (status, _, problem) = told(mail.header("if-match", "*")).await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::CONFLICT, &json!("urn:vcc-link:problem:no-mail"))
    );

    let viewer = world
        .api(Method::GET, "acme", "contacts")
        .bearer_auth(VIEWER_MACHINE);
    let (_, etag, seen) = told(viewer).await;
    assert_eq!(
        seen["contacts"][0]["address"],
        "https://hooks.acme.example/…"
    );
    assert!(!seen.to_string().contains("whsec_"), "told once");
    let path = format!("contacts/{}", added["id"].as_str().expect("an id"));
    let test = || program(Method::POST, &format!("{path}/test"));
    assert_eq!(told(test()).await.0, 202);
    assert_eq!(told(test()).await.0, 409);
    let (_, _, whole) = told(program(Method::GET, "contacts")).await;
    let contact = &whole["contacts"][0];
    assert_eq!(contact["address"], "https://hooks.acme.example/x");
    assert_eq!(contact["lastNotice"]["state"], "waiting");

    let stale = program(Method::DELETE, &path).header("if-match", "\"0\"");
    assert_eq!(told(stale).await.0, 412);
    let (status, _, left) = told(program(Method::DELETE, &path).header("if-match", &etag)).await;
    assert_eq!((status.as_u16(), &left["contacts"]), (200, &json!([])));
    let (_, _, history) = told(program(Method::GET, "contacts/history")).await;
    let change = &history["changes"][0];
    assert_eq!(
        (&change["event"], &change["by"]),
        (&json!("removed"), &json!("machine"))
    );
    world.stop().await;
}

#[tokio::test]
async fn a_page_changes_contacts_for_admins_with_its_token_alone() {
    let world = World::start().await;
    let (admin, viewer) = (
        world.browser("acme", Role::Admin).await,
        world.browser("acme", Role::Viewer).await,
    );
    let url = format!("{}/contacts", world.base);
    let form = |csrf| {
        let form = [
            ("csrf", csrf),
            ("version", "0"),
            ("channel", "webhook"),
            ("address", "https://hooks.acme.example/x"),
        ];
        world.client.post(&url).form(&form)
    };
    for refused in [
        admin.reads(form("guessed")),
        viewer.reads(form(&viewer.csrf)),
    ] {
        assert_eq!(refused.send().await.expect("an answer").status(), 403);
    }
    let added = admin
        .reads(form(&admin.csrf))
        .send()
        .await
        .expect("an answer");
    assert_eq!(added.status(), 200);
    let page = added.text().await.expect("a page");
    assert!(page.contains("whsec_"), "the key is shown once");
    let again = admin
        .reads(form(&admin.csrf))
        .send()
        .await
        .expect("an answer");
    assert_eq!(again.status(), 409);
    let again = again.text().await.expect("a page");
    assert!(again.contains("changed the contacts meanwhile"), "{again}");
    assert!(!again.contains("whsec_"));
    world.stop().await;
}
