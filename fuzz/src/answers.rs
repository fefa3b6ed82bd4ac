//! Whatever a server answers, each question gets an answer or a failure with its class; nothing is taken for done that
//! the answer does not name, and no token goes to a host that nobody trusts.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use vcc_link::clock::now;
use vcc_link::domain::link::App;
use vcc_link::domain::outcome::Answer;
use vcc_link::domain::phone;
use vcc_link::domain::task::{KeyMode, TaskDraft};
use vcc_link::salesforce::tasks::Look;
use vcc_link::salesforce::{ApiUser, Client, Config, SendBy, Session};

use crate::damage::damaged;
use crate::draft::draft;

/// Answers of Salesforce to what is asked here, and of what stands before it.
const SAMPLES: [&[u8]; 10] = [
    br#"[{"id":"00T000000000001AAA","success":true,"errors":[]},{"success":false,"errors":[{"statusCode":"UNABLE_TO_LOCK_ROW","message":"unable to obtain exclusive access","fields":[]}]},{"id":"00T000000000002AAA","success":true,"errors":[]}]"#,
    br#"[{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"duplicate value found: VCC_Call_Key__c duplicates value on record with id: 00T000000000001","fields":["VCC_Call_Key__c"]}]},{"success":false,"errors":[]},{"success":false,"errors":[{"statusCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY","message":"x"}]}]"#,
    br#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#,
    br#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#,
    br#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Task"},"Id":"00T000000000001AAA","CallObject":"vcc:a:1","OwnerId":"005000000000001AAA","CreatedById":"005000000000001AAA"}]}"#,
    br#"{"totalSize":4000,"done":false,"nextRecordsUrl":"/services/data/v66.0/query/01g-2000","records":[]}"#,
    br#"{"searchRecords":[{"attributes":{"type":"Contact"},"Id":"003000000000001AAA","Name":"Smith","Phone":"020 7946 0018","LastModifiedDate":"2026-11-24T10:00:00.000+0000"}]}"#,
    br#"{"compositeResponse":[{"body":{"totalSize":0,"done":true,"records":[]},"httpHeaders":{},"httpStatusCode":200,"referenceId":"r0"}]}"#,
    br#"{"access_token":"00D!a","refresh_token":"5Aep","instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA","token_type":"Bearer","issued_at":"1732400000000","signature":"x"}"#,
    br#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#,
];

const STATUSES: [u16; 12] = [200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 502, 503];

const CONTENT_TYPES: [&str; 3] = [
    "application/json;charset=UTF-8",
    "text/html",
    "application/xml",
];

/// What the server answers next: status, content type, body.
type Next = Arc<Mutex<(u16, &'static str, Vec<u8>)>>;

/// A server that answers everything alike, and who asks it.
struct Server {
    runtime: Runtime,
    client: Client,
    session: Session,
    url: String,
    next: Next,
}

impl Server {
    fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            let next = Next::default();
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
            let listener = listener.expect("a port");
            let host = listener.local_addr().expect("an address").to_string();
            let routes = Router::new().fallback(answer).with_state(Arc::clone(&next));
            runtime.spawn(async move { axum::serve(listener, routes).await });
            let url = format!("http://{host}");
            let config = Config {
                client_id: "id".into(),
                client_secret: "secret".to_owned().into(),
                trusted_hosts: vec![host],
                ..Config::default()
            };
            let user = ApiUser {
                org: "00D000000000001".parse().expect("an org id"),
                user: "005000000000001".parse().expect("a user id"),
            };
            Self {
                client: Client::new(config).expect("a client"),
                session: Session::new(url.clone(), "00D!token".to_owned().into(), user),
                runtime,
                url,
                next,
            }
        })
    }

    /// Three creates have three answers, and a Task is there only if the answer names it.
    async fn create(&self, body: &str) {
        let drafts = ["vcc:a:1", "vcc:a:2", "vcc:a:3"].map(draft);
        let drafts: Vec<&TaskDraft> = drafts.iter().collect();
        let mode = KeyMode::UniqueField {
            field: "VCC_Call_Key__c".into(),
        };
        let sent = self
            .client
            .create_tasks(&self.session, &drafts, &mode, soon())
            .await;
        assert_eq!(sent.answers.len(), drafts.len());
        for answer in sent.answers {
            match answer {
                Answer::Created(id) | Answer::Exists(id) => {
                    assert!(body.contains(&id.as_str()[..15]), "{id:?} in {body}");
                }
                Answer::Updated(_) => panic!("nothing was to be changed"),
                Answer::NotSent(failure) => panic!("it was sent: {failure:?}"),
                Answer::Failed(_) => {}
            }
        }
    }

    /// A look finds nothing that was not asked for.
    async fn look(&self) {
        let keys = ["vcc:a:1".to_owned(), "vcc:a:2".to_owned()];
        let look = Look {
            keys: &keys,
            also: &[],
            mode: &KeyMode::CallObject { sees_all: true },
            created_after: now() - Duration::from_hours(1),
            prove: true,
        };
        if let Ok(found) = self.client.find_tasks(&self.session, &look).await {
            assert!(found.value.tasks.keys().all(|key| keys.contains(key)));
        }
    }

    /// A search, and what an org allows: an answer or a failure.
    async fn search(&self) {
        let number = phone::normalise("+442079460018", None).expect("a number");
        let deadline = now() + Duration::from_secs(5);
        let _ = self
            .client
            .find_callers(&self.session, &[number], deadline)
            .await;
        let _ = self.client.profile(&self.session).await;
    }

    /// New tokens go to hosts that are trusted.
    async fn refresh(&self) {
        let token = "5Aep".to_owned().into();
        let refreshed = self
            .client
            .refresh(App::Own, &self.url, &token, soon())
            .await;
        if let Ok(tokens) = refreshed {
            let url = url::Url::parse(&tokens.instance_url).expect("an address");
            let host = url.host_str().expect("a host");
            let own = [
                "salesforce.com",
                "salesforce.mil",
                "sfcrmproducts.cn",
                "cloudforce.com",
            ];
            let below = |domain: &&str| host == *domain || host.ends_with(&format!(".{domain}"));
            let trusted = tokens.instance_url.starts_with(&self.url) || own.iter().any(below);
            assert!(trusted, "{url}");
        }
    }
}

async fn answer(State(next): State<Next>) -> Response {
    let (status, kind, body) = next.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let status = StatusCode::from_u16(status).expect("a status");
    let mut answer = (status, body).into_response();
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    headers.insert(
        "location",
        HeaderValue::from_static("https://evil.example/"),
    );
    answer
}

fn soon() -> SendBy {
    SendBy::after(Duration::from_secs(10))
}

/// Tries one input.
pub fn check(input: &[u8]) {
    let Some((choice, recipe)) = input.split_first() else {
        return;
    };
    let choice = usize::from(*choice);
    let status = STATUSES[choice % STATUSES.len()];
    let kind = CONTENT_TYPES[choice / STATUSES.len() % CONTENT_TYPES.len()];
    let body = damaged(&SAMPLES, recipe);
    let text = String::from_utf8_lossy(&body).into_owned();
    let server = Server::get();
    *server.next.lock().unwrap_or_else(PoisonError::into_inner) = (status, kind, body);
    server.runtime.block_on(async {
        server.create(&text).await;
        server.look().await;
        server.search().await;
        server.refresh().await;
    });
}
