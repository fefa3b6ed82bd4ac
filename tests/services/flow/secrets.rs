//! What nobody may read: tokens and people's data, wherever a whole flow leaves traces.

use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::calls::{Call, NOTE};
use super::pages::Pages;
use super::world::{End, KNOWN, NOBODY, World};

/// What is in every caller's number, the name of the admin who links, and what the simulator's
/// tokens begin with or hold: refresh tokens, and the access tokens of both orgs.
const CANARIES: [&str; 7] = [
    "2079460",
    "20 7946",
    NOTE,
    "5Aep861",
    "00000001!",
    "00000002!",
    "sim-client-secret",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_or_stored_in_clear() {
    whole_flow(World::start("secrets").await, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_or_stored_in_clear_on_a_file() {
    whole_flow(World::start_on_file("secrets_file").await, 1).await;
}

/// Admins link, calls are looked up and logged, tokens are refreshed, a link breaks and an event is
/// none; then all that was told and stored is read.
async fn whole_flow(mut world: World, workers: usize) {
    let collector = Collector::start().await;
    world.set(&format!(
        "otlp_endpoint = \"{}\"\notlp_interval = \"1s\"\ntrace_share = 1.0\n",
        collector.address
    ));
    let mut pages = Pages::start(&world).await;
    pages.link("acme", "api@acme.example").await;
    pages.link("beta", "api@beta.example").await;
    world.work(workers).await;
    world.load(&["acme", "beta"], 4);
    let unknown = Call::new("acme", NOBODY);
    world.ring(&unknown);
    world.end(&unknown, 0, End::Logged);
    let wrong = Call::new("acme", KNOWN[0]).ending("outcome", serde_json::Value::Null);
    world.send(&wrong.ended(0));
    world.flush();
    world.settled().await;
    world.control().expire_sessions(None).expect("expired");
    world.load(&["acme", "beta"], 2);
    world.settled().await;
    broken(&mut world).await;
    let known = world.cli(&["calls", "why", "acme", &unknown.id], "");
    let links = world.cli(&["links", "list", "--json"], "");
    let quarantined = world.failing(&["calls", "why", "acme", &wrong.id, "--json"]);

    let mut told = pages.told().await + &known + &links + &format!("{quarantined:?}");
    told += &world.told().await;
    let secrets = std::mem::take(&mut pages.secrets);
    drop(pages);
    pages = Pages::start(&world).await;
    pages.link("beta", "api@beta.example").await;
    world.drain().await;
    told += &pages.told().await;
    let traces = collector.taken();
    let stored = stored(&world);
    assert!(told.contains("linked by an admin"), "the logs are read");
    assert!(holds(&traces, "vcc_link.calls"), "the traces are read");
    assert!(holds(&stored, &unknown.id), "the database is read");
    let all = secrets.iter().chain(&pages.secrets).map(String::as_str);
    for secret in CANARIES.into_iter().chain(all) {
        let line = told.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret is told: {secret}");
        assert!(!holds(&traces, secret), "a trace tells {secret}");
        for form in [secret.to_owned(), hex(secret)] {
            let at = found(&stored, &form);
            assert_eq!(at, None, "{secret} is stored in clear");
        }
    }
    drop(pages);
    world.finish().await;
}

/// A link breaks under a call, which waits.
async fn broken(world: &mut World) {
    let revoke = serde_json::json!({ "revoke_tokens": true });
    let revoke = revoke.as_object().expect("a map").clone();
    let control = world.control();
    control
        .patch_user("api@beta.example", revoke)
        .expect("revoked");
    let waits = Call::new("beta", KNOWN[1]);
    world.end(&waits, 0, End::Logged);
    world.flush();
    world
        .until("the call waits", |w| {
            let told = w.of(&waits);
            let deferred = told.iter().any(|p| p.kind() == "calllog.deferred.v1");
            deferred.then_some(())
        })
        .await;
}

/// All that the database holds: a dump of the server's, or the file with what is not in it yet.
fn stored(world: &World) -> Vec<u8> {
    let url = world.database_url();
    let Some(path) = url.strip_prefix("sqlite:") else {
        let dump = Command::new("pg_dump").arg("--dbname").arg(url).output();
        let dump = dump.expect("pg_dump stands beside the server");
        let errors = String::from_utf8_lossy(&dump.stderr);
        assert!(dump.status.success(), "pg_dump: {errors}");
        return dump.stdout;
    };
    let mut bytes = std::fs::read(path).expect("the file");
    bytes.extend(std::fs::read(format!("{path}-wal")).unwrap_or_default());
    bytes
}

/// Whether bytes hold a text.
fn holds(bytes: &[u8], text: &str) -> bool {
    found(bytes, text).is_some()
}

/// What stands around a text, where bytes hold it.
fn found(bytes: &[u8], text: &str) -> Option<String> {
    let mut places = bytes.windows(text.len());
    let place = places.position(|part| part == text.as_bytes())?;
    let around = place.saturating_sub(200)..(place + 200).min(bytes.len());
    Some(String::from_utf8_lossy(&bytes[around]).into_owned())
}

/// A text as a dump writes it where it is in a column of bytes.
fn hex(text: &str) -> String {
    let digits = text.bytes().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Takes traces and metrics in, as an OpenTelemetry collector does.
struct Collector {
    address: String,
    taken: Arc<Mutex<Vec<u8>>>,
    _serving: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let taken: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&taken);
        let take = move |body: axum::body::Bytes| {
            kept.lock().expect("not poisoned").extend_from_slice(&body);
            std::future::ready(())
        };
        let router = axum::Router::new().fallback(take);
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(axum::serve(listener, router).await) });
        Self {
            address,
            taken,
            _serving: serving,
        }
    }

    fn taken(&self) -> Vec<u8> {
        self.taken.lock().expect("not poisoned").clone()
    }
}
