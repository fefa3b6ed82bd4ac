//! A world for some trials of one row: a database, topics, a Salesforce, and the workers.

mod backup;
pub(crate) mod call;
mod feed;
mod group;
mod judge;
mod keys;
mod process;
mod results;
mod settings;
mod staff;
mod standby;
mod topics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{DefaultProducerContext, ThreadedProducer};
use salesforce_simulator::seed::Seed;
use salesforce_simulator::{Config, Control, Rule, Running, Simulator};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

pub(crate) use self::judge::Verdict;
pub(crate) use self::keys::Keys;
pub(crate) use self::process::Own;
use self::process::{Program, Worker};
use self::results::Results;
pub(crate) use self::results::Twice;
pub(crate) use self::topics::admin;
use self::topics::{create_topics, delete_topics, topics};
use crate::proxy::Proxy;
use crate::services::{Service, Services};

/// How long anything may take that is not waiting for calls.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Accounts that are linked: two share each org. `Acme` has a unique field for the key, `Beta` none.
pub(crate) const ACCOUNTS: [&str; 4] = ["acme", "acme-two", "beta", "beta-two"];

/// Contacts that calls may come from.
const KNOWN: [&str; 4] = [
    "+442079460001",
    "+442079460002",
    "+442079460003",
    "+442079460004",
];

/// What a row wants of its worlds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Workers that run at the start of each trial.
    pub(crate) workers: usize,
    /// Settings beyond the usual ones, by their names in the environment.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Reasons with which calls may end in place of a Task.
    pub(crate) reasons: &'static [&'static str],
    /// What may be told twice.
    pub(crate) twice: Twice,
    /// Whether the API users see the Tasks that they make for others.
    pub(crate) sees_all: bool,
    /// Which services it has to itself.
    pub(crate) own: OwnService,
    /// Whether each worker has a clock of its own, which can be set.
    pub(crate) clocks: bool,
}

/// A service that a world has to itself, so that other rows run beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnService {
    /// None: it shares both.
    None,
    /// A PostgreSQL, which the workers reach through the proxy.
    Postgres,
    /// A PostgreSQL that goes by a clock of its own.
    PostgresWithClock,
    /// One on a small disk.
    OnSmallDisk(Service),
}

/// Room for the service and some trials' calls.
const SMALL_DISK: u64 = 256 << 20;

impl Setup {
    /// Two workers, the usual settings, and a Task for every call.
    pub(crate) const USUAL: Self = Self {
        workers: 2,
        environment: &[],
        reasons: &[],
        twice: Twice::Nothing,
        sees_all: true,
        own: OwnService::None,
        clocks: false,
    };
}

/// What was sent of a call.
#[derive(Clone, Debug)]
struct Sent {
    at: Instant,
    started: bool,
    ended: bool,
    /// Reasons with which this call may end, beyond those of the row.
    reasons: &'static [&'static str],
}

/// The world.
pub(crate) struct World {
    pub(crate) setup: Setup,
    /// The way to Salesforce, of all workers.
    pub(crate) salesforce: Proxy,
    /// A way to PostgreSQL: of a worker that is to be cut off, and of all where it is the world's own.
    pub(crate) postgres: Proxy,
    pub(crate) program: Program,
    pub(crate) workers: Vec<Worker>,
    /// The name of its database, and of its consumer group.
    pub(crate) name: String,
    simulator: Running,
    results: Results,
    producer: ThreadedProducer<DefaultProducerContext>,
    folder: PathBuf,
    sent: BTreeMap<String, Sent>,
    /// Calls as of the last verdict, and those of them that ended with a reason.
    judged: usize,
    reasons: usize,
    /// How often a used refresh token may have been used again: once for each lost answer.
    pub(crate) reuse_allowed: u64,
    peak: u64,
    logs: usize,
    /// The last to be dropped: a client of a Kafka that is gone never ends.
    pub(crate) services: Arc<Services>,
}

impl World {
    /// A world with linked accounts and running workers. Its logs go to this folder.
    pub(crate) async fn start(
        services: &Arc<Services>,
        setup: Setup,
        vcc_link: &Path,
        folder: PathBuf,
        seed: u64,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("faults_{}", &id[..12]);
        let simulator = Simulator::start(Config {
            seed: orgs(setup.sees_all)?,
            https: None,
            random_seed: seed,
            ..Config::default()
        })
        .await?;
        let to = simulator.base_url().replace("http://", "");
        let salesforce = Proxy::to(to.trim_end_matches('/').to_owned()).await?;
        let services = services_of(services, setup.own).await?;
        let mut port = services.database_port();
        let postgres = Proxy::to(format!("127.0.0.1:{port}")).await?;
        if setup.own == OwnService::Postgres {
            port = postgres.address.port();
        }
        let create = format!("create database {name}");
        services.administer(create).await?;
        create_topics(&services.kafka, &topics(&name)).await?;
        let settings = folder.join("vcc-link.toml");
        let text = settings::of(&settings::Places {
            name: &name,
            database: &database(&services, &name, port),
            kafka: &services.kafka,
            salesforce: &salesforce.address.to_string(),
        });
        std::fs::write(&settings, text)?;
        let mut world = Self {
            results: Results::read(&services.kafka, &topics(&name)[1..], setup.twice)?,
            producer: producer(&services.kafka)?,
            program: Program {
                file: vcc_link.to_owned(),
                settings,
                keys: Keys::only(0),
                environment: setup.environment,
                clocks: setup.clocks,
            },
            services,
            setup,
            salesforce,
            postgres,
            workers: Vec::new(),
            name,
            simulator,
            folder,
            sent: BTreeMap::new(),
            judged: 0,
            reasons: 0,
            reuse_allowed: 0,
            peak: 0,
            logs: 0,
        };
        world.furnish(seed).await?;
        Ok(world)
    }

