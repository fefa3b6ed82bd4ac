//! Settings: every fault is listed, with what to write.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use vcc_link::config::{self, Config, EXAMPLE, Faults, Settings};

/// What has no default and must be given: a working value for each. A secret among them is `s3cret`
/// or the key below.
const NEEDED: &[(&str, &str)] = &[
    ("VCC_LINK_SALESFORCE__CLIENT_ID", "3MVG9"),
    ("VCC_LINK_SALESFORCE__CLIENT_SECRET", "c2VjcmV0"),
    (
        "VCC_LINK_STORE__URL",
        "postgres://vcc:c2VjcmV0@localhost/vcc",
    ),
    ("VCC_LINK_CRYPTO__PRIMARY", "2026"),
    (
        "VCC_LINK_CRYPTO__KEYS",
        "[{ id = \"2026\", key = \"c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=\" }]",
    ),
];

/// The key's text, to be found nowhere.
const KEY: &str = "c2VjcmV0";

/// Loads the needed settings, with others over them.
fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Settings, Faults> {
    let folder = tempfile::tempdir().expect("a folder");
    let path: Option<PathBuf> = file.map(|text| {
        let path = folder.path().join("vcc-link.toml");
        std::fs::write(&path, text).expect("a file");
        path
    });
    let variables: BTreeMap<String, String> = NEEDED
        .iter()
        .chain(environment)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    config::load(path.as_deref(), variables)
}

/// The faults, each as it is shown.
fn faults(file: Option<&str>, environment: &[(&str, &str)]) -> Vec<String> {
    let faults = load(file, environment).expect_err("these settings are wrong");
    faults.iter().map(ToString::to_string).collect()
}

/// The value of a setting in effect.
fn in_effect(settings: &Settings, name: &str) -> String {
    let lines = settings.lines();
    let line = lines.iter().find(|line| line.setting == name);
    line.unwrap_or_else(|| panic!("no setting {name}"))
        .to_string()
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[telemetry]\nlog_filter = \"debug\"\n";
    let settings = load(Some(file), &[("VCC_LINK_HTTP__LISTEN", "127.0.0.1:2")]);
    let settings = settings.expect("these settings are right");
    let listen = in_effect(&settings, "http.listen");
    assert_eq!(
        listen,
        "http.listen = \"127.0.0.1:2\"  # VCC_LINK_HTTP__LISTEN"
    );
    let filter = in_effect(&settings, "telemetry.log_filter");
    assert!(
        filter.starts_with("telemetry.log_filter = \"debug\"  # /"),
        "{filter}"
    );
    let format = in_effect(&settings, "telemetry.log_format");
    assert_eq!(format, "telemetry.log_format = \"text\"");
}

