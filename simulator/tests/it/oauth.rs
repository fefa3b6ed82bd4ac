//! Tokens: what clients get, and how they lose it.

use serde_json::json;

use crate::harness::{API_USER, Org, REFRESH_TOKEN, object, read};

#[tokio::test]
async fn a_refresh_answers_as_salesforce_does() {
    let org = Org::start(json!({})).await;
    let (status, body) = org.refresh(REFRESH_TOKEN).await;
    assert_eq!(status, 200);
    let keys: Vec<&str> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "access_token",
            "refresh_token",
            "signature",
            "scope",
            "instance_url",
            "id",
            "token_type",
            "issued_at",
        ],
        "and no expires_in"
    );
    assert_eq!(body["instance_url"], org.running.base_url());

    let identity = org.client.get(body["id"].as_str().unwrap());
    let identity = identity.bearer_auth(body["access_token"].as_str().unwrap());
    let (status, identity) = read(identity.send().await.unwrap()).await;
    assert_eq!((status, &identity["username"]), (200, &json!(API_USER)));
}

#[tokio::test]
async fn a_rotated_token_used_again_costs_the_link() {
    let org = Org::start(json!({})).await;
    let (_, first) = org.refresh(REFRESH_TOKEN).await;
    let (status, refused) = org.refresh(REFRESH_TOKEN).await;
    assert_eq!(status, 400);
    assert_eq!(
        refused,
        json!({"error": "invalid_grant", "error_description": "expired access/refresh token"})
    );
    let (status, _) = org.refresh(first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, 400, "the living token died with the family");
    let counters = org.control().counters();
    assert_eq!(
        counters.values().map(|org| org.reuse_detected).sum::<u64>(),
        1
    );
}

#[tokio::test]
async fn of_two_refreshes_at_a_time_one_is_told_to_wait() {
    let org = Org::start(json!({"latency": {"base_ms": 200}})).await;
    let (one, two) = tokio::join!(org.refresh(REFRESH_TOKEN), org.refresh(REFRESH_TOKEN));
    let (granted, refused) = if one.0 == 200 { (one, two) } else { (two, one) };
    assert_eq!((granted.0, refused.0), (200, 400));
    assert_eq!(
        refused.1["error_description"],
        "token request is already being processed"
    );
    let (status, _) = org
        .refresh(granted.1["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(status, 200, "the family lives");
}

#[tokio::test]
async fn an_answer_lost_after_rotation_leaves_a_poisoned_token() {
    let org = Org::start(json!({})).await;
    org.fault(json!({"kind": "token", "times": 1, "action": {"type": "token_drop_after_rotate"}}));
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", REFRESH_TOKEN),
        ("client_id", "sim-client-id"),
        ("client_secret", "sim-client-secret"),
    ];
    let url = format!("{}/services/oauth2/token", org.running.base_url());
    assert!(org.client.post(url).form(&form).send().await.is_err());
    assert_eq!(org.refresh(REFRESH_TOKEN).await.0, 400);
}

#[tokio::test]
async fn wrong_secrets_and_departed_users_are_told_apart() {
    let org = Org::start(json!({})).await;
    let form = |secret| {
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", REFRESH_TOKEN),
            ("client_id", "sim-client-id"),
            ("client_secret", secret),
        ]
    };
    let (_, body) = read(org.oauth("token", &form("wrong")).await).await;
    assert_eq!(body["error"], "invalid_client");
    org.control()
        .patch_user(API_USER, object(json!({"active": false})))
        .unwrap();
    let (_, body) = read(org.oauth("token", &form("sim-client-secret")).await).await;
    assert_eq!(body["error"], "inactive_user");
}

#[tokio::test]
async fn an_expired_session_is_refused_in_the_known_words() {
    let org = Org::start(json!({})).await;
    assert_eq!(org.rows("SELECT Id FROM Organization").await.len(), 1);
    org.control().expire_sessions(None).unwrap();
    let (status, body) = org.query("SELECT Id FROM Organization").await;
    assert_eq!(status, 401);
    assert_eq!(
        body,
        json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])
    );
}

#[tokio::test]
async fn a_revoked_refresh_token_takes_its_sessions_along() {
    let mut org = Org::start(json!({})).await;
    let (_, granted) = org.refresh(REFRESH_TOKEN).await;
    org.token = granted["access_token"].as_str().unwrap().to_owned();
    let token = granted["refresh_token"].as_str().unwrap();
    assert_eq!(org.oauth("revoke", &[("token", token)]).await.status(), 200);
    assert_eq!(org.oauth("revoke", &[("token", token)]).await.status(), 400);
    assert_eq!(org.query("SELECT Id FROM Organization").await.0, 401);
}

#[tokio::test]
async fn https_answers_point_to_https() {
    let org = Org::start(json!({})).await;
    let certificate = reqwest::Certificate::from_pem(org.running.ca_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([certificate])
        .build()
        .unwrap();
    let base = org.running.https_url().unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", REFRESH_TOKEN),
        ("client_id", "sim-client-id"),
        ("client_secret", "sim-client-secret"),
    ];
    let request = client
        .post(format!("{base}/services/oauth2/token"))
        .form(&form);
    let (status, body) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &body["instance_url"]), (200, &json!(base)));
}

