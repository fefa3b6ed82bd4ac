//! A running simulator with one org, and a client that is logged in to it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use salesforce_simulator::seed::Seed;
use salesforce_simulator::{Config, Control, Running, Simulator};
use serde_json::{Map, Value, json};

/// The refresh token that every org of `start` begins with.
pub(crate) const REFRESH_TOKEN: &str = "seeded-refresh-token";

/// The org's user that the client acts as.
pub(crate) const API_USER: &str = "api@acme.example";

/// Somebody else in the org.
pub(crate) const AGENT: &str = "agent@acme.example";

/// One org, seen by its API user.
#[derive(Debug)]
pub(crate) struct Org {
    pub(crate) running: Running,
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl Org {
    /// Starts a simulator with one org, made of some usual users and what `more` says.
    pub(crate) async fn start(more: Value) -> Self {
        let mut org = json!({
            "name": "Acme",
            "users": [
                {"username": API_USER, "name": "Api User", "api_only": true, "refresh_token": REFRESH_TOKEN},
                {"username": AGENT, "name": "Ada Agent"},
                {"username": "gone@acme.example", "name": "Gil Gone", "active": false},
            ],
        });
        org.as_object_mut().unwrap().extend(object(more));
        let seed: Seed = serde_json::from_value(json!({"orgs": [org]})).unwrap();
        let running = Simulator::start(Config {
            seed,
            ..Config::default()
        })
        .await
        .unwrap();
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let token = running.control().log_in(API_USER).unwrap();
        Self {
            running,
            client,
            token,
        }
    }

    pub(crate) fn control(&self) -> Control {
        self.running.control()
    }

    /// A request with the access token; `path` is relative to the version's root.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/services/data/v66.0/{path}", self.running.base_url());
        self.client.request(method, url).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(method, path).json(body);
        read(request.send().await.unwrap()).await
    }

    pub(crate) async fn query(&self, soql: &str) -> (u16, Value) {
        self.ask("query", soql).await
    }

    /// The rows of a query that must succeed.
    pub(crate) async fn rows(&self, soql: &str) -> Vec<Value> {
        let (status, body) = self.query(soql).await;
        assert_eq!(status, 200, "{body}");
        body["records"].as_array().unwrap().clone()
    }

    pub(crate) async fn search(&self, sosl: &str) -> (u16, Value) {
        self.ask("search", sosl).await
    }

    pub(crate) async fn ask(&self, resource: &str, text: &str) -> (u16, Value) {
        let request = self.request(Method::GET, resource).query(&[("q", text)]);
        read(request.send().await.unwrap()).await
    }

    /// Creates Tasks by one collections request.
    pub(crate) async fn collect(&self, tasks: &[Value]) -> (u16, Value) {
        self.send(Method::POST, "composite/sobjects", &collection(tasks))
            .await
    }

    /// Creates one Task that must be accepted, and returns its id.
    pub(crate) async fn create(&self, task: Value) -> String {
        let (status, body) = self.send(Method::POST, "sobjects/Task", &task).await;
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn patch(&self, switches: Value) {
        self.control().patch_org("Acme", object(switches)).unwrap();
    }

    pub(crate) fn fault(&self, rule: Value) {
        self.control()
            .add_fault(serde_json::from_value(rule).unwrap());
    }

    /// Posts a form to an OAuth endpoint.
    pub(crate) async fn oauth(&self, endpoint: &str, form: &[(&str, &str)]) -> Response {
        let url = format!("{}/services/oauth2/{endpoint}", self.running.base_url());
        self.client.post(url).form(form).send().await.unwrap()
    }

    /// Asks the token endpoint for a new access token.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", "sim-client-id"),
            ("client_secret", "sim-client-secret"),
        ];
        read(self.oauth("token", &form).await).await
    }
}

/// The body of a collections request.
pub(crate) fn collection(tasks: &[Value]) -> Value {
    let records: Vec<Value> = tasks
        .iter()
        .map(|task| {
            let mut record = object(task.clone());
            record.insert("attributes".to_owned(), json!({"type": "Task"}));
            Value::Object(record)
        })
        .collect();
    json!({ "allOrNone": false, "records": records })
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("no JSON object: {other}"),
    }
}

/// Status and JSON; null where the body is none.
pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_ne!(status, StatusCode::SWITCHING_PROTOCOLS);
    (
        status.as_u16(),
        serde_json::from_str(&text).unwrap_or_default(),
    )
}

/// Waits until something is so, and fails if that takes too long.
pub(crate) async fn eventually(what: &str, so: impl Fn() -> bool) {
    let patience = Duration::from_secs(20);
    let waiting = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        tokio::time::timeout(patience, waiting).await.is_ok(),
        "never so: {what}"
    );
}
