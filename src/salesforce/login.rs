//! Sending an admin to Salesforce to log in: the address, and the secrets that stay here. By RFC
//! 9700: the code flow with PKCE, and a `state` that is used once.

use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use secrecy::SecretString;
use url::Url;

use super::Client;
use super::trust::trusted;

/// What is asked for: requests, and tokens that outlive the login; and who it is.
const SCOPES: [&str; 3] = ["api", "refresh_token", "id"];

/// A login that an admin is sent to.
pub struct Login {
    /// Where the browser is sent.
    pub url: Url,
    /// What comes back with the browser, and with nobody else.
    pub state: SecretString,
    /// What proves that the code is ours.
    pub verifier: SecretString,
}

impl Client {
    /// A login at this address, that comes back to `callback_url`; `None`: one of them is none. An admin who is logged in already is asked all the same, as it would
    /// be a person's own user, silently.
    pub fn login(&self, login_url: &str, callback_url: &str) -> Option<Login> {
        let url = self.at(login_url, "/services/oauth2/authorize").ok()?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let protocol =
            oauth2::basic::BasicClient::new(ClientId::new(self.config.client_id.clone()))
                .set_auth_uri(AuthUrl::from_url(url))
                .set_redirect_uri(RedirectUrl::new(callback_url.to_owned()).ok()?);
        let (url, state) = protocol
            .authorize_url(|| CsrfToken::new_random_len(32))
            .add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())))
            .add_extra_param("prompt", "login consent")
            .set_pkce_challenge(challenge)
            .url();
        Some(Login {
            url,
            state: state.into_secret().into(),
            verifier: verifier.into_secret().into(),
        })
    }

    /// The login address of a My Domain as an admin types it: `acme`, `acme.my.salesforce.com` or an
    /// address of it; `None`: it is none.
    pub fn my_domain(&self, typed: &str) -> Option<String> {
        let typed = typed.trim().trim_end_matches('/');
        let host = typed.strip_prefix("https://").unwrap_or(typed);
        let address = if typed.contains("://") {
            typed.to_owned()
        } else if host.contains('.') || host.contains(':') {
            format!("https://{host}")
        } else {
            format!("https://{host}.my.salesforce.com")
        };
        let url = trusted(&address, &self.config.trusted_hosts)?;
        let host = url.host_str()?;
        let name = MY_DOMAINS
            .iter()
            .find_map(|domain| host.strip_suffix(domain));
        let own = name.is_some_and(|name| !name.split('.').any(str::is_empty));
        let named = self
            .config
            .trusted_hosts
            .iter()
            .any(|named| named.starts_with(host));
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        (plain && (own || named)).then(|| url.origin().ascii_serialization())
    }
}

/// Where orgs have login pages of their own.
const MY_DOMAINS: [&str; 3] = [
    ".my.salesforce.com",
    ".my.salesforce.mil",
    ".my.sfcrmproducts.cn",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salesforce::Config;

    #[test]
    fn a_my_domain_is_typed_in_many_ways_and_never_leads_elsewhere() {
        let config = Config {
            client_id: "app".to_owned(),
            client_secret: "secret".to_owned().into(),
            trusted_hosts: vec!["127.0.0.1:8080".to_owned()],
            ..Config::default()
        };
        let client = Client::new(config).expect("a client");
        let acme = Some("https://acme.my.salesforce.com".to_owned());
        for typed in [
            "acme",
            " acme.my.salesforce.com/ ",
            "https://acme.my.salesforce.com",
        ] {
            assert_eq!(client.my_domain(typed), acme, "{typed}");
        }
        let sandbox = "acme--dev.sandbox.my.salesforce.com";
        assert_eq!(
            client.my_domain(sandbox),
            Some(format!("https://{sandbox}"))
        );
        assert_eq!(
            client.my_domain("http://127.0.0.1:8080"),
            Some("http://127.0.0.1:8080".to_owned())
        );
        for typed in [
            "",
            "acme.lightning.force.com",
            "login.salesforce.com",
            "evil.example",
            "evil.example/.my.salesforce.com",
            "https://evil.example#.my.salesforce.com",
            "https://user@acme.my.salesforce.com",
            "acme.my.salesforce.com:8443",
            "http://acme.my.salesforce.com",
            "https://acme.my.salesforce.com/services",
            "acme.my.salesforce.com.evil.example",
            "127.0.0.1:9999",
            "a b",
        ] {
            assert_eq!(client.my_domain(typed), None, "{typed}");
        }
    }
}