#[tokio::test]
async fn introspection_tells_of_living_tokens_only() {
    let org = Org::start(json!({})).await;
    let (_, granted) = org.refresh(REFRESH_TOKEN).await;
    let ask = async |token: &str| {
        let form = [
            ("token", token),
            ("client_id", "sim-client-id"),
            ("client_secret", "sim-client-secret"),
        ];
        read(org.oauth("introspect", &form).await).await.1
    };
    let token = |name: &str| granted[name].as_str().unwrap().to_owned();
    let access = ask(&token("access_token")).await;
    assert_eq!(access["active"], true);
    assert_eq!(access["username"], API_USER);
    assert_eq!(access["sub"], granted["id"]);
    let lifetime = access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 7_200);
    let refresh = ask(&token("refresh_token")).await;
    assert_eq!(
        (&refresh["active"], &refresh["token_type"]),
        (&json!(true), &json!("refresh_token"))
    );
    assert_eq!(ask(REFRESH_TOKEN).await, json!({"active": false}));
    org.control().expire_sessions(None).unwrap();
    assert_eq!(ask(&token("access_token")).await, json!({"active": false}));
}

#[tokio::test]
async fn discovery_names_endpoints_that_are_there() {
    let org = Org::start(json!({})).await;
    let base = org.running.base_url();
    let url = format!("{base}/.well-known/openid-configuration");
    let (_, found) = read(org.client.get(url).send().await.unwrap()).await;
    assert_eq!(found["issuer"], base);
    for name in [
        "authorization",
        "token",
        "revocation",
        "userinfo",
        "introspection",
    ] {
        let url = found[format!("{name}_endpoint")].as_str().unwrap();
        let status = org.client.get(url).send().await.unwrap().status();
        assert_ne!(status, 404, "{url}");
    }
}

#[tokio::test]
async fn where_and_when_a_user_may_log_in_holds_for_refreshes_too() {
    let org = Org::start(json!({})).await;
    let elsewhere = json!([["192.0.2.0", "192.0.2.255"]]);
    for settings in [
        json!({"login_addresses": elsewhere}),
        json!({"login_addresses": [], "login_hours": [0, 0]}),
    ] {
        org.control()
            .patch_user(API_USER, object(settings))
            .unwrap();
        let (status, body) = org.refresh(REFRESH_TOKEN).await;
        assert_eq!(
            (status, body),
            (
                400,
                json!({"error": "invalid_grant", "error_description": "ip restricted or invalid login hours"})
            )
        );
        assert_eq!(org.rows("SELECT Id FROM Organization").await.len(), 1);
    }
    org.patch(json!({"addresses_on_every_request": true}));
    assert_eq!(org.query("SELECT Id FROM Organization").await.0, 401);
}

#[tokio::test]
async fn a_frozen_user_has_no_session_and_no_refresh() {
    let org = Org::start(json!({})).await;
    org.control()
        .patch_user(API_USER, object(json!({"frozen": true})))
        .unwrap();
    assert_eq!(org.query("SELECT Id FROM Organization").await.0, 401);
    let (_, body) = org.refresh(REFRESH_TOKEN).await;
    assert_eq!(body["error_description"], "expired access/refresh token");
}

#[tokio::test]
async fn an_unused_refresh_token_dies_after_thirty_days() {
    let org = Org::start(json!({})).await;
    org.control()
        .advance(std::time::Duration::from_hours(30 * 24));
    assert_eq!(org.refresh(REFRESH_TOKEN).await.0, 400);
    org.control()
        .patch_app(object(json!({"refresh_token_idle_s": null})))
        .unwrap();
    assert_eq!(org.refresh(REFRESH_TOKEN).await.0, 200);
}

#[tokio::test]
async fn an_access_token_in_the_form_of_a_jwt_has_a_fixed_lifetime() {
    let mut org = Org::start(json!({})).await;
    org.control()
        .patch_app(object(json!({"jwt_access_tokens": true})))
        .unwrap();
    let (_, granted) = org.refresh(REFRESH_TOKEN).await;
    org.token = granted["access_token"].as_str().unwrap().to_owned();
    assert_eq!(org.token.split('.').count(), 3);
    org.control().advance(std::time::Duration::from_mins(29));
    assert_eq!(org.query("SELECT Id FROM Organization").await.0, 200);
    org.control().advance(std::time::Duration::from_mins(1));
    assert_eq!(org.query("SELECT Id FROM Organization").await.0, 401);
}

#[tokio::test]
async fn programs_can_log_in_without_a_browser() {
    let org = Org::start(json!({})).await;
    let ask = async |more: &[(&str, &str)]| {
        let mut form = vec![
            ("client_id", "sim-client-id"),
            ("client_secret", "sim-client-secret"),
        ];
        form.extend_from_slice(more);
        read(org.oauth("token", &form).await).await
    };
    let password = [
        ("grant_type", "password"),
        ("username", API_USER),
        ("password", "password"),
    ];
    let (status, granted) = ask(&password).await;
    assert_eq!((status, &granted["scope"]), (200, &json!("api id")));
    assert!(granted.get("refresh_token").is_none());
    let (_, refused) = ask(&[password[0], password[1], ("password", "wrong")]).await;
    assert_eq!(refused["error_description"], "authentication failure");

    let credentials = [("grant_type", "client_credentials")];
    let (_, refused) = ask(&credentials).await;
    assert_eq!(
        refused["error_description"],
        "no client credentials user enabled"
    );
    org.control()
        .patch_app(object(json!({"run_as": API_USER})))
        .unwrap();
    assert_eq!(ask(&credentials).await.0, 200);
}
