//! A world for one scenario: a database, topics and a Salesforce of its own, and the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use salesforce_simulator::seed::Seed;
use salesforce_simulator::{Config, Control, Rule, Running, Simulator};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use super::calls::{Call, Event, NOTE};
use super::results::{Published, Results};
use super::worker::{Worker, vcc_link};
use crate::environment::{create_topic, kafka, service};

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Scenarios that run side by side: they mostly wait, and each has several processes.
const SIDE_BY_SIDE: u32 = 3;
static TURNS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(SIDE_BY_SIDE as usize);

/// How a call shall end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With one Task.
    Logged,
    /// Without, for this reason.
    Skipped(&'static str),
    /// Given up, for this reason.
    Dead(&'static str),
}

/// What shall come of a call.
#[derive(Clone, Debug)]
struct Expected {
    call: Call,
    looked_up: bool,
    /// Its last revision, and how that ends.
    end: Option<(i32, End)>,
}

/// The world.
pub(super) struct World {
    pub(super) simulator: Running,
    pub(super) results: Results,
    pub(super) workers: Vec<Worker>,
    pub(super) settings: PathBuf,
    name: String,
    database: Database,
    database_url: String,
    folder: tempfile::TempDir,
    producer: ThreadedProducer<DefaultProducerContext>,
    expected: BTreeMap<String, Expected>,
    secrets: Vec<String>,
    logs: usize,
    _turn: tokio::sync::SemaphorePermit<'static>,
}

/// Contacts that calls may come from: the orgs' only record with its number.
pub(super) const KNOWN: [&str; 4] = [
    "+442079460001",
    "+442079460002",
    "+442079460003",
    "+442079460004",
];
/// Two contacts have it.
pub(super) const SEVERAL: &str = "+442079460020";
/// Nobody has it.
pub(super) const NOBODY: &str = "+442079460777";

impl World {
    /// An empty world: two orgs, `Acme` with a unique field for the key and `Beta` without.
    pub(super) async fn start(scenario: &str) -> Self {
        Self::start_on(scenario, Database::Server, 1).await
    }

    /// The same, with no other scenario beside it: for those that measure time.
    pub(super) async fn start_alone(scenario: &str) -> Self {
        Self::start_on(scenario, Database::Server, SIDE_BY_SIDE).await
    }

    /// The same, with a file as its database.
    pub(super) async fn start_on_file(scenario: &str) -> Self {
        Self::start_on(scenario, Database::File, 1).await
    }

    async fn start_on(scenario: &str, database: Database, turns: u32) -> Self {
        let turn = TURNS.acquire_many(turns).await.expect("it is never closed");
        let name = format!(
            "flow_{scenario}_{}",
            &uuid::Uuid::new_v4().simple().to_string()[..8]
        );
        let simulator = Simulator::start(Config {
            seed: seed(),
            https: None,
            ..Config::default()
        });
        let simulator = simulator.await.expect("a simulator");
        let folder = tempfile::tempdir().expect("a folder");
        let database_url = database.create(&name, folder.path()).await;
        let topics = [("calls", 12), ("logs", 3), ("status", 1), ("quarantine", 1)];
        for (topic, partitions) in topics {
            create_topic(&format!("{name}.{topic}"), partitions).await;
        }
        let read = topics[1..].iter().map(|(t, n)| (format!("{name}.{t}"), *n));
        let read: Vec<(String, i32)> = read.collect();
        let read: Vec<(&str, i32)> = read.iter().map(|(t, n)| (t.as_str(), *n)).collect();
        let settings = folder.path().join("vcc-link.toml");
        let text = settings_of(&name, &database_url, &simulator.base_url());
        std::fs::write(&settings, text).expect("written");
        let world = Self {
            results: Results::read(&read),
            producer: kafka()
                .set("message.max.bytes", "8000000")
                .create()
                .expect("a producer"),
            simulator,
            workers: Vec::new(),
            settings,
            name,
            database,
            database_url,
            folder,
            expected: BTreeMap::new(),
            secrets: vec!["sim-client-secret".to_owned()],
            logs: 0,
            _turn: turn,
        };
        world.cli(&["migrate"], "");
        world
    }

    /// The outside's control.
    pub(super) fn control(&self) -> Control {
        self.simulator.control()
    }

    /// Adds a fault rule, as the simulator's page writes them.
    pub(super) fn fault(&self, rule: Value) {
        let rule: Rule = serde_json::from_value(rule).expect("a rule");
        self.control().add_fault(rule);
    }

    /// Runs a subcommand; returns its standard output.
    pub(super) fn cli(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "vcc-link {args:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a subcommand that fails; returns its error.
    pub(super) fn refused(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        assert_eq!(output.status.code(), Some(1), "vcc-link {args:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    /// A path in this world's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where its database is.
    pub(super) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Adds to the settings of `telemetry`, for processes that start from now on.
    pub(super) fn set(&self, telemetry: &str) {
        let mut settings = std::fs::read_to_string(&self.settings).expect("the settings");
        settings.push_str(telemetry);
        std::fs::write(&self.settings, settings).expect("written");
    }

    /// Changes the settings for processes that start from now on.
    pub(super) fn rewrite(&self, from: &str, to: &str) {
        let settings = std::fs::read_to_string(&self.settings).expect("the settings");
        assert!(settings.contains(from), "the settings hold {from}");
        std::fs::write(&self.settings, settings.replace(from, to)).expect("written");
    }

    /// What its workers have told those who run them so far: logs and metrics.
    pub(super) async fn told(&self) -> String {
        let mut told = String::new();
        for worker in &self.workers {
            told += &worker.log();
            told += &worker.metrics().await.expect("metrics");
        }
        told
    }

    /// Runs a subcommand with `--json` that fails; returns its result and its error.
    pub(super) fn failing(&self, args: &[&str]) -> (Value, Value) {
        let output = self.run(args, "");
        assert_eq!(output.status.code(), Some(1), "vcc-link {args:?}");
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).expect("one JSON document");
        (json(&output.stdout), json(&output.stderr))
    }

    /// Runs a subcommand to its end.
    fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = vcc_link(&self.settings)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input");
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    /// Links an account to a user's org through the binary, as an operator would.
    pub(super) fn link(&mut self, account: &str, user: &str) {
        let token = self.control().approve(user).expect("an approval");
        self.cli(
            &["links", "add", account, "--environment", "production"],
            &token,
        );
        self.secrets.push(token);
    }

    /// Starts a worker; returns its place.
    pub(super) fn spawn(&mut self, failpoints: &str) -> usize {
        self.logs += 1;
        let log = self.folder.path().join(format!("worker-{}.log", self.logs));
        self.workers
            .push(Worker::spawn(&self.settings, &log, failpoints));
        self.workers.len() - 1
    }

    /// Starts workers and waits until they are ready.
    pub(super) async fn work(&mut self, workers: usize) {
        let new: Vec<usize> = (0..workers).map(|_| self.spawn("")).collect();
        let deadline = Instant::now() + PATIENCE;
        for place in new {
            while !self.workers[place].is_ready().await {
                assert!(self.workers[place].ended().is_none(), "a worker ended");
                assert!(Instant::now() < deadline, "a worker is not ready");
                tick().await;
            }
        }
    }

    /// Starts another in the place of a dead one. Its log is kept.
    pub(super) fn restart(&mut self, place: usize) {
        self.logs += 1;
        let log = self.folder.path().join(format!("worker-{}.log", self.logs));
        self.workers[place] = Worker::spawn(&self.settings, &log, "");
    }

    /// The topic of calls.
    pub(super) fn calls_topic(&self) -> String {
        format!("{}.calls", self.name)
    }

    /// Produces an event.
    pub(super) fn send(&self, event: &Event) {
        let topic = self.calls_topic();
        let mut headers = OwnedHeaders::new();
        for (key, value) in &event.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let record = BaseRecord::to(&topic)
            .key(&event.key)
            .payload(&event.value)
            .headers(headers);
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("room");
    }

    /// Waits until all is in Kafka.
    pub(super) fn flush(&self) {
        self.producer.flush(PATIENCE).expect("flushed");
    }

    /// A call rings: it must be answered.
    pub(super) fn ring(&mut self, call: &Call) {
        self.send(&call.started());
        self.expected(call).looked_up = true;
    }

    /// A call ends: this revision must end so.
    pub(super) fn end(&mut self, call: &Call, revision: i32, end: End) {
        self.send(&call.ended(revision));
        self.expect(call, revision, end);
    }

    /// A call that was sent must end so.
    pub(super) fn expect(&mut self, call: &Call, revision: i32, end: End) {
        self.expected(call).end = Some((revision, end));
    }

    /// Rings and ends so many calls of each account, all of which earn a Task.
    pub(super) fn load(&mut self, accounts: &[&str], calls: usize) -> Vec<Call> {
        let mut made = Vec::new();
        for n in 0..calls {
            for account in accounts {
                let call = Call::new(account, KNOWN[n % KNOWN.len()]);
                self.ring(&call);
                self.end(&call, 0, End::Logged);
                made.push(call);
            }
        }
        self.flush();
        made
    }

    fn expected(&mut self, call: &Call) -> &mut Expected {
        self.expected
            .entry(call.task_key())
            .or_insert_with(|| Expected {
                call: call.clone(),
                looked_up: false,
                end: None,
            })
    }

    /// What was published of a call.
    pub(super) fn of(&self, call: &Call) -> Vec<Published> {
        let mut all = self.results.all();
        all.retain(|p| p.is_of(&call.account, &call.id));
        all
    }

    /// Waits until `found` gives something.
    pub(super) async fn until<T>(&self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = found(self) {
                return value;
            }
            assert!(Instant::now() < deadline, "not in time: {what}");
            tick().await;
        }
    }

    /// What is still missing.
    fn missing(&self) -> Vec<String> {
        let mut answered = BTreeSet::new();
        let mut ended = BTreeSet::new();
        for p in self.results.all() {
            let key = format!(
                "vcc:{}:{}",
                text(&p.data["accountId"]),
                text(&p.data["interactionId"])
            );
            if p.kind() == "call.lookedup.v1" {
                answered.insert(key);
            } else if p.is_terminal() {
                ended.insert((key, p.data["revision"].as_i64()));
            }
        }
        let mut missing = Vec::new();
        for (key, expected) in &self.expected {
            if expected.looked_up && !answered.contains(key) {
                missing.push(format!("{key}: no answer"));
            }
            if let Some((revision, _)) = &expected.end
                && !ended.contains(&(key.clone(), Some(i64::from(*revision))))
            {
                missing.push(format!("{key}: no end of revision {revision}"));
            }
        }
        missing
    }

    /// Waits until every call has been answered and ended as expected.
    pub(super) async fn settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let missing = self.missing();
            if missing.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} missing: {:#?}",
                missing.len(),
                &missing[..missing.len().min(10)]
            );
            tick().await;
        }
    }

    /// Waits for every call, and drains the workers.
    pub(super) async fn drain(&mut self) {
        self.settled().await;
        self.end_workers().await;
    }

    /// Drains, and judges.
    pub(super) async fn finish(mut self) {
        self.drain().await;
        let published = self.results.in_topics();
        self.until("all results read", |w| {
            (w.results.all().len() >= published).then_some(())
        })
        .await;
        self.judge_events();
        self.judge_tasks();
        self.judge_logs();
        self.judge_ledger();
        self.database.remove(&self.name).await;
    }

    /// Drains the workers, and judges the Tasks and the logs alone: what is published twice, before
    /// and after a restore, may tell once of a Task that was created and once of the same as found.
    pub(super) async fn finish_restored(mut self) {
        self.end_workers().await;
        self.judge_tasks();
        self.judge_logs();
        self.database.remove(&self.name).await;
    }

    /// Ends the workers, and takes a copy of the database as it is then.
    pub(super) async fn back_up(&mut self) {
        self.end_workers().await;
        let name = &self.name;
        administer(format!("create database {name}_backup template {name}")).await;
    }

    /// Kills the workers, and puts the copy in the database's place.
    pub(super) async fn restore(&mut self) {
        self.workers.clear();
        let name = &self.name;
        administer(format!("drop database {name} with (force)")).await;
        administer(format!("alter database {name}_backup rename to {name}")).await;
    }

    /// A connection to its database, which is on the server.
    pub(super) async fn connect(&self) -> sqlx::PgConnection {
        let mut url = url::Url::parse(&service("VCC_LINK_TEST_DATABASE_URL")).expect("a URL");
        url.set_path(&self.name);
        let connection = sqlx::PgConnection::connect(url.as_str()).await;
        connection.expect("a connection")
    }

    /// Has everybody who touches a table wait until the lock is dropped.
    pub(super) async fn lock(&self, table: &str) -> sqlx::PgConnection {
        let mut connection = self.connect().await;
        let lock = format!("begin; lock table {table} in access exclusive mode");
        connection
            .execute(sqlx::AssertSqlSafe(lock))
            .await
            .expect("locked");
        connection
    }

    /// Drains the workers.
    async fn end_workers(&mut self) {
        for worker in &mut self.workers {
            if worker.ended().is_none() {
                worker.signal("CONT");
                worker.signal("TERM");
            }
        }
        let deadline = Instant::now() + PATIENCE;
        for worker in &mut self.workers {
            while worker.ended().is_none() {
                assert!(Instant::now() < deadline, "a worker does not end");
                tick().await;
            }
        }
        self.workers.clear();
    }

    /// One answer per started call, one end per revision: repeated, if at all, byte by byte.
    fn judge_events(&self) {
        let mut facts: BTreeMap<(String, String, Option<i64>, u64), Published> = BTreeMap::new();
        for p in self.results.all() {
            let fact = match p.kind() {
                "call.lookedup.v1" => "answer",
                _ if p.is_terminal() => "end",
                _ => continue,
            };
            let key = format!(
                "vcc:{}:{}",
                text(&p.data["accountId"]),
                text(&p.data["interactionId"])
            );
            let replay = p.data["replay"].as_u64().unwrap_or_default();
            let revision = p.data["revision"].as_i64();
            let known = facts.entry((key.clone(), fact.to_owned(), revision, replay));
            let first = known.or_insert_with(|| p.clone());
            assert_eq!(
                first.header("ce_id"),
                p.header("ce_id"),
                "{key}: one fact, two ids"
            );
            assert_eq!(first.data, p.data, "{key}: one fact, told in two ways");
        }
        for (key, expected) in &self.expected {
            let Some((revision, end)) = &expected.end else {
                continue;
            };
            let of = |replay| {
                (
                    key.clone(),
                    "end".to_owned(),
                    Some(i64::from(*revision)),
                    replay,
                )
            };
            let ends = facts.range(of(0)..=of(u64::MAX));
            let told = &ends.last().expect("it was waited for").1.data;
            let good = match end {
                End::Logged => told["task"]["id"].is_string(),
                End::Skipped(reason) => told["skipReason"] == *reason,
                End::Dead(reason) => told["reason"] == *reason,
            };
            assert!(
                good,
                "{}: {end:?} expected, and told: {told}",
                expected.call.id
            );
        }
    }

    /// The ledger accounts for every call.
    fn judge_ledger(&self) {
        let told = self.cli(&["calls", "audit", "--since", "1h", "--json"], "");
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let calls = told["calls"].as_u64().expect("a count");
        // What comes too late is told of, and not kept.
        let too_old = Some(End::Skipped("too_old"));
        let end = |e: &Expected| e.end.as_ref().map(|(_, end)| end.clone());
        let kept = self.expected.values().filter(|e| end(e) != too_old);
        assert!(calls >= kept.count() as u64, "{told}");
    }

    /// The Tasks that there really are: those of the logged calls, each once.
    fn judge_tasks(&self) {
        let tasks = self.control().tasks(None).expect("the Tasks");
        let living = tasks.iter().filter(|t| t["IsDeleted"] != true);
        let keys = living.filter_map(|t| t["CallObject"].as_str());
        let made: BTreeSet<String> = keys.map(str::to_owned).collect();
        let logged = self
            .expected
            .iter()
            .filter(|(_, e)| matches!(e.end, Some((_, End::Logged))));
        let wanted: BTreeSet<String> = logged.map(|(key, _)| key.clone()).collect();
        let lost: Vec<_> = wanted.difference(&made).collect();
        let extra: Vec<_> = made.difference(&wanted).collect();
        assert!(
            lost.is_empty() && extra.is_empty(),
            "lost {lost:?}, not expected {extra:?}"
        );
        assert_eq!(self.control().duplicates("CallObject"), Vec::<Value>::new());
        for (org, counters) in self.control().counters() {
            assert_eq!(
                counters.reuse_detected, 0,
                "a used refresh token was used again in {org}"
            );
        }
    }

    /// No number, note or token in any log.
    fn judge_logs(&self) {
        for n in 1..=self.logs {
            let path = self.folder.path().join(format!("worker-{n}.log"));
            let log = std::fs::read_to_string(path).expect("a log");
            assert!(!log.is_empty(), "a worker logs");
            let people = ["2079460", "20 7946", NOTE, "5Aep861"];
            for secret in people
                .into_iter()
                .chain(self.secrets.iter().map(String::as_str))
            {
                let line = log.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "a log tells a secret");
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for worker in &self.workers {
                let log = worker.log();
                let lines: Vec<&str> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(30)..];
                eprintln!("--- the end of a worker's log\n{}", tail.join("\n"));
            }
            self.folder.disable_cleanup(true);
            eprintln!(
                "--- kept: {}, database {}",
                self.folder.path().display(),
                self.name
            );
        }
    }
}

