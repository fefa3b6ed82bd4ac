//! A sidecar on a SQLite file, served on a port, with the simulator as its Salesforce.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response};
use salesforce_simulator::seed::Seed;
use salesforce_simulator::{Running, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use url::Url;
use vcc_link::callers::Callers;
use vcc_link::domain::task;
use vcc_link::http;
use vcc_link::http::sidecar::session::Role;
use vcc_link::http::sidecar::{Config, Machine, Parts, Portal, Sidecar, portal, router};
use vcc_link::linking::{self, Announcements, Linking};
use vcc_link::notices::{self, Notices};
use vcc_link::salesforce;
use vcc_link::sealing::Sealer;
use vcc_link::store::{self, Database, Store};
use vcc_link::trial::Trial;
use vcc_link::{crypto, store::Sealed};

/// The users of the simulated org; each logs in with the password `password`.
pub(super) const API_USER: &str = "api@acme.example";
pub(super) const PERSON: &str = "ada@acme.example";

/// A program that may change the account `acme`, and one that may see all.
pub(super) const ADMIN_MACHINE: &str = "token-of-the-admin-machine";
pub(super) const VIEWER_MACHINE: &str = "token-of-the-viewer-machine";
/// One that may also begin logins for `acme`.
pub(super) const LINKING_MACHINE: &str = "token-of-the-linking-machine";

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// What portal and sidecar share.
pub(super) const SHARED_KEY: &str = "0123456789abcdef0123456789abcdef";

/// All of it.
pub(super) struct World {
    pub(super) base: String,
    pub(super) client: Client,
    pub(super) config: Config,
    pub(super) linking: Arc<Linking>,
    pub(super) store: Arc<dyn Store>,
    pub(super) simulator: Running,
    stop: CancellationToken,
    served: TaskTracker,
    database: Database,
    _folder: tempfile::TempDir,
}

/// A browser's session, as it keeps it.
#[derive(Clone)]
pub(super) struct Browser {
    /// The cookie, as it is sent.
    pub(super) cookie: String,
    /// The session's token against forgery.
    pub(super) csrf: String,
    /// Its id, which authorizations know it by.
    pub(super) id: String,
}

impl World {
    pub(super) async fn start() -> Self {
        Self::with(|config| config, None).await
    }

    /// With other settings, and where changes are told at once.
    pub(super) async fn with(
        change: impl FnOnce(Config) -> Config,
        announcements: Option<Announcements>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let callback = format!("{base}/callback");
        let simulator = simulated(&callback).await;
        let folder = tempfile::tempdir().expect("a folder");
        let database = open(folder.path()).await;
        let store = database.store();
        let sealer = Sealer::of(&keys()).expect("keys");
        let salesforce = salesforce_of(&simulator.base_url());
        let settings = linking::Config {
            callback_url: callback,
            ..linking::Config::default()
        };
        let (_, owned) = watch::channel(Vec::new());
        let linking = Linking::new(
            Arc::clone(&store),
            sealer.clone(),
            salesforce.clone(),
            settings,
            "Completed".to_owned(),
            owned,
        );
        let linking = Arc::new(match announcements {
            Some(announcements) => linking.with_announcements(announcements),
            None => linking,
        });
        let config = change(settings_of(&base));
        let stop = CancellationToken::new();
        let served = TaskTracker::new();
        let sidecar = Sidecar::new(Parts {
            config: config.clone(),
            linking: Arc::clone(&linking),
            notices: contacts_in(&store, &sealer),
            store: Arc::clone(&store),
            sealer,
            trial: trial_of(&store, &linking, &salesforce),
            unlink_grace: Duration::from_mins(10),
            salesforce,
            closing: stop.clone(),
            tasks: served.clone(),
            request_timeout: REQUEST_TIMEOUT,
        });
        let pages = router(&Arc::new(sidecar.expect("a sidecar")));
        served.spawn(http::serve(listener, pages, stop.clone().cancelled_owned()));
        Self {
            base,
            client: client(),
            config,
            linking,
            store,
            simulator,
            stop,
            served,
            database,
            _folder: folder,
        }
    }

    /// Ends it all.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.served.close();
        drop(self.client);
        let ended = tokio::time::timeout(Duration::from_secs(20), self.served.wait()).await;
        ended.expect("it stops when told");
        self.database.close().await;
        self.simulator.stop().await;
    }

    /// A token as the portal signs it.
    pub(super) fn token(&self, account: &str, role: Role) -> String {
        let account = account.parse().expect("an account");
        portal::sign(&self.config.portal, account, "ann@vcc.example", role).expect("signed")
    }

    /// Posts a token to `/enter`.
    pub(super) async fn enter(&self, token: &str) -> Response {
        let url = format!("{}/enter", self.base);
        let request = self.client.post(url).form(&[("token", token)]);
        request.send().await.expect("an answer")
    }

    /// Enters as the portal's user.
    pub(super) async fn browser(&self, account: &str, role: Role) -> Browser {
        let answer = self.enter(&self.token(account, role)).await;
        assert_eq!(answer.status(), 303);
        browser_of(&answer)
    }

    /// A request to the API, on an account.
    pub(super) fn api(&self, method: Method, account: &str, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1/accounts/{account}/{path}", self.base);
        self.client.request(method, url)
    }

    /// Logs in at Salesforce where the address leads, allows access, and gives the address that the
    /// browser is sent back to.
    pub(super) async fn log_in(&self, authorize: &str, username: &str) -> Url {
        let (at_login, cookie) = self.follow(self.client.get(authorize), None).await;
        let source = hidden(&at_login.expect_err("the login page"), "source");
        let base = self.simulator.base_url();
        let form = [("un", username), ("pw", "password"), ("source", &source)];
        let login = self.client.post(format!("{base}/")).form(&form);
        let (at_consent, cookie) = self.follow(login, cookie).await;
        let source = hidden(&at_consent.expect_err("the consent page"), "source");
        let url = format!("{base}/setup/secur/RemoteAccessAuthorizationPage.apexp");
        let form = [("source", source.as_str()), ("decision", "allow")];
        let (back, _) = self.follow(self.client.post(url).form(&form), cookie).await;
        back.expect("the way back")
    }

    /// Follows redirects within Salesforce: to the way back, or to a page.
    async fn follow(
        &self,
        mut request: RequestBuilder,
        mut cookie: Option<String>,
    ) -> (Result<Url, String>, Option<String>) {
        loop {
            if let Some(cookie) = &cookie {
                request = request.header(COOKIE, cookie);
            }
            let answer = request.send().await.expect("an answer");
            cookie = set_cookie(&answer).or(cookie);
            let Some(location) = answer.headers().get(LOCATION) else {
                return (Err(answer.text().await.expect("a page")), cookie);
            };
            let next = answer.url().join(location.to_str().expect("text"));
            let next = next.expect("an address");
            if next.as_str().starts_with(&self.base) {
                return (Ok(next), cookie);
            }
            request = self.client.get(next);
        }
    }
}

