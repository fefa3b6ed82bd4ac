//! Notices as webhooks, signed as Standard Webhooks says (<https://www.standardwebhooks.com>).
//!
//! Where they go an admin of one account wrote. So: https only, to public addresses only, which is
//! looked at when the name is resolved for the very connection that is made; no redirects, no proxy,
//! little time, and of the answer nothing but its status is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::public::is_public;
use crate::crypto;
use crate::domain::ids::NoticeId;
use crate::domain::notice::DeliveryFault;

/// What keys begin with, by the specification.
const KEY: &str = "whsec_";

/// The longest address.
const LONGEST: usize = 1000;

/// How long connecting may take, and how long all of it.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// "No more" (RFC 9110, 15.5.11): the receiver unsubscribes, by the specification.
const GONE: u16 = 410;

/// Sends webhooks.
pub(super) struct Webhooks {
    /// To public addresses alone.
    client: Client,
    /// To the hosts of the settings.
    trusting: Client,
    /// Those hosts.
    trusted: Vec<String>,
}

/// The webhook of a contact.
#[derive(Clone, Copy)]
pub(super) struct Webhook<'a> {
    /// Where it goes.
    pub(super) url: &'a str,
    /// What it is signed with.
    pub(super) key: &'a SecretString,
}

/// A name that has no public address.
#[derive(Debug, thiserror::Error)]
#[error("the host has no public address")]
struct NotPublic;

/// Resolves names to public addresses.
struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|a| is_public(a.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

impl Webhooks {
    /// Sends to public addresses, and to these hosts.
    pub(super) fn new(trusted: Vec<String>) -> reqwest::Result<Self> {
        let client = || {
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT_WITHIN)
                .timeout(ANSWER_WITHIN)
                .pool_max_idle_per_host(0)
                .user_agent(concat!("vcc-link/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            client: client().dns_resolver(Arc::new(PublicResolver)).build()?,
            trusting: client().build()?,
            trusted,
        })
    }

    /// Sends a notice.
    pub(super) async fn send(
        &self,
        webhook: Webhook<'_>,
        id: &NoticeId,
        body: String,
        now: DateTime<Utc>,
    ) -> Result<(), DeliveryFault> {
        let url = address(webhook.url, &self.trusted).ok_or(DeliveryFault::NotPublic)?;
        let client = if is_trusted(&url, &self.trusted) {
            &self.trusting
        } else {
            &self.client
        };
        let timestamp = now.timestamp().to_string();
        let signature = signature(webhook.key, id, &timestamp, &body);
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id.as_str())
            .header("webhook-timestamp", timestamp)
            .header(
                "webhook-signature",
                signature.ok_or(DeliveryFault::Unreadable)?,
            )
            .body(body);
        let answer = request.send().await.map_err(|error| fault(&error))?;
        let code = answer.status().as_u16();
        if answer.status().is_success() {
            return Ok(());
        }
        Err(DeliveryFault::Refused {
            code,
            for_good: code == GONE,
        })
    }
}

/// Why a request brought no answer.
fn fault(error: &reqwest::Error) -> DeliveryFault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return DeliveryFault::NotPublic;
        }
        cause = error.source();
    }
    if error.is_timeout() {
        DeliveryFault::TimedOut
    } else {
        DeliveryFault::Unreachable
    }
}

/// The address of a webhook, if it may be one: https, without a user, and not an address of a
/// network that is not public; or at a trusted host.
pub(super) fn address(text: &str, trusted: &[String]) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= LONGEST)?;
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let public = match url.host()? {
        Host::Domain(_) => true,
        Host::Ipv4(address) => is_public(IpAddr::V4(address)),
        Host::Ipv6(address) => is_public(IpAddr::V6(address)),
    };
    let allowed = (url.scheme() == "https" && public) || is_trusted(&url, trusted);
    (bare && allowed).then_some(url)
}

/// Whether the settings name the host of an address.
fn is_trusted(url: &Url, trusted: &[String]) -> bool {
    let host = url.host_str().unwrap_or_default();
    let named = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let web = matches!(url.scheme(), "https" | "http");
    web && trusted.iter().any(|t| t.eq_ignore_ascii_case(&named))
}

/// A key of random bytes.
pub(super) fn new_key() -> SecretString {
    format!("{KEY}{}", STANDARD.encode(crypto::random_bytes())).into()
}

/// What proves that a notice is ours, and when it was sent; `None`: that is no key.
fn signature(key: &SecretString, id: &NoticeId, timestamp: &str, body: &str) -> Option<String> {
    let key = key.expose_secret().strip_prefix(KEY)?;
    let key = STANDARD.decode(key).ok()?;
    let parts = [id.as_str(), ".", timestamp, ".", body].map(str::as_bytes);
    let signature = crypto::hmac_sha256(&key, &parts);
    Some(format!("v1,{}", STANDARD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_go_to_public_addresses_by_https_or_to_trusted_hosts() {
        let trusted = ["hooks.internal:8080".to_owned()];
        let check = |url: &str, expected: bool| {
            assert_eq!(address(url, &trusted).is_some(), expected, "{url}");
        };
        check("https://hooks.example/vcc?account=acme", true);
        check("https://8.8.8.8:8443/", true);
        check("http://hooks.internal:8080/x", true);
        for no in [
            "http://hooks.example/",
            "https://hooks.internal:8080@127.0.0.1/",
            "http://hooks.internal/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/latest/meta-data",
            "https://user@hooks.example/",
            "https://hooks.example/#x",
            "ftp://hooks.example/",
            "hooks.example",
            "",
        ] {
            check(no, false);
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let webhooks = Webhooks::new(Vec::new()).expect("a client");
        let (url, key) = ("https://localhost/", &new_key());
        let id = "n1".parse().expect("an id");
        let webhook = Webhook { url, key };
        let sent = webhooks
            .send(webhook, &id, String::new(), DateTime::UNIX_EPOCH)
            .await;
        assert_eq!(sent, Err(DeliveryFault::NotPublic));
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().expect("an id");
        let signed = signature(&key, &id, "1614265330", r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed.as_deref(), Some(expected));
    }
}
