//! A mail server and a receiver of webhooks.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{header, is_near};

/// What a mail server has been given.
#[derive(Default)]
struct Mails {
    /// Mails that were taken and not looked at.
    taken: Vec<String>,
    /// The Message-IDs of those that were taken.
    ids: Vec<String>,
    /// Takes what it put off before.
    takes_later: bool,
}

/// A mail server: refuses `gone@…` for good, puts `later@…` off, takes the rest.
pub(super) struct Server {
    port: u16,
    mails: Arc<Mutex<Mails>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let mails = Arc::<Mutex<Mails>>::default();
        let (mut tasks, kept) = (JoinSet::new(), Arc::clone(&mails));
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                sessions.spawn(session(client, Arc::clone(&kept)));
            }
        });
        Self {
            port,
            mails,
            _tasks: tasks,
        }
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The mails that were taken since this was asked last.
    pub(super) fn mails(&self) -> Vec<String> {
        std::mem::take(&mut self.mails.lock().expect("not poisoned").taken)
    }

    /// The Message-IDs of all that were taken.
    pub(super) fn ids(&self) -> Vec<String> {
        self.mails.lock().expect("not poisoned").ids.clone()
    }

    /// Takes mails that it put off before.
    pub(super) fn takes_later(&self) {
        self.mails.lock().expect("not poisoned").takes_later = true;
    }
}

/// Speaks SMTP with one client (RFC 5321).
async fn session(client: TcpStream, mails: Arc<Mutex<Mails>>) {
    let (reader, mut writer) = client.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer
        .write_all(b"220 mail.example\r\n")
        .await
        .expect("greeted");
    while let Ok(Some(line)) = lines.next_line().await {
        let takes_later = mails.lock().expect("not poisoned").takes_later;
        let answer = match line.get(..4).unwrap_or_default() {
            "RCPT" if line.contains("<gone@") => "550 no such user",
            "RCPT" if line.contains("<later@") && !takes_later => "451 try again",
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await.expect("answered");
                let mut mail = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    mail += &(line + "\r\n");
                }
                let mut mails = mails.lock().expect("not poisoned");
                mails.ids.push(header(&mail, "Message-ID"));
                // Lines that were broken for the way are whole again.
                mails
                    .taken
                    .push(mail.replace("=\r\n", "").replace("=3D", "="));
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        let answer = format!("{answer}\r\n");
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A webhook as it came.
pub(super) struct Hook {
    headers: HeaderMap,
    body: String,
}

impl Hook {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Verifies it as Standard Webhooks says.
    pub(super) fn is_signed_by(&self, key: &str) -> bool {
        let text = |name: &str| self.headers[name].to_str().expect("text").to_owned();
        let timestamp = text("webhook-timestamp");
        assert!(is_near(timestamp.parse().expect("seconds")));
        let key = key.strip_prefix("whsec_").expect("a prefix");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).expect("base64"));
        let signed = format!("{}.{timestamp}.{}", text("webhook-id"), self.body);
        let signature = text("webhook-signature");
        let signature = signature.strip_prefix("v1,").expect("a version");
        let signature = STANDARD.decode(signature).expect("base64");
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    }
}

type Hooks = Arc<Mutex<Vec<Hook>>>;

/// Takes webhooks at `/hook`, and leads there from `/redirect`.
pub(super) struct Receiver {
    host: String,
    hooks: Hooks,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let hooks = Hooks::default();
        let take = async |State(hooks): State<Hooks>, headers: HeaderMap, body: String| {
            let mut hooks = hooks.lock().expect("not poisoned");
            hooks.push(Hook { headers, body });
        };
        let pages = Router::new()
            .route("/hook", post(take))
            .route("/redirect", post(async || Redirect::temporary("/hook")))
            .with_state(Arc::clone(&hooks));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            axum::serve(listener, pages).await.expect("served");
        });
        Self {
            host,
            hooks,
            _tasks: tasks,
        }
    }

    pub(super) fn host(&self) -> String {
        self.host.clone()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// The webhooks that came since this was asked last.
    pub(super) fn hooks(&self) -> Vec<Hook> {
        std::mem::take(&mut self.hooks.lock().expect("not poisoned"))
    }
}
