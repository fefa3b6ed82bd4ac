//! Databases that came back from the past: real standbys promoted, real backups restored, on servers
//! of each test's own. The store's user has no rights beyond its database.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};
use vcc_link::store::inbox::{Advance, IngestBatch, Partition};
use vcc_link::store::postgres::Postgres;
use vcc_link::store::recovery::{RecoveryReason, Standing, Witness};
use vcc_link::store::{Config, Error, Inbox as _, Journal as _, Leases as _, Recovery as _};

use super::execute;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A PostgreSQL server of the test's own.
struct Server {
    /// Its data.
    data: PathBuf,
    /// Where it listens.
    port: u16,
}

/// The folder of initdb and its like: the newest of Debian's, else what is on the PATH.
fn binary(name: &str) -> PathBuf {
    let debians = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debians = debians.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)));
    let newest = debians.filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| name.into())
}

/// Whether this test runs as root, as whom PostgreSQL refuses to.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout == b"0\n"
}

/// Runs a command to its end, as the user postgres where root may not.
fn run(command: &str, args: &[&str]) {
    let mut all: Vec<String> = Vec::new();
    if is_root() {
        let others = [
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ];
        all.extend(others.map(str::to_owned));
    }
    all.push(binary(command).display().to_string());
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let status = Command::new(&all[0])
        .args(&all[1..])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it runs");
    assert!(status.success(), "{all:?}: {status}");
}

/// A folder that the server's user may write to.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    if is_root() {
        let given = Command::new("chown")
            .arg("postgres:")
            .arg(folder.path())
            .status();
        assert!(given.expect("chown").success());
    }
    folder
}

impl Server {
    /// A server with an empty database `app`, whose owner has no other rights.
    async fn start(data: PathBuf) -> Self {
        let path = data.display().to_string();
        run(
            "initdb",
            &[
                "--pgdata",
                &path,
                "--username=admin",
                "--auth=trust",
                "--no-sync",
            ],
        );
        let server = Self::resume(data);
        execute(
            &server.url("admin", "postgres"),
            "create role app login".into(),
        )
        .await;
        let sql = "create database app owner app";
        execute(&server.url("admin", "postgres"), sql.into()).await;
        server.store("app").await.migrate().await.expect("migrate");
        server
    }

    /// Starts a server on data that are there, and waits until it may be written to or asked.
    fn resume(data: PathBuf) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("a port").port();
        drop(free);
        let server = Self { data, port };
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''");
        server.control(&["start", "-o", &options]);
        server
    }

    /// Tells the server something, and waits until it is done.
    fn control(&self, args: &[&str]) {
        let data = self.data.display().to_string();
        let log = format!("{data}.log");
        run("pg_ctl", &[&["-w", "-D", &data, "-l", &log], args].concat());
    }

    /// Returns once it is no standby any more.
    async fn until_writable(&self) {
        let url = self.url("admin", "postgres");
        let mut connection = PgConnection::connect(&url).await.expect("connect");
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, bool>("select pg_is_in_recovery()")
            .fetch_one(&mut connection)
            .await
            .expect("asked")
        {
            assert!(Instant::now() < deadline, "it is not promoted");
        }
    }

    /// Stops it at once, as a power cut would.
    fn kill(&self) {
        self.control(&["stop", "-m", "immediate"]);
    }

    /// Copies it while it runs; a copy that follows is a standby.
    fn copy(&self, to: &Path, follows: bool) {
        let (to, url) = (to.display().to_string(), self.url("admin", "postgres"));
        let mut args = vec![
            "-D",
            to.as_str(),
            "-d",
            url.as_str(),
            "-c",
            "fast",
            "--no-sync",
        ];
        args.extend(follows.then_some("-R"));
        run("pg_basebackup", &args);
    }

    /// Where a database is, for a user.
    fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// The store on a database of it.
    async fn store(&self, database: &str) -> Postgres {
        let config = Config {
            url: SecretString::from(self.url("app", database)),
            max_connections: 2,
            ..Config::default()
        };
        Postgres::connect(&config).await.expect("connect")
    }
}

/// Stores that a partition was read up to here.
async fn read_up_to(store: &Postgres, next: i64) {
    let batch = IngestBatch {
        offsets: vec![Advance {
            partition: partition(),
            from: None,
            next,
        }],
        ..IngestBatch::default()
    };
    store.append(&batch).await.expect("append");
}

fn partition() -> Partition {
    Partition {
        topic: "vcc.calls".to_owned(),
        partition: 0,
    }
}

/// Kafka has committed this offset.
fn witness(committed: i64) -> Witness {
    Witness {
        offsets: vec![(partition(), committed)],
        mark: 0,
    }
}

/// How a database stands where Kafka has committed this; before that, nothing is sent through it.
async fn seen(store: &Postgres, committed: i64) -> Standing {
    assert_eq!(
        store.standing().await.expect("standing"),
        Standing::Unrecognised
    );
    let refused = store
        .begin_attempts(&[])
        .await
        .expect_err("nothing is sent");
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    let standing = store.recognise(&witness(committed)).await;
    standing.expect("recognise")
}