    /// Makes the tables, links the accounts, and starts the workers. They have partitions, shards and
    /// tokens once the first calls came to their ends.
    async fn furnish(&mut self, seed: u64) -> anyhow::Result<()> {
        // As every pod of a deployment does, at once.
        let migrate = || self.program.call(&["migrate"], "");
        tokio::try_join!(migrate(), migrate(), migrate())?;
        for account in ACCOUNTS {
            self.link(account, &api_user(account)).await?;
        }
        self.staffed().await?;
        self.load(&mut StdRng::seed_from_u64(seed), &ACCOUNTS, 4)?;
        self.settled(PATIENCE).await
    }

    /// Where its logs are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The outside's control.
    pub(crate) fn control(&self) -> Control {
        self.simulator.control()
    }

    /// Adds a fault rule, as the simulator's page writes them.
    pub(crate) fn fault(&self, rule: Value) -> anyhow::Result<()> {
        let rule: Rule = serde_json::from_value(rule)?;
        self.control().add_fault(rule);
        Ok(())
    }

    /// Takes all fault rules away; tells how often they fired.
    pub(crate) fn faults_fired(&self) -> anyhow::Result<u64> {
        let fired = self.control().faults().iter().map(|rule| rule.fired).sum();
        self.control().remove_faults(None)?;
        Ok(fired)
    }

    /// Changes switches of an org.
    pub(crate) fn switch(&self, org: &str, patch: Value) -> anyhow::Result<()> {
        let patch: Map<String, Value> = serde_json::from_value(patch)?;
        self.control().patch_org(org, patch)?;
        Ok(())
    }

    /// Changes an org's API user.
    pub(crate) fn change_user(&self, org: &str, patch: Value) -> anyhow::Result<()> {
        let patch: Map<String, Value> = serde_json::from_value(patch)?;
        self.control().patch_user(&api_user(org), patch)?;
        Ok(())
    }

    /// Links an account to a user's org through the command line, as an operator would.
    pub(crate) async fn link(&self, account: &str, user: &str) -> anyhow::Result<()> {
        let token = self.control().approve(user)?;
        self.program
            .call(&["links", "add", account], &token)
            .await?;
        Ok(())
    }

    /// Changes the database behind vcc-link's back.
    pub(crate) async fn sql(&self, statement: &'static str) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        connection.execute(statement).await?;
        Ok(connection.close().await?)
    }

    /// Keeps a table locked against everybody, until the connection ends.
    pub(crate) async fn lock(&self, table: &str) -> anyhow::Result<PgConnection> {
        let mut connection = self.connect().await?;
        let lock = format!("begin; lock table {table} in access exclusive mode");
        connection.execute(AssertSqlSafe(lock)).await?;
        Ok(connection)
    }

    /// A connection to its database.
    async fn connect(&self) -> anyhow::Result<PgConnection> {
        let port = self.services.database_port();
        let url = database(&self.services, &self.name, port);
        Ok(PgConnection::connect(&url).await?)
    }

    /// Removes what is not in its folder.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        let drop = format!("drop database {} with (force)", self.name);
        self.services.administer(drop).await?;
        delete_topics(&self.services.kafka, &topics(&self.name)).await?;
        self.simulator.stop().await;
        Ok(())
    }
}

/// The services of a world: those of all, or one of its own.
async fn services_of(all: &Arc<Services>, own: OwnService) -> anyhow::Result<Arc<Services>> {
    Ok(match own {
        OwnService::None => Arc::clone(all),
        OwnService::Postgres => Arc::new(all.beside(Service::Postgres, None, false).await?),
        OwnService::PostgresWithClock => Arc::new(all.beside(Service::Postgres, None, true).await?),
        OwnService::OnSmallDisk(service) => {
            Arc::new(all.beside(service, Some(SMALL_DISK), false).await?)
        }
    })
}

/// The user that an account is linked to.
pub(crate) fn api_user(account: &str) -> String {
    let org = account.split('-').next().unwrap_or(account);
    format!("api@{org}.example")
}

/// The pause between two looks at a condition.
pub(crate) async fn tick() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn database(services: &Services, name: &str, port: u16) -> String {
    let mut url = services.database.clone();
    url.set_path(name);
    // It has a host, so that it may have a port.
    let _ = url.set_port(Some(port));
    url.to_string()
}

fn producer(kafka: &str) -> anyhow::Result<ThreadedProducer<DefaultProducerContext>> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("enable.idempotence", "true")
        .create();
    producer.context("calls cannot be sent")
}

/// Two orgs with the same phone book.
fn orgs(sees_all: bool) -> anyhow::Result<Seed> {
    let contact = |phone: &&str| json!({"type": "Contact", "LastName": "Known", "Phone": phone});
    let records: Vec<Value> = KNOWN.iter().map(contact).collect();
    let org = |name: &str, field: Option<&str>| {
        let domain = name.to_lowercase();
        json!({
            "name": name, "my_domain": domain, "task_external_id_field": field,
            "records": records, "private_tasks": !sees_all,
            "users": [
                {"username": format!("api@{domain}.example"), "name": "Api User", "view_all_data": sees_all},
                {"username": format!("other@{domain}.example"), "name": "Other User", "view_all_data": sees_all},
                {"username": format!("ada@{domain}.example"), "email": "ada@acme.example", "name": "Ada Agent"},
            ],
        })
    };
    // Accounts are linked again and again: no approval shall push another out.
    let app = json!({"approvals": 1_000_000});
    let seed =
        json!({"app": app, "orgs": [org("Acme", Some("VCC_Call_Key__c")), org("Beta", None)]});
    Ok(serde_json::from_value(seed)?)
}
