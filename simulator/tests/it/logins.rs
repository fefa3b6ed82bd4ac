//! The web server flow as a browser and its app see it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Browser, CALLBACK, Place, VERIFIER};
use crate::harness::{AGENT, API_USER, Org, object, read};

const PASSWORD: &str = "password";

/// Exchanges a code, with `more` fields than usual, or others.
async fn exchange(org: &Org, code: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", "sim-client-id"),
        ("client_secret", "sim-client-secret"),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    form.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    form.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    read(org.oauth("token", &form).await).await
}

/// Passes login and consent, and returns the code.
async fn code(org: &Org, user: &str) -> String {
    let mut browser = Browser::new(org);
    let login = browser.authorize(&[]).await;
    let mut next = browser.log_in(&login, user, PASSWORD).await;
    if matches!(next, Place::Page(_)) {
        next = browser.decide(&next, "allow").await;
    }
    next.answer("code").unwrap()
}

#[tokio::test]
async fn a_user_logs_in_allows_access_and_the_app_gets_tokens() {
    let org = Org::start(json!({})).await;
    let mut browser = Browser::new(&org);
    let login = browser.authorize(&[("login_hint", AGENT)]).await;
    assert!(login.page().contains(&format!("value=\"{AGENT}\"")));
    // Usernames are the same in upper and lower case.
    let consent = browser
        .log_in(&login, &AGENT.to_uppercase(), PASSWORD)
        .await;
    assert!(consent.page().contains("Allow Access?") && consent.page().contains("Simulated App"));
    let back = browser.decide(&consent, "allow").await;
    assert_eq!(back.answer("state").as_deref(), Some("a state & more"));

    let code = back.answer("code").unwrap();
    let (status, tokens) = exchange(&org, &code, &[]).await;
    assert_eq!(
        (status, &tokens["scope"]),
        (200, &json!("refresh_token api id"))
    );
    assert!(tokens.get("expires_in").is_none());
    let identity = org.client.get(tokens["id"].as_str().unwrap());
    let identity = identity.bearer_auth(tokens["access_token"].as_str().unwrap());
    let (_, identity) = read(identity.send().await.unwrap()).await;
    assert_eq!(identity["username"], AGENT);
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(org.refresh(refresh_token).await.0, 200);

    let (status, again) = exchange(&org, &code, &[]).await;
    assert_eq!(status, 400);
    assert_eq!(
        again,
        json!({"error": "invalid_grant", "error_description": "expired authorization code"})
    );
}

#[tokio::test]
async fn a_user_who_denies_is_sent_back_empty_handed() {
    let org = Org::start(json!({})).await;
    let mut browser = Browser::new(&org);
    let login = browser.authorize(&[]).await;
    let consent = browser.log_in(&login, AGENT, PASSWORD).await;
    let back = browser.decide(&consent, "deny").await;
    assert_eq!(back.answer("error").as_deref(), Some("access_denied"));
    assert_eq!(
        back.answer("error_description").as_deref(),
        Some("end-user denied authorization")
    );
    assert_eq!(back.answer("state").as_deref(), Some("a state & more"));
    // The back button finds an authorization that is over.
    let over = browser.decide(&consent, "allow").await;
    assert!(over.page().contains("OAUTH_APPROVAL_ERROR_GENERIC"));
}