/// The pause between two looks at a condition.
pub(super) async fn tick() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Two orgs with the same phone book.
fn seed() -> Seed {
    let contact =
        |name: &str, phone: &str| json!({"type": "Contact", "LastName": name, "Phone": phone});
    let mut records: Vec<Value> = KNOWN.iter().map(|n| contact("Known", n)).collect();
    records.extend([
        contact("Twin", SEVERAL),
        contact("Twin", SEVERAL),
        json!({"type": "Lead", "LastName": "Lead", "Company": "Lead", "Phone": "+442079460010"}),
        json!({"type": "Account", "Name": "Firm", "Phone": "+442079460011"}),
    ]);
    let org = |name: &str, field: Option<&str>| {
        let domain = name.to_lowercase();
        json!({
            "name": name, "my_domain": domain, "task_external_id_field": field, "records": records,
            "users": [
                {"username": format!("api@{domain}.example"), "name": "Api User", "view_all_data": true},
                {"username": format!("ada@{domain}.example"), "email": "ada@acme.example", "name": "Ada Agent"},
            ],
        })
    };
    let seed = json!({"orgs": [org("Acme", Some("VCC_Call_Key__c")), org("Beta", None)]});
    serde_json::from_value(seed).expect("a seed")
}

/// Minutes become seconds. Leases are as in production.
const HURRIED: &str = r#"
[dispatch]
send_within = "3s"
[engine.batching]
linger = "200ms"
unmatched_after = "6s"
[engine.memory]
poll = "2s"
[engine.retry]
tasks = { first = "200ms", longest = "2s" }
lookups = { first = "100ms", longest = "1s" }
attempts = 5
at_least_for = "5s"
[engine.reconcile]
first_look = "500ms"
final_after = "4s"
clock_margin = "500ms"
repeat = "500ms"
previous_org_patience = "20s"
[engine.pacing]
breaker = { first = "200ms", longest = "2s" }
[engine.links]
refresh = { first = "200ms", longest = "2s" }
unpark_every = "200ms"
refused_every = "2s"
[linking]
refresh_send_within = "2s"
[http]
listen = "127.0.0.1:0"
[telemetry]
log_format = "json"
log_filter = "info,vcc_link=debug"
"#;

