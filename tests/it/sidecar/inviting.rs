//! Invitations: what somebody may do whom the portal does not know, and what not.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use vcc_link::domain::authorization::{AuthorizationFault, Stage};
use vcc_link::http::sidecar::Config;
use vcc_link::http::sidecar::session::Role;

use super::api::told;
use super::world::{
    ADMIN_MACHINE, API_USER, Browser, PERSON, VIEWER_MACHINE, World, heard, hidden, listen,
};

/// How often each forgery is tried.
const MANY: usize = 2_000;

/// Somebody who was invited, in a browser of their own.
struct Guest {
    cookie: String,
    csrf: String,
}

/// Makes an invitation; gives its id and the secret of its link.
async fn invited(world: &World, admin: &Browser) -> (String, String) {
    let request = admin.changes(world.api(Method::POST, "acme", "invitations"));
    let (status, made) = told(request).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let link = made["link"].as_str().expect("a link");
    let secret = link.strip_prefix(&format!("{}/invitation#", world.base));
    let id = made["invitation"]["id"].as_str().expect("an id");
    (id.to_owned(), secret.expect("a secret behind #").to_owned())
}

/// Posts a secret as the link's page does.
async fn show(world: &World, secret: &str) -> Response {
    let url = format!("{}/invitation", world.base);
    let request = world.client.post(url).form(&[("secret", secret)]);
    request.send().await.expect("an answer")
}

/// Comes by an invitation.
async fn come(world: &World, secret: &str) -> Guest {
    let answer = show(world, secret).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/invited");
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let page = open(world, &cookie, "/invited").await;
    let page = page.text().await.expect("a page");
    let csrf = hidden(&page, "csrf");
    Guest { cookie, csrf }
}

async fn open(world: &World, cookie: &str, path: &str) -> Response {
    let url = format!("{}{path}", world.base);
    let request = world.client.get(url).header(COOKIE, cookie);
    request.send().await.expect("an answer")
}

/// Begins a login, as this account's page for whom is invited does; the answer.
async fn begin(world: &World, guest: &Guest) -> Response {
    let url = format!("{}/invited/link", world.base);
    let form = [("csrf", guest.csrf.as_str()), ("environment", "production")];
    let request = world.client.post(url).form(&form);
    let request = request.header(COOKIE, &guest.cookie);
    request.send().await.expect("an answer")
}

/// Logs in at Salesforce and comes back; the page that says what became of it.
async fn log_in(world: &World, guest: &Guest, username: &str) -> String {
    let begun = begin(world, guest).await;
    assert_eq!(begun.status(), StatusCode::SEE_OTHER);
    let authorize = begun.headers()[LOCATION].to_str().expect("text");
    let back = world.log_in(authorize, username).await;
    come_back(world, &guest.cookie, back.as_str()).await
}

/// Comes back from Salesforce with these cookies; the page that says what became of it.
async fn come_back(world: &World, cookie: &str, back: &str) -> String {
    let path = back.strip_prefix(&world.base).expect("ours");
    let answer = open(world, cookie, path).await;
    let to = answer.headers()[LOCATION].to_str().expect("text");
    assert!(to.starts_with("/invited/logins/"), "{to}");
    let page = open(world, cookie, to).await;
    page.text().await.expect("a page")
}

/// What the account's admin sees of its invitations.
async fn seen(world: &World, admin: &Browser) -> Value {
    told(admin.reads(world.api(Method::GET, "acme", "invitations")))
        .await
        .1
}

async fn status(world: &World, admin: &Browser) -> Value {
    told(admin.reads(world.api(Method::GET, "acme", "link")))
        .await
        .1["status"]
        .clone()
}

/// The words of the account's history, the first first.
async fn history(world: &World, admin: &Browser) -> Vec<String> {
    let (_, history) = told(admin.reads(world.api(Method::GET, "acme", "history"))).await;
    let changes = history["changes"].as_array().expect("changes");
    let word = |change: &Value| change["reason"].as_str().expect("a word").to_owned();
    changes.iter().rev().map(word).collect()
}

