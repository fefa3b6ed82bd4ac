//! Whatever stands in a key, an address or a number, a query asks for just that: Salesforce understands it, and finds
//! nothing else.

use std::sync::OnceLock;
use std::time::Duration;

use salesforce_simulator::seed::Seed;
use salesforce_simulator::{Config as World, Running, Simulator};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use vcc_link::clock::now;
use vcc_link::domain::outcome::Answer;
use vcc_link::domain::phone;
use vcc_link::domain::private::Private;
use vcc_link::domain::task::{KeyMode, TaskDraft};
use vcc_link::salesforce::tasks::Look;
use vcc_link::salesforce::{ApiUser, Client, Config, SendBy, Session};

use crate::damage::damaged;
use crate::draft::draft;

const API_USER: &str = "api@acme.example";
const KEY: &str = "vcc:acme:known";
const MODE: KeyMode = KeyMode::CallObject { sees_all: true };

/// What a text is made from.
const SAMPLES: [&[u8]; 4] = [
    KEY.as_bytes(),
    b"vcc:acme:016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47",
    b"ada@acme.example",
    b"+44 (0)20 7946 0018",
];

/// An org with one Task whose key is known and one that no query may find, and who asks.
struct Org {
    runtime: Runtime,
    client: Client,
    session: Session,
    _running: Running,
}

impl Org {
    fn get() -> &'static Self {
        static ORG: OnceLock<Org> = OnceLock::new();
        ORG.get_or_init(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            let running = runtime.block_on(Self::simulator());
            let control = running.control();
            let id = |value: &serde_json::Value| value.as_str().expect("an id").to_owned();
            let org = &control.orgs()[0];
            let user = ApiUser {
                org: id(&org["id"]).parse().expect("an org id"),
                user: id(&org["users"][0]["id"]).parse().expect("a user id"),
            };
            let token = control.log_in(API_USER).expect("a session");
            let base = running.base_url();
            let host = base.split_once("://").expect("an address").1.to_owned();
            let config = Config {
                client_id: "sim-client-id".into(),
                client_secret: "sim-client-secret".to_owned().into(),
                trusted_hosts: vec![host],
                ..Config::default()
            };
            let org = Self {
                client: Client::new(config).expect("a client"),
                session: Session::new(base, token.into(), user),
                runtime,
                _running: running,
            };
            org.runtime.block_on(org.create(&[KEY, "vcc:acme:other"]));
            org
        })
    }

    async fn create(&self, keys: &[&str]) {
        let drafts: Vec<TaskDraft> = keys.iter().map(|key| draft(key)).collect();
        let drafts: Vec<&TaskDraft> = drafts.iter().collect();
        let send_by = SendBy::after(Duration::from_secs(10));
        let sent = self
            .client
            .create_tasks(&self.session, &drafts, &MODE, send_by)
            .await;
        let created = |answer: &Answer| matches!(answer, Answer::Created(_));
        assert!(sent.answers.iter().all(created), "{:?}", sent.answers);
    }

    async fn simulator() -> Running {
        let seed = json!({ "orgs": [{
            "name": "Acme",
            // However long the fuzzing goes on.
            "daily_limit": 1_000_000_000_u64,
            "users": [
                { "username": API_USER, "view_all_data": true },
                { "username": "ada@acme.example", "email": "ada@acme.example" },
            ],
            "records": [
                { "type": "Contact", "LastName": "Smith", "Phone": "+442079460018" },
            ],
        }] });
        let seed: Seed = serde_json::from_value(seed).expect("a seed");
        let world = World {
            https: None,
            seed,
            ..World::default()
        };
        Simulator::start(world).await.expect("a simulator")
    }

    /// A look for a key and for the known one finds the known one alone, unless both are the same.
    async fn look_for(&self, key: &str) {
        let keys = [key.to_owned(), KEY.to_owned()];
        let look = Look {
            keys: &keys,
            also: &[],
            mode: &MODE,
            created_after: now() - Duration::from_hours(1),
            prove: false,
        };
        let found = self.client.find_tasks(&self.session, &look).await;
        let found = found.expect("Salesforce understands the query").value;
        assert_eq!(found.tasks.keys().collect::<Vec<_>>(), [KEY], "{key:?}");
    }

    /// An address is that of the one user who has it, or of nobody.
    async fn ask_for_user(&self, email: &str) {
        let asked = Private::new(email.to_lowercase());
        let found = self
            .client
            .users_by_email(&self.session, std::slice::from_ref(&asked))
            .await;
        let found = found.expect("Salesforce understands the query").value;
        assert!(found.keys().all(|key| *key == asked), "{email:?}");
    }

    /// Any number that we take for one can be searched for.
    async fn search_for(&self, text: &str) {
        let Some(number) = phone::normalise(text, Some("GB")) else {
            return;
        };
        let deadline = now() + Duration::from_secs(20);
        let found = self
            .client
            .find_callers(&self.session, &[number], deadline)
            .await;
        found.expect("Salesforce understands the search");
    }
}

/// Tries one input.
pub fn check(recipe: &[u8]) {
    let text = damaged(&SAMPLES, recipe);
    let text: String = String::from_utf8_lossy(&text).chars().take(300).collect();
    let org = Org::get();
    org.runtime.block_on(async {
        org.look_for(&text).await;
        org.ask_for_user(&text).await;
        org.search_for(&text).await;
    });
}