/// Whether it is taken for one that went back in time, for this reason.
fn recovers(standing: Standing, reason: RecoveryReason) -> bool {
    matches!(standing, Standing::Recovering { reason: found, .. } if found == reason)
}

/// A worker that lives and has read up to 7.
async fn work(store: &Postgres) {
    let worker = "worker-1".parse().expect("replica");
    let beat = store.beat(&worker, Duration::from_secs(6), 256).await;
    assert_eq!(beat.expect("beat").owned.len(), 256);
    read_up_to(store, 7).await;
}

/// A restart loses nothing. A standby without which nothing was confirmed has everything: workers go
/// on by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_and_a_failover_to_a_synchronous_standby_need_nobody() {
    let folder = folder();
    let primary = Server::start(folder.path().join("primary")).await;
    let store = primary.store("app").await;
    assert_eq!(seen(&store, 0).await, Standing::Recognised);
    work(&store).await;
    store.close().await;
    primary.kill();
    let primary = Server::resume(primary.data);
    let store = primary.store("app").await;
    assert_eq!(seen(&store, 7).await, Standing::Recognised);
    store.begin_attempts(&[]).await.expect("it goes on");

    let copy = folder.path().join("standby");
    primary.copy(&copy, true);
    let standby = Server::resume(copy);
    let admin = primary.url("admin", "postgres");
    execute(
        &admin,
        "alter system set synchronous_standby_names = '*'".into(),
    )
    .await;
    execute(&admin, "select pg_reload_conf()".into()).await;
    let deadline = Instant::now() + PATIENCE;
    while store.standing().await.expect("standing") == Standing::Recognised {
        assert!(Instant::now() < deadline, "the setting is not seen");
    }
    assert_eq!(
        store
            .recognise(&Witness::default())
            .await
            .expect("recognise"),
        Standing::Recognised
    );
    read_up_to(&store, 8).await;
    store.close().await;
    primary.kill();
    standby.control(&["promote"]);
    let store = standby.store("app").await;
    let found = store.offsets(&[partition()]).await.expect("offsets");
    assert_eq!(found, [Some(8)], "what was confirmed is there");
    assert_eq!(seen(&store, 8).await, Standing::Recognised);
    store.begin_attempts(&[]).await.expect("it goes on");
    store.close().await;
    standby.kill();
}

/// A dump, a copy of the files and a backup that was rolled forward each lack what came after them,
/// and are recognised, each by what tells it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_recovers() {
    let folder = folder();
    let primary = Server::start(folder.path().join("primary")).await;
    let store = primary.store("app").await;
    assert_eq!(seen(&store, 0).await, Standing::Recognised);
    work(&store).await;

    a_dump_recovers(&primary, folder.path()).await;
    let [copied, rolled, followed] =
        ["copied", "rolled", "followed"].map(|name| folder.path().join(name));
    primary.copy(&copied, false);
    primary.copy(&rolled, false);
    primary.copy(&followed, true);
    let standby = Server::resume(followed);
    read_up_to(&store, 9).await;
    store.close().await;
    primary.kill();

    // The files as they were: the same server on the same timeline, behind Kafka.
    let copied = Server::resume(copied);
    let store = copied.store("app").await;
    let standing = seen(&store, 9).await;
    assert!(
        recovers(standing, RecoveryReason::BehindKafka),
        "{standing:?}"
    );
    store.lift(&witness(9)).await.expect("lift");
    assert_eq!(
        store.standing().await.expect("standing"),
        Standing::Recognised
    );
    store.close().await;
    copied.kill();

    // A backup that is rolled forward as far as there is a log: another timeline.
    std::fs::write(rolled.join("recovery.signal"), "").expect("written");
    let conf = rolled.join("postgresql.auto.conf");
    std::fs::write(conf, "restore_command = 'false'\n").expect("written");
    let rolled = Server::resume(rolled);
    rolled.until_writable().await;
    let store = rolled.store("app").await;
    let standing = seen(&store, 7).await;
    assert!(
        recovers(standing, RecoveryReason::OtherTimeline),
        "{standing:?}"
    );
    store.close().await;
    rolled.kill();

    // A standby that the primary did not wait for.
    standby.control(&["promote"]);
    let store = standby.store("app").await;
    let standing = seen(&store, 7).await;
    assert!(
        recovers(standing, RecoveryReason::OtherTimeline),
        "{standing:?}"
    );
    store.close().await;
    standby.kill();
}

/// A dump, into another database of the server that it is of.
async fn a_dump_recovers(primary: &Server, folder: &Path) {
    let dump = folder.join("dump.sql").display().to_string();
    let admin = primary.url("admin", "postgres");
    let (from, to) = (primary.url("app", "app"), primary.url("app", "restored"));
    run("pg_dump", &["-d", &from, "-f", &dump]);
    execute(&admin, "create database restored owner app".into()).await;
    run("psql", &["-q", "-d", &to, "-f", &dump]);
    let restored = primary.store("restored").await;
    let standing = seen(&restored, 7).await;
    assert!(
        recovers(standing, RecoveryReason::OtherServer),
        "{standing:?}"
    );
    restored.lift(&witness(7)).await.expect("lift");
    restored.begin_attempts(&[]).await.expect("it goes on");
    restored.close().await;
}