impl Browser {
    /// A request of this browser that reads.
    pub(super) fn reads(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(COOKIE, &self.cookie)
    }

    /// A request of this browser's page that changes something.
    pub(super) fn changes(&self, request: RequestBuilder) -> RequestBuilder {
        self.reads(request).header("x-csrf-token", &self.csrf)
    }
}

/// The session that an answer sets. The test has the keys, as the sidecar does.
pub(super) fn browser_of(answer: &Response) -> Browser {
    use base64::Engine as _;
    let cookie = set_cookie(answer).expect("a cookie");
    let (_, sealed) = cookie.split_once('=').expect("a value");
    let sealed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(sealed);
    let context = crypto::Context::Session { purpose: "cookie" };
    let sealed = Sealed(sealed.expect("base64url"));
    let sealer = Sealer::of(&keys()).expect("keys");
    let session: Value = sealer.open(&context, &sealed, "session").expect("opened");
    let text = |field: &str| session[field].as_str().expect("text").to_owned();
    Browser {
        cookie,
        csrf: text("csrf"),
        id: text("id"),
    }
}

/// The cookie that an answer sets, as it is sent back.
fn set_cookie(answer: &Response) -> Option<String> {
    let cookie = answer.headers().get(SET_COOKIE)?.to_str().expect("text");
    cookie.split(';').next().map(str::to_owned)
}

/// A hidden field of a page's form.
pub(super) fn hidden(page: &str, name: &str) -> String {
    let marker = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&marker).expect("the field");
    rest.split('"').next().expect("its value").to_owned()
}

