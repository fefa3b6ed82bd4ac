//! Before the start of the admins' pages: are their settings fit for the internet?

use super::{Finding, chain};
use crate::config::Config;
use crate::http::sidecar::portal::published_keys;

/// More requests per minute of one browser than a person and their pages make.
const FEW: u32 = 1_200;

/// What there is to say of the pages, if there are any. `production` also looks at what is allowed
/// on one machine.
pub(super) async fn findings(config: &Config, production: bool) -> Vec<Finding> {
    if !config.sidecar.is_on() {
        let off = Finding::ok("sidecar", "is off: sidecar.public_url is empty");
        return vec![off];
    }
    let mut findings = vec![portal(config).await];
    if production {
        findings.extend(exposed(config));
    }
    findings
}

/// Whose signatures let somebody in.
async fn portal(config: &Config) -> Finding {
    const ABOUT: &str = "sidecar.portal";
    let portal = &config.sidecar.portal;
    if portal.shares_a_key() {
        let says = "tokens are signed by a shared key (HS256): whoever reads it can sign somebody \
                    in; with jwks_url there is nothing here to read";
        return Finding::ok(ABOUT, says);
    }
    match published_keys(portal).await {
        Ok(0) => Finding::bad(
            ABOUT,
            "jwks_url answers without a key for RS256 or ES256: nobody can enter",
        ),
        Ok(keys) => Finding::ok(ABOUT, format!("publishes {keys} keys for RS256 or ES256")),
        Err(error) => Finding::bad(
            ABOUT,
            format!("jwks_url cannot be read: {}", chain(error.as_ref())),
        ),
    }
}

/// What browsers meet.
fn exposed(config: &Config) -> Vec<Finding> {
    let sidecar = &config.sidecar;
    let https = |about: &str, address: &str| {
        if address.starts_with("https:") {
            Finding::ok(about, "is https")
        } else {
            Finding::bad(
                about,
                "write an https address: http is for this machine alone",
            )
        }
    };
    let mut findings = vec![
        https("sidecar.public_url", &sidecar.public_url),
        https("sidecar.entry_origin", sidecar.entry_origin()),
        Finding::ok(
            "sidecar's cookies",
            format!(
                "are sealed by the key {}, and hold {} h at most",
                config.crypto.primary,
                sidecar.session_for.as_secs().div_ceil(3600)
            ),
        ),
    ];
    if !sidecar.portal.shares_a_key() {
        findings.push(https("sidecar.portal.jwks_url", &sidecar.portal.jwks_url));
    }
    findings.push(match sidecar.requests_per_minute {
        0..=FEW => Finding::ok(
            "sidecar.requests_per_minute",
            "keeps one browser from taking all",
        ),
        _ => Finding::bad(
            "sidecar.requests_per_minute",
            format!("write {FEW} at most: one browser or program could take all"),
        ),
    });
    findings.push(if sidecar.proxies == 0 {
        let advice = "write how many proxies stand in front: the pages speak no TLS themselves, and \
                      all who come by one would count as one address";
        Finding::bad("sidecar.proxies", advice)
    } else {
        Finding::ok("sidecar.proxies", "tells visitors apart")
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found wrong with these settings of the sidecar, by name.
    async fn wrong(settings: &str) -> Vec<String> {
        let config = Config::from_toml(&format!("[sidecar]\n{settings}")).expect("settings");
        let mut found = findings(&config, true).await;
        found.retain(|finding| !finding.ok);
        found.into_iter().map(|finding| finding.about).collect()
    }

    #[tokio::test]
    async fn what_is_fit_for_one_machine_alone_is_told_by_name() {
        assert_eq!(wrong("").await, Vec::<String>::new(), "it is off");
        let good = "public_url = \"https://links.example\"\nproxies = 1\n\
                    entry_origin = \"https://portal.example\"\n\
                    portal.shared_key = \"0123456789abcdef0123456789abcdef\"";
        assert_eq!(wrong(good).await, Vec::<String>::new());
        let bad = "public_url = \"http://localhost\"\nrequests_per_minute = 100000\n\
                   portal.jwks_url = \"http://127.0.0.1:1/keys\"";
        let expected = [
            "sidecar.portal",
            "sidecar.public_url",
            "sidecar.entry_origin",
            "sidecar.portal.jwks_url",
            "sidecar.requests_per_minute",
            "sidecar.proxies",
        ];
        assert_eq!(wrong(bad).await, expected);
    }
}
