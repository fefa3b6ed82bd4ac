//! Changes of links are told while no worker is up.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use reqwest::Method;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vcc_link::http::sidecar::session::Role;
use vcc_link::kafka::config::{Config, Topics};
use vcc_link::kafka::consumer::{Consumer, Event};
use vcc_link::kafka::producer::Producer;
use vcc_link::kafka::wire::encode::Encoder;
use vcc_link::linking::Announcer;

use super::api::come_back;
use super::world::{API_USER, World};

/// How soon a change must have been told.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_link_is_told_within_five_seconds_without_a_worker() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("status", 1, 1).expect("a topic");
    let kafka = Config {
        brokers: cluster.bootstrap_servers(),
        topics: Topics {
            // What is told is read back.
            calls: vec!["status".to_owned()],
            link_status: "status".to_owned(),
            ..Topics::default()
        },
        ..Config::default()
    };
    let mut consumer = Consumer::start(&kafka).expect("a consumer");
    loop {
        if let Some(Event::Assigned(all)) = consumer.next().await {
            consumer.resume_at(all.into_iter().map(|p| (p, None)).collect());
            break;
        }
    }
    let producer = Producer::new(&kafka).expect("a producer");
    let (announcements, announcer) = Announcer::new(Encoder::new(kafka.encoding), producer);
    let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(announcer.run(cancel.clone()));
    let world = World::with(|config| config, Some(announcements)).await;
    let browser = world.browser("acme", Role::Admin).await;

    come_back(&world, &browser, API_USER).await;
    let link = world
        .linking
        .link(&"acme".parse().expect("an account"))
        .await;
    let link = link.expect("read");
    let told = next(&mut consumer).await;
    assert_eq!((told.0.as_str(), told.1.as_str()), ("acme", "linked"));
    // It stays in the outbox, with the id under which it was told.
    let waiting = world.store.unpublished(&[link.shard], 0, 9).await;
    let waiting = waiting.expect("read");
    assert_eq!(
        waiting
            .iter()
            .map(|row| row.row.id.as_str())
            .collect::<Vec<_>>(),
        [told.2]
    );

    let etag = format!("\"{}-{}\"", link.generation.0, link.sequence.0);
    let unlink = browser.changes(world.api(Method::DELETE, "acme", "link"));
    let unlink = unlink.header("if-match", etag).send().await;
    assert_eq!(unlink.expect("an answer").status(), 200);
    assert_eq!(next(&mut consumer).await.1, "unlinked");
    cancel.cancel();
    tasks.close();
    tasks.wait().await;
    world.stop().await;
}

/// The next event of a link: its key, the status that it tells, and its id.
async fn next(consumer: &mut Consumer) -> (String, String, String) {
    let record = tokio::time::timeout(SOON, async {
        loop {
            if let Some(Event::Batch(mut batch)) = consumer.next().await {
                return batch.records.remove(0);
            }
        }
    });
    let record = record.await.expect("told in time");
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let data: serde_json::Value =
        serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
    let id = record.headers.iter().find(|(name, _)| name == "ce_id");
    (
        text(record.key.as_deref()),
        data["status"].as_str().expect("a status").to_owned(),
        text(id.map(|(_, value)| value.as_slice())),
    )
}
