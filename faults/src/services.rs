//! Kafka and PostgreSQL of our own, which are stopped, killed and started again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::net::TcpStream;
use tokio::process::Command;
use url::Url;

use crate::clock::Clock;
use crate::disk::Disk;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Kafka,
    Postgres,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
        }
    }
}

/// Both services, or one beside another's; what is its own is killed when dropped.
pub(crate) struct Services {
    /// The small disk that one of them is on.
    disk: Option<Disk>,
    /// The clock that one of them goes by.
    clock: Option<Clock>,
    folder: tempfile::TempDir,
    /// Where Kafka is: "host:port".
    pub(crate) kafka: String,
    /// Where PostgreSQL is, with a user who may make databases.
    pub(crate) database: Url,
}

impl Services {
    /// Starts both.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut services = Self::nowhere()?;
        services.again(Service::Kafka).await?;
        services.read_kafka()?;
        services.again(Service::Postgres).await?;
        services.read_database()?;
        Ok(services)
    }

    /// Starts another of this service, on a small disk if so many bytes are told, and by a clock of its
    /// own; the other service is the same.
    pub(crate) async fn beside(
        &self,
        own: Service,
        disk: Option<u64>,
        clock: bool,
    ) -> anyhow::Result<Self> {
        let mut services = Self::nowhere()?;
        services.kafka.clone_from(&self.kafka);
        services.database.clone_from(&self.database);
        if let Some(bytes) = disk {
            let data = services.folder.path().join(own.name()).join("data");
            services.disk = Some(Disk::mount(data, bytes, own == Service::Postgres)?);
        }
        if clock {
            let file = services.folder.path().join("clock");
            services.clock = Some(Clock::new(file)?);
        }
        services.again(own).await?;
        match own {
            Service::Kafka => services.read_kafka()?,
            Service::Postgres => services.read_database()?,
        }
        Ok(services)
    }

    /// Starts a standby of this PostgreSQL, beside the same Kafka.
    pub(crate) async fn standby(&self) -> anyhow::Result<Self> {
        let mut standby = Self::nowhere()?;
        standby.kafka.clone_from(&self.kafka);
        let primary = self.folder.path().as_os_str();
        standby.script(&["follow"], &[primary], None).await?;
        standby.read_database()?;
        Ok(standby)
    }

    /// Makes a standby the primary.
    pub(crate) async fn promote(&self) -> anyhow::Result<()> {
        self.script(&["promote"], &[], None).await
    }

    /// A folder for services, and none that runs. From here on they are ended whatever comes.
    fn nowhere() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("vcc-link-faults.")
            .tempdir()
            .context("no folder for the services")?;
        // The user postgres must be able to pass; what is inside is closed.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))?;
        Ok(Self {
            folder,
            disk: None,
            clock: None,
            kafka: String::new(),
            database: Url::parse("postgres://nowhere")?,
        })
    }

    fn read_kafka(&mut self) -> anyhow::Result<()> {
        let told = addresses(&self.folder.path().join("kafka/env"))?;
        self.kafka = address(&told, "VCC_LINK_TEST_KAFKA")?;
        Ok(())
    }

    fn read_database(&mut self) -> anyhow::Result<()> {
        let told = addresses(&self.folder.path().join("postgres/env"))?;
        self.database = address(&told, "VCC_LINK_TEST_DATABASE_URL")?.parse()?;
        Ok(())
    }

    /// PostgreSQL's port.
    pub(crate) fn database_port(&self) -> u16 {
        // The script tells it; this is PostgreSQL's own where an address tells none.
        self.database.port().unwrap_or(5432)
    }

    /// Ends a service as a crash would: Kafka by SIGKILL, PostgreSQL by an immediate stop.
    pub(crate) async fn kill(&self, service: Service) -> anyhow::Result<()> {
        self.script(&["--only", service.name(), "kill"], &[], None)
            .await
    }

    /// Starts a service, again on the same data and ports where it ran before.
    pub(crate) async fn again(&self, service: Service) -> anyhow::Result<()> {
        let clock = self.clock.as_ref();
        self.script(&["--only", service.name(), "start"], &[], clock)
            .await
    }

    /// Sends a service's process a signal.
    pub(crate) fn signal(&self, service: Service, signal: Signal) -> anyhow::Result<()> {
        let told = self.folder.path().join(service.name()).join("process");
        let told = std::fs::read_to_string(told)?;
        let pid = told.split_whitespace().next();
        let pid = pid.context("the script tells no process")?.parse()?;
        let pid = Pid::from_raw(pid).context("no process has this number")?;
        kill_process(pid, signal).context("the service takes no signal")
    }

    /// Sets the clock that a service has to itself so many seconds ahead, or back.
    pub(crate) fn set_clock(&self, seconds: i32) -> anyhow::Result<()> {
        let clock = self.clock.as_ref();
        clock.context("no service has a clock")?.set(seconds)
    }

    /// The small disk.
    pub(crate) fn disk(&self) -> anyhow::Result<&Disk> {
        self.disk.as_ref().context("no service is on a small disk")
    }

    /// How often a service has said this since it was started last.
    pub(crate) fn said(&self, service: Service, words: &str) -> anyhow::Result<usize> {
        let log = match service {
            Service::Kafka => "kafka.log",
            Service::Postgres => "output",
        };
        let log = self.folder.path().join(service.name()).join(log);
        Ok(std::fs::read_to_string(log)?.matches(words).count())
    }

    /// Whether anybody listens where the service does.
    pub(crate) async fn listens(&self, service: Service) -> bool {
        let address = match service {
            Service::Kafka => self.kafka.clone(),
            Service::Postgres => format!("127.0.0.1:{}", self.database_port()),
        };
        TcpStream::connect(address).await.is_ok()
    }

    /// Runs the script for this folder, by this clock.
    async fn script(
        &self,
        verb: &[&str],
        rest: &[&OsStr],
        clock: Option<&Clock>,
    ) -> anyhow::Result<()> {
        let log = self.folder.path().join("services.log");
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Command::new(script());
        if let Some(clock) = clock {
            clock.give(&mut command);
        }
        let status = command
            .args(verb)
            .arg(self.folder.path())
            .args(rest)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .await
            .context("scripts/services/services.sh cannot run")?;
        ensure!(
            status.success(),
            "services.sh {}: {}",
            verb.join(" "),
            std::fs::read_to_string(&log).unwrap_or_default().trim()
        );
        Ok(())
    }

    /// Ends one of a database's connections, whichever; tells how many that were.
    pub(crate) async fn cut_connection(&self, database: &str) -> anyhow::Result<u64> {
        let mut connection = PgConnection::connect(self.database.as_str()).await?;
        let cut = sqlx::query(
            "select pg_terminate_backend(pid) from
             (select pid from pg_stat_activity where datname = $1 order by random() limit 1) as one",
        )
        .bind(database)
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        Ok(u64::try_from(cut.len())?)
    }

    /// Asks PostgreSQL something, as the administrator.
    pub(crate) async fn ask(&self, question: &'static str) -> anyhow::Result<bool> {
        let mut connection = PgConnection::connect(self.database.as_str()).await?;
        let answer = sqlx::query_scalar(question)
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(answer)
    }

    /// Runs a statement as the administrator.
    pub(crate) async fn administer(&self, statement: String) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(self.database.as_str()).await?;
        connection.execute(sqlx::AssertSqlSafe(statement)).await?;
        Ok(connection.close().await?)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let ended = std::process::Command::new(script())
            .arg("kill")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("not ended: what runs in {}", self.folder.path().display());
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services/services.sh")
}

/// What the script tells: lines of `export NAME=value`, quoted as for a shell.
fn addresses(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let line = |line: &str| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.replace('\\', "")))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn address(addresses: &BTreeMap<String, String>, name: &str) -> anyhow::Result<String> {
    let found = addresses.get(name).cloned();
    found.with_context(|| format!("the services do not tell {name}"))
}
