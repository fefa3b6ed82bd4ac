//! Which hosts may be told a token. `instance_url` comes with each refresh and a login address from
//! an admin: neither is taken on trust.

use url::Url;

/// Salesforce's own domains: hosts that are one of these or lie below one.
const SALESFORCE_DOMAINS: [&str; 4] = [
    "salesforce.com",
    "salesforce.mil",
    "sfcrmproducts.cn",
    "cloudforce.com",
];

/// The URL, if a token may be sent there: https at a domain of Salesforce, or a host that the
/// settings name. `lightning.force.com` serves pages, not the API, and is not among them.
pub(crate) fn trusted(url: &str, hosts: &[String]) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let named = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let http = matches!(url.scheme(), "http" | "https");
    if http && hosts.iter().any(|h| h.eq_ignore_ascii_case(&named)) {
        return Some(url);
    }
    let below = |domain: &&str| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let own = SALESFORCE_DOMAINS.iter().any(below);
    (url.scheme() == "https" && url.port().is_none() && own).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_salesforce_only() {
        let hosts = ["127.0.0.1:8080".to_owned(), "sf.test".to_owned()];
        let check = |url: &str, expected: bool| {
            assert_eq!(trusted(url, &hosts).is_some(), expected, "{url}");
        };
        check("https://acme.my.salesforce.com", true);
        check("https://acme--dev.sandbox.my.salesforce.com/", true);
        check("https://login.salesforce.com", true);
        check("http://127.0.0.1:8080", true);
        check("https://sf.test", true);
        check("http://127.0.0.1:8081", false);
        check("http://acme.my.salesforce.com", false);
        check("https://acme.my.salesforce.com:8443", false);
        check("https://evilsalesforce.com", false);
        check("https://salesforce.com.evil.example", false);
        check("https://user@login.salesforce.com", false);
        check("https://acme.lightning.force.com", false);
        check("file:///etc/passwd", false);
        check("not a url", false);
    }
}