#[tokio::test]
async fn what_is_wrong_with_the_app_never_returns_to_it() {
    let org = Org::start(json!({})).await;
    for (wrong, error) in [
        (("client_id", "another"), "invalid_client_id"),
        (("redirect_uri", ""), "redirect_uri_missing"),
        (
            ("redirect_uri", "http://localhost/callback/"),
            "redirect_uri_mismatch",
        ),
    ] {
        let place = Browser::new(&org).authorize(&[wrong]).await;
        assert!(place.page().contains(error), "{place:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_rest_of_the_request_returns() {
    let org = Org::start(json!({})).await;
    for (wrong, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "api web"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("immediate", "true"), "immediate_unsuccessful"),
    ] {
        let place = Browser::new(&org).authorize(&[wrong]).await;
        assert_eq!(place.answer("error").as_deref(), Some(error), "{wrong:?}");
        assert_eq!(place.answer("state").as_deref(), Some("a state & more"));
    }
}

#[tokio::test]
async fn what_the_admin_decided_never_returns_to_the_app() {
    let org = Org::start(json!({})).await;
    for (policy, error) in [
        (json!({"installed": false}), "OAUTH_APPROVAL_ERROR_GENERIC"),
        (json!({"blocked": true}), "OAUTH_APP_BLOCKED"),
        (
            json!({"permitted_users": "admin_approved"}),
            "OAUTH_APP_ACCESS_DENIED",
        ),
    ] {
        org.patch(json!({"app_policy": policy}));
        let mut browser = Browser::new(&org);
        let login = browser.authorize(&[]).await;
        let place = browser.log_in(&login, AGENT, PASSWORD).await;
        assert!(place.page().contains(error), "{place:?}");
    }
}

#[tokio::test]
async fn users_whom_the_admin_approved_are_not_asked() {
    let org = Org::start(json!({"app_policy": {"permitted_users": "admin_approved"}})).await;
    let approved = object(json!({"app_approved": true}));
    org.control().patch_user(AGENT, approved).unwrap();
    let mut browser = Browser::new(&org);
    let login = browser.authorize(&[("prompt", "consent")]).await;
    let back = browser.log_in(&login, AGENT, PASSWORD).await;
    assert!(back.answer("code").is_some());
}

#[tokio::test]
async fn a_browser_that_is_logged_in_goes_straight_through_unless_the_prompt_says_no() {
    let org = Org::start(json!({})).await;
    let mut browser = Browser::new(&org);
    let login = browser.authorize(&[]).await;
    let consent = browser.log_in(&login, AGENT, PASSWORD).await;
    let back = browser.decide(&consent, "allow").await;
    exchange(&org, &back.answer("code").unwrap(), &[]).await;

    let back = browser.authorize(&[]).await;
    assert!(back.answer("code").is_some(), "logged in, and approved");
    let back = browser.authorize(&[("immediate", "true")]).await;
    assert!(back.answer("code").is_some());
    let consent = browser.authorize(&[("prompt", "consent")]).await;
    assert!(consent.page().contains("Allow Access?"));
    let login = browser.authorize(&[("prompt", "login consent")]).await;
    assert!(login.page().contains("Log In"));
    // The old session does not carry the browser past the login that was asked for.
    let skipped = browser.decide(&login, "allow").await;
    assert!(skipped.page().contains("Log In"));
    let consent = browser.log_in(&skipped, API_USER, PASSWORD).await;
    assert!(consent.page().contains(API_USER));
}

#[tokio::test]
async fn whoever_may_not_log_in_stays_on_the_login_page() {
    let org = Org::start(json!({})).await;
    let credentials = "Please check your username and password.";
    for (settings, password, said) in [
        (json!({}), "wrong", credentials),
        (json!({"active": false}), PASSWORD, credentials),
        (
            json!({"active": true, "frozen": true}),
            PASSWORD,
            credentials,
        ),
        (
            json!({"frozen": false, "login_addresses": [["192.0.2.0", "192.0.2.255"]]}),
            PASSWORD,
            "from your current IP address",
        ),
        (
            json!({"login_addresses": [["127.0.0.0", "127.255.255.255"]], "login_hours": [0, 0]}),
            PASSWORD,
            "at this time",
        ),
    ] {
        org.control().patch_user(AGENT, object(settings)).unwrap();
        let mut browser = Browser::new(&org);
        let login = browser.authorize(&[]).await;
        let place = browser.log_in(&login, AGENT, password).await;
        assert!(place.page().contains(said), "{place:?}");
        assert!(browser.authorize(&[]).await.page().contains("Log In"));
    }
}

#[tokio::test]
async fn a_user_with_mfa_is_asked_for_a_code() {
    let org = Org::start(json!({})).await;
    let code = object(json!({"mfa_code": "123456"}));
    org.control().patch_user(AGENT, code).unwrap();
    let mut browser = Browser::new(&org);
    let login = browser.authorize(&[]).await;
    let verify = browser.log_in(&login, AGENT, PASSWORD).await;
    let challenge = verify.hidden("challenge");
    let path = "/_ui/identity/verification/method/TotpVerificationFinishUi/e";
    let form = [("challenge", challenge.as_str()), ("code", "000000")];
    let wrong = browser.submit(path, &form).await;
    assert!(
        wrong
            .page()
            .contains("Invalid or expired verification code")
    );
    assert!(
        browser.authorize(&[]).await.page().contains("Log In"),
        "not yet"
    );
    let form = [("challenge", challenge.as_str()), ("code", "123456")];
    let consent = browser.submit(path, &form).await;
    assert!(consent.page().contains("Allow Access?"));
}

#[tokio::test]
async fn an_api_only_user_can_approve_an_app_and_nothing_else() {
    let org = Org::start(json!({})).await;
    assert!(!code(&org, API_USER).await.is_empty());
    let mut browser = Browser::new(&org);
    let place = browser
        .submit("/", &[("un", API_USER), ("pw", PASSWORD)])
        .await;
    assert!(place.page().contains("API Only User"), "{place:?}");
    let home = browser
        .submit("/", &[("un", AGENT), ("pw", PASSWORD)])
        .await;
    assert!(home.page().contains("You are logged in as"));
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_whoever_cannot_show_where_it_is_from() {
    let org = Org::start(json!({})).await;
    for (wrong, error) in [
        (
            ("redirect_uri", "http://localhost/other"),
            "redirect_uri_mismatch",
        ),
        (("code_verifier", ""), "invalid_grant"),
        (("code_verifier", "another-verifier"), "invalid_request"),
        (("code", "aPrxUnknown"), "invalid_grant"),
        (("client_secret", "wrong"), "invalid_client"),
    ] {
        let code = code(&org, AGENT).await;
        let (status, body) = exchange(&org, &code, &[wrong]).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)), "{wrong:?}");
    }
    let code = code(&org, AGENT).await;
    org.control().advance(Duration::from_mins(15));
    let (_, body) = exchange(&org, &code, &[]).await;
    assert_eq!(body["error_description"], "expired authorization code");
}

