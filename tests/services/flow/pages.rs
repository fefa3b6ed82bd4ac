//! The admins' pages beside the workers: two replicas, and admins who link through them.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;
use vcc_link::http::sidecar::session::Role;
use vcc_link::http::sidecar::{Portal, portal};

use super::worker::vcc_link;
use super::world::{PATIENCE, World, tick};

/// Where browsers find the pages; the replicas themselves are asked in turn.
const PUBLIC: &str = "http://localhost:4711";

/// What portal and sidecar share.
const SHARED_KEY: &str = "canary-shared-key-of-32-characters";

/// Two replicas of the sidecar.
pub(super) struct Pages {
    replicas: Vec<Replica>,
    client: Client,
    salesforce: String,
    turn: AtomicUsize,
    /// What came by that no log may tell.
    pub(super) secrets: Vec<String>,
}

/// A running `vcc-link sidecar`.
struct Replica {
    child: Child,
    log: PathBuf,
    /// Where its pages are.
    pages: String,
    /// Where its metrics are.
    operations: String,
}

/// An admin's session.
struct Admin {
    cookie: String,
    csrf: String,
}

impl Pages {
    /// Starts both, on the settings of the world.
    pub(super) async fn start(world: &World) -> Self {
        let callback = json!({ "redirect_uris": [format!("{PUBLIC}/callback")] });
        let callback = callback.as_object().expect("a map").clone();
        world.control().patch_app(callback).expect("an app");
        let client = Client::builder().redirect(reqwest::redirect::Policy::none());
        let mut replicas = Vec::new();
        for number in 0..2 {
            let log = world.path(&format!("sidecar-{number}.log"));
            replicas.push(Replica::start(world, log).await);
        }
        Self {
            replicas,
            client: client.build().expect("a client"),
            salesforce: world.simulator.base_url(),
            turn: AtomicUsize::new(0),
            secrets: vec![SHARED_KEY.to_owned(), "aPrx".to_owned()],
        }
    }

    /// Links an account as its admin, through both replicas in turn.
    pub(super) async fn link(&mut self, account: &str, user: &str) {
        let admin = self.enter(account).await;
        let form = [("environment", "production"), ("csrf", &admin.csrf)];
        let begun = admin.asks(self.client.post(self.here("/link")).form(&form));
        let begun = location(&begun.send().await.expect("an answer"));
        let back = self.log_in(begun, user).await;
        for (name, value) in back.query_pairs() {
            assert!(name == "state" || name == "code", "{name}");
            self.secrets.push(value.into_owned());
        }
        let back = format!("/callback?{}", back.query().expect("a query"));
        let answer = admin.asks(self.client.get(self.here(&back))).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 303);
        let login = answer.headers()[LOCATION].to_str().expect("text");
        let login = login.split('?').next().expect("a path").to_owned();
        self.confirmed(&admin, &login).await;
        self.secrets.extend([admin.cookie, admin.csrf]);
    }

    /// Waits until the admin is asked, says yes, and waits until the link stands.
    async fn confirmed(&self, admin: &Admin, login: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = admin.asks(self.client.get(self.here(login))).send().await;
            let shown = shown.expect("an answer");
            if shown
                .headers()
                .get(LOCATION)
                .is_some_and(|to| to == "/?notice=linked")
            {
                return;
            }
            let page = shown.text().await.expect("a page");
            if page.contains("/confirm") {
                let url = self.here(&format!("{login}/confirm"));
                let form = [("csrf", &admin.csrf)];
                let answer = admin.asks(self.client.post(url).form(&form)).send().await;
                assert_eq!(answer.expect("an answer").status(), 303);
            }
            assert!(Instant::now() < deadline, "not linked: {page}");
            tick().await;
        }
    }

    /// Comes from the portal as an account's admin.
    async fn enter(&mut self, account: &str) -> Admin {
        let settings = Portal {
            issuer: "portal".to_owned(),
            shared_key: SecretString::from(SHARED_KEY),
            ..Portal::default()
        };
        let account = account.parse().expect("an account");
        let token = portal::sign(&settings, account, "canary-admin", Role::Admin);
        let token = token.expect("signed");
        let form = [("token", &token)];
        let entered = self.client.post(self.here("/enter")).form(&form);
        let entered = entered.send().await.expect("an answer");
        let cookie = entered.headers()[SET_COOKIE].to_str().expect("text");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        self.secrets.push(token);
        let page = self.client.get(self.here("/")).header(COOKIE, &cookie);
        let page = page.send().await.expect("an answer").text().await;
        let csrf = hidden(&page.expect("a page"), "csrf");
        Admin { cookie, csrf }
    }

    /// Logs in at Salesforce and allows access; gives the way back.
    async fn log_in(&self, begun: Url, user: &str) -> Url {
        let mut cookie = None;
        let mut request = self.client.get(begun);
        loop {
            if let Some(cookie) = &cookie {
                request = request.header(COOKIE, cookie);
            }
            let answer = request.send().await.expect("an answer");
            cookie = set_cookie(&answer).or(cookie);
            if answer.headers().contains_key(LOCATION) {
                let next = location(&answer);
                if next.as_str().starts_with(PUBLIC) {
                    return next;
                }
                request = self.client.get(next);
                continue;
            }
            let page = answer.text().await.expect("a page");
            let source = hidden(&page, "source");
            request = if page.contains("name=\"pw\"") {
                let form = [("un", user), ("pw", "password"), ("source", &source)];
                self.client.post(self.salesforce.clone()).form(&form)
            } else {
                let form = [("source", source.as_str()), ("decision", "allow")];
                let url = "setup/secur/RemoteAccessAuthorizationPage.apexp";
                let url = format!("{}/{url}", self.salesforce.trim_end_matches('/'));
                self.client.post(url).form(&form)
            };
        }
    }

    /// Where the next replica answers this.
    fn here(&self, path: &str) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let replica = &self.replicas[turn % self.replicas.len()];
        format!("http://{}{path}", replica.pages)
    }

    /// What both tell those who run them: logs and metrics.
    pub(super) async fn told(&self) -> String {
        let mut told = String::new();
        for replica in &self.replicas {
            told += &replica.log();
            let metrics = format!("http://{}/metrics", replica.operations);
            let metrics = self.client.get(metrics).send().await.expect("an answer");
            told += &metrics.text().await.expect("text");
        }
        told
    }

    /// Starts both anew, one after the other, on the settings as they are now.
    pub(super) async fn restart(&mut self, world: &World) {
        for (number, replica) in self.replicas.iter_mut().enumerate() {
            let log = world.path(&format!("sidecar-again-{number}.log"));
            *replica = Replica::start(world, log).await;
        }
    }
}

