//! A network that forgets connections without a word, and an address that leads to a server which
//! can only be read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sqlx::{Connection as _, Executor as _};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vcc_link::domain::ids::{ReplicaId, SHARDS, ShardId};
use vcc_link::store::inbox::Wake;
use vcc_link::store::postgres::Postgres;
use vcc_link::store::{Config, Error, Inbox as _, Leases as _, Links as _, Reports as _};

use super::{Database, execute};

/// What anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A way to the database. Connections that stand when it is told so carry nothing from then on, and
/// are never closed; later ones are well.
struct Way {
    url: SecretString,
    forget: watch::Sender<()>,
    _served: JoinSet<()>,
}

impl Way {
    async fn to(database: &Database) -> Self {
        let mut url = url::Url::parse(&database.admin_url).expect("a URL");
        url.set_path(&database.name);
        let target = format!("127.0.0.1:{}", url.port().expect("a port"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        url.set_port(Some(port)).expect("a URL with a host");
        let forget = watch::Sender::new(());
        let mut served = JoinSet::new();
        served.spawn(serve(listener, target, forget.clone()));
        Self {
            url: SecretString::from(url.to_string()),
            forget,
            _served: served,
        }
    }
}

async fn serve(listener: TcpListener, target: String, forget: watch::Sender<()>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let mut forgotten = forget.subscribe();
        let mut server = TcpStream::connect(&target).await.expect("the database");
        connections.spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = forgotten.changed() => std::future::pending().await,
            }
        });
    }
}

/// All connections of the pool wait for an answer when the network forgets them.
#[tokio::test]
async fn an_answer_that_never_comes_is_given_up_and_its_connection_with_it() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let config = Config {
        url: way.url.clone(),
        max_connections: 2,
        acquire_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let store = Arc::new(Postgres::connect(&config).await.expect("connect"));
    let mut own = database.connection().await;
    own.execute("begin; lock table accounts in access exclusive mode")
        .await
        .expect("locked");
    let mut asked = JoinSet::new();
    for _ in 0..2 {
        let store = Arc::clone(&store);
        asked.spawn(async move { store.all_links(None, 10).await });
    }
    database.wait_for_waiting_transactions(2).await;
    way.forget.send_replace(());
    own.close().await.expect("unlocked");

    for _ in 0..2 {
        let answer = tokio::time::timeout(PATIENCE, asked.join_next()).await;
        let answer = answer.expect("it is not waited for ever").expect("asked");
        let answer = answer.expect("no panic");
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    }
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = store.check().await {
        assert!(Instant::now() < deadline, "no new connection: {error}");
    }
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn no_connection_is_kept_that_can_only_be_read() {
    let database = Database::create().await;
    let config = Config {
        acquire_timeout: Duration::from_secs(1),
        ..database.config.clone()
    };
    let store = Postgres::connect(&config).await.expect("connect");
    let name = &database.name;
    let set = |state| format!("alter database {name} set default_transaction_read_only = {state}");
    execute(&database.admin_url, set("on")).await;
    execute(
        &database.admin_url,
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
    )
    .await;
    assert!(matches!(store.check().await, Err(Error::Unavailable(_))));

    execute(&database.admin_url, set("off")).await;
    let replica: ReplicaId = "replica".parse().expect("a name");
    let beat = store.beat(&replica, Duration::from_secs(6), 1).await;
    assert_eq!(beat.expect("written").owned.len(), 1);
    store.check().await.expect("a connection");
    store.close().await;
    database.remove().await;
}

/// The connection of the listener is silent from the moment that the network forgets it.
#[tokio::test]
async fn a_listener_whose_connection_is_forgotten_wakes_all_and_hears_again() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let config = Config {
        url: way.url.clone(),
        ..Config::default()
    };
    let store = Postgres::connect(&config).await.expect("connect");
    let mut listener = store.listen().await.expect("listen");
    let replica: ReplicaId = "replica".parse().expect("a name");
    let ttl = Duration::from_secs(6);
    let owned = database.store.beat(&replica, ttl, 1).await;
    let [fence] = owned.expect("a lease").owned[..] else {
        panic!("one lease");
    };
    way.forget.send_replace(());

    let deadline = Instant::now() + PATIENCE;
    let mut hear = async || loop {
        let wake = listener.next(Duration::from_millis(100)).await;
        if wake != Wake::default() {
            return wake;
        }
        assert!(Instant::now() < deadline, "the listener hears nothing");
    };
    let all: Vec<ShardId> = (0..SHARDS).map(ShardId).collect();
    assert_eq!(hear().await.shards, all);
    let given_up = database.store.release(&replica, &[fence.shard]).await;
    given_up.expect("given up");
    assert_eq!(hear().await.released, [fence.shard]);
    store.close().await;
    database.remove().await;
}
