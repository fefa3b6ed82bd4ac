//! The consumer against librdkafka's own broker in memory, for what a real one does not let one
//! time.

use std::time::Duration;

use rand::{RngCore as _, SeedableRng as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use vcc_link::kafka::config::{Config, Topics};
use vcc_link::kafka::consumer::{Consumer, Event, Partition, Received};
use vcc_link::kafka::producer::{Message, Producer};

use crate::produce::{Raw, produce_raw};

const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster with one topic of one partition, and settings for it.
fn cluster() -> (MockCluster<'static, DefaultProducerContext>, Config) {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("calls", 1, 1).expect("a topic");
    let topics = Topics {
        calls: vec!["calls".to_owned()],
        ..Topics::default()
    };
    let config = Config {
        brokers: cluster.bootstrap_servers(),
        topics,
        ..Config::default()
    };
    (cluster, config)
}

async fn next(consumer: &mut Consumer) -> Event {
    tokio::time::timeout(PATIENCE, consumer.next())
        .await
        .expect("an event in time")
        .expect("the consumer runs")
}

/// The next records, behind any assignment, of which reading begins at the first offset.
async fn batch(consumer: &mut Consumer) -> Vec<Received> {
    loop {
        match next(consumer).await {
            Event::Assigned(all) => {
                consumer.resume_at(all.into_iter().map(|p| (p, None)).collect());
            }
            Event::Batch(batch) => return batch.records,
            Event::Lost { wanted, .. } => panic!("{wanted} is lost"),
        }
    }
}

/// Sends messages of 100 kB that no compression makes shorter.
async fn send_much(config: &Config, messages: usize) {
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let producer = Producer::new(config).expect("a producer");
    let messages: Vec<Message> = std::iter::repeat_with(|| {
        let mut payload = vec![0; 100_000];
        rng.fill_bytes(&mut payload);
        Message {
            topic: "calls".to_owned(),
            key: None,
            headers: Vec::new(),
            payload: Some(payload),
        }
    })
    .take(messages)
    .collect();
    for sent in producer.send(&messages).await {
        sent.expect("acknowledged");
    }
}

/// librdkafka stops fetching a partition whose position it finds deleted: going on works all the
/// same.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_goes_on_after_its_position_was_lost_on_the_way() {
    let (_cluster, mut config) = cluster();
    config.batch_events = 1;
    send_much(&config, 3).await;
    let mut consumer = Consumer::start(&config).expect("a consumer");
    let first = batch(&mut consumer).await;
    assert_eq!(first[0].offset, 0);
    let mut status = consumer.status();
    let held = status.wait_for(|status| status.held);
    let held = tokio::time::timeout(PATIENCE, held).await.expect("in time");
    drop(held.expect("it runs"));
    // The broker keeps 5 MB of each partition.
    send_much(&config, 100).await;

    let (partition, low): (Partition, i64) = loop {
        match next(&mut consumer).await {
            Event::Batch(_) => {}
            Event::Lost {
                partition,
                wanted,
                low,
                high,
            } => {
                assert!(wanted < low && high == 103, "{wanted} of {low} to {high}");
                break (partition, low);
            }
            Event::Assigned(_) => panic!("nothing is shared out anew"),
        }
    };
    assert_eq!(consumer.status().borrow().lost, 1);
    consumer.resume_at(vec![(partition, Some(low))]);
    let mut expected = low;
    while expected < 103 {
        for record in batch(&mut consumer).await {
            assert_eq!(record.offset, expected);
            expected += 1;
        }
    }
    assert_eq!(consumer.status().borrow().lost, 0);
    assert!(consumer.stop(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_whose_name_is_no_text_ends_nothing() {
    let (_cluster, config) = cluster();
    let raw = |value, name| Raw {
        value,
        header: (name, b"1"),
    };
    let records = [
        raw(b"before", b"ce_id"),
        raw(b"poison", b"\xff\xfe"),
        raw(b"behind", b"ce_id"),
    ];
    produce_raw(&config.brokers, "calls", &records);
    let mut consumer = Consumer::start(&config).expect("a consumer");
    let mut read = Vec::new();
    while read.len() < 3 {
        read.extend(batch(&mut consumer).await);
    }
    let seen: Vec<(&[u8], usize, usize)> = read
        .iter()
        .map(|r| {
            let value = r.value.as_deref().expect("a value");
            (value, r.headers.len(), r.unreadable_headers)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (&b"before"[..], 1, 0),
            (&b"poison"[..], 0, 1),
            (&b"behind"[..], 1, 0)
        ]
    );
    assert!(consumer.stop(PATIENCE).await);
}