#[tokio::test]
async fn whoever_is_invited_logs_in_and_an_admin_has_the_last_word() {
    listen();
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    for (answer, stage, linked) in [
        ("cancel", "failed", "unlinked"),
        ("confirm", "linked", "linked"),
    ] {
        let (_, secret) = invited(&world, &admin).await;
        assert_eq!(
            seen(&world, &admin).await["invitations"][0]["state"],
            "open"
        );
        let guest = come(&world, &secret).await;
        let page = log_in(&world, &guest, PERSON).await;
        assert!(page.contains("Done: your part is complete"), "{page}");
        assert!(page.contains(PERSON), "{page}");
        assert_eq!(status(&world, &admin).await, "unlinked", "not yet");
        let now = seen(&world, &admin).await;
        assert_eq!(now["invitations"][0]["state"], "used");
        let login = &now["toConfirm"][0];
        assert_eq!(login["stage"], "to_confirm");
        assert_eq!(login["org"]["username"], PERSON);
        assert_eq!(login["doubts"], json!(["not_api_only"]));
        let again = begin(&world, &guest).await;
        assert_eq!(again.status(), StatusCode::NOT_FOUND, "it is used up");
        assert_eq!(show(&world, &secret).await.status(), StatusCode::NOT_FOUND);

        let id = login["id"].as_str().expect("an id");
        let path = format!("authorizations/{id}/{answer}");
        let (_, ended) = told(admin.changes(world.api(Method::POST, "acme", &path))).await;
        assert_eq!(ended["stage"], stage);
        assert_eq!(status(&world, &admin).await, linked);
        assert_eq!(seen(&world, &admin).await["toConfirm"], json!([]));
        let log = heard();
        for private in [secret.as_str(), &guest.cookie, &guest.csrf, PERSON] {
            assert!(!log.contains(private), "{private} is in:\n{log}");
        }
        assert!(log.contains("somebody was invited"), "it is heard: {log}");
    }
    let steps = history(&world, &admin).await;
    let once = ["invited", "invitation_used"];
    let all = [
        &once[..],
        &["invitation_discarded"],
        &once,
        &["user_linked"],
    ]
    .concat();
    assert_eq!(steps, all);
    let (_, history) = told(admin.reads(world.api(Method::GET, "acme", "history?limit=1"))).await;
    assert_eq!(
        (&history["changes"][0]["name"], &history["next"]),
        (&json!("ann@vcc.example"), &json!(6)),
        "who confirmed has linked"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_login_that_comes_to_nothing_uses_no_invitation_up() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    let (_, secret) = invited(&world, &admin).await;
    let guest = come(&world, &secret).await;
    let begun = begin(&world, &guest).await;
    let authorize = begun.headers()[LOCATION].to_str().expect("text");
    let authorize = url::Url::parse(authorize).expect("an address");
    let state = authorize.query_pairs().find(|(key, _)| key == "state");
    let state = state.expect("a state").1.into_owned();
    let denied = format!("{}/callback?state={state}&error=access_denied", world.base);
    let page = come_back(&world, &guest.cookie, &denied).await;
    assert!(page.contains("Access was denied"), "{page}");
    assert_eq!(
        seen(&world, &admin).await["invitations"][0]["state"],
        "open"
    );
    // Another browser, as after a lost one; and that of an admin, who tries the link out.
    let other = come(&world, &secret).await;
    let both = Guest {
        cookie: format!("{}; {}", admin.cookie, other.cookie),
        ..other
    };
    let page = log_in(&world, &both, API_USER).await;
    assert!(page.contains("Done: your part is complete"), "{page}");
    world.stop().await;
}

#[tokio::test]
async fn what_is_revoked_or_used_up_during_a_login_does_not_count() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    let (revoked, secret) = invited(&world, &admin).await;
    let guest = come(&world, &secret).await;
    let begun = begin(&world, &guest).await;
    let authorize = begun.headers()[LOCATION].to_str().expect("text");
    let back = world.log_in(authorize, API_USER).await;
    let path = format!("invitations/{revoked}/revoke");
    let (_, now) = told(admin.changes(world.api(Method::POST, "acme", &path))).await;
    assert_eq!(now["state"], "revoked");
    let page = come_back(&world, &guest.cookie, back.as_str()).await;
    assert!(page.contains("The invitation is over"), "{page}");

    let (_, secret) = invited(&world, &admin).await;
    let (one, two) = (come(&world, &secret).await, come(&world, &secret).await);
    let begun = begin(&world, &two).await;
    let page = log_in(&world, &one, API_USER).await;
    assert!(page.contains("Done"), "{page}");
    let authorize = begun.headers()[LOCATION].to_str().expect("text");
    let back = world.log_in(authorize, API_USER).await;
    let page = come_back(&world, &two.cookie, back.as_str()).await;
    assert!(page.contains("The invitation is over"), "{page}");
    assert_eq!(
        seen(&world, &admin).await["toConfirm"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    // The tokens of those that do not count are given back.
    world.linking.end_loose().await.expect("ended");
    let loose = world
        .store
        .loose_authorizations(vcc_link::clock::now(), 9)
        .await;
    assert_eq!(loose.expect("read"), []);
    world.stop().await;
}

#[tokio::test]
async fn an_unlink_meanwhile_is_not_undone_by_a_confirmation() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    super::api::come_back(&world, &admin, API_USER).await;
    let (_, secret) = invited(&world, &admin).await;
    let guest = come(&world, &secret).await;
    log_in(&world, &guest, API_USER).await;
    let login = seen(&world, &admin).await["toConfirm"][0]["id"].clone();
    let unlink = admin.changes(world.api(Method::DELETE, "acme", "link"));
    let (unlinked, _) = told(unlink.header("if-match", "*")).await;
    assert_eq!(unlinked, StatusCode::OK);
    let path = format!("authorizations/{}/confirm", login.as_str().expect("an id"));
    let (_, ended) = told(admin.changes(world.api(Method::POST, "acme", &path))).await;
    assert_eq!(ended["fault"]["kind"], "link_changed");
    assert_eq!(status(&world, &admin).await, "unlinked");
    world.stop().await;
}

#[tokio::test]
async fn no_secret_is_guessed() {
    let world = World::with(
        |config| Config {
            // Each guess comes from elsewhere, so that not the limit refuses it.
            proxies: 1,
            ..config
        },
        None,
    )
    .await;
    let admin = world.browser("acme", Role::Admin).await;
    let (id, secret) = invited(&world, &admin).await;
    let mut rng = StdRng::seed_from_u64(11);
    let url = format!("{}/invitation", world.base);
    let mut pages = std::collections::BTreeSet::new();
    for n in 0..MANY {
        let mut damaged = secret.clone().into_bytes();
        let place = rng.random_range(0..damaged.len());
        damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
        let guess = match n % 4 {
            0 => String::from_utf8(damaged).expect("ASCII"),
            1 => secret[..place].to_owned(),
            2 => format!("{secret}{secret}"),
            _ => id.clone(),
        };
        let from = format!("198.51.{}.{}", n / 256, n % 256);
        let request = world.client.post(&url).form(&[("secret", guess)]);
        let answer = request.header("x-forwarded-for", from).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{n}");
        assert!(!answer.headers().contains_key(SET_COOKIE));
        pages.insert(answer.text().await.expect("a page"));
    }
    let path = format!("invitations/{id}/revoke");
    told(admin.changes(world.api(Method::POST, "acme", &path))).await;
    pages.insert(show(&world, &secret).await.text().await.expect("a page"));
    assert_eq!(pages.len(), 1, "what is over is as what never was");

    let statuses: Vec<u16> = {
        let mut all = Vec::new();
        for _ in 0..21 {
            let request = world.client.post(&url).form(&[("secret", "x")]);
            let answer = request
                .header("x-forwarded-for", "203.0.113.9")
                .send()
                .await;
            all.push(answer.expect("an answer").status().as_u16());
        }
        all
    };
    assert_eq!((statuses[19], statuses[20]), (404, 429));
    world.stop().await;
}

#[tokio::test]
async fn who_is_invited_may_log_in_and_nothing_else() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    let (_, secret) = invited(&world, &admin).await;
    let guest = come(&world, &secret).await;
    let (_, value) = guest.cookie.split_once('=').expect("a value");
    // The cookie under its own name, and under that of an admin's session.
    for cookie in [guest.cookie.clone(), format!("vcc-link={value}")] {
        for path in ["/", "/unlink", "/history", "/events"] {
            let answer = open(&world, &cookie, path).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
        }
        for path in ["link", "history", "slots", "calls/1", "invitations"] {
            let request = world.api(Method::GET, "acme", path);
            let answer = request.header(COOKIE, &cookie).send().await;
            let status = answer.expect("an answer").status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        }
        for path in [
            "/link",
            "/unlink",
            "/invitations",
            "/authorizations/x/confirm",
        ] {
            let form = [("csrf", guest.csrf.as_str()), ("generation", "0")];
            let request = world.client.post(format!("{}{path}", world.base));
            let request = request.form(&form).header(COOKIE, &cookie);
            let status = request.send().await.expect("an answer").status();
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    // Nor is an admin's cookie one of somebody who was invited.
    let (_, value) = admin.cookie.split_once('=').expect("a value");
    let answer = open(&world, &format!("vcc-link-invited={value}"), "/invited").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    // Without the form's own token, and from another site's page, nothing begins.
    for (csrf, origin) in [
        ("", None),
        (guest.csrf.as_str(), Some("https://evil.example")),
    ] {
        let form = [("csrf", csrf), ("environment", "production")];
        let request = world.client.post(format!("{}/invited/link", world.base));
        let mut request = request.form(&form).header(COOKIE, &guest.cookie);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let status = request.send().await.expect("an answer").status();
        assert!(status.is_client_error(), "{status}");
    }
    // A login that an invited person completed is theirs to look at, and not to confirm or undo.
    log_in(&world, &guest, API_USER).await;
    let login = seen(&world, &admin).await["toConfirm"][0]["id"].clone();
    let path = format!("/invited/logins/{}/cancel", login.as_str().expect("an id"));
    let request = world.client.post(format!("{}{path}", world.base));
    let request = request.form(&[("csrf", &guest.csrf)]);
    let answer = request.header(COOKIE, &guest.cookie).send().await;
    assert_eq!(answer.expect("an answer").status(), StatusCode::NOT_FOUND);
    assert_eq!(seen(&world, &admin).await["toConfirm"][0]["id"], login);
    world.stop().await;
}

#[tokio::test]
async fn only_the_links_own_page_takes_a_visitor_in() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    let (_, secret) = invited(&world, &admin).await;
    let post = async |headers: &[(&'static str, &str)]| {
        let url = format!("{}/invitation", world.base);
        let mut request = world.client.post(url).form(&[("secret", &secret)]);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    let null = ("origin", "null");
    assert_eq!(post(&[null, ("sec-fetch-site", "same-origin")]).await, 303);
    assert_eq!(post(&[null]).await, 403);
    assert_eq!(post(&[null, ("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(post(&[("origin", "https://evil.example")]).await, 403);

    let page = open(&world, "", "/invitation").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    assert_eq!(
        seen(&world, &admin).await["invitations"][0]["state"],
        "open"
    );
    world.stop().await;
}

#[tokio::test]
async fn an_account_has_few_invitations_open_and_they_are_its_own() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    let (first, _) = invited(&world, &admin).await;
    let invite = |token| {
        let request = world.api(Method::POST, "acme", "invitations");
        request.bearer_auth(token)
    };
    assert_eq!(told(invite(VIEWER_MACHINE)).await.0, StatusCode::FORBIDDEN);
    for _ in 0..2 {
        assert_eq!(told(invite(ADMIN_MACHINE)).await.0, StatusCode::CREATED);
    }
    let (status, problem) = told(invite(ADMIN_MACHINE)).await;
    assert_eq!(
        (status.as_u16(), &problem["type"]),
        (409, &json!("urn:vcc-link:problem:too-many-invitations"))
    );
    let beta = world.browser("beta", Role::Admin).await;
    let path = format!("invitations/{first}/revoke");
    let foreign = beta.changes(world.api(Method::POST, "beta", &path));
    assert_eq!(told(foreign).await.0, StatusCode::NOT_FOUND);
    for state in ["revoked", "revoked"] {
        let (_, now) = told(admin.changes(world.api(Method::POST, "acme", &path))).await;
        assert_eq!(now["state"], state);
    }
    assert_eq!(told(invite(ADMIN_MACHINE)).await.0, StatusCode::CREATED);
    let by = seen(&world, &admin).await["invitations"][0]["by"].clone();
    assert_eq!(by, "admin", "the machine's name");
    world.stop().await;
}

#[tokio::test]
async fn a_login_that_nobody_confirms_ends_and_is_given_back() {
    let world = World::start().await;
    let admin = world.browser("acme", Role::Admin).await;
    let (_, secret) = invited(&world, &admin).await;
    let guest = come(&world, &secret).await;
    log_in(&world, &guest, API_USER).await;
    let account = "acme".parse().expect("an account");
    let now = vcc_link::clock::now();
    let waiting = world.store.to_confirm(&account, now).await.expect("read");
    let day = std::time::Duration::from_hours(24);
    assert!(waiting[0].expires_at >= now + day - std::time::Duration::from_mins(1));
    let late = vcc_link::domain::authorization::Authorization {
        expires_at: now,
        ..waiting[0].clone()
    };
    let moved = world
        .store
        .move_authorization(Stage::ToConfirm, &late, None)
        .await;
    assert_eq!(moved.expect("moved"), vcc_link::store::Written::Yes);
    let path = format!("authorizations/{}/confirm", late.id);
    let (status, _) = told(admin.changes(world.api(Method::POST, "acme", &path))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "too late");
    world.linking.end_loose().await.expect("ended");
    let last = world.store.authorization(&late.id).await.expect("read");
    let fault = last.expect("known").fault;
    assert_eq!(fault, Some(AuthorizationFault::Unconfirmed));
    world.stop().await;
}
