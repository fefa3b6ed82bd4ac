//! The settings that vcc-link runs with here.

use crate::outside::Outside;
use crate::state::State;

/// The settings file's name.
pub(crate) const FILE: &str = "vcc-link.toml";

/// Where the database is.
fn path_of(state: &State) -> anyhow::Result<String> {
    let path = state.file("vcc-link.db").into_os_string().into_string();
    path.map_err(|path| {
        anyhow::anyhow!(
            "the name {} is no UTF-8; choose another folder with --state",
            path.display()
        )
    })
}

/// A text in quotes: JSON's are TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The ports that vcc-link serves on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Its operations pages.
    pub(crate) operations: u16,
    /// The admins' pages.
    pub(crate) admins: u16,
}

impl Ports {
    /// Where the admins' pages are.
    pub(crate) fn admins(self) -> String {
        format!("http://127.0.0.1:{}", self.admins)
    }
}

/// The settings as a file's text.
pub(crate) fn of(state: &State, outside: &Outside, ports: Ports) -> anyhow::Result<String> {
    let salesforce = outside.salesforce();
    let host = salesforce.trim_start_matches("http://");
    let topics = &outside.topics;
    Ok(format!(
        r#"# Written by `make run`, anew each time. The example file of the project tells every setting.

[store]
url = {store}

[kafka]
brokers = "{kafka}"

# The broker lives as long as a run, and so do its topics.
[kafka.topics]
calls = ["{calls}"]
call_logs = "{call_logs}"
link_status = "{link_status}"
quarantine = "{quarantine}"

[salesforce]
client_id = "sim-client-id"
client_secret = "sim-client-secret"
production_url = "{salesforce}"
sandbox_url = "{salesforce}"
# A simulator: in production nobody is trusted but Salesforce.
trusted_hosts = ["{host}"]

[crypto]
primary = "make-run"
keys = [{{ id = "make-run", key = "{key}" }}]

[http]
listen = "127.0.0.1:{port}"

[linking]
callback_url = "{admins}/callback"

[sidecar]
listen = "127.0.0.1:{admins_port}"
public_url = "{admins}"

[sidecar.portal]
issuer = "make-run"
shared_key = "{key}"
"#,
        port = ports.operations,
        admins = ports.admins(),
        admins_port = ports.admins,
        store = quoted(&format!("sqlite:{}", path_of(state)?)),
        kafka = outside.kafka,
        calls = topics.calls,
        call_logs = topics.call_logs,
        link_status = topics.link_status,
        quarantine = topics.quarantine,
        key = state.key()?,
    ))
}
