//! The way in, and what browsers are told.

use reqwest::Method;
use reqwest::header::{ORIGIN, SET_COOKIE};
use vcc_link::http::sidecar::session::Role;

use super::world::{World, browser_of};

#[tokio::test]
async fn the_portals_user_gets_a_session_of_one_account_once() {
    let world = World::start().await;
    let token = world.token("acme", Role::Admin);
    let answer = world.enter(&token).await;
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/");
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{part} is not in {cookie}");
    }
    let browser = browser_of(&answer);
    let link = browser.reads(world.api(Method::GET, "acme", "link"));
    assert_eq!(link.send().await.expect("an answer").status(), 200);

    let again = world.enter(&token).await;
    assert_eq!(again.status(), 403, "a token is taken once");
    assert!(!again.headers().contains_key(SET_COOKIE));
    let page = again.text().await.expect("a page");
    assert!(page.contains("mailto:help@vcc.example"), "{page}");
    world.stop().await;
}

#[tokio::test]
async fn a_session_is_always_a_new_one() {
    let world = World::start().await;
    let prepared = world.browser("acme", Role::Admin).await;
    let url = format!("{}/enter", world.base);
    let token = world.token("acme", Role::Admin);
    let request = world.client.post(url).form(&[("token", token)]);
    let answer = prepared.reads(request).send().await.expect("an answer");
    let entered = browser_of(&answer);
    assert_ne!(entered.id, prepared.id);
    assert_ne!(entered.csrf, prepared.csrf);
    world.stop().await;
}

#[tokio::test]
async fn only_the_portal_may_send_somebody_here_and_frame_the_pages() {
    let portal = "https://portal.example";
    let world = World::with(
        |config| vcc_link::http::sidecar::Config {
            portal_origin: portal.to_owned(),
            ..config
        },
        None,
    )
    .await;
    let enter = async |origin: Option<&str>| {
        let url = format!("{}/enter", world.base);
        let token = world.token("acme", Role::Viewer);
        let mut request = world.client.post(url).form(&[("token", token)]);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request.send().await.expect("an answer")
    };
    let answer = enter(Some(portal)).await;
    assert_eq!(answer.status(), 303);
    let policy = &answer.headers()["content-security-policy"];
    let policy = policy.to_str().expect("text");
    assert!(
        policy.contains(&format!("frame-ancestors {portal}")),
        "{policy}"
    );
    for origin in [None, Some("null"), Some("https://portal.example.evil")] {
        assert_eq!(enter(origin).await.status(), 403, "{origin:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn another_page_than_the_framing_one_may_send_somebody_here() {
    let world = World::with(
        |config| vcc_link::http::sidecar::Config {
            portal_origin: "https://portal.example".to_owned(),
            entry_origin: "https://login.portal.example".to_owned(),
            ..config
        },
        None,
    )
    .await;
    for (origin, status) in [
        ("https://login.portal.example", 303),
        ("https://portal.example", 403),
    ] {
        let form = [("token", world.token("acme", Role::Viewer))];
        let request = world
            .client
            .post(format!("{}/enter", world.base))
            .form(&form);
        let answer = request.header(ORIGIN, origin).send().await;
        assert_eq!(answer.expect("an answer").status(), status, "{origin}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_sessions_cookie_is_for_its_own_host_and_in_a_frame_for_that_alone() {
    let cookie = async |portal_origin: &str| {
        let change = |config| vcc_link::http::sidecar::Config {
            public_url: "https://links.example".to_owned(),
            portal_origin: portal_origin.to_owned(),
            ..config
        };
        let world = World::with(change, None).await;
        let url = format!("{}/enter", world.base);
        let form = [("token", world.token("acme", Role::Viewer))];
        let request = world.client.post(url).form(&form);
        let request = request.header(ORIGIN, "https://portal.example");
        let answer = request.send().await.expect("an answer");
        let cookie = answer.headers()[SET_COOKIE]
            .to_str()
            .expect("text")
            .to_owned();
        world.stop().await;
        let (value, attributes) = cookie.split_once(';').expect("attributes");
        assert!(value.starts_with("__Host-vcc-link="), "{value}");
        attributes.trim().to_owned()
    };
    assert_eq!(cookie("").await, "HttpOnly; SameSite=Lax; Secure; Path=/");
    assert_eq!(
        cookie("https://portal.example").await,
        "HttpOnly; SameSite=None; Partitioned; Secure; Path=/"
    );
}

#[tokio::test]
async fn every_answer_is_guarded() {
    let world = World::start().await;
    for path in [
        "/enter",
        "/api/v1/openapi.json",
        "/api/v1/accounts/acme/link",
    ] {
        let url = format!("{}{path}", world.base);
        let answer = world.client.get(url).send().await.expect("an answer");
        let told = |name: &str| answer.headers()[name].to_str().expect("text");
        assert!(told("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(!told("content-security-policy").contains("unsafe"));
        assert_eq!(told("x-frame-options"), "DENY");
        assert_eq!(told("x-content-type-options"), "nosniff");
        assert_eq!(told("referrer-policy"), "same-origin");
        assert_eq!(told("cache-control"), "no-store");
    }
    world.stop().await;
}

#[tokio::test]
async fn who_asks_too_much_is_told_when_to_come_again() {
    let world = World::with(
        |config| vcc_link::http::sidecar::Config {
            requests_per_minute: 5,
            ..config
        },
        None,
    )
    .await;
    let browser = world.browser("acme", Role::Viewer).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        let request = browser.reads(world.api(Method::GET, "acme", "link"));
        answers.push(request.send().await.expect("an answer"));
    }
    let status: Vec<u16> = answers.iter().map(|a| a.status().as_u16()).collect();
    assert_eq!(status, [200, 200, 200, 200, 200, 429]);
    assert_eq!(answers[5].headers()["retry-after"], "60");
    assert_eq!(
        answers[5].headers()["content-type"],
        "application/problem+json"
    );
    world.stop().await;
}
