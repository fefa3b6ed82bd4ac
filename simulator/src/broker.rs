//! A Kafka broker within the process, for one machine: librdkafka's mock cluster, tuned.
//!
//! It speaks Kafka's protocol on a port, so every client can use it, `kcat` too. What it cannot do,
//! and nothing here hides:
//!
//! - It lives in memory, and ends with its [`Broker`]: topics, records and committed offsets.
//! - It keeps 5 MiB and 100,000 batches of each partition, and **drops the oldest silently**.
//!   Producers pace themselves by what was consumed; many partitions make that easy ([`PARTITIONS`]).
//! - It listens on 127.0.0.1 alone, on a port that cannot be chosen, without TLS or passwords.
//! - It has no Admin API: topics are made by [`Broker::create_topic`], or with four partitions by
//!   whoever asks for them first.
//! - It does not compact, and it shows aborted transactions to everybody.

use anyhow::Context as _;
use rdkafka::bindings::{
    rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms,
};
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer as _};

/// Partitions of every topic: at 5 MiB each, 240 MiB of a topic are kept.
pub const PARTITIONS: i32 = 48;

/// A running broker; dropped, it is gone.
pub struct Broker {
    /// The client that owns the cluster. It sends nothing itself.
    owner: BaseProducer,
}

impl Broker {
    /// Starts a broker on a free port.
    pub fn start() -> anyhow::Result<Self> {
        let owner: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .create()
            .context("the broker cannot be started")?;
        let broker = Self { owner };
        broker.cluster()?;
        form_groups_at_once(broker.owner.client());
        Ok(broker)
    }

    /// Its address, for `bootstrap.servers`: `127.0.0.1:<port>`.
    pub fn address(&self) -> anyhow::Result<String> {
        Ok(self.cluster()?.bootstrap_servers())
    }

    /// Makes a topic of [`PARTITIONS`] partitions. One that exists already is an error.
    pub fn create_topic(&self, name: &str) -> anyhow::Result<()> {
        self.cluster()?
            .create_topic(name, PARTITIONS, 1)
            .with_context(|| format!("the topic {name} cannot be made"))
    }

    fn cluster(&self) -> anyhow::Result<MockCluster<'_, DefaultProducerContext>> {
        let cluster = self.owner.client().mock_cluster();
        cluster.context("this librdkafka has no mock cluster")
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

/// Lets a consumer group begin with its first member, instead of waiting three seconds for others.
#[expect(
    unsafe_code,
    reason = "rdkafka wraps every function of the mock cluster that is used here but this one"
)]
fn form_groups_at_once(owner: &Client<DefaultProducerContext>) {
    // SAFETY: the pointers are the client's own, which is alive, and which was made with a cluster:
    // the caller has looked.
    unsafe {
        let cluster = rd_kafka_handle_mock_cluster(owner.native_ptr());
        rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
    }
}
