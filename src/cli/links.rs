//! `vcc-link links`: the accounts' links to Salesforce.

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use chrono::NaiveDate;
use clap::{Subcommand, ValueEnum};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::output::{Output, print};
use super::{Global, legacy, open_store, pausing, preflight, unlinking};
use crate::config::Config;
use crate::domain::ids::AccountId;
use crate::domain::link::{Actor, App, Environment, LinkState, LinkStatus, LinkedOrg};
use crate::domain::outcome::Failure;
use crate::linking::{Added, Bootstrap, Linking};
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::store::Store;
use crate::telling::time;
use crate::telling::words::{health, status};

/// Show, add and end accounts' links to Salesforce.
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
    List {
        /// Only those of the older method, with the date until which to relink them.
        #[arg(long)]
        legacy: bool,
    },
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
    /// Take over the links of the older method, with status Legacy, by their refresh tokens.
    ///
    /// Each line is one JSON object: `account`, `refresh_token`, and either `environment` (production
    /// or sandbox) or `login_url`; `client_id` where it is not the older method's. Every line is
    /// looked at first; if one is wrong, nothing is imported. A password is refused. An account that
    /// was ever linked here stays as it is, so that a file may be imported again.
    #[command(after_help = "\
Examples:
  vcc-link links import-legacy links.ndjson
  vcc-link links list --legacy")]
    ImportLegacy {
        /// The file; `-` for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Unlink an account: its calls are not logged from then on, and its token is revoked.
    #[command(after_help = "\
Example:
  vcc-link links unlink acme --yes")]
    Unlink {
        /// The account.
        account: AccountId,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Ask an account's org anew whether it and the API user are as the work needs them.
    ///
    /// Each line says yes, no or unknown; each that is not yes, the setting in Salesforce that mends
    /// it, and where Salesforce explains that. Exits with 1 if anything needed is missing.
    #[command(after_help = "\
Example:
  vcc-link links preflight acme")]
    Preflight {
        /// The account.
        account: AccountId,
    },
    /// Pause lookups or Tasks: of an account, of all accounts of an org, or of everybody.
    ///
    /// Every worker obeys within seconds, without a restart, and after one too. Tasks wait (parked,
    /// reason paused) and go out oldest first once it is resumed, or at the time of --until; callers
    /// are answered at once as throttled. What is in flight comes to its end.
    #[command(after_help = "\
Examples:
  vcc-link links pause acme --tasks --reason 'their admin cleans up' --until 2h
  vcc-link links pause --org 00DB0000000TfcRMAS --reason 'their sandbox is down'
  vcc-link links pause --all --lookups --reason 'incident 7' --until 2026-11-26T08:00:00Z")]
    Pause(pausing::PauseArgs),
    /// End a pause: what waited goes out, oldest first and not all at once.
    #[command(after_help = "\
Examples:
  vcc-link links resume acme
  vcc-link links resume --all --lookups --by ann")]
    Resume(pausing::ResumeArgs),
    /// List the pauses in force; with --history all there were, the latest first.
    #[command(after_help = "\
Examples:
  vcc-link links pauses
  vcc-link links pauses --history --json")]
    Pauses {
        /// Those that are over too.
        #[arg(long)]
        history: bool,
    },
    /// List every change of an account's link, the latest first: when, by whom, from what to what.
    #[command(after_help = "\
Example:
  vcc-link links history acme")]
    History {
        /// The account.
        account: AccountId,
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
        Action::List { legacy } => {
            let wanted = if legacy {
                Wanted::Legacy(config.linking.legacy_until)
            } else {
                Wanted::All
            };
            list(&*store, wanted, as_json).await
        }
        Action::Pause(args) => pausing::pause(args, &*store, as_json).await,
        Action::Resume(args) => pausing::resume(&args, &*store, as_json).await,
        Action::Pauses { history } => pausing::list(&*store, history, as_json).await,
        Action::History { account } => unlinking::history(&*store, &account, as_json).await,
        Action::Add {
            account,
            environment,
        } => {
            let token = read_token(std::io::stdin().lock())?;
            let client = client(&config)?;
            let bootstrap = Bootstrap {
                account,
                environment: environment.into(),
                login_url: client.login_url(environment.into()),
                refresh_token: token,
                app: App::Own,
                status: LinkStatus::Linked,
                actor: operator(),
            };
            add(&linking(config, store, client)?, bootstrap, as_json).await
        }
        Action::ImportLegacy { file } => {
            let client = client(&config)?;
            let linking = linking(config, store, client.clone())?;
            legacy::import(&file, &linking, &client, &operator(), as_json).await
        }
        Action::Preflight { account } => {
            let client = client(&config)?;
            let linking = linking(config, store, client)?;
            preflight::run(&linking, &account, as_json).await
        }
        Action::Unlink { account, yes } => {
            let client = client(&config)?;
            let linking = linking(config, Arc::clone(&store), client)?;
            unlinking::unlink(&*store, &linking, &account, &operator(), (yes, as_json)).await
        }
    }
}

/// Who is at the command line.
pub(super) fn operator() -> Actor {
    Actor::Operator(std::env::var("USER").unwrap_or_else(|_| "unknown".into()))
}

/// Salesforce, by these settings.
pub(super) fn client(config: &Config) -> anyhow::Result<Client> {
    Client::new(config.salesforce.clone()).context("salesforce cannot be used")
}

/// Links and their tokens.
pub(super) fn linking(
    config: Config,
    store: Arc<dyn Store>,
    client: Client,
) -> anyhow::Result<Linking> {
    let sealer = Sealer::of(&config.crypto)?;
    // Nothing is owned here: what a person does needs no lease.
    let (_, owned) = watch::channel(Vec::new());
    let (linking, status) = (config.linking, config.tasks.status);
    Ok(Linking::new(store, sealer, client, linking, status, owned))
}

/// Adds a link.
async fn add(linking: &Linking, bootstrap: Bootstrap, as_json: bool) -> anyhow::Result<()> {
    let added = linking.add(bootstrap).await;
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

/// Which links are listed.
#[derive(Clone, Copy)]
enum Wanted {
    All,
    /// Those of the older method, with the date until which to relink them.
    Legacy(Option<NaiveDate>),
}

/// Every account's link.
pub(super) async fn every_link(store: &dyn Store) -> anyhow::Result<Vec<LinkState>> {
    let mut links: Vec<LinkState> = Vec::new();
    loop {
        let after = links.last().map(|state| state.account.clone());
        let page = store.all_links(after.as_ref(), PAGE).await;
        let page = page.context("the links could not be read")?;
        if page.is_empty() {
            return Ok(links);
        }
        links.extend(page);
    }
}

/// Lists links.
async fn list(store: &dyn Store, wanted: Wanted, json: bool) -> anyhow::Result<()> {
    let mut links = every_link(store).await?;
    let pauses = store.pauses().await;
    let pauses = pauses.context("the pauses could not be read")?;
    if let Wanted::Legacy(_) = wanted {
        links.retain(|state| state.status == LinkStatus::Legacy);
    }
    if json {
        let relink = |mut line: Value| {
            if let Wanted::Legacy(until) = wanted {
                line["relinkUntil"] = json!(until);
            }
            line
        };
        let paused = |state: &LinkState| {
            let mut line = line_json(state);
            line["paused"] = pausing::of_json(&pauses, state);
            line
        };
        let all: Vec<Value> = links.iter().map(paused).map(relink).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    let paused = |state: &LinkState| line(state) + &pausing::of_link(&pauses, state);
    if let Wanted::Legacy(until) = wanted {
        let until = until.map_or_else(String::new, |until| format!(" until {until}"));
        let count = links.len();
        eprintln!("{count} links are of the older method; have each account relinked{until}.");
        return print(&links.iter().map(paused).collect::<String>());
    }
    if links.is_empty() {
        return print(
            "No account is known yet; `vcc-link links add --help` tells how to link one.\n",
        );
    }
    print(&links.iter().map(paused).collect::<String>())
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
        let missing = org.missing();
        if !missing.is_empty() {
            let missing = missing.join(", ");
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
        "missing": state.org.as_ref().map(LinkedOrg::missing),
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
