//! Encryption and authentication, and how they become librdkafka's settings.

use std::path::PathBuf;

use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;
use crate::domain::private::masked_option;

/// Encryption and authentication.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub protocol: Protocol,
    /// PEM file of the authorities that sign the brokers' certificates; the system's if not set.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate, for brokers that ask for one.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    /// The user.
    pub username: Option<String>,
    /// The password.
    #[serde(serialize_with = "masked_option")]
    pub password: Option<SecretString>,
}

/// How clients talk to brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// Encrypted.
    Ssl,
    /// Authenticated only.
    SaslPlaintext,
    /// Both.
    SaslSsl,
}

impl Security {
    /// Collects what is wrong with these settings.
    pub(super) fn validate(&self, faults: &mut Vec<Fault>) {
        let mut fault = |setting: &str, advice: &str| {
            faults.push(Fault::new(format!("kafka.security.{setting}"), advice));
        };
        let sasl = matches!(self.protocol, Protocol::SaslPlaintext | Protocol::SaslSsl);
        let mechanism = self.sasl_mechanism.as_deref().unwrap_or_default();
        if sasl && !matches!(mechanism, "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") {
            fault(
                "sasl_mechanism",
                "write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
            );
        }
        if sasl && (self.username.is_none() || self.password.is_none()) {
            fault(
                "username",
                "SASL needs a user name and a password; the password best by the environment, VCC_LINK_KAFKA__SECURITY__PASSWORD",
            );
        }
        if !sasl && (self.sasl_mechanism.is_some() || self.password.is_some()) {
            fault(
                "protocol",
                "write sasl_ssl (or sasl_plaintext), or leave the SASL settings out",
            );
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            fault(
                "certificate_file",
                "a certificate and its key go together: set both or none",
            );
        }
        let files = [
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ];
        for (setting, file) in files {
            if file.as_ref().is_some_and(|path| !path.is_file()) {
                fault(setting, "there is no such file, or it cannot be read");
            }
        }
    }

    /// Sets librdkafka's.
    pub(super) fn apply(&self, client: &mut ClientConfig) {
        let protocol = match self.protocol {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        let files = [
            ("ssl.ca.location", &self.ca_file),
            ("ssl.certificate.location", &self.certificate_file),
            ("ssl.key.location", &self.key_file),
        ];
        for (name, file) in files {
            if let Some(path) = file {
                client.set(name, path.to_string_lossy());
            }
        }
        let texts = [
            ("sasl.mechanisms", self.sasl_mechanism.as_deref()),
            ("sasl.username", self.username.as_deref()),
            (
                "sasl.password",
                self.password.as_ref().map(ExposeSecret::expose_secret),
            ),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                client.set(name, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(security: &Security) -> Vec<String> {
        let mut faults = Vec::new();
        security.validate(&mut faults);
        faults.into_iter().map(|f| f.setting).collect()
    }

    #[test]
    fn half_set_security_is_told() {
        assert!(faults(&Security::default()).is_empty());
        let sasl = Security {
            protocol: Protocol::SaslSsl,
            ..Security::default()
        };
        let told = ["kafka.security.sasl_mechanism", "kafka.security.username"];
        assert_eq!(faults(&sasl), told);
        let forgotten = Security {
            password: Some("secret".into()),
            key_file: Some("/nowhere".into()),
            ..Security::default()
        };
        let told = [
            "kafka.security.protocol",
            "kafka.security.certificate_file",
            "kafka.security.key_file",
        ];
        assert_eq!(faults(&forgotten), told);
    }

    #[test]
    fn the_password_is_never_printed() {
        let security = Security {
            password: Some("tops3cret".into()),
            ..Security::default()
        };
        assert!(!format!("{security:?}").contains("tops3cret"));
    }
}
