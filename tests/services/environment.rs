//! What `make test` says about its services in the environment, and that they are what the other tests count on.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _};
use sqlx::Connection as _;

const PATIENCE: Duration = Duration::from_secs(30);

/// What the services' script exports under this name.
pub(crate) fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set. `make test` starts the services; by hand: \
             scripts/services/services.sh run cargo test --features failpoints --test services"
        )
    })
}

/// A client of the plain listener.
pub(crate) fn kafka() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", service("VCC_LINK_TEST_KAFKA"));
    config
}

/// A client of the listener that wants TLS and a password.
pub(crate) fn kafka_sasl_ssl(mechanism: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", service("VCC_LINK_TEST_KAFKA_SASL_SSL"))
        .set("security.protocol", "SASL_SSL")
        .set("ssl.ca.location", service("VCC_LINK_TEST_KAFKA_CA"))
        .set("sasl.mechanisms", mechanism)
        .set("sasl.username", service("VCC_LINK_TEST_KAFKA_USER"))
        .set("sasl.password", service("VCC_LINK_TEST_KAFKA_PASSWORD"));
    config
}

/// Makes a topic; tests choose a name of their own, as they share the broker.
pub(crate) async fn create_topic(name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = kafka().create().expect("an admin client");
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let results = admin
        .create_topics([&topic], &options)
        .await
        .expect("an answer from Kafka");
    for result in results {
        result.expect("the topic is made");
    }
}

#[test]
fn both_listeners_answer() {
    for config in [
        kafka(),
        kafka_sasl_ssl("SCRAM-SHA-512"),
        kafka_sasl_ssl("PLAIN"),
    ] {
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
        assert_eq!(metadata.brokers().len(), 1);
    }
}

#[test]
fn a_wrong_password_is_refused() {
    let mut config = kafka_sasl_ssl("SCRAM-SHA-512");
    config.set("sasl.password", "wrong");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    assert!(
        consumer
            .fetch_metadata(None, Duration::from_secs(2))
            .is_err()
    );
}

/// What a foreign client writes, we read: key, headers, value.
#[tokio::test]
async fn kafkas_own_producer_reaches_us() {
    create_topic("environment", 1).await;
    produce_with_kafkas_own_tool("environment", "ce_id:1,ce_type:call.ended.v1\tcall-1\t{}\n");

    let mut config = kafka();
    config
        .set("group.id", "environment")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&["environment"]).expect("subscribed");
    // A poll also ends, with nothing, when the group has been formed.
    let deadline = Instant::now() + PATIENCE;
    let message = std::iter::repeat_with(|| consumer.poll(PATIENCE))
        .take_while(|_| Instant::now() < deadline)
        .flatten()
        .next()
        .expect("a message in time")
        .expect("no error");
    assert_eq!(message.key(), Some(&b"call-1"[..]));
    assert_eq!(message.payload(), Some(&b"{}"[..]));
    let headers: Vec<_> = message
        .headers()
        .expect("headers")
        .iter()
        .map(|Header { key, value }| (key, value.unwrap_or_default()))
        .collect();
    assert_eq!(
        headers,
        [("ce_id", &b"1"[..]), ("ce_type", &b"call.ended.v1"[..])]
    );
}

/// Lines are `name:value,name:value<tab>key<tab>value`.
pub(crate) fn produce_with_kafkas_own_tool(topic: &str, lines: &str) {
    let mut producer = Command::new("java")
        .args(["-cp", &service("VCC_LINK_TEST_KAFKA_CLASSPATH")])
        .arg("org.apache.kafka.tools.ConsoleProducer")
        .args([
            "--bootstrap-server",
            &service("VCC_LINK_TEST_KAFKA"),
            "--topic",
            topic,
        ])
        .args([
            "--reader-property",
            "parse.key=true",
            "--reader-property",
            "parse.headers=true",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .expect("java runs");
    let mut input = producer.stdin.take().expect("its standard input");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    assert!(producer.wait().expect("it ends").success());
}

#[tokio::test]
async fn postgres_keeps_what_it_acknowledged() {
    let url = service("VCC_LINK_TEST_DATABASE_URL");
    let mut connection = sqlx::PgConnection::connect(&url)
        .await
        .expect("a connection");
    for setting in ["fsync", "synchronous_commit"] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .expect("the setting");
        assert_eq!(value, "on", "{setting}");
    }
}

#[test]
fn prometheus_runs() {
    let binary = service("VCC_LINK_TEST_PROMETHEUS");
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .expect("it starts");
    assert!(output.status.success());
}
