//! The SOAP login of older clients.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::harness::{API_USER, Org, object};

async fn log_in(org: &Org, username: &str, password: &str) -> (u16, String) {
    let envelope = format!(
        r#"<?xml version="1.0" encoding="utf-8" ?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/">
        <env:Body><n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>{username}</n1:username>
        <n1:password>{password}</n1:password></n1:login></env:Body></env:Envelope>"#
    );
    let url = format!("{}/services/Soap/u/66.0", org.running.base_url());
    let request = org.client.post(url).header(CONTENT_TYPE, "text/xml");
    let response = request.body(envelope).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn element<'t>(text: &'t str, name: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("<{name}>")).unwrap();
    rest.split('<').next().unwrap()
}

fn set(org: &Org, settings: Value) {
    org.control()
        .patch_user(API_USER, object(settings))
        .unwrap();
}

#[tokio::test]
async fn its_session_id_works_as_a_bearer_token() {
    let mut org = Org::start(json!({})).await;
    set(&org, json!({"password": "a&b<c", "security_token": "XyZ"}));
    let (status, text) = log_in(&org, API_USER, "a&amp;b&lt;cXyZ").await;
    assert_eq!(status, 200, "{text}");
    let server = element(&text, "serverUrl");
    assert!(server.starts_with(&format!(
        "{}/services/Soap/u/66.0/00D",
        org.running.base_url()
    )));
    assert_eq!(element(&text, "sessionSecondsValid"), "7200");
    org.token = element(&text, "sessionId").to_owned();
    assert_eq!(org.rows("SELECT Id FROM Organization").await.len(), 1);
}

#[tokio::test]
async fn refusals_are_faults() {
    let org = Org::start(json!({})).await;
    for (settings, password, code) in [
        (json!({}), "wrong", "INVALID_LOGIN"),
        (
            json!({"security_token": "XyZ"}),
            "password",
            "LOGIN_MUST_USE_SECURITY_TOKEN",
        ),
        (json!({}), "passwordxyz", "INVALID_LOGIN"),
        (
            json!({"login_hours": [0, 0]}),
            "passwordXyZ",
            "LOGIN_DURING_RESTRICTED_TIME",
        ),
        (
            json!({"login_hours": null, "api_enabled": false}),
            "passwordXyZ",
            "API_CURRENTLY_DISABLED",
        ),
        (json!({"frozen": true}), "passwordXyZ", "INVALID_LOGIN"),
    ] {
        set(&org, settings);
        let (status, text) = log_in(&org, API_USER, password).await;
        assert_eq!((status, element(&text, "sf:exceptionCode")), (500, code));
        assert_eq!(element(&text, "faultcode"), code);
    }
    let (status, text) = log_in(&org, "<", "").await;
    assert_eq!(status, 500, "{text}");
}
