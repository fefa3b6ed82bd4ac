//! The Salesforce adapter against the simulator: what is sent, and what each answer comes to.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::NaiveDate;
use salesforce_simulator::seed::Seed;
use salesforce_simulator::{
    Action, Config as World, Control, Kind, RequestFilter, Rule, Running, Simulator,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vcc_link::clock::now;
use vcc_link::domain::ids::RecordId;
use vcc_link::domain::link::{App, LinkReason};
use vcc_link::domain::matching::RecordType;
use vcc_link::domain::outcome::{Answer, Failure, FailureClass, FailureScope};
use vcc_link::domain::phone::{self, Number};
use vcc_link::domain::preflight::{Found, missing};
use vcc_link::domain::private::Private;
use vcc_link::domain::task::{KeyMode, OwnerSource, TaskDraft, TaskField};
use vcc_link::domain::work::Sight;
use vcc_link::salesforce::oauth::RefreshError;
use vcc_link::salesforce::tasks::{Look, Shown};
use vcc_link::salesforce::{ApiUser, Client, Config, SendBy, Session};

const API_USER: &str = "api@acme.example";
const KEY_FIELD: &str = "VCC_Call_Key__c";

/// A simulated org, and the adapter that speaks to it.
pub(crate) struct Org {
    running: Running,
    pub(crate) client: Client,
    pub(crate) session: Session,
}

impl Org {
    pub(crate) async fn start() -> Self {
        let seed = json!({ "orgs": [{
            "name": "Acme",
            "task_external_id_field": KEY_FIELD,
            "users": [
                { "username": API_USER, "view_all_data": true, "refresh_token": "r1" },
                { "username": "ada@acme.example", "email": "Ada@Acme.example" },
                { "username": "bo1@acme.example", "email": "bo@acme.example" },
                { "username": "bo2@acme.example", "email": "bo@acme.example" },
            ],
            "records": [
                { "type": "Account", "Name": "Acme", "Phone": "020 7946 0001" },
                { "type": "Contact", "LastName": "Smith", "MobilePhone": "+44 (0)20 7946 0018" },
                { "type": "Contact", "LastName": "Jones", "Phone": "(415) 555-2671" },
                { "type": "Lead", "LastName": "Brown", "Company": "B", "Phone": "+442079460018" },
            ],
        }] });
        let seed: Seed = serde_json::from_value(seed).expect("a seed");
        let world = World {
            https: None,
            seed,
            ..World::default()
        };
        let running = Simulator::start(world).await.expect("a simulator");
        let client = client(&running.base_url(), |config| config);
        let token = running.control().log_in(API_USER).expect("a session");
        let user = api_user(&running.control());
        let session = Session::new(running.base_url(), token.into(), user);
        Self {
            running,
            client,
            session,
        }
    }

    fn control(&self) -> Control {
        self.running.control()
    }

    fn patch_org(&self, patch: serde_json::Value) {
        let patch = patch.as_object().expect("an object").clone();
        self.control().patch_org("Acme", patch).expect("patched");
    }

    fn patch_user(&self, patch: serde_json::Value) {
        let patch = patch.as_object().expect("an object").clone();
        self.control().patch_user(API_USER, patch).expect("patched");
    }

    fn session_user(&self) -> ApiUser {
        api_user(&self.control())
    }

    async fn look(&self, keys: &[&str], mode: &KeyMode, prove: bool) -> Shown {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let look = Look {
            keys: &keys,
            also: &[],
            mode,
            created_after: now() - Duration::from_hours(1),
            prove,
        };
        let found = self.client.find_tasks(&self.session, &look).await;
        found.expect("an answer").value
    }

    pub(crate) fn fault(&self, kind: Kind, action: Action) {
        let rule = Rule {
            kind: Some(kind),
            times: Some(1),
            ..Rule::new(action)
        };
        self.control().add_fault(rule);
    }

    fn requests(&self, kind: Kind) -> usize {
        let all = self
            .control()
            .requests(&RequestFilter::default())
            .expect("requests");
        all.iter().filter(|request| request.kind == kind).count()
    }

    pub(crate) fn tasks(&self) -> usize {
        self.control().tasks(None).expect("tasks").len()
    }

    async fn create(&self, keys: &[&str]) -> Vec<Answer> {
        let drafts: Vec<TaskDraft> = keys.iter().map(|key| draft(key)).collect();
        let drafts: Vec<&TaskDraft> = drafts.iter().collect();
        let sent = self
            .client
            .create_tasks(&self.session, &drafts, &unique(), soon())
            .await;
        assert_eq!(sent.answers.len(), keys.len(), "an answer for each Task");
        sent.answers
    }

    async fn find(&self, numbers: &[&str]) -> Result<Vec<RecordType>, Failure> {
        let numbers: Vec<Number> = numbers
            .iter()
            .map(|n| phone::normalise(n, None).expect("a number"))
            .collect();
        let deadline = now() + Duration::from_secs(10);
        let found = self
            .client
            .find_callers(&self.session, &numbers, deadline)
            .await;
        let hits = found.map_err(|error| error.failure)?.value;
        let real = hits.iter().filter(|hit| {
            hit.phones.iter().any(|p| {
                numbers
                    .iter()
                    .any(|n| phone::same(n, p.expose(), Some("GB")))
            })
        });
        let mut types: Vec<RecordType> = real.map(|hit| hit.candidate.record_type).collect();
        types.sort();
        Ok(types)
    }
}

/// A client that trusts this address.
fn client(base_url: &str, change: impl FnOnce(Config) -> Config) -> Client {
    let host = base_url.split_once("://").expect("an address").1.to_owned();
    let config = Config {
        client_id: "sim-client-id".into(),
        client_secret: "sim-client-secret".to_owned().into(),
        trusted_hosts: vec![host],
        ..Config::default()
    };
    Client::new(change(config)).expect("a client")
}

/// The seeded API user.
fn api_user(control: &Control) -> ApiUser {
    let org = &control.orgs()[0];
    let users = org["users"].as_array().expect("users");
    let user = users.iter().find(|user| user["username"] == API_USER);
    let id = |value: &serde_json::Value| value.as_str().expect("an id").to_owned();
    ApiUser {
        org: id(&org["id"]).parse().expect("an org id"),
        user: id(&user.expect("the API user")["id"])
            .parse()
            .expect("an id"),
    }
}

/// A user whom nobody asks about.
fn nobody() -> ApiUser {
    ApiUser {
        org: "00D000000000001".parse().expect("an org id"),
        user: "005000000000001".parse().expect("a user id"),
    }
}

pub(crate) fn unique() -> KeyMode {
    KeyMode::UniqueField {
        field: KEY_FIELD.into(),
    }
}

pub(crate) fn soon() -> SendBy {
    SendBy::after(Duration::from_secs(10))
}

pub(crate) fn draft(key: &str) -> TaskDraft {
    TaskDraft {
        key: key.to_owned(),
        subject: "Inbound call from +442079460018".to_owned().into(),
        description: Some("it's \"done\"\n".to_owned().into()),
        who: None,
        what: None,
        owner: None,
        owner_source: OwnerSource::Fallback,
        status: "Completed".into(),
        priority: "Normal".into(),
        call_type: "Inbound",
        duration_seconds: 65,
        disposition: None,
        activity_date: NaiveDate::from_ymd_opt(2026, 11, 24).expect("a day"),
        omit: BTreeSet::new(),
    }
}

fn created(answer: &Answer) -> RecordId {
    match answer {
        Answer::Created(id) => id.clone(),
        other => panic!("not created: {other:?}"),
    }
}

fn failure(answer: &Answer) -> &Failure {
    match answer {
        Answer::Failed(failure) => failure,
        other => panic!("not failed: {other:?}"),
    }
}

#[tokio::test]
async fn callers_are_found_however_their_number_is_written() {
    use RecordType::{Account, Contact, Lead};
    let org = Org::start().await;
    assert_eq!(org.find(&["+442079460018"]).await, Ok(vec![Contact, Lead]));
    assert_eq!(org.find(&["+14155552671"]).await, Ok(vec![Contact]));
    assert_eq!(org.find(&["+442079460001"]).await, Ok(vec![Account]));
    assert_eq!(org.find(&["+442079469999"]).await, Ok(vec![]));
    let together = [
        "+442079460018",
        "+14155552671",
        "+442079460001",
        "+442079469999",
    ];
    assert_eq!(
        org.find(&together).await,
        Ok(vec![Contact, Contact, Lead, Account])
    );
    assert_eq!(org.requests(Kind::Search), 5, "many callers share a search");
}

#[tokio::test]
async fn a_search_names_only_what_the_api_user_sees() {
    let org = Org::start().await;
    let hidden = json!({ "hidden_fields": ["Contact.AssistantPhone"], "hidden_objects": ["Lead"] });
    let hidden = hidden.as_object().expect("an object").clone();
    org.control().patch_user(API_USER, hidden).expect("patched");
    assert_eq!(
        org.find(&["+442079460018"]).await,
        Ok(vec![RecordType::Contact])
    );
    assert_eq!(org.requests(Kind::Composite), 1, "one question teaches it");
    assert_eq!(
        org.find(&["+442079460018"]).await,
        Ok(vec![RecordType::Contact])
    );
    assert_eq!(
        (org.requests(Kind::Search), org.requests(Kind::Composite)),
        (3, 1)
    );
}

#[tokio::test]
async fn tasks_are_created_each_for_itself_and_found_again() {
    let org = Org::start().await;
    let rule =
        json!({ "validation_rule": { "field": "CallObject", "message": "no", "contains": "b'2" } });
    org.control()
        .patch_org("Acme", rule.as_object().expect("an object").clone())
        .expect("patched");
    let answers = org.create(&["vcc:a:1", "vcc:b'2", "vcc:c:3"]).await;
    let (first, third) = (created(&answers[0]), created(&answers[2]));
    let refused = failure(&answers[1]);
    assert_eq!(
        (refused.class, refused.scope),
        (FailureClass::Admin, FailureScope::Record)
    );

    let keys = ["vcc:a:1", "vcc:b'2", "vcc:c:3", "VCC:A:1"];
    for mode in [unique(), KeyMode::CallObject { sees_all: true }] {
        let found = org.look(&keys, &mode, false).await.tasks;
        let expected = [("vcc:a:1", first.clone()), ("vcc:c:3", third.clone())];
        assert_eq!(
            found,
            expected.map(|(key, id)| (key.to_owned(), id)).into(),
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn what_the_api_user_sees_is_proven_with_the_look_itself() {
    let org = Org::start().await;
    let by_call_object = KeyMode::CallObject { sees_all: true };
    created(&org.create(&["vcc:a:1"]).await[0]);
    let sight = |sees_all, key_field| Sight {
        sees_all,
        untouched: false,
        key_field,
    };
    let look = async |mode: &KeyMode, prove| {
        let shown = org.look(&["vcc:a:1"], mode, prove).await;
        (shown.tasks.len(), shown.sight)
    };
    assert_eq!(look(&by_call_object, true).await, (1, sight(true, false)));
    assert_eq!(look(&unique(), true).await, (1, sight(true, true)));
    assert_eq!(look(&unique(), false).await, (1, sight(false, true)));
    assert_eq!(org.requests(Kind::Composite), 2, "proving costs no request");

    // The permission is withdrawn after the link was made, and the agent owns the Task.
    let task = &org.control().tasks(None).expect("tasks")[0]["Id"];
    let users = org.control().orgs()[0]["users"].clone();
    let users = users.as_array().expect("users").clone();
    let agent = users.iter().find(|u| u["username"] == "ada@acme.example");
    let owner = json!({ "OwnerId": agent.expect("the agent")["id"] });
    let owner = owner.as_object().expect("an object");
    let task = task.as_str().expect("an id");
    org.control().edit_task(task, owner).expect("edited");
    org.patch_org(json!({ "private_tasks": true }));
    org.patch_user(json!({ "view_all_data": false }));
    assert_eq!(look(&by_call_object, true).await, (0, sight(false, false)));
    assert_eq!(look(&unique(), true).await, (0, sight(false, true)));

    // A second Task is refused all the same, and the first is not shown.
    let refused = &org.create(&["vcc:a:1"]).await[0];
    let refused = failure(refused);
    assert_eq!(refused.class, FailureClass::Done);
    assert!(refused.hint.contains("View All Data"), "{}", refused.hint);
}

/// A Task that was dialled from is older than the attempt to adopt it, and is shown all the same.
#[tokio::test]
async fn a_task_that_was_to_be_adopted_is_shown_whatever_its_age_and_key() {
    let org = Org::start().await;
    let planned = json!({ "type": "Task", "Subject": "Call back", "Status": "Open" });
    let planned = planned.as_object().expect("an object").clone();
    let made = org.control().add_records("Acme", vec![planned]);
    let id = made.expect("a Task")[0].to_string();
    let task: RecordId = id.parse().expect("an id");
    let keys = ["vcc:a:1".to_owned()];
    for mode in [unique(), KeyMode::CallObject { sees_all: true }] {
        let look = async || {
            let look = Look {
                keys: &keys,
                also: std::slice::from_ref(&task),
                mode: &mode,
                created_after: now() + Duration::from_hours(1),
                prove: false,
            };
            let shown = org.client.find_tasks(&org.session, &look).await;
            let shown = shown.expect("an answer").value;
            (shown.tasks.len(), shown.seen.contains(&task))
        };
        assert_eq!(look().await, (0, true), "{mode:?}");
        let edit = |key: &str| {
            let edited = org.control().edit_task(&id, &key_fields(key));
            edited.expect("edited");
        };
        edit("vcc:a:1");
        assert_eq!(look().await, (1, true), "{mode:?}");
        edit("vcc:a:2");
        assert_eq!(look().await, (0, true), "{mode:?}");
    }
}

/// Both key fields of a Task.
fn key_fields(key: &str) -> serde_json::Map<String, serde_json::Value> {
    let fields = json!({ "CallObject": key, KEY_FIELD: key });
    fields.as_object().expect("an object").clone()
}

#[tokio::test]
async fn without_the_key_field_tasks_are_looked_for_by_call_object() {
    let org = Org::start().await;
    let task = created(&org.create(&["vcc:a:1"]).await[0]);
    org.patch_user(json!({ "hidden_fields": [format!("Task.{KEY_FIELD}")] }));
    for prove in [false, true] {
        let shown = org.look(&["vcc:a:1", "vcc:a:2"], &unique(), prove).await;
        assert_eq!(shown.tasks, [("vcc:a:1".to_owned(), task.clone())].into());
        let sight = Sight {
            sees_all: prove,
            untouched: false,
            key_field: false,
        };
        assert_eq!(shown.sight, sight);
    }
}

#[tokio::test]
async fn fewer_rows_than_salesforce_counted_are_no_answer() {
    for next in [None, Some("https://elsewhere.example/query/01g-2000")] {
        let mut body = json!({ "totalSize": 2, "done": next.is_none(), "records": [] });
        body["nextRecordsUrl"] = json!(next);
        let head = "200 OK\r\nContent-Type: application/json";
        let body = body.to_string();
        let refused = answered(head, &body, async |client, session| {
            let keys = ["vcc:a:1".to_owned()];
            let look = Look {
                keys: &keys,
                also: &[],
                mode: &unique(),
                created_after: now(),
                prove: false,
            };
            client.find_tasks(&session, &look).await
        });
        let refused = refused.await;
        let failure = refused.expect_err("no answer").failure;
        assert_eq!(failure.code, "wrong_number_of_results");
        assert_eq!(failure.class, FailureClass::Transient);
    }
}

/// What comes of asking a server that answers each request the same.
async fn answered<T>(head: &str, body: &str, ask: impl AsyncFnOnce(Client, Session) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let serve = async {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 64 * 1024];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    };
    let client = client(&address, |config| config);
    let session = Session::new(address, "00D!token".to_owned().into(), nobody());
    tokio::select! {
        value = ask(client, session) => value,
        () = serve => unreachable!("it serves for ever"),
    }
}

#[tokio::test]
async fn a_second_task_is_refused_by_salesforce_and_read_back() {
    let org = Org::start().await;
    let first = created(&org.create(&["vcc:a:1"]).await[0]);
    let answers = org.create(&["vcc:a:1", "vcc:a:2"]).await;
    assert_eq!(answers[0], Answer::Exists(first.clone()));
    created(&answers[1]);
    // A Task that is dialled from cannot have the key of a Task that the call has already.
    let other = created(&org.create(&["vcc:a:3"]).await[0]);
    let (draft, mode) = (draft("vcc:a:1"), unique());
    let changes = [(other, &draft)];
    let sent = org
        .client
        .update_tasks(&org.session, &changes, &mode, soon());
    assert_eq!(sent.await.answers, [Answer::Exists(first)]);
    org.fault(Kind::QueryAll, Action::Constant500);
    let unread = &org.create(&["vcc:a:1"]).await[0];
    let unread = failure(unread);
    assert_eq!(
        (unread.class, unread.ended),
        (FailureClass::Ambiguous, true)
    );
    assert_eq!(org.tasks(), 3);
}

#[tokio::test]
async fn a_change_writes_what_the_call_says_and_leaves_the_rest() {
    let org = Org::start().await;
    let task = created(&org.create(&["vcc:a:1"]).await[0]);
    let edited = json!({ "Subject": "Call John" });
    let edited = edited.as_object().expect("an object");
    org.control()
        .edit_task(task.as_str(), edited)
        .expect("edited");
    let change = TaskDraft {
        disposition: Some("sold".into()),
        ..draft("vcc:a:1")
    };
    let gone: RecordId = "00T000000000009".parse().expect("id");
    let changes = [(task.clone(), &change), (gone, &change)];
    let sent = org
        .client
        .update_tasks(&org.session, &changes, &unique(), soon())
        .await;
    assert_eq!(sent.answers[0], Answer::Updated(task));
    let gone = failure(&sent.answers[1]);
    assert_eq!(gone.class, FailureClass::Payload);
    assert_eq!(gone.fields, BTreeSet::new(), "nothing helps");
    let stored = &org.control().tasks(None).expect("tasks")[0];
    assert_eq!(
        (&stored["Subject"], &stored["CallDisposition"]),
        (&json!("Call John"), &json!("sold"))
    );
}

#[tokio::test]
async fn an_answer_that_tells_nothing_leaves_a_create_in_doubt() {
    let message = String::new;
    let html = |status, commit| Action::Html {
        status,
        body: None,
        commit,
    };
    let unknown = Action::Status {
        status: 500,
        code: "UNKNOWN_EXCEPTION".into(),
        message: message(),
        commit: true,
    };
    let cases = [
        (Action::CommitThenDrop, 1, false),
        (Action::DropBeforeCommit, 0, false),
        (html(200, true), 1, false),
        (html(503, false), 0, false),
        (Action::Truncated, 1, false),
        (Action::Oversized { bytes: 100_000 }, 1, false),
        (Action::BadJson, 1, false),
        (Action::WrongArrayLength, 1, true),
        (unknown, 1, true),
        (Action::Constant500, 0, true),
    ];
    for (action, tasks, ended) in cases {
        let mut org = Org::start().await;
        org.client = client(&org.running.base_url(), |config| Config {
            max_answer_bytes: 64 * 1024,
            ..config
        });
        org.fault(Kind::Collections, action.clone());
        let answers = org.create(&["vcc:a:1"]).await;
        let failure = failure(&answers[0]);
        assert_eq!(
            (failure.class, failure.ended),
            (FailureClass::Ambiguous, ended),
            "{action:?}"
        );
        assert_eq!(org.tasks(), tasks, "{action:?}");
        assert_eq!(
            org.requests(Kind::Collections),
            1,
            "nothing repeats it: {action:?}"
        );
    }
}

#[tokio::test]
async fn no_answer_within_the_time_leaves_a_create_in_doubt() {
    let mut org = Org::start().await;
    org.client = client(&org.running.base_url(), |config| Config {
        connect_timeout: Duration::from_millis(100),
        request_timeout: Duration::from_millis(200),
        ..config
    });
    org.fault(Kind::Collections, Action::StallAfterCommit { ms: 60_000 });
    let answers = org.create(&["vcc:a:1"]).await;
    assert_eq!(failure(&answers[0]).code, "timed_out");
    assert_eq!(failure(&answers[0]).class, FailureClass::Ambiguous);
    assert_eq!(org.tasks(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_token_leaks() {
    let org = Org::start().await;
    let elsewhere = Org::start().await;
    let location = format!("{}/services/data/", elsewhere.running.base_url());
    org.fault(Kind::Collections, Action::Redirect { location });
    let answers = org.create(&["vcc:a:1"]).await;
    assert_eq!(failure(&answers[0]).class, FailureClass::Ambiguous);
    let requests = elsewhere
        .control()
        .requests(&RequestFilter::default())
        .expect("requests");
    assert_eq!(requests.len(), 0);

    let token = SecretString::from("00D!token".to_owned());
    let session = Session::new(elsewhere.running.base_url(), token, nobody());
    let sent = org
        .client
        .create_tasks(&session, &[&draft("k")], &unique(), soon())
        .await;
    assert!(matches!(&sent.answers[0], Answer::NotSent(f) if f.code == "host_not_trusted"));
    let requests = elsewhere
        .control()
        .requests(&RequestFilter::default())
        .expect("requests");
    assert_eq!(requests.len(), 0);
}

#[tokio::test]
async fn nothing_is_sent_after_its_time() {
    let org = Org::start().await;
    let late = SendBy::after(Duration::ZERO);
    let sent = org
        .client
        .create_tasks(&org.session, &[&draft("k")], &unique(), late)
        .await;
    assert!(matches!(&sent.answers[0], Answer::NotSent(f) if f.code == "send_by_passed"));
    assert_eq!(org.requests(Kind::Collections), 0);
}

#[tokio::test]
async fn a_deadline_cuts_a_body_that_is_on_its_way() {
    let slow = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", slow.local_addr().expect("an address"));
    let sender = client(&address, |config| config);
    let session = Session::new(address, "00D!token".to_owned().into(), nobody());
    // Far more than the sockets' buffers take up.
    let large = TaskDraft {
        description: Some("\u{1f4de}".repeat(32_000).into()),
        ..draft("k")
    };
    let drafts = vec![&large; 80];
    let send_by = SendBy::after(Duration::from_secs(5));
    let mode = unique();
    let sent = sender.create_tasks(&session, &drafts, &mode, send_by);
    let late_reader = async {
        let (mut socket, _) = slow.accept().await.expect("a connection");
        while !send_by.has_passed() {
            tokio::task::yield_now().await;
        }
        let mut received = Vec::new();
        // The other side breaks off.
        let _ = socket.read_to_end(&mut received).await;
        received
    };
    let both = async { tokio::join!(sent, late_reader) };
    let both = tokio::time::timeout(Duration::from_secs(20), both).await;
    let (sent, received) = both.expect("a connection was made, and broken off");
    assert!(matches!(&sent.answers[0], Answer::NotSent(f) if f.code == "send_by_passed"));
    let text = String::from_utf8_lossy(&received[..received.len().min(2_000)]).to_lowercase();
    let length = text
        .split("content-length: ")
        .nth(1)
        .and_then(|t| t.lines().next());
    let length: usize = length.expect("a length").trim().parse().expect("a number");
    assert!(
        received.len() < length,
        "{} of {length} bytes",
        received.len()
    );
}

#[tokio::test]
async fn a_connection_that_is_not_made_is_a_clean_failure() {
    // Takes connections in and never answers the TLS handshake.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("https://{}", silent.local_addr().expect("an address"));
    let impatient = client(&address, |config| Config {
        connect_timeout: Duration::from_millis(200),
        ..config
    });
    let session = Session::new(address, "00D!token".to_owned().into(), nobody());
    let early = SendBy::after(Duration::from_millis(50));
    let sent = impatient
        .create_tasks(&session, &[&draft("k")], &unique(), early)
        .await;
    assert!(matches!(&sent.answers[0], Answer::NotSent(f) if f.code == "send_by_passed"));
    let sent = impatient
        .create_tasks(&session, &[&draft("k")], &unique(), soon())
        .await;
    assert!(matches!(&sent.answers[0], Answer::NotSent(f) if f.code == "connect_timeout"));
    drop(silent);
    let sent = impatient
        .create_tasks(&session, &[&draft("k")], &unique(), soon())
        .await;
    assert!(matches!(&sent.answers[0], Answer::NotSent(f) if f.code == "connect_failed"));
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_whole_request_is_told_apart() {
    let org = Org::start().await;
    org.fault(
        Kind::Search,
        Action::Html {
            status: 200,
            body: None,
            commit: false,
        },
    );
    let maintenance = org.find(&["+442079460018"]).await.expect_err("maintenance");
    assert_eq!(maintenance.class, FailureClass::Transient);
    let patch = json!({ "daily_limit": 0 });
    org.control()
        .patch_org("Acme", patch.as_object().expect("an object").clone())
        .expect("patched");
    let quota = org
        .find(&["+442079460018"])
        .await
        .expect_err("no requests left");
    assert_eq!(
        (quota.class, quota.scope),
        (FailureClass::Quota, FailureScope::Org)
    );
    org.control().expire_sessions(None).expect("expired");
    let session = org.find(&["+442079460018"]).await.expect_err("no session");
    assert_eq!(session.class, FailureClass::Session);
}

#[tokio::test]
async fn an_exception_in_a_trigger_asks_for_halves() {
    let org = Org::start().await;
    org.fault(
        Kind::Collections,
        Action::WholeChunkFailure {
            code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY".into(),
            message: "execution of BeforeInsert caused by: System.NullPointerException".into(),
        },
    );
    let answers = org.create(&["vcc:a:1", "vcc:a:2"]).await;
    assert!(
        answers
            .iter()
            .all(|answer| failure(answer).class == FailureClass::Split)
    );
}

#[tokio::test]
async fn a_refresh_rotates_and_a_used_token_is_dead() {
    let org = Org::start().await;
    let login = org.running.base_url();
    let old = SecretString::from("r1".to_owned());
    let tokens = org
        .client
        .refresh(App::Own, &login, &old, soon())
        .await
        .expect("refreshed");
    let new = tokens.refresh.clone().expect("rotated");
    assert_ne!(new.expose_secret(), old.expose_secret());
    assert_eq!(tokens.instance_url, login);
    let api_user = ApiUser {
        org: tokens.org,
        user: tokens.user,
    };
    assert_eq!(api_user, org.session_user());
    let session = Session::new(tokens.instance_url, tokens.access, api_user);
    let profile = org.client.profile(&session).await.expect("a profile").value;
    assert_eq!(profile.username.whole(), "api@acme.example");
    assert_eq!(profile.org_name.as_deref(), Some("Acme"));

    let again = org
        .client
        .refresh(App::Own, &login, &old, soon())
        .await
        .expect_err("reuse");
    assert!(
        matches!(again, RefreshError::Dead(LinkReason::TokenRevoked, _)),
        "{again:?}"
    );
    let killed = org
        .client
        .refresh(App::Own, &login, &new, soon())
        .await
        .expect_err("the family is dead");
    assert!(
        matches!(killed, RefreshError::Dead(LinkReason::TokenRevoked, _)),
        "{killed:?}"
    );
}

#[tokio::test]
async fn a_refresh_without_an_answer_is_told_from_one_that_was_put_off() {
    let token_error = |error: &str, description: &str| Action::TokenError {
        error: error.into(),
        error_description: description.into(),
        status: 400,
    };
    let html = |status| Action::Html {
        status,
        body: None,
        commit: false,
    };
    let cases = [
        (Action::TokenDropAfterRotate, "ambiguous"),
        (Action::CommitThenDrop, "ambiguous"),
        (Action::Truncated, "ambiguous"),
        (Action::BadJson, "ambiguous"),
        (html(502), "ambiguous"),
        (html(504), "ambiguous"),
        (html(200), "later"),
        (html(503), "later"),
        (
            token_error("invalid_grant", "token request is already being processed"),
            "later",
        ),
        (
            token_error("invalid_client", "invalid client credentials"),
            "later for everyone",
        ),
        (
            token_error("invalid_grant", "expired authorization code"),
            "refused for now",
        ),
        (token_error("word_of_next_year", ""), "refused for now"),
        (token_error("inactive_user", "user is inactive"), "dead"),
    ];
    for (action, expected) in cases {
        let org = Org::start().await;
        org.fault(Kind::Token, action.clone());
        let token = SecretString::from("r1".to_owned());
        let refused = org
            .client
            .refresh(App::Own, &org.running.base_url(), &token, soon())
            .await;
        let found = match refused.expect_err("a fault") {
            RefreshError::Ambiguous(_) => "ambiguous",
            RefreshError::Later(f) if f.scope == FailureScope::Everyone => "later for everyone",
            RefreshError::Later(_) => "later",
            RefreshError::Refused(..) => "refused for now",
            RefreshError::Dead(..) => "dead",
        };
        assert_eq!(found, expected, "{action:?}");
        assert_eq!(
            org.requests(Kind::Token),
            1,
            "nothing repeats it: {action:?}"
        );
    }
}

#[tokio::test]
async fn a_refresh_that_comes_too_late_is_not_sent() {
    let org = Org::start().await;
    let late = SendBy::after(Duration::ZERO);
    let token = SecretString::from("r1".to_owned());
    let late = org
        .client
        .refresh(App::Own, &org.running.base_url(), &token, late)
        .await;
    assert!(matches!(late, Err(RefreshError::Later(f)) if f.code == "send_by_passed"));
    assert_eq!(org.requests(Kind::Token), 0);
}

#[tokio::test]
async fn a_revoked_token_is_dead_and_may_be_revoked_again() {
    let org = Org::start().await;
    let login = org.running.base_url();
    let token = SecretString::from("r1".to_owned());
    org.client.revoke(&login, &token).await.expect("revoked");
    org.client
        .revoke(&login, &token)
        .await
        .expect("dead already");
    let refused = org.client.refresh(App::Own, &login, &token, soon()).await;
    assert!(matches!(
        refused,
        Err(RefreshError::Dead(LinkReason::TokenRevoked, _))
    ));
}

#[tokio::test]
async fn the_profile_tells_how_tasks_are_found_and_what_is_missing() {
    let org = Org::start().await;
    let ask = async || {
        org.client
            .profile(&org.session)
            .await
            .expect("a profile")
            .value
    };
    let profile = ask().await;
    assert_eq!(profile.key_mode, unique());
    assert_eq!(profile.time_zone.as_deref(), Some("Europe/London"));
    assert_eq!(profile.default_country.as_deref(), Some("GB"));
    assert_eq!(profile.is_sandbox, Some(false));
    assert_eq!(profile.closed_status("Completed"), None);
    assert_eq!(missing(&profile.preflight), Vec::<String>::new());
    assert_eq!(org.requests(Kind::Composite), 1, "one request tells it all");

    let less = json!({
        "view_all_data": false,
        "hidden_fields": [format!("Task.{KEY_FIELD}"), "Task.CallDisposition"],
    });
    org.control()
        .patch_user(API_USER, less.as_object().expect("an object").clone())
        .expect("patched");
    let profile = ask().await;
    assert_eq!(profile.key_mode, KeyMode::CallObject { sees_all: false });
    assert_eq!(missing(&profile.preflight), ["Task.CallDisposition"]);
    let found = |wanted: &str| {
        let mut checks = profile.preflight.iter();
        let check = checks.find(|check| check.point.name().starts_with(wanted));
        check
            .unwrap_or_else(|| panic!("{wanted}: {checks:?}"))
            .found
    };
    for wanted in [
        "use the API",
        "create Task",
        "Task.CallObject",
        "search Lead",
        "API requests",
    ] {
        assert_eq!(found(wanted), Found::Yes, "{wanted}");
    }
    for unwanted in ["unique field", "see all data", "see all users", "API only"] {
        assert_eq!(found(unwanted), Found::No, "{unwanted}");
    }

    // One object that callers are looked for in is enough.
    for (hidden, lacks) in [
        (&["Lead", "Account"][..], None),
        (&["Lead", "Account", "Contact"], Some("search any object")),
    ] {
        let less = json!({ "hidden_fields": [], "hidden_objects": hidden });
        org.control()
            .patch_user(API_USER, less.as_object().expect("an object").clone())
            .expect("patched");
        let missing = missing(&ask().await.preflight);
        assert_eq!(missing, Vec::from_iter(lacks), "{hidden:?} are hidden");
    }
}

#[tokio::test]
async fn agents_are_found_by_address_unless_two_share_it() {
    let org = Org::start().await;
    let strangers = (0..300).map(|i| format!("stranger.number.{i}@far-away.example"));
    let known = ["ada@acme.example", "bo@acme.example"].map(str::to_owned);
    let emails: Vec<Private<String>> = known
        .into_iter()
        .chain(strangers)
        .map(Private::new)
        .collect();
    let found = org
        .client
        .users_by_email(&org.session, &emails[..3])
        .await
        .expect("found");
    let names: Vec<&str> = found
        .value
        .keys()
        .map(|email| email.expose().as_str())
        .collect();
    assert_eq!(names, ["ada@acme.example"]);
    assert!(
        found
            .usage
            .is_some_and(|usage| usage.used > 0 && usage.limit == 100_000)
    );
    let many = org
        .client
        .users_by_email(&org.session, &emails)
        .await
        .expect("found");
    assert_eq!(many.value, found.value);
    assert_eq!(
        (org.requests(Kind::Query), org.requests(Kind::Composite)),
        (1, 1),
        "long ones by POST"
    );
}

#[tokio::test]
async fn a_field_that_an_org_hides_is_named_to_be_left_out() {
    let org = Org::start().await;
    let hidden = json!({ "hidden_fields": ["Task.CallDisposition"] });
    org.control()
        .patch_user(API_USER, hidden.as_object().expect("an object").clone())
        .expect("patched");
    let mut task = TaskDraft {
        disposition: Some("sold".into()),
        ..draft("vcc:a:1")
    };
    let sent = org
        .client
        .create_tasks(&org.session, &[&task], &unique(), soon())
        .await;
    let refused = failure(&sent.answers[0]);
    assert_eq!(refused.class, FailureClass::Payload);
    assert_eq!(refused.fields, BTreeSet::from([TaskField::CallDisposition]));
    task.omit.clone_from(&refused.fields);
    let sent = org
        .client
        .create_tasks(&org.session, &[&task], &unique(), soon())
        .await;
    created(&sent.answers[0]);
}
