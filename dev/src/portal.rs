//! The portal in front of the admins' pages: it knows who somebody is, and hands them over. Here
//! everybody is an admin of every account.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use axum::{Router, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::house::House;
use crate::world::{Link, World};

/// The running portal; it ends when this is dropped.
pub(crate) struct Portal {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What its pages show.
struct Facts {
    house: Arc<House>,
    world: World,
    /// Where the admins' pages are.
    pages: String,
}

impl Portal {
    /// Starts it, on any port, before these pages.
    pub(crate) async fn start(
        house: Arc<House>,
        world: World,
        pages: String,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("the portal finds no free port")?;
        let address = listener.local_addr()?;
        let facts = Arc::new(Facts {
            house,
            world,
            pages,
        });
        let router = Router::new()
            .route("/", get(accounts))
            .route("/{account}", get(hand_over))
            .with_state(facts);
        let serving = async move { drop(serve(listener, router).await) };
        let serving = tokio::runtime::Handle::current().spawn(serving);
        Ok(Self { address, serving })
    }

    /// Its first page.
    pub(crate) fn address(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// All accounts, with who to log in as.
async fn accounts(State(facts): State<Arc<Facts>>) -> Html<String> {
    let line = |account: &crate::world::Account| {
        let id = &account.id;
        let login = match account.link {
            Link::Missing => "has no org".to_owned(),
            Link::Sound | Link::Broken => {
                format!("log in as <code>{}</code>", account.api_user())
            }
        };
        format!("<li><a href=\"/{id}\">{id}</a>: {login}</li>")
    };
    let lines: String = facts.world.accounts.iter().map(line).collect();
    Html(page(&format!(
        "<h1>Accounts</h1><p>Open the page on which an account is linked. At Salesforce, which is \
         simulated, every password is <code>password</code>.</p><ul>{lines}</ul>"
    )))
}

/// Hands the visitor over to an account's page, as its admin.
async fn hand_over(
    State(facts): State<Arc<Facts>>,
    Path(account): Path<String>,
) -> Result<Html<String>, (StatusCode, String)> {
    if !facts.world.accounts.iter().any(|known| known.id == account) {
        return Err((
            StatusCode::NOT_FOUND,
            "There is no such account.\n".to_owned(),
        ));
    }
    let arguments = ["sidecar", "token", &account, "--role", "admin"];
    let token = facts.house.call(&arguments, "").await;
    let failed = |error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n"));
    let token = token.map_err(failed)?;
    let (pages, token) = (&facts.pages, token.trim());
    Ok(Html(page(&format!(
        "<form method=\"post\" action=\"{pages}/enter\"><input type=\"hidden\" name=\"token\" \
         value=\"{token}\"><button>Go on to {account}</button></form>\
         <script>document.forms[0].submit()</script>"
    ))))
}

/// A page.
fn page(body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Portal</title>\
         <style>body {{ font: 1rem/1.5 system-ui; margin: 2rem auto; max-width: 40rem }}</style>\
         {body}</html>"
    )
}
