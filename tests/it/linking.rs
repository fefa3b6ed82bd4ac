//! Links on a real store and the simulator, without a worker.

use std::sync::Arc;
use std::time::Duration;

use salesforce_simulator::seed::Seed;
use salesforce_simulator::{Config as World, RequestFilter, Running, Simulator};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vcc_link::crypto::{self, Key};
use vcc_link::domain::ids::{AccountId, Generation};
use vcc_link::domain::link::{Actor, LinkState, LinkStatus};
use vcc_link::engine::Refreshed;
use vcc_link::linking::legacy::{TakenOver, read};
use vcc_link::linking::{self, Linking};
use vcc_link::salesforce::{self, Client};
use vcc_link::sealing::Sealer;
use vcc_link::store::recovery::Witness;
use vcc_link::store::{self, Database, Store};

/// A database in a folder, an org, and links that own every shard.
struct Site {
    running: Running,
    client: Client,
    store: Arc<dyn Store>,
    linking: Linking,
    _folder: tempfile::TempDir,
}

impl Site {
    /// Whose app at Salesforce is the older method's; the own one is not known there.
    async fn start() -> Self {
        let seed = json!({ "orgs": [{
            "name": "Acme",
            "users": [{ "username": "api@acme.example", "refresh_token": "r1" }],
        }] });
        let seed: Seed = serde_json::from_value(seed).expect("a seed");
        let world = World {
            https: None,
            seed,
            ..World::default()
        };
        let running = Simulator::start(world).await.expect("a simulator");
        let address = running.base_url();
        let host = address.split_once("://").expect("an address").1;
        let config = salesforce::Config {
            client_id: "ours".into(),
            client_secret: "ours".to_owned().into(),
            legacy_client_id: "sim-client-id".into(),
            legacy_client_secret: "sim-client-secret".to_owned().into(),
            production_url: address.clone(),
            trusted_hosts: vec![host.to_owned()],
            ..salesforce::Config::default()
        };
        let client = Client::new(config).expect("a client");
        let folder = tempfile::tempdir().expect("a folder");
        let config = store::Config {
            url: format!("sqlite:{}", folder.path().join("calls.db").display()).into(),
            ..store::Config::default()
        };
        Database::migrate(&config).await.expect("migrate");
        let store = Database::open(&config).await.expect("open").store();
        let seen = store.recognise(&Witness::default()).await;
        seen.expect("recognised");
        let worker = "worker-1".parse().expect("a replica");
        let beat = store.beat(&worker, Duration::from_mins(10), 256).await;
        let (_, owned) = watch::channel(beat.expect("beat").owned);
        let sealer = Sealer::of(&crypto::Config {
            primary: "k".to_owned(),
            keys: vec![Key::random("k".to_owned())],
        });
        let linking = Linking::new(
            Arc::clone(&store),
            sealer.expect("a key"),
            client.clone(),
            linking::Config {
                // Every token is old.
                refresh_after: Duration::ZERO,
                ..linking::Config::default()
            },
            "Completed".to_owned(),
            owned,
        );
        Self {
            running,
            client,
            store,
            linking,
            _folder: folder,
        }
    }

    /// The account's link.
    async fn link(&self) -> LinkState {
        let links = self.store.links(&[account()]).await.expect("links");
        links.into_iter().next().expect("one for each")
    }

    /// Takes over the link of a line.
    async fn take_over(&self, token: &str) -> TakenOver {
        let line = json!({
            "account": "acme",
            "environment": "production",
            "refresh_token": token,
        });
        let link = read(&line.to_string(), &self.client).expect("a good line");
        let actor = Actor::Operator("ann".to_owned());
        self.linking
            .take_over(link, actor)
            .await
            .expect("taken over")
    }

    /// How often Salesforce took this path's requests.
    fn taken(&self, path: &str) -> usize {
        let requests = self.running.control().requests(&RequestFilter::default());
        let requests = requests.expect("requests").into_iter();
        requests
            .filter(|request| request.path.ends_with(path) && request.status == Some(200))
            .count()
    }
}

fn account() -> AccountId {
    "acme".parse().expect("an account")
}

/// A link of the older method works by the older method's app, is refreshed and revoked there, and
/// is taken over once: its file may be imported again, also after an Unlink.
#[tokio::test]
async fn a_legacy_link_lives_by_its_own_app() {
    let site = Site::start().await;
    let added = site.take_over("r1").await;
    assert!(matches!(added, TakenOver::Added(None)), "{added:?}");
    let link = site.link().await;
    assert_eq!(link.status, LinkStatus::Legacy);
    assert!(
        link.org.expect("linked").name.is_some(),
        "its org was asked"
    );

    let again = site.take_over("r1").await;
    assert!(matches!(again, TakenOver::Known), "{again:?}");
    let fresh = site
        .linking
        .refresh(&account(), Generation(1), true, false)
        .await;
    assert!(matches!(fresh, Refreshed::Fresh), "{fresh:?}");
    assert_eq!((site.taken("/token"), site.taken("/revoke")), (2, 0));

    let actor = Actor::Operator("ann".to_owned());
    let unlinked = site.linking.unlink(&account(), Generation(1), &actor).await;
    let shard = unlinked.expect("unlinked").shard;
    let cancel = CancellationToken::new();
    let given_up = site.linking.give_up_retired(&[shard], &cancel).await;
    given_up.expect("given up");
    assert_eq!((site.taken("/token"), site.taken("/revoke")), (2, 1));
    let after = site.take_over("r1").await;
    assert!(matches!(after, TakenOver::Known), "{after:?}");
    assert_eq!(site.link().await.status, LinkStatus::Unlinked);
}
