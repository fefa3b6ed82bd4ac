//! Kafka and PostgreSQL of our own, which are stopped, killed and started again.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::process::Command;
use url::Url;

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

/// Both services; killed when dropped.
pub(crate) struct Services {
    folder: tempfile::TempDir,
    /// Where Kafka is: "host:port".
    pub(crate) kafka: String,
    /// Where PostgreSQL is, with a user who may make databases.
    pub(crate) database: Url,
}

impl Services {
    /// Starts both.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("vcc-link-faults.")
            .tempdir()
            .context("no folder for the services")?;
        // The user postgres must be able to pass; what is inside is closed.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))?;
        // From here on they are ended whatever comes.
        let mut services = Self {
            folder,
            kafka: String::new(),
            database: Url::parse("postgres://nowhere")?,
        };
        services.again(Service::Kafka).await?;
        services.again(Service::Postgres).await?;
        let kafka = addresses(&services.folder.path().join("kafka/env"))?;
        let postgres = addresses(&services.folder.path().join("postgres/env"))?;
        services.kafka = address(&kafka, "VCC_LINK_TEST_KAFKA")?;
        services.database = address(&postgres, "VCC_LINK_TEST_DATABASE_URL")?.parse()?;
        Ok(services)
    }

    /// PostgreSQL's port.
    pub(crate) fn database_port(&self) -> u16 {
        // The script tells it; this is PostgreSQL's own where an address tells none.
        self.database.port().unwrap_or(5432)
    }

    /// Ends a service as a crash would: Kafka by SIGKILL, PostgreSQL by an immediate stop.
    pub(crate) async fn kill(&self, service: Service) -> anyhow::Result<()> {
        self.script(service, "kill").await
    }

    /// Starts a service, again on the same data and ports where it ran before.
    pub(crate) async fn again(&self, service: Service) -> anyhow::Result<()> {
        self.script(service, "start").await
    }

    async fn script(&self, service: Service, verb: &str) -> anyhow::Result<()> {
        let log = self.folder.path().join("services.log");
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let status = Command::new(script())
            .args(["--only", service.name(), verb])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .await
            .context("scripts/services/services.sh cannot run")?;
        ensure!(
            status.success(),
            "services.sh {verb} {}: {}",
            service.name(),
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
