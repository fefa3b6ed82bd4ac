//! The API's document: what is served is what it says, whatever is asked.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use vcc_link::http::sidecar::api;
use vcc_link::http::sidecar::session::Role;
use vcc_link::store::inbox::IngestBatch;
use vcc_link::store::recovery::{Standing, Witness};

use super::api::{come_back, told};
use super::world::{ADMIN_MACHINE, API_USER, Browser, VIEWER_MACHINE, World};
use crate::store::conformance::fixture::{ended, give_keys};

/// Requests that are made of each operation.
const REQUESTS: usize = 300;

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    let viewer = world.browser("acme", Role::Viewer).await;
    let login = come_back(&world, &admin, API_USER).await;
    let invite = admin.changes(world.api(Method::POST, "acme", "invitations"));
    let (_, invited) = told(invite).await;
    let invitation = invited["invitation"]["id"].as_str().expect("an id");
    let known = [login.as_str(), invitation];
    let batch = IngestBatch {
        calls: vec![ended("acme", "c1", 0)],
        ..IngestBatch::default()
    };
    let standing = world.store.recognise(&Witness::default()).await;
    assert_eq!(standing.expect("recognise"), Standing::Recognised);
    give_keys(&*world.store, &batch.calls).await;
    world.store.append(&batch).await.expect("a call");
    let document = api::document();
    let mut rng = StdRng::seed_from_u64(7);
    let mut seen = std::collections::BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        for _ in 0..REQUESTS {
            let request = made(&mut rng, &world, (method.clone(), path), known);
            let request = shown(&mut rng, request, &admin, &viewer);
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            seen.insert((operation["operationId"].to_string(), status));
            let by_kind = format!("{}XX", status / 100);
            let documented = [status.to_string(), by_kind]
                .into_iter()
                .find_map(|status| operation["responses"].get(status));
            let documented = documented
                .unwrap_or_else(|| panic!("{path} answers {status}, which is not documented"));
            let Some(content) = documented["content"].as_object() else {
                continue;
            };
            let (form, content) = content.iter().next().expect("a form");
            let told = &answer.headers()["content-type"];
            assert_eq!(told, form.as_str(), "{path} {status}");
            let body: Value = answer.json().await.expect("JSON");
            check(&document, &content["schema"], &body);
        }
    }
    let answered = [
        "readCall",
        "askPreflight",
        "testLookup",
        "createTestTask",
        "listInvitations",
        "revokeInvitation",
    ];
    for operation in answered {
        let told = seen.contains(&(format!("\"{operation}\""), 200));
        assert!(told, "{operation} never answered 200: {seen:?}");
    }
    for wanted in [200, 201, 304, 401, 403, 404, 412, 422, 428] {
        let met = seen.iter().any(|(_, status)| *status == wanted);
        assert!(met, "{wanted} was never met: {seen:?}");
    }
    world.stop().await;
}

/// Each operation with its method and path; what deletes comes last, as the others need the link.
fn operations(document: &Value) -> Vec<(Method, &str, &Value)> {
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let method = Method::from_bytes(method.to_uppercase().as_bytes());
            all.push((method.expect("a method"), path.as_str(), operation));
        }
    }
    all.sort_by_key(|(method, _, _)| *method == Method::DELETE);
    all
}

/// A request of an operation, some parts of it as they should be, some not.
fn made(
    rng: &mut StdRng,
    world: &World,
    (method, path): (Method, &str),
    [login, invitation]: [&str; 2],
) -> RequestBuilder {
    let account = ["acme", "acme", "acme", "beta", "%ff", "a b"]
        .choose(rng)
        .expect("one");
    let call = ["c1", "%00", "016f1c6b-9766-498c-9756-30afb0354d5b"]
        .choose(rng)
        .expect("one");
    let ids = [login, invitation, "nobody's", "%ff"];
    let id = ids.choose(rng).expect("one");
    let path = path.replace("{account}", account).replace("{call}", call);
    let url = format!("{}{}", world.base, path.replace("{id}", id));
    let query = [
        ("limit", "0"),
        ("limit", "7"),
        ("before", "2"),
        ("before", "x"),
        ("other", "1"),
    ];
    let mut request = world.client.request(method, url);
    if rng.random() {
        request = request.query(query.choose(rng).map(std::slice::from_ref).expect("one"));
    }
    let conditions = ["\"0-0\"", "\"1-1\"", "*", "é"];
    for name in ["if-match", "if-none-match"] {
        if rng.random() {
            request = request.header(name, *conditions.choose(rng).expect("one"));
        }
    }
    let wishes = [
        json!({ "login": "production" }),
        json!({ "login": "my_domain", "domain": "evil.example" }),
        json!({ "login": "elsewhere" }),
        json!({ "login": "sandbox", "more": 1 }),
        json!({ "number": "+44 20 7946 0018" }),
        json!({ "number": "+44 20 7946 0018", "id": "67e55044-10b1-426f-9247-bb680e5fe0c8" }),
        json!({ "number": "12", "id": "none" }),
        json!([]),
        json!({ "channel": "webhook", "address": "https://hooks.example/x" }),
        json!({ "channel": "webhook", "address": "https://10.0.0.1/" }),
    ];
    match rng.random_range(0..4) {
        0 => request,
        1 => request.body("{"),
        _ => request.json(wishes.choose(rng).expect("one")),
    }
}

/// A request with somebody's rights, or nobody's.
fn shown(
    rng: &mut StdRng,
    request: RequestBuilder,
    admin: &Browser,
    viewer: &Browser,
) -> RequestBuilder {
    match rng.random_range(0..8) {
        0 => request,
        1 => viewer.changes(request),
        2 => request.bearer_auth(VIEWER_MACHINE),
        3 => request.bearer_auth(ADMIN_MACHINE),
        4 => request.bearer_auth("nobody's"),
        5 => admin.reads(request),
        _ => admin.changes(request),
    }
}

/// Fails unless a body is of the form of a schema of the document.
fn check(document: &Value, schema: &Value, body: &Value) {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&whole).expect("a schema");
    let wrong: Vec<String> = validator.iter_errors(body).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{body}\n{wrong:?}");
}