/// Salesforce, with an org and our app.
async fn simulated(callback: &str) -> Running {
    let seed = json!({
        "app": { "redirect_uris": [callback] },
        "orgs": [{ "name": "Acme", "users": [
            { "username": API_USER, "api_only": true, "view_all_data": true },
            { "username": PERSON },
        ] }],
    });
    let seed: Seed = serde_json::from_value(seed).expect("a seed");
    let world = salesforce_simulator::Config {
        https: None,
        seed,
        ..salesforce_simulator::Config::default()
    };
    Simulator::start(world).await.expect("a simulator")
}

/// A client that keeps no cookies and follows no redirects.
fn client() -> Client {
    let client = Client::builder()
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none());
    client.build().expect("a client")
}

/// The keys of every test.
fn keys() -> crypto::Config {
    crypto::Config {
        primary: "k".to_owned(),
        keys: vec![crypto::Key {
            id: "k".to_owned(),
            key: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
                .to_owned()
                .into(),
        }],
    }
}

/// Who is told, by webhooks alone.
fn contacts_in(store: &Arc<dyn Store>, sealer: &Sealer) -> Notices {
    let settings = notices::Config::default();
    Notices::new(Arc::clone(store), sealer.clone(), settings)
}

/// A database of one test.
async fn open(folder: &std::path::Path) -> Database {
    let path = folder.join("calls.db");
    let config = store::Config {
        url: SecretString::from(format!("sqlite:{}", path.display())),
        ..store::Config::default()
    };
    Database::migrate(&config).await.expect("migrated");
    Database::open(&config).await.expect("open")
}

/// The adapter that speaks to the simulator.
fn salesforce_of(base: &str) -> salesforce::Client {
    let host = base.trim_start_matches("http://").to_owned();
    let config = salesforce::Config {
        production_url: base.to_owned(),
        sandbox_url: base.to_owned(),
        trusted_hosts: vec![host],
        client_id: "sim-client-id".to_owned(),
        client_secret: "sim-client-secret".to_owned().into(),
        ..salesforce::Config::default()
    };
    salesforce::Client::new(config).expect("a client")
}

/// What tests links.
fn trial_of(
    store: &Arc<dyn Store>,
    linking: &Arc<Linking>,
    salesforce: &salesforce::Client,
) -> Trial {
    Trial {
        store: Arc::clone(store),
        linking: Arc::clone(linking),
        callers: Callers::new(salesforce.clone(), &[]),
        salesforce: salesforce.clone(),
        tasks: task::Config::default(),
    }
}

/// Settings, with machines and the shared key.
fn settings_of(base: &str) -> Config {
    let machine = |name: &str, token: &str, role, accounts: &[&str]| Machine {
        name: name.to_owned(),
        sha256: crypto::sha256(token.as_bytes())
            .iter()
            .fold(String::new(), |hash, byte| format!("{hash}{byte:02x}")),
        role,
        accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
        may_link: role == Role::Admin && token == LINKING_MACHINE,
    };
    Config {
        public_url: base.to_owned(),
        support: "help@vcc.example".to_owned(),
        requests_per_minute: 1_000_000,
        questions_per_minute: 1_000_000,
        machines: vec![
            machine("admin", ADMIN_MACHINE, Role::Admin, &["acme"]),
            machine("viewer", VIEWER_MACHINE, Role::Viewer, &["*"]),
            machine("linker", LINKING_MACHINE, Role::Admin, &["acme"]),
        ],
        portal: Portal {
            issuer: "https://portal.example".to_owned(),
            shared_key: SHARED_KEY.to_owned().into(),
            ..Portal::default()
        },
        ..Config::default()
    }
}

thread_local! {
    /// What the house logs on this thread, once somebody listens.
    static HEARD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Keeps what the house logs on this thread from now on, at every level. The subscriber is one for
/// the whole process: those of single threads may miss what another thread has come by first.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let ours = Targets::new().with_target("vcc_link", Level::TRACE);
        let lines = tracing_subscriber::fmt::layer().with_writer(|| Heard);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(ours));
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
    });
    HEARD.set(Some(Vec::new()));
}

/// What was logged since.
pub(super) fn heard() -> String {
    let bytes = HEARD.with_borrow(Clone::clone).expect("somebody listens");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes to [`HEARD`].
struct Heard;

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        HEARD.with_borrow_mut(|heard| {
            if let Some(heard) = heard {
                heard.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