/// The settings of this world.
fn settings_of(name: &str, database_url: &str, salesforce: &str) -> String {
    let brokers = service("VCC_LINK_TEST_KAFKA");
    let host = salesforce
        .trim_start_matches("http://")
        .trim_end_matches('/');
    format!(
        r#"
[store]
url = "{database_url}"
max_connections = 6
refresh_answer_timeout = "6s"
[kafka]
brokers = "{brokers}"
group = "{name}"
session_timeout = "6s"
max_event_bytes = 524288
[kafka.topics]
calls = ["{name}.calls"]
call_logs = "{name}.logs"
link_status = "{name}.status"
quarantine = "{name}.quarantine"
[salesforce]
client_id = "sim-client-id"
client_secret = "sim-client-secret"
production_url = "http://{host}"
trusted_hosts = ["{host}"]
connect_timeout = "1s"
request_timeout = "5s"
token_timeout = "5s"
[crypto]
primary = "flow"
keys = [{{ id = "flow", key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" }}]
{HURRIED}"#
    )
}

/// Where a world's calls are kept.
#[derive(Clone, Copy)]
enum Database {
    /// In a database of its own on the server.
    Server,
    /// In a file in its folder.
    File,
}

impl Database {
    /// Makes it, if it is not made by `migrate`; gives its address.
    async fn create(self, name: &str, folder: &std::path::Path) -> String {
        match self {
            Self::Server => {
                administer(format!("create database {name}")).await;
                let url = service("VCC_LINK_TEST_DATABASE_URL");
                let mut url = url::Url::parse(&url).expect("a URL");
                url.set_path(name);
                url.to_string()
            }
            Self::File => format!("sqlite:{}", folder.join("calls.db").display()),
        }
    }

    /// Removes it, if it does not go with its folder.
    async fn remove(self, name: &str) {
        if matches!(self, Self::Server) {
            administer(format!("drop database {name} with (force)")).await;
        }
    }
}

async fn administer(statement: String) {
    let mut connection = sqlx::PgConnection::connect(&service("VCC_LINK_TEST_DATABASE_URL"))
        .await
        .expect("a connection");
    connection
        .execute(sqlx::AssertSqlSafe(statement))
        .await
        .expect("done");
}
