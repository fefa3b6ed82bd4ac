//! The broker as ordinary clients see it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use salesforce_simulator::broker::{Broker, PARTITIONS};

const PATIENCE: Duration = Duration::from_secs(20);

/// A broker with one topic.
fn broker(topic: &str) -> Broker {
    let broker = Broker::start().expect("a broker");
    broker.create_topic(topic).expect("a topic");
    broker
}

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address().expect("its address"));
    config
}

/// A member of a group that reads from the beginning and commits when told to.
fn member(broker: &Broker, topic: &str) -> BaseConsumer {
    let mut config = client(broker);
    config
        .set("group.id", "readers")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "2000")
        .set("heartbeat.interval.ms", "100");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    consumer
}

/// Sends records numbered by their keys, each with its number as value and header.
fn send(broker: &Broker, topic: &str, numbers: std::ops::Range<u32>) {
    let producer: BaseProducer = client(broker)
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    for number in numbers {
        let text = number.to_string();
        let headers = OwnedHeaders::new().insert(Header {
            key: "number",
            value: Some(&text),
        });
        let record = BaseRecord::to(topic).key(&text).payload(&text);
        producer
            .send(record.headers(headers))
            .map_err(|(error, _)| error)
            .expect("room");
    }
    producer.flush(PATIENCE).expect("acknowledged");
}

/// Reads so many records; returns their keys, values and headers, which must agree.
fn read(consumer: &BaseConsumer, count: usize) -> BTreeSet<u32> {
    let deadline = Instant::now() + PATIENCE;
    let mut numbers = BTreeSet::new();
    while numbers.len() < count {
        assert!(Instant::now() < deadline, "{} of {count}", numbers.len());
        let Some(message) = consumer.poll(Duration::from_millis(50)) else {
            continue;
        };
        let message = message.expect("no error");
        let header = message.headers().expect("headers").get(0);
        assert_eq!((header.key, header.value), ("number", message.payload()));
        assert_eq!(message.key(), message.payload());
        let number = message.payload().map(String::from_utf8_lossy);
        let number: u32 = number.expect("a value").parse().expect("a number");
        assert!(numbers.insert(number), "{number} twice");
    }
    numbers
}

#[test]
fn a_group_goes_on_where_it_committed() {
    let broker = broker("calls");
    send(&broker, "calls", 0..500);
    let began = Instant::now();
    let first = member(&broker, "calls");
    assert_eq!(read(&first, 500), (0..500).collect());
    // Untuned, a group waits three seconds for further members.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    first.commit_consumer_state(CommitMode::Sync).unwrap();
    drop(first);

    send(&broker, "calls", 500..520);
    let second = member(&broker, "calls");
    assert_eq!(read(&second, 20), (500..520).collect());
}

#[test]
fn two_members_share_the_partitions_and_one_inherits_them() {
    let broker = broker("calls");
    let (first, second) = (member(&broker, "calls"), member(&broker, "calls"));
    let partitions = |consumer: &BaseConsumer| {
        assert!(consumer.poll(Duration::from_millis(20)).is_none());
        let assigned = consumer.assignment().unwrap();
        let elements = assigned.elements();
        elements
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect::<BTreeSet<i32>>()
    };
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "{what}");
        }
    };
    let all: BTreeSet<i32> = (0..PARTITIONS).collect();
    until("each has half", &|| {
        let (one, other) = (partitions(&first), partitions(&second));
        one.len() == all.len() / 2 && &one | &other == all
    });
    drop(second);
    until("one has all", &|| partitions(&first) == all);
}

#[test]
fn brokers_know_nothing_of_one_another() {
    let (one, other) = (broker("calls"), broker("calls"));
    send(&one, "calls", 0..3);
    assert_ne!(one.address().unwrap(), other.address().unwrap());
    assert_eq!(read(&member(&one, "calls"), 3), (0..3).collect());
    // Of no group: librdkafka may hang for ever on closing a member that has not polled its assignment.
    let metadata: BaseConsumer = client(&other).create().expect("a consumer");
    let marks = |partition| metadata.fetch_watermarks("calls", partition, PATIENCE);
    assert!((0..PARTITIONS).all(|partition| marks(partition).unwrap() == (0, 0)));
}
