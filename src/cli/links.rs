//! `vcc-link links`: the accounts' links to Salesforce.

use std::fmt::Write as _;
use std::io::Read;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::output::{Output, print};
use super::{Global, open_store};
use crate::domain::ids::AccountId;
use crate::domain::link::{Actor, Environment, LinkState};
use crate::domain::outcome::Failure;
use crate::linking::{Added, Bootstrap, Linking};
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::store::Store;
use crate::telling::time;
use crate::telling::words::{health, status};

/// Show and add accounts' links to Salesforce.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link links list
  vcc-link links add acme --environment sandbox < refresh-token.txt")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on links.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List every account's link: status, health, org, API user.
    #[command(after_help = "\
Examples:
  vcc-link links list
  vcc-link links list --json | jq -r '.[] | select(.health == \"broken\") | .account'")]
    List,
    /// Link an account with a refresh token that an operator got from Salesforce.
    ///
    /// The token is read from standard input, as arguments can be seen by everybody on the
    /// machine. It is used once to prove that it works, and stored sealed.
    #[command(after_help = "\
Example:
  vcc-link links add acme --environment sandbox < refresh-token.txt")]
    Add {
        /// The account.
        account: AccountId,
        /// Where the API user logs in.
        #[arg(long, value_enum, default_value_t = LoginTo::Production)]
        environment: LoginTo,
    },
}

/// [`Environment`] as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoginTo {
    /// `login.salesforce.com`.
    Production,
    /// `test.salesforce.com`.
    Sandbox,
}

impl From<LoginTo> for Environment {
    fn from(login: LoginTo) -> Self {
        match login {
            LoginTo::Production => Self::Production,
            LoginTo::Sandbox => Self::Sandbox,
        }
    }
}

/// The longest refresh token that is read; Salesforce's have about 90 characters.
const LONGEST_TOKEN: u64 = 16 * 1024;

/// Links read with one question.
const PAGE: u32 = 500;

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let config = global.settings()?.config;
    let store = open_store(&config).await?;
    let as_json = args.output.json;
    match args.action {
        Action::List => list(&*store, as_json).await,
        Action::Add {
            account,
            environment,
        } => {
            let token = read_token(std::io::stdin().lock())?;
            let client =
                Client::new(config.salesforce.clone()).context("salesforce cannot be used")?;
            let login_url = client.login_url(environment.into());
            let sealer = Sealer::of(&config.crypto)?;
            // Nothing is owned here: adding a link redeems the token at once and needs no lease.
            let (_, owned) = watch::channel(Vec::new());
            let linking = Linking::new(
                store,
                sealer,
                client,
                config.linking,
                config.tasks.status,
                owned,
            );
            let actor = Actor::Operator(std::env::var("USER").unwrap_or_else(|_| "unknown".into()));
            let added = linking.add(Bootstrap {
                account,
                environment: environment.into(),
                login_url,
                refresh_token: token,
                actor,
            });
            let added = added.await;
            let Added { state, unasked } = added.context("the account was not linked")?;
            if let Some(Failure { code, hint, .. }) = unasked {
                eprintln!("linked; what the org allows could not be asked yet ({code}). {hint}");
                eprintln!("A running worker asks again by itself within minutes.");
            }
            print(&if as_json {
                line_json(&state).to_string() + "\n"
            } else {
                line(&state)
            })
        }
    }
}

/// Lists all links.
async fn list(store: &dyn Store, json: bool) -> anyhow::Result<()> {
    let mut links: Vec<LinkState> = Vec::new();
    loop {
        let after = links.last().map(|state| state.account.clone());
        let page = store.all_links(after.as_ref(), PAGE).await;
        let page = page.context("the links could not be read")?;
        if page.is_empty() {
            break;
        }
        links.extend(page);
    }
    if json {
        let all: Vec<Value> = links.iter().map(line_json).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    if links.is_empty() {
        return print(
            "No account is known yet; `vcc-link links add --help` tells how to link one.\n",
        );
    }
    print(&links.iter().map(line).collect::<String>())
}

/// The refresh token: one line, never an argument, so that no process list and no shell history
/// shows it.
fn read_token(input: impl Read) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    input
        .take(LONGEST_TOKEN)
        .read_to_string(&mut text)
        .context("the refresh token could not be read from standard input")?;
    let token = text.trim();
    if token.is_empty() {
        bail!("standard input holds no refresh token: write `vcc-link links add ACCOUNT < FILE`");
    }
    if token.contains(char::is_whitespace) {
        bail!("standard input holds more than one word: give it the refresh token alone");
    }
    Ok(SecretString::from(token.to_owned()))
}

/// One link in words.
fn line(state: &LinkState) -> String {
    let (status, health) = (status(state.status), health(state.health));
    let (account, since) = (&state.account, time(state.since));
    let mut text = format!("{account:<24} {status:<9} {health:<8} since {since}");
    if let Some(org) = &state.org {
        let user = Some(&org.username).filter(|name| !name.is_empty());
        let user = user.map_or_else(|| org.user.to_string(), ToString::to_string);
        let _ = write!(text, "  org {} as {user}", org.org);
        if !org.missing.is_empty() {
            let missing = org.missing.join(", ");
            let _ = write!(
                text,
                "\n    the API user lacks: {missing}; grant it, it is looked for again every day"
            );
        }
    }
    text + "\n"
}

/// One link as JSON.
fn line_json(state: &LinkState) -> Value {
    json!({
        "account": state.account,
        "status": state.status,
        "health": state.health,
        "reason": state.reason,
        "generation": state.generation,
        "sequence": state.sequence,
        "since": time(state.since),
        "org": state.org.as_ref().map(|o| &o.org),
        "apiUser": state.org.as_ref().map(|o| &o.user),
        "username": state.org.as_ref().map(|o| &o.username).filter(|name| !name.is_empty()).map(ToString::to_string),
        "environment": state.org.as_ref().map(|o| o.environment),
        "missing": state.org.as_ref().map(|o| &o.missing),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_token_is_one_word_on_standard_input() {
        let token = read_token("5Aep861\n".as_bytes()).expect("a token");
        assert_eq!(token.expose_secret(), "5Aep861");
        assert!(read_token("".as_bytes()).is_err());
        assert!(read_token("two words".as_bytes()).is_err());
    }
}