#[tokio::test]
async fn the_sixth_approval_takes_the_first_away() {
    let org = Org::start(json!({})).await;
    let mut tokens = Vec::new();
    for _ in 0..6 {
        let code = code(&org, AGENT).await;
        let (_, body) = exchange(&org, &code, &[]).await;
        tokens.push(body["refresh_token"].as_str().unwrap().to_owned());
    }
    assert_eq!(org.refresh(&tokens[0]).await.0, 400);
    assert_eq!(org.refresh(&tokens[1]).await.0, 200);
}

#[tokio::test]
async fn without_the_scopes_there_is_no_refresh_token_and_no_api() {
    let org = Org::start(json!({})).await;
    let mut browser = Browser::new(&org);
    let login = browser.authorize(&[("scope", "id")]).await;
    let consent = browser.log_in(&login, AGENT, PASSWORD).await;
    let back = browser.decide(&consent, "allow").await;
    let (_, tokens) = exchange(&org, &back.answer("code").unwrap(), &[]).await;
    assert!(tokens.get("refresh_token").is_none());
    let org = Org {
        token: tokens["access_token"].as_str().unwrap().to_owned(),
        ..org
    };
    let (status, body) = org.query("SELECT Id FROM Task").await;
    let text = "This session is not valid for use with the REST API";
    assert_eq!((status, &body[0]["message"]), (401, &json!(text)));
}

#[tokio::test]
async fn sandboxes_log_in_at_the_test_host_and_production_does_not() {
    let org = Org::start(json!({})).await;
    for (host, sandbox, enters) in [
        ("login", false, true),
        ("login", true, false),
        ("test", false, false),
        ("test", true, true),
        ("127", true, true),
    ] {
        org.patch(json!({"sandbox": sandbox}));
        let request = org
            .client
            .post(format!("{}/", org.running.base_url()))
            .header("host", format!("{host}.localhost"))
            .form(&[("un", AGENT), ("pw", PASSWORD)]);
        let entered = request.send().await.unwrap().status() == 302;
        assert_eq!(entered, enters, "{host}, sandbox: {sandbox}");
    }
}