impl Replica {
    async fn start(world: &World, log: PathBuf) -> Self {
        let output = File::create(&log).expect("a log file");
        let child = vcc_link(&world.settings)
            .arg("sidecar")
            .env("VCC_LINK_SIDECAR__LISTEN", "127.0.0.1:0")
            .env("VCC_LINK_SIDECAR__PUBLIC_URL", PUBLIC)
            .env("VCC_LINK_SIDECAR__REQUESTS_PER_MINUTE", "100000")
            .env("VCC_LINK_SIDECAR__PORTAL__ISSUER", "portal")
            .env("VCC_LINK_SIDECAR__PORTAL__SHARED_KEY", SHARED_KEY)
            .env(
                "VCC_LINK_LINKING__CALLBACK_URL",
                format!("{PUBLIC}/callback"),
            )
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("the sidecar starts");
        let mut replica = Self {
            child,
            log,
            pages: String::new(),
            operations: String::new(),
        };
        let deadline = Instant::now() + PATIENCE;
        while replica.pages.is_empty() || replica.operations.is_empty() {
            assert!(Instant::now() < deadline, "no sidecar: {}", replica.log());
            tick().await;
            let log = replica.log();
            let address = |what: &str| {
                let line = log.lines().find(|line| line.contains(what))?;
                let line: Value = serde_json::from_str(line).ok()?;
                let found = line["fields"]["address"].as_str();
                let found = found.or_else(|| line["address"].as_str());
                found.map(str::to_owned)
            };
            replica.pages = address("the admins' pages are served").unwrap_or_default();
            replica.operations = address("\"starting\"").unwrap_or_default();
        }
        replica
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().take(10).collect();
            eprintln!(
                "--- the end of a sidecar's log, the latest first\n{}",
                lines.join("\n")
            );
        }
    }
}

impl Admin {
    /// A request of this admin's browser, from our own pages.
    fn asks(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(COOKIE, &self.cookie);
        request.header(ORIGIN, PUBLIC)
    }
}

/// Where an answer leads.
fn location(answer: &Response) -> Url {
    let to = answer.headers().get(LOCATION).expect("it leads on");
    let to = answer.url().join(to.to_str().expect("text"));
    to.expect("an address")
}

/// The cookie that an answer sets, as it is sent back.
fn set_cookie(answer: &Response) -> Option<String> {
    let cookie = answer.headers().get(SET_COOKIE)?.to_str().expect("text");
    cookie.split(';').next().map(str::to_owned)
}

/// A hidden field of a page's form.
fn hidden(page: &str, name: &str) -> String {
    let marker = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&marker).expect("the field");
    rest.split('"').next().expect("its value").to_owned()
}
