//! A world for one scenario: a database and a Salesforce of its own, and two replicas of the
//! sidecar behind one address.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use salesforce_simulator::{Config, Control, Running, Simulator};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One scenario at a time: each has several processes, one of them a browser.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The key that portal and sidecar share.
const SHARED_KEY: &str = "a key of thirty-two characters!!";

/// Paths of callbacks, with their secrets.
type Callbacks = Arc<Mutex<Vec<String>>>;

/// The world.
pub(crate) struct World {
    pub(crate) simulator: Running,
    /// Where browsers find the pages.
    pub(crate) address: String,
    /// Where the portal shows them in a frame.
    pub(crate) portal: String,
    settings: PathBuf,
    folder: tempfile::TempDir,
    replicas: Vec<Child>,
    front: JoinSet<()>,
    callbacks: Callbacks,
    database: String,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl World {
    /// An org with an API user, one that is none, and as many others as are asked for.
    pub(crate) async fn start(scenario: &str) -> Self {
        let turn = TURN.lock().await;
        let name = format!(
            "browser_{scenario}_{}",
            &uuid::Uuid::new_v4().simple().to_string()[..8]
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let portal = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let portal_origin = format!("http://{}", portal.local_addr().expect("an address"));
        let simulator = Simulator::start(Config {
            seed: serde_json::from_value(seed(&address)).expect("a seed"),
            https: None,
            ..Config::default()
        });
        let simulator = simulator.await.expect("a simulator");
        administer(&format!("create database {name}")).await;
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("vcc-link.toml");
        let text = settings_of(
            &database_url(&name),
            &simulator.base_url(),
            &address,
            &portal_origin,
        );
        std::fs::write(&settings, text).expect("written");
        let mut world = Self {
            simulator,
            address,
            portal: portal_origin,
            settings,
            folder,
            replicas: Vec::new(),
            front: JoinSet::new(),
            callbacks: Arc::default(),
            database: name,
            _turn: turn,
        };
        world.cli(&["migrate"], "");
        let replicas = [world.replica(0).await, world.replica(1).await];
        let callbacks = Arc::clone(&world.callbacks);
        let frame = world.address.clone();
        world.front.spawn(show_framed(portal, frame));
        world.front.spawn(balance(listener, replicas, callbacks));
        world
    }

    /// Starts a replica; gives the address of its pages.
    async fn replica(&mut self, number: usize) -> SocketAddr {
        let log = self.folder.path().join(format!("sidecar-{number}.log"));
        let output = std::fs::File::create(&log).expect("a log file");
        let child = self
            .program()
            .arg("sidecar")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn();
        self.replicas.push(child.expect("the sidecar starts"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let said = text.lines().find(|line| line.contains("pages are served"));
            let address = said.and_then(|line| line.split("address=").nth(1)?.split(' ').next());
            if let Some(address) = address {
                return address.parse().expect("an address");
            }
            assert!(Instant::now() < deadline, "no sidecar: {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vcc-link"));
        command.arg("--config").arg(&self.settings);
        command
    }

    /// Runs a subcommand; gives its standard output.
    pub(crate) fn cli(&self, args: &[&str], input: &str) -> String {
        let mut child = self
            .program()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input");
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "vcc-link {args:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Links an account as an operator would.
    pub(crate) fn link(&self, account: &str, user: &str) {
        let token = self.control().approve(user).expect("an approval");
        let args = ["links", "add", account, "--environment", "production"];
        self.cli(&args, &token);
    }

    /// The cookie of a new session, as the portal's hand-over gives it: name and value.
    pub(crate) async fn enter(&self, account: &str, role: &str) -> (String, String) {
        let args = ["sidecar", "token", account, "--role", role, "--user", "ann"];
        let token = self.cli(&args, "");
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let entered = client
            .post(format!("{}/enter", self.address))
            .header("origin", &self.portal)
            .form(&[("token", token.trim())])
            .send()
            .await
            .expect("an answer");
        let cookie = entered.headers()["set-cookie"].to_str().expect("text");
        let pair = cookie.split(';').next().expect("a pair");
        let (name, value) = pair.split_once('=').expect("a pair");
        (name.to_owned(), value.to_owned())
    }

    /// The first callback that came by.
    pub(crate) fn callback(&self) -> String {
        let callbacks = self.callbacks.lock().expect("not poisoned");
        callbacks.first().expect("a callback").clone()
    }

    /// The outside's control.
    pub(crate) fn control(&self) -> Control {
        self.simulator.control()
    }

    /// Changes a user of the simulator.
    pub(crate) fn user(&self, user: &str, patch: Value) {
        let patch = patch.as_object().expect("an object").clone();
        self.control().patch_user(user, patch).expect("changed");
    }

    /// Changes the database, as what takes too long in a test would.
    pub(crate) async fn sql(&self, statement: &str) {
        let url = database_url(&self.database);
        let mut connection = PgConnection::connect(&url).await.expect("a connection");
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        connection.execute(statement).await.expect("done");
    }

    /// Calls of an account that wait for its link.
    pub(crate) async fn park(&self, account: &str, calls: u32) {
        self.sql(&format!(
            "insert into calls (account, interaction, shard, state, received_at, call_day, events,
                ended_event, parked_reason)
             select '{account}', 'call-' || n, 0, 'parked', now(), current_date, 1, 'e' || n,
                'link_broken'
             from generate_series(1, {calls}) n"
        ))
        .await;
    }

    /// The newest login expires, as when nobody comes back.
    pub(crate) async fn expire_logins(&self) {
        self.sql(
            "update authorizations set expires_at = now() - interval '1 second',
                facts = jsonb_set(facts, '{expires_at}', to_jsonb(to_char(
                    (now() - interval '1 second') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')))",
        )
        .await;
    }

    /// Ends it, and looks through the logs for secrets.
    pub(crate) async fn finish(mut self) {
        for replica in &mut self.replicas {
            let _ = replica.kill();
            let _ = replica.wait();
        }
        for number in 0..self.replicas.len() {
            let log = self.folder.path().join(format!("sidecar-{number}.log"));
            let log = std::fs::read_to_string(log).expect("a log");
            for secret in [
                "5Aep861",
                "sim-client-secret",
                "aPrx",
                "api@acme.example",
                "ops@acme.example",
                "whsec_",
            ] {
                let line = log.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "a log tells a secret");
            }
        }
        administer(&format!("drop database {} with (force)", self.database)).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (number, replica) in self.replicas.iter_mut().enumerate() {
            let _ = replica.kill();
            let _ = replica.wait();
            if std::thread::panicking() {
                let log = self.folder.path().join(format!("sidecar-{number}.log"));
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(8).collect();
                eprintln!(
                    "--- the end of a sidecar's log, the latest first\n{}",
                    lines.join("\n")
                );
            }
        }
    }
}

/// Gives each connection to the next replica, and notes the callbacks that come by.
async fn balance(listener: TcpListener, replicas: [SocketAddr; 2], callbacks: Callbacks) {
    let mut connections = JoinSet::new();
    for replica in replicas.into_iter().cycle() {
        let Ok((here, _)) = listener.accept().await else {
            return;
        };
        let callbacks = Arc::clone(&callbacks);
        connections.spawn(async move {
            let Ok(there) = TcpStream::connect(replica).await else {
                return;
            };
            let (mut from_browser, mut to_browser) = here.into_split();
            let (mut from_replica, mut to_replica) = there.into_split();
            let answers = tokio::io::copy(&mut from_replica, &mut to_browser);
            let requests = async {
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_browser.read(&mut bytes).await {
                    note(&bytes[..read], &callbacks);
                    if to_replica.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                _ = answers => {}
                () = requests => {}
            }
        });
    }
}

/// The portal: a page with ours in a frame.
async fn show_framed(listener: TcpListener, address: String) {
    let page = format!(
        "<!doctype html><title>Portal</title><iframe src=\"{address}/\" width=900 height=700></iframe>"
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    while let Ok((mut browser, _)) = listener.accept().await {
        let mut request = [0; 8192];
        let _ = browser.read(&mut request).await;
        let _ = browser.write_all(answer.as_bytes()).await;
        let _ = browser.shutdown().await;
    }
}

/// Notes a callback: a browser sends such a request in one piece.
fn note(bytes: &[u8], callbacks: &Callbacks) {
    let text = String::from_utf8_lossy(bytes);
    let target = text
        .strip_prefix("GET ")
        .and_then(|rest| rest.split(' ').next());
    if let Some(target) = target.filter(|target| target.starts_with("/callback?")) {
        let mut callbacks = callbacks.lock().expect("not poisoned");
        callbacks.push(target.to_owned());
    }
}

fn seed(address: &str) -> Value {
    json!({
        "app": {"redirect_uris": [format!("{address}/callback")]},
        "orgs": [
            {"name": "Acme", "my_domain": "acme", "users": [
                {"username": "api@acme.example", "name": "Api User", "api_only": true},
                {"username": "two@acme.example", "name": "Second User", "api_only": true},
                {"username": "ada@acme.example", "name": "Ada Admin"},
            ]},
            {"name": "Beta", "my_domain": "beta", "users": [
                {"username": "api@beta.example", "name": "Api User", "api_only": true},
            ]},
        ],
    })
}

fn settings_of(database: &str, salesforce: &str, address: &str, portal: &str) -> String {
    let salesforce = salesforce.trim_end_matches('/');
    let host = salesforce.trim_start_matches("http://");
    let portal_host = portal.trim_start_matches("http://");
    format!(
        r#"
[store]
url = "{database}"
max_connections = 5
[http]
listen = "127.0.0.1:0"
[kafka]
brokers = "127.0.0.1:1"
[sidecar]
listen = "127.0.0.1:0"
public_url = "{address}"
portal_origin = "{portal}"
support = "support@vcc.example"
egress_addresses = ["192.0.2.10", "192.0.2.11"]
requests_per_minute = 100000
[sidecar.portal]
issuer = "portal"
shared_key = "{SHARED_KEY}"
[notices]
page_url = "{portal}/accounts/{{account}}"
settle = "0s"
# The portal takes webhooks, too.
trusted_hosts = ["{portal_host}"]
[notices.smtp]
# Nobody listens there.
host = "127.0.0.1"
port = 1
tls = "none"
from = "noreply@vcc.example"
[linking]
legacy_until = "2027-03-31"
callback_url = "{address}/callback"
[salesforce]
client_id = "sim-client-id"
client_secret = "sim-client-secret"
production_url = "{salesforce}"
sandbox_url = "{salesforce}"
trusted_hosts = ["{host}"]
[crypto]
primary = "browser"
keys = [{{ id = "browser", key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" }}]
"#
    )
}

fn database_url(name: &str) -> String {
    let server = std::env::var("VCC_LINK_TEST_DATABASE_URL").unwrap_or_else(|_| {
        panic!(
            "VCC_LINK_TEST_DATABASE_URL is not set. `make test` starts PostgreSQL; by hand: \
             scripts/services/services.sh --only postgres run cargo test --features failpoints --test browser"
        )
    });
    let mut url = url::Url::parse(&server).expect("a URL");
    url.set_path(name);
    url.to_string()
}

async fn administer(statement: &str) {
    let mut connection = PgConnection::connect(&database_url("postgres"))
        .await
        .expect("a connection");
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    connection.execute(statement).await.expect("done");
}
