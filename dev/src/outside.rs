//! What vcc-link deals with: Salesforce and Kafka, both in this process.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use salesforce_simulator::broker::Broker;
use salesforce_simulator::{Config, Control, Running, Simulator};
use serde_json::{Map, Value};

use crate::call::Run;
use crate::world::{Account, World};

/// The outside world. Salesforce and Kafka live in memory: both are new with every run.
pub(crate) struct Outside {
    salesforce: Running,
    /// Kept, because the broker ends with it.
    _broker: Broker,
    /// Kafka's address.
    pub(crate) kafka: String,
    pub(crate) topics: Topics,
}

/// The names of the topics. New ones for each run: vcc-link remembers how far it has read a topic,
/// and would miss what is in another of the same name.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) calls: String,
    pub(crate) call_logs: String,
    pub(crate) link_status: String,
    pub(crate) quarantine: String,
}

/// What is really there at Salesforce.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    /// Tasks that were made.
    pub(crate) tasks: u64,
    /// API calls, as Salesforce counts them against an org's limit.
    pub(crate) api_calls: u64,
}

impl Outside {
    /// Starts both. Port 0: any.
    pub(crate) async fn start(
        world: &World,
        run: Run,
        port: u16,
        callback: &str,
    ) -> anyhow::Result<Self> {
        let salesforce = Simulator::start(Config {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            https: None,
            seed: world.seed(callback)?,
            ..Config::default()
        });
        let salesforce = salesforce.await.with_context(|| {
            format!("the Salesforce simulator cannot start; if port {port} is taken, choose another with --salesforce-port")
        })?;
        let broker = Broker::start()?;
        let topics = Topics {
            calls: run.name("vcc.calls"),
            call_logs: run.name("vcc.call-logs"),
            link_status: run.name("vcc.link-status"),
            quarantine: run.name("vcc.calls.quarantine"),
        };
        for topic in [
            &topics.calls,
            &topics.call_logs,
            &topics.link_status,
            &topics.quarantine,
        ] {
            broker.create_topic(topic)?;
        }
        Ok(Self {
            kafka: broker.address()?,
            salesforce,
            _broker: broker,
            topics,
        })
    }

    /// Salesforce's address.
    pub(crate) fn salesforce(&self) -> String {
        self.salesforce.base_url()
    }

    /// A refresh token for an account's API user, as if its admin had approved vcc-link.
    pub(crate) fn approve(&self, account: &Account) -> anyhow::Result<String> {
        Ok(self.control().approve(&account.api_user())?)
    }

    /// Takes all tokens of an account's API user away, as its admin could.
    pub(crate) fn revoke(&self, account: &Account) -> anyhow::Result<()> {
        let revoke = Map::from_iter([("revoke_tokens".to_owned(), Value::Bool(true))]);
        self.control().patch_user(&account.api_user(), revoke)?;
        Ok(())
    }

    /// What Salesforce has counted so far.
    pub(crate) fn counted(&self) -> Counted {
        let orgs = self.control().counters();
        let each = orgs.values().map(|org| (org.tasks_created, org.api_calls));
        each.fold(Counted::default(), |sum, (tasks, api_calls)| Counted {
            tasks: sum.tasks + tasks,
            api_calls: sum.api_calls + api_calls,
        })
    }

    /// The ids of the calls that have a Task: one for each Task.
    pub(crate) fn logged_calls(&self) -> anyhow::Result<Vec<String>> {
        let tasks = self.control().tasks(None)?;
        let key = |task: &Value| task["CallObject"].as_str().map(str::to_owned);
        // An admin's test has a key of another kind.
        let id = |key: String| Some(key.strip_prefix("vcc:")?.rsplit_once(':')?.1.to_owned());
        Ok(tasks.iter().filter_map(key).filter_map(id).collect())
    }

    /// Calls that have more than one Task.
    pub(crate) fn duplicates(&self) -> usize {
        self.control().duplicates("CallObject").len()
    }

    /// Ends Salesforce, and Kafka with it.
    pub(crate) async fn stop(self) {
        self.salesforce.stop().await;
    }

    fn control(&self) -> Control {
        self.salesforce.control()
    }
}
