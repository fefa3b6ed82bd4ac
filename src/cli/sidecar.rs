//! `vcc-link sidecar`: serves the admins' pages, and makes a way in to try them.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::output::{Output, print};
use super::{Global, worker};
use crate::app;
use crate::domain::ids::AccountId;
use crate::http::sidecar::portal;
use crate::http::sidecar::session::Role;

/// Serve the admins' pages: Link, Relink, Unlink.
///
/// Keeps nothing in memory that the next request needs: any number may run behind one address.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link sidecar --config /etc/vcc-link.toml
  vcc-link sidecar token acme --role admin

Pages (http.listen): /healthz, /readyz, /metrics, /version
Admins' pages: sidecar.listen, once sidecar.public_url says where browsers find them")]
pub struct Args {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// The actions beside serving.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print a token as the portal would sign it, to try the pages without one.
    ///
    /// It is signed by `sidecar.portal.shared_key`, holds for five minutes, and is taken once: post it
    /// to /enter, in the field `token`, as from `sidecar.entry_origin`.
    #[command(after_help = "\
Example:
  curl -i -H 'Origin: https://portal.example' --data-urlencode token=$(vcc-link sidecar token acme) https://links.example/enter")]
    Token {
        /// The account.
        account: AccountId,
        /// What may be done in the session.
        #[arg(long, value_enum, default_value_t = May::Admin)]
        role: May,
        /// Who enters, as histories name them.
        #[arg(long, default_value = "operator")]
        user: String,
        /// How it is told.
        #[command(flatten)]
        output: Output,
    },
}

/// [`Role`] as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum May {
    /// See.
    Viewer,
    /// See and change.
    Admin,
}

impl Args {
    /// How the result is written; serving has none.
    pub(super) fn output(&self) -> Option<Output> {
        let Some(Action::Token { output, .. }) = &self.action else {
            return None;
        };
        Some(*output)
    }
}

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let Some(Action::Token {
        account,
        role,
        user,
        output,
    }) = args.action
    else {
        return worker::run(global, app::Role::Sidecar).await;
    };
    let config = global.sections(&["sidecar"])?.config;
    let role = match role {
        May::Viewer => Role::Viewer,
        May::Admin => Role::Admin,
    };
    let token = portal::sign(&config.sidecar.portal, account, &user, role)?;
    print(&if output.json {
        json!({ "token": token }).to_string() + "\n"
    } else {
        token + "\n"
    })
}
