//! What vcc-link runs with here: production's defaults, with minutes made seconds.

/// What differs from world to world.
pub(super) struct Places<'a> {
    pub(super) name: &'a str,
    pub(super) database: &'a str,
    pub(super) kafka: &'a str,
    /// Salesforce's host and port.
    pub(super) salesforce: &'a str,
}

/// Ten minutes become three seconds, an hour of waiting a second or two. The relations between
/// them are production's.
pub(super) const HURRIED: &str = r#"
[dispatch]
send_within = "1500ms"
[engine.batching]
linger = "200ms"
longest_linger = "1s"
full_linger = "2s"
unmatched_after = "6s"
[engine.memory]
poll = "1s"
recheck = "5s"
[engine.retry]
tasks = { first = "200ms", longest = "2s" }
lookups = { first = "100ms", longest = "1s" }
attempts = 8
at_least_for = "30s"
[engine.reconcile]
first_look = "400ms"
final_after = "3s"
clock_margin = "300ms"
repeat = "400ms"
previous_org_patience = "8s"
[engine.pacing]
breaker = { first = "200ms", longest = "1s" }
quota_probe = "1s"
quota_park_after = "3s"
[engine.links]
refresh = { first = "200ms", longest = "1s" }
refused_for = "10s"
storm_links = 1000
unpark_every = "200ms"
refused_every = "1s"
unlink_grace = "2s"
[leases]
ttl = "3s"
heartbeat = "700ms"
[linking]
refresh_send_within = "2s"
"#;

/// The settings of a world.
pub(super) fn of(places: &Places<'_>) -> String {
    let Places {
        name,
        database,
        kafka,
        salesforce,
    } = places;
    format!(
        r#"
[store]
url = "{database}"
max_connections = 6
idle_in_transaction_timeout = "1s"
refresh_answer_timeout = "5s"
[kafka]
brokers = "{kafka}"
group = "{name}"
session_timeout = "4s"
delivery_timeout = "2s"
[kafka.topics]
calls = ["{name}.calls"]
call_logs = "{name}.logs"
link_status = "{name}.status"
quarantine = "{name}.quarantine"
[salesforce]
client_id = "sim-client-id"
client_secret = "sim-client-secret"
production_url = "http://{salesforce}"
trusted_hosts = ["{salesforce}"]
connect_timeout = "1s"
request_timeout = "4s"
token_timeout = "4s"
[http]
listen = "127.0.0.1:0"
[telemetry]
log_format = "json"
log_filter = "info,vcc_link=debug"
{HURRIED}"#
    )
}