#[test]
fn every_fault_is_told_at_once() {
    let file = "
        [http]
        listen = \"localhost\"
        lisen = \"127.0.0.1:1\"
        request_timeout = 5
        [telemetry]
        log_format = \"xml\"
        trace_share = \"half\"
        listen = \"127.0.0.1:1\"
        [htp]
    ";
    let environment = [
        ("VCC_LINK_TELEMETRY__OTLP_INTERVAL", "0s"),
        ("VCC_LINK_HTTP_LISTEN", "127.0.0.1:1"),
        ("VCC_LINK_SIDECAR_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    insta::assert_snapshot!(faults(Some(file), &environment).join("\n"), @r#"
    VCC_LINK_HTTP_LISTEN: no setting has this name; write VCC_LINK_HTTP__LISTEN
    htp: there is no such setting; did you mean `http`?
    http.lisen: there is no such setting; did you mean `listen`?
    http.listen: write an address with a port, like "127.0.0.1:9464"
    http.request_timeout: write a duration like "30s", "5m" or "1h 30m", not a whole number
    telemetry.listen: there is no such setting; did you mean `http.listen`?
    telemetry.log_format: write one of: text, json
    telemetry.trace_share: write a number, not this text
    telemetry.otlp_interval: write at least "1s"
    "#);
}

#[test]
fn an_element_of_a_list_is_named_and_nothing_follows_from_it() {
    let keys = [(
        "VCC_LINK_CRYPTO__KEYS",
        "[{ id = \"2026\", kez = \"c2VjcmV0\" }, 7]",
    )];
    insta::assert_snapshot!(faults(None, &keys).join("\n"), @"crypto.keys[0].kez: there is no such setting; did you mean `key`?");
}

#[test]
fn digits_are_text_where_text_is_wanted_and_a_number_where_a_number_is() {
    let settings = load(None, &[("VCC_LINK_TELEMETRY__TRACE_SHARE", "0.5")]);
    let settings = settings.expect("these settings are right");
    assert_eq!(settings.config.crypto.primary, "2026");
    assert!((settings.config.telemetry.trace_share - 0.5).abs() < f64::EPSILON);
}

#[test]
fn the_sidecar_says_what_it_needs_once_there_are_pages() {
    let file = "
        [sidecar]
        public_url = \"https://links.example/path\"
        portal_origin = \"portal.example\"
        machines = [{ name = \"a\", sha256 = \"plain\", role = \"admin\", accounts = [] }]
        [sidecar.portal]
        shared_key = \"c2VjcmV0\"
    ";
    insta::assert_snapshot!(faults(Some(file), &[]).join("\n"), @r#"
    sidecar.public_url: write where browsers find the pages, without a path: "https://links.example", or http on this machine
    sidecar.portal_origin: write the portal's origin, without a path: "https://portal.example"
    sidecar.machines[0].sha256: write the SHA-256 of the token, 64 hexadecimal digits: `printf %s "$TOKEN" | sha256sum`
    sidecar.machines[0].accounts: write the accounts that it may see, or ["*"]
    sidecar.portal.issuer: write the `iss` of the portal's tokens
    sidecar.portal.shared_key: write 32 characters or more: `openssl rand -base64 32`
    "#);
    let file = "
        [sidecar]
        public_url = \"https://links.example\"
        [sidecar.portal]
        issuer = \"https://portal.example\"
        [linking]
        callback_url = \"https://links.example/elsewhere\"
    ";
    insta::assert_snapshot!(faults(Some(file), &[]).join("\n"), @r#"
    sidecar.entry_origin: write the origin of the page that sends users over, like "https://portal.example": any page could otherwise put a visitor into a session that is not theirs
    sidecar.portal.jwks_url: write where the portal's public keys are, or a shared_key of 32 characters or more: nobody can enter otherwise
    linking.callback_url: write "https://links.example/callback", and the same in the app at Salesforce: there the sidecar takes browsers back
    "#);
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_a_fault() {
    let told = faults(
        Some("[crypto]\nkeys = [{ id = \"a\", key = \"c2VjcmV0 }]\n"),
        &[],
    );
    assert!(
        told[0].contains("vcc-link.toml line 2: this is no TOML"),
        "{told:?}"
    );
    assert!(!told[0].contains(KEY), "{told:?}");
    let absent = config::load(Some("absent.toml".as_ref()), []).expect_err("no such file");
    assert!(
        absent.to_string().contains("absent.toml: cannot be read"),
        "{absent}"
    );
}

#[test]
fn no_secret_is_shown() {
    let settings = load(None, &[]).expect("these settings are right");
    let shown: String = settings.lines().iter().map(ToString::to_string).collect();
    assert!(shown.contains("***"));
    assert!(!shown.contains(KEY), "{shown}");
    assert!(!format!("{:?}", settings.config).contains(KEY));
    let wrong = [
        (
            "VCC_LINK_CRYPTO__KEYS",
            "[{ id = \"2026\", key = \"c2VjcmV0\" }]",
        ),
        ("VCC_LINK_CRYPTO__PRIMARY", "[\"c2VjcmV0\"]"),
    ];
    let shown = load(None, &wrong)
        .expect_err("these settings are wrong")
        .to_string();
    assert!(!shown.contains(KEY), "{shown}");
}

#[test]
fn the_example_names_every_setting_with_its_default_and_a_word_on_it() {
    let example = Config::from_toml(EXAMPLE).unwrap_or_else(|faults| panic!("{faults:?}"));
    let lines = |config: &Config| -> Vec<String> {
        config.lines().iter().map(ToString::to_string).collect()
    };
    let (example, defaults) = (lines(&example), lines(&Config::default()));
    for (written, default) in example.iter().zip(&defaults) {
        assert_eq!(
            written, default,
            "the example has a value that is not the default"
        );
    }
    assert_eq!(example.len(), defaults.len());
    let tree = serde_json::to_value(Config::default()).expect("settings are JSON");
    assert_documented("", &tree);
}

/// The lines of a section of the example, from its header on.
fn section_of(example: &str, section: &str) -> Vec<String> {
    let mut within = false;
    let mut lines = Vec::new();
    for line in example.lines() {
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            within = header == section;
        }
        if within {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Requires a line for each field of a section, under a comment.
fn assert_documented(section: &str, fields: &Value) {
    let lines = section_of(EXAMPLE, section);
    for (field, value) in fields.as_object().into_iter().flatten() {
        let name = if section.is_empty() {
            field.clone()
        } else {
            format!("{section}.{field}")
        };
        // What has no default cannot stand there with one: it stands as a comment.
        let key = if value.is_null() {
            format!("# {field} =")
        } else {
            format!("{field} =")
        };
        let written = lines.iter().position(|line| line.starts_with(&key));
        match written {
            Some(line) => {
                assert!(
                    line > 0 && lines[line - 1].starts_with('#'),
                    "{name} has no comment"
                );
            }
            None if value.is_object() => assert_documented(&name, value),
            None => panic!(
                "deploy/vcc-link.example.toml lacks, in [{section}]:\n# …\n{field} = {value}"
            ),
        }
    }
}
