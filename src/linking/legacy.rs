//! Links of the older method: taken over with their refresh tokens, from a file that is looked at
//! whole before anything is done.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{Bootstrap, Error, Linking};
use crate::domain::ids::{AccountId, Generation};
use crate::domain::link::{Actor, App, Environment, LinkStatus};
use crate::domain::outcome::Failure;
use crate::salesforce::Client;

/// What a line may hold.
const FIELDS: [&str; 5] = [
    "account",
    "environment",
    "login_url",
    "refresh_token",
    "client_id",
];

/// Texts by which a password, or what stands in for one, is known.
const PASSWORDS: [&str; 4] = ["password", "passwd", "pwd", "security_token"];

/// A link of the older method.
#[derive(Debug)]
pub struct LegacyLink {
    /// The account.
    pub account: AccountId,
    /// Where the API user logs in.
    environment: Environment,
    /// The address of that.
    login_url: String,
    /// Its refresh token, which is good for one link only.
    pub refresh_token: SecretString,
    /// Which app that was given to.
    app: App,
}

/// What became of a link that was to be taken over.
#[derive(Debug)]
pub enum TakenOver {
    /// It is Legacy from now on; with why the org could not be asked yet what it allows.
    Added(Option<Failure>),
    /// The account was linked before, by an import or otherwise: nothing was done.
    Known,
}

/// Reads a line, or says what is wrong with it; never what its token is.
pub fn read(line: &str, client: &Client) -> Result<LegacyLink, String> {
    let Ok(Value::Object(line)) = serde_json::from_str(line) else {
        return Err("is no JSON object".to_owned());
    };
    let is_password = |name: &String| {
        let name = name.to_lowercase();
        PASSWORDS.iter().any(|word| name.contains(word))
    };
    if line.keys().any(is_password) {
        return Err("holds a password, and none is taken: it opens more than the link needs, and is of no use to OAuth. Take the older method's refresh token, or let the account be linked on its page".to_owned());
    }
    if line.keys().any(|name| !FIELDS.contains(&name.as_str())) {
        let known = FIELDS.join(", ");
        return Err(format!(
            "holds a field that is not known; the fields are {known}"
        ));
    }
    let account = text(&line, "account")?.ok_or("account: is missing")?;
    let account = account
        .parse()
        .map_err(|error| format!("account: {error}"))?;
    let (environment, login_url) = login(&line, client)?;
    let app = client.app_of(text(&line, "client_id")?);
    let app = app.ok_or("client_id: is none of the settings' apps; write it and its secret to salesforce.legacy_client_id and salesforce.legacy_client_secret")?;
    let token = text(&line, "refresh_token")?.ok_or("refresh_token: is missing")?;
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err("refresh_token: is no token".to_owned());
    }
    Ok(LegacyLink {
        account,
        environment,
        login_url,
        refresh_token: token.to_owned().into(),
        app,
    })
}

/// A text of a line, if it is there.
fn text<'a>(line: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match line.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name}: is no text")),
    }
}

/// Where the API user logs in.
fn login(line: &Map<String, Value>, client: &Client) -> Result<(Environment, String), String> {
    let environment = match (text(line, "environment")?, text(line, "login_url")?) {
        (None, Some(address)) => {
            let known = client.login_address(address);
            return known.ok_or_else(|| "login_url: is no login page of Salesforce's".to_owned());
        }
        (Some("production"), None) => Environment::Production,
        (Some("sandbox"), None) => Environment::Sandbox,
        (Some(_), None) => return Err("environment: write production or sandbox".to_owned()),
        _ => return Err("write either environment or login_url".to_owned()),
    };
    Ok((environment, client.login_url(environment)))
}

impl Linking {
    /// Takes a link of the older method over, unless its account was ever linked here: so it may be
    /// done again, and undoes no Relink and no Unlink.
    pub async fn take_over(&self, link: LegacyLink, actor: Actor) -> Result<TakenOver, Error> {
        if self.link(&link.account).await?.generation != Generation::default() {
            return Ok(TakenOver::Known);
        }
        let bootstrap = Bootstrap {
            account: link.account,
            environment: link.environment,
            login_url: link.login_url,
            refresh_token: link.refresh_token,
            app: link.app,
            status: LinkStatus::Legacy,
            actor,
        };
        let added = self.add(bootstrap).await?;
        Ok(TakenOver::Added(added.unasked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salesforce::Config;

    /// A Salesforce with our app and the older method's.
    fn client() -> Client {
        let config = Config {
            client_id: "ours".to_owned(),
            client_secret: "s".to_owned().into(),
            legacy_client_id: "theirs".to_owned(),
            legacy_client_secret: "s".to_owned().into(),
            ..Config::default()
        };
        Client::new(config).expect("a client")
    }

    #[test]
    fn a_line_names_its_login_and_its_app() {
        let client = client();
        let of = |more: &str| {
            let line = format!(r#"{{"account":"acme","refresh_token":"5Aep8",{more}}}"#);
            let link = read(&line, &client).expect("good");
            assert!(!format!("{link:?}").contains("5Aep8"));
            (link.app, link.environment, link.login_url)
        };
        let sandbox = "https://acme--dev.sandbox.my.salesforce.com";
        assert_eq!(
            of(r#""login_url":"acme--dev.sandbox.my.salesforce.com""#),
            (App::Legacy, Environment::Sandbox, sandbox.to_owned())
        );
        let production = "https://login.salesforce.com".to_owned();
        assert_eq!(
            of(r#""environment":"production","client_id":"ours""#),
            (App::Own, Environment::Production, production)
        );
    }

    #[test]
    fn a_wrong_line_is_told_without_its_token() {
        let client = client();
        let wrong = [
            (r#""username":"u","apiPassword":"5Aep8""#, "password"),
            (r#""5Aep8":1"#, "not known"),
            (r#""refresh_token":"5Aep8""#, "either environment"),
            (r#""login_url":"https://evil.example""#, "login_url"),
            (r#""environment":"sandbox","refresh_token":58"#, "no text"),
            (
                r#""environment":"sandbox","refresh_token":"5Aep8 x""#,
                "no token",
            ),
            (
                r#""environment":"sandbox","client_id":"5Aep8""#,
                "legacy_client_id",
            ),
        ];
        for (line, why) in wrong {
            let told = read(&format!(r#"{{"account":"a",{line}}}"#), &client);
            let told = told.expect_err(line);
            assert!(
                told.contains(why) && !told.contains("5Aep8"),
                "{line}: {told}"
            );
        }
        let told = read(r#"["5Aep8"]"#, &client).expect_err("a list");
        assert_eq!(told, "is no JSON object");
    }
}
