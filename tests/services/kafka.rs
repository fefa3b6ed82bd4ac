//! Consumer, producer, topics and `vcc-link publish` against a real broker.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use vcc_link::domain::call::CallEvent;
use vcc_link::kafka::config::{Config, Topics};
use vcc_link::kafka::consumer::{Consumer, Event, Partition, Received, Status};
use vcc_link::kafka::group;
use vcc_link::kafka::producer::{Message, Producer};
use vcc_link::kafka::security::{Protocol, Security};
use vcc_link::kafka::topics;
use vcc_link::kafka::wire::decode::{Decoded, decode};
use vcc_link::kafka::wire::quarantine::{self, quarantined};

use super::environment::{create_topic, kafka, produce_with_kafkas_own_tool, service};

const PATIENCE: Duration = Duration::from_secs(40);

/// Settings with topics and a group of the test's own, and of this run's.
fn config(test: &str) -> Config {
    let test = format!("kafka-{test}-{}", std::process::id());
    let mut config = Config {
        brokers: service("VCC_LINK_TEST_KAFKA"),
        group: format!("{test}.group"),
        topics: Topics {
            calls: vec![format!("{test}.calls")],
            call_logs: format!("{test}.call-logs"),
            link_status: format!("{test}.link-status"),
            quarantine: format!("{test}.quarantine"),
        },
        ..Config::default()
    };
    config.create.partitions = 3;
    config.create.replication_factor = 1;
    config
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Sends numbers as values, with keys that spread them over partitions.
async fn send_numbers(config: &Config, numbers: std::ops::Range<u32>) {
    let producer = Producer::new(config).expect("a producer");
    let message = |n: u32| Message {
        topic: config.topics.calls[0].clone(),
        key: Some(format!("key-{}", n % 16).into_bytes()),
        headers: vec![("n".into(), n.to_string().into_bytes())],
        payload: Some(n.to_string().into_bytes()),
    };
    let messages: Vec<Message> = numbers.map(message).collect();
    for result in producer.send(&messages).await {
        result.expect("acknowledged");
    }
}

fn number(record: &Received) -> u32 {
    let value = record.value.as_deref().expect("a value");
    let text = std::str::from_utf8(value).expect("text");
    text.parse().expect("a number")
}

/// What a worker does with the consumer's events: keeps offsets as the store does, and tells them.
#[derive(Default)]
struct Worker {
    offsets: BTreeMap<Partition, i64>,
    /// What came, in order within each partition.
    read: Vec<(Partition, u32)>,
    assigned: Vec<Partition>,
    lost: Vec<(i64, i64, i64)>,
}

impl Worker {
    fn take(&mut self, consumer: &Consumer, event: Event) {
        match event {
            Event::Assigned(partitions) => {
                self.assigned.extend(partitions.iter().cloned());
                let place = |p: Partition| {
                    let next = self.offsets.get(&p).copied();
                    (p, next)
                };
                consumer.resume_at(partitions.into_iter().map(place).collect());
            }
            Event::Batch(batch) => {
                for (partition, from) in &batch.from {
                    let stored = self.offsets.get(partition).copied();
                    assert!(*from <= stored, "nothing is left out: {from:?}");
                }
                let mut next = BTreeMap::new();
                for record in batch.records {
                    self.read.push((record.partition.clone(), number(&record)));
                    next.insert(record.partition, record.offset + 1);
                }
                for (partition, next) in &next {
                    let stored = self.offsets.entry(partition.clone()).or_default();
                    *stored = (*stored).max(*next);
                }
                consumer.stored(next.into_iter().collect());
            }
            Event::Lost {
                wanted, low, high, ..
            } => self.lost.push((wanted, low, high)),
        }
    }

    async fn until(&mut self, consumer: &mut Consumer, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let event = within("the next event", consumer.next()).await;
            self.take(consumer, event.expect("the consumer runs"));
        }
    }

    fn numbers(&self) -> BTreeSet<u32> {
        self.read.iter().map(|(_, n)| *n).collect()
    }
}

/// What the group has committed.
fn committed(config: &Config) -> BTreeMap<i32, i64> {
    let mut settings = kafka();
    settings.set("group.id", &config.group);
    let consumer: BaseConsumer = settings.create().expect("a consumer");
    let topic = &config.topics.calls[0];
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, config.create.partitions - 1);
    let list = consumer.committed_offsets(list, PATIENCE).expect("offsets");
    let known = list.elements();
    let known = known.iter().filter_map(|e| match e.offset() {
        Offset::Offset(next) => Some((e.partition(), next)),
        _ => None,
    });
    known.collect()
}

#[tokio::test]
async fn topics_are_created_and_what_differs_is_told() {
    let mut config = config("topics");
    let plan = topics::plan(&config).await.expect("a plan");
    assert!(plan.iter().all(|p| !p.exists));
    for (name, result) in topics::apply(&config, &plan).await.expect("an answer") {
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let settled = async {
        loop {
            let plan = topics::plan(&config).await.expect("a plan");
            if plan.iter().all(|p| p.exists) {
                return plan;
            }
        }
    };
    let plan = within("the topics are there", settled).await;
    for topic in &plan {
        assert_eq!(topic.differences, [], "{}", topic.wanted.name);
    }
    assert!(
        topics::apply(&config, &plan)
            .await
            .expect("nothing to do")
            .is_empty()
    );

    config.create.partitions = 4;
    std::mem::swap(&mut config.topics.call_logs, &mut config.topics.link_status);
    let plan = topics::plan(&config).await.expect("a plan");
    let differences: Vec<Vec<&str>> = plan
        .iter()
        .map(|p| p.differences.iter().map(|d| d.what.as_str()).collect())
        .collect();
    let deleted = vec!["partitions", "cleanup.policy"];
    assert_eq!(
        differences,
        [
            vec!["partitions"],
            deleted.clone(),
            deleted,
            vec!["partitions"]
        ]
    );
}

#[tokio::test]
async fn what_is_sent_arrives_in_order_for_each_key() {
    let config = config("order");
    create_topic(&config.topics.calls[0], 3).await;
    let mut consumer = Consumer::start(&config).expect("a consumer");
    send_numbers(&config, 0..2000).await;
    let mut worker = Worker::default();
    worker.until(&mut consumer, |w| w.read.len() >= 2000).await;
    assert_eq!(worker.numbers().len(), 2000, "each once");
    for key in 0..16 {
        let of_key = worker
            .read
            .iter()
            .map(|(_, n)| *n)
            .filter(|n| n % 16 == key);
        assert!(of_key.is_sorted(), "key {key}");
    }
    assert!(consumer.stop(PATIENCE).await, "it leaves its group in time");
    let total: i64 = committed(&config).values().sum();
    assert_eq!(total, 2000, "what is stored is committed");
}

/// The store's offset wins over Kafka's, and is where reading starts.
#[tokio::test]
async fn reading_starts_where_the_store_says() {
    let config = config("start");
    create_topic(&config.topics.calls[0], 1).await;
    send_numbers(&config, 0..10).await;
    let mut worker = Worker::default();
    let partition = (config.topics.calls[0].clone(), 0);
    worker.offsets.insert(partition, 7);
    let mut consumer = Consumer::start(&config).expect("a consumer");
    worker.until(&mut consumer, |w| w.read.len() >= 3).await;
    assert_eq!(worker.numbers(), BTreeSet::from([7, 8, 9]));
    assert!(consumer.stop(PATIENCE).await);
}

/// A store that went back in time is told all of it again, batches on their way or not.
#[tokio::test]
async fn reading_goes_back_with_the_store() {
    let mut config = config("back");
    config.batch_events = 10;
    create_topic(&config.topics.calls[0], 1).await;
    send_numbers(&config, 0..100).await;
    let mut worker = Worker::default();
    let partition = (config.topics.calls[0].clone(), 0);
    let mut consumer = Consumer::start(&config).expect("a consumer");
    worker.until(&mut consumer, |w| w.read.len() >= 50).await;
    consumer.again();
    // What was on its way begins where the last batch ended; nothing behind it is left out.
    worker.until(&mut consumer, |w| w.assigned.len() == 2).await;
    let before = std::mem::take(&mut worker.read).len();
    let before = i64::try_from(before).expect("few");
    worker.offsets.insert(partition.clone(), 7);
    consumer.again();
    let again = async {
        loop {
            let event = consumer.next().await.expect("it runs");
            if let Event::Assigned(partitions) = event {
                consumer.resume_at(partitions.into_iter().map(|p| (p, Some(7))).collect());
                return;
            }
            // The store would refuse these.
            let Event::Batch(batch) = event else {
                panic!("nothing is lost");
            };
            assert!(batch.from[&partition] >= Some(before));
        }
    };
    within("told anew", again).await;
    worker.until(&mut consumer, |w| w.read.len() >= 93).await;
    let read: Vec<u32> = worker.read.iter().map(|(_, n)| *n).collect();
    assert!(read.iter().copied().eq(7..100), "{read:?}");
    assert!(consumer.stop(PATIENCE).await);
}

/// The store's mark stands beside the committed offsets, whether these move or not.
#[tokio::test]
async fn the_stores_mark_is_kept_with_the_group() {
    let config = config("mark");
    create_topic(&config.topics.calls[0], 3).await;
    send_numbers(&config, 0..100).await;
    let mut worker = Worker::default();
    let mut consumer = Consumer::start(&config).expect("a consumer");
    worker.until(&mut consumer, |w| w.read.len() >= 100).await;
    let noted = async |consumer: &Consumer, mark: i64, offsets: i64| {
        let there = async {
            loop {
                // As the worker does: again and again.
                consumer.marked(mark);
                let found = group::committed(&config).await.expect("an answer");
                let read: i64 = found.offsets.iter().map(|(_, next)| next).sum();
                if (found.mark, read) == (mark, offsets) {
                    return;
                }
            }
        };
        within("the mark is noted", there).await;
    };
    noted(&consumer, 5, 100).await;
    send_numbers(&config, 100..200).await;
    worker.until(&mut consumer, |w| w.read.len() >= 200).await;
    noted(&consumer, 6, 200).await;
    assert!(consumer.stop(PATIENCE).await);

    // Another worker, which has read nothing yet, notes what it knows.
    let mut consumer = Consumer::start(&config).expect("a consumer");
    worker.assigned.clear();
    worker.until(&mut consumer, |w| w.assigned.len() == 3).await;
    noted(&consumer, 7, 200).await;
    assert!(consumer.stop(PATIENCE).await);
}

#[tokio::test]
async fn a_position_that_kafka_does_not_have_is_told_and_not_replaced() {
    let config = config("lost");
    create_topic(&config.topics.calls[0], 1).await;
    send_numbers(&config, 0..10).await;
    let partition = (config.topics.calls[0].clone(), 0);
    let mut worker = Worker::default();
    worker.offsets.insert(partition.clone(), 99);
    let mut consumer = Consumer::start(&config).expect("a consumer");
    worker.until(&mut consumer, |w| !w.lost.is_empty()).await;
    assert_eq!(worker.lost, [(99, 0, 10)]);
    assert!(worker.read.is_empty());

    consumer.resume_at(vec![(partition, Some(8))]);
    worker.until(&mut consumer, |w| w.read.len() >= 2).await;
    assert_eq!(worker.numbers(), BTreeSet::from([8, 9]));
    assert!(consumer.stop(PATIENCE).await);
}

/// Deleted while the reader is held back: it finds out when it goes on.
#[tokio::test]
async fn events_that_are_deleted_unread_are_told() {
    let mut config = config("deleted");
    config.batch_events = 1;
    create_topic(&config.topics.calls[0], 1).await;
    send_numbers(&config, 0..100).await;
    let mut worker = Worker::default();
    let mut consumer = Consumer::start(&config).expect("a consumer");
    worker
        .until(&mut consumer, |w| !w.assigned.is_empty())
        .await;
    let mut status = consumer.status();
    within("it is held back", status.wait_for(|s| s.held))
        .await
        .expect("it runs");

    let admin: AdminClient<DefaultClientContext> = kafka().create().expect("an admin client");
    let mut before = TopicPartitionList::new();
    before
        .add_partition_offset(&config.topics.calls[0], 0, Offset::Offset(90))
        .expect("an offset");
    admin
        .delete_records(&before, &AdminOptions::new())
        .await
        .expect("deleted");
    worker.until(&mut consumer, |w| !w.lost.is_empty()).await;
    let next = i64::try_from(worker.read.len()).expect("few");
    assert!(next < 90, "{next} were read before");
    assert_eq!(worker.lost, [(next, 90, 100)]);
    assert!(consumer.stop(PATIENCE).await);
}

#[tokio::test]
async fn a_slow_store_holds_reading_back_and_nothing_is_lost() {
    let mut config = config("slow");
    config.batch_events = 50;
    create_topic(&config.topics.calls[0], 3).await;
    send_numbers(&config, 0..5000).await;
    let mut worker = Worker::default();
    let mut consumer = Consumer::start(&config).expect("a consumer");
    worker
        .until(&mut consumer, |w| !w.assigned.is_empty())
        .await;
    let mut status = consumer.status();
    within("it is held back", status.wait_for(|s| s.held))
        .await
        .expect("it runs");
    while worker.read.len() < 5000 {
        let event = within("the next event", consumer.next())
            .await
            .expect("it runs");
        if let Event::Batch(batch) = &event {
            let records = batch.records.len();
            assert!(records <= 50, "{records}");
        }
        worker.take(&consumer, event);
    }
    assert_eq!(worker.numbers().len(), 5000);
    assert_eq!(worker.read.len(), 5000, "nothing twice");
    assert!(consumer.stop(PATIENCE).await);
}

#[tokio::test]
async fn partitions_go_from_one_worker_to_another_and_nothing_is_lost() {
    let config = config("share");
    create_topic(&config.topics.calls[0], 4).await;
    send_numbers(&config, 0..200).await;
    let mut first = Consumer::start(&config).expect("a consumer");
    let mut worker = Worker::default();
    worker.until(&mut first, |w| w.numbers().len() == 200).await;
    assert_eq!(worker.assigned.len(), 4);

    // Both of one worker, as the store is shared: the second asks for what the first has stored.
    let mut second = Consumer::start(&config).expect("a consumer");
    worker.assigned.clear();
    let (mut one, mut two) = (first.status(), second.status());
    while one.borrow_and_update().partitions != 2 || two.borrow_and_update().partitions != 2 {
        tokio::select! {
            event = first.next() => worker.take(&first, event.expect("it runs")),
            event = second.next() => worker.take(&second, event.expect("it runs")),
            _ = one.changed() => {}
            _ = two.changed() => {}
            () = tokio::time::sleep(PATIENCE) => panic!("not shared in time"),
        }
    }
    send_numbers(&config, 200..400).await;
    while worker.numbers().len() < 400 {
        tokio::select! {
            event = first.next() => worker.take(&first, event.expect("it runs")),
            event = second.next() => worker.take(&second, event.expect("it runs")),
            () = tokio::time::sleep(PATIENCE) => panic!("not read in time"),
        }
    }
    assert!(second.stop(PATIENCE).await);
    send_numbers(&config, 400..600).await;
    worker.until(&mut first, |w| w.numbers().len() == 600).await;
    assert_eq!(first.status().borrow().partitions, 4);
    assert_eq!(worker.lost, []);
    assert_eq!(worker.read.len(), 600, "in good order nothing comes twice");
    assert!(first.stop(PATIENCE).await);
}

/// One of two workers hears of new partitions, and the group gives some of them to the other, who has
/// not heard of them.
#[tokio::test]
async fn partitions_that_were_added_are_read() {
    let mut config = config("added");
    let topic = config.topics.calls[0].clone();
    create_topic(&topic, 2).await;
    let hears = |config: &mut Config, interval: &str| {
        let name = "topic.metadata.refresh.interval.ms".to_owned();
        config.librdkafka.insert(name, interval.to_owned());
    };
    hears(&mut config, "500");
    let mut first = Consumer::start(&config).expect("a consumer");
    let mut worker = Worker::default();
    worker.until(&mut first, |w| w.assigned.len() == 2).await;
    let mut later = config.clone();
    hears(&mut later, "3600000");
    let mut second = Consumer::start(&later).expect("a consumer");
    let (mut one, mut two) = (first.status(), second.status());
    for (of_each, sent) in [(1, 0..100), (4, 100..200), (8, 200..300)] {
        if of_each > 1 {
            let admin: AdminClient<DefaultClientContext> = kafka().create().expect("a client");
            let more = NewPartitions::new(&topic, 2 * of_each);
            let added = admin.create_partitions([&more], &AdminOptions::new()).await;
            added.expect("an answer").remove(0).expect("added");
        }
        send_numbers(&config, sent.clone()).await;
        let shared = |status: &Status| status.partitions == of_each;
        while worker.numbers().len() < sent.end as usize
            || !(shared(&one.borrow_and_update()) && shared(&two.borrow_and_update()))
        {
            tokio::select! {
                event = first.next() => worker.take(&first, event.expect("it runs")),
                event = second.next() => worker.take(&second, event.expect("it runs")),
                _ = one.changed() => {}
                _ = two.changed() => {}
                () = tokio::time::sleep(PATIENCE) => panic!(
                    "{} read, shared {:?} and {:?}",
                    worker.numbers().len(), one.borrow(), two.borrow()
                ),
            }
        }
    }
    assert_eq!(worker.lost, []);
    assert!(second.stop(PATIENCE).await);
    assert!(first.stop(PATIENCE).await);
}

/// The broker fences the older of two members with one name: fatal for librdkafka's client.
#[tokio::test]
async fn a_fatal_error_is_outlived() {
    let mut config = config("fatal");
    let name = ("group.instance.id".to_owned(), "one".to_owned());
    config.librdkafka.extend([name]);
    create_topic(&config.topics.calls[0], 1).await;
    send_numbers(&config, 0..5).await;
    let mut consumer = Consumer::start(&config).expect("a consumer");
    let mut worker = Worker::default();
    worker.until(&mut consumer, |w| w.read.len() == 5).await;

    let mut settings = kafka();
    settings
        .set("group.id", &config.group)
        .set("group.instance.id", "one")
        .set("partition.assignment.strategy", "cooperative-sticky");
    let other: BaseConsumer = settings.create().expect("a consumer");
    other
        .subscribe(&[config.topics.calls[0].as_str()])
        .expect("subscribed");
    worker.assigned.clear();
    // Polled on a thread of its own until the fenced one is back.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let polling = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let _ = other.poll(Duration::from_millis(50));
        }
    });
    worker
        .until(&mut consumer, |w| !w.assigned.is_empty())
        .await;
    drop(stop);
    polling.join().expect("it ends");
    send_numbers(&config, 5..8).await;
    worker
        .until(&mut consumer, |w| w.numbers().len() == 8)
        .await;
    assert!(consumer.stop(PATIENCE).await);
}

#[tokio::test]
async fn a_foreign_client_is_understood_and_what_is_wrong_is_kept_whole() {
    let config = config("foreign");
    create_topic(&config.topics.calls[0], 1).await;
    create_topic(&config.topics.quarantine, 1).await;
    let sample = include_str!("../samples/call.ended.v1.json").replace('\n', " ");
    let headers = "ce_specversion:1.0,ce_id:e-1,ce_source:/vcc,ce_type:call.ended.v1,content-type:application/json";
    let lines = format!("{headers}\tcall-1\t{sample}\n{headers}\tcall-2\tnonsense\n");
    produce_with_kafkas_own_tool(&config.topics.calls[0], &lines);

    let records = read_raw(&config, 2).await;
    let read = decode(records[0].record(), config.max_event_bytes);
    let Ok(Decoded::Call(CallEvent::Ended(ended))) = read else {
        panic!("an ended call");
    };
    assert_eq!(ended.meta.id.as_str(), "e-1");
    let why = decode(records[1].record(), config.max_event_bytes).expect_err("nonsense");
    let longest = config.max_event_bytes;
    let message = quarantined(&config.topics.quarantine, &records[1], &why.reason, longest);
    let producer = Producer::new(&config).expect("a producer");
    let sent = producer.send(&[message]).await;
    for result in sent {
        result.expect("acknowledged");
    }

    let mut of_quarantine = config.clone();
    of_quarantine.topics.calls = vec![config.topics.quarantine.clone()];
    of_quarantine.group.push_str(".quarantine");
    let kept = read_raw(&of_quarantine, 1).await.remove(0);
    assert_eq!(kept.key.as_deref(), Some(&b"call-2"[..]));
    assert_eq!(kept.value.as_deref(), Some(&b"nonsense"[..]));
    let header = |name: &str| {
        let found = kept.headers.iter().find(|(n, _)| n == name);
        String::from_utf8(found.expect(name).1.clone()).expect("text")
    };
    assert_eq!(header("ce_id"), "e-1");
    assert_eq!(header(quarantine::OFFSET), "1");
    assert!(header(quarantine::REASON).contains("does not follow the schema"));
}

/// The first records of the calls topic.
async fn read_raw(config: &Config, count: usize) -> Vec<Received> {
    let mut consumer = Consumer::start(config).expect("a consumer");
    let mut records = Vec::new();
    while records.len() < count {
        match within("the next event", consumer.next()).await {
            Some(Event::Assigned(partitions)) => {
                consumer.resume_at(partitions.into_iter().map(|p| (p, None)).collect());
            }
            Some(Event::Batch(batch)) => records.extend(batch.records),
            Some(Event::Lost { .. }) | None => panic!("nothing is lost, and it runs"),
        }
    }
    assert!(consumer.stop(PATIENCE).await);
    records
}

#[tokio::test]
async fn encrypted_and_authenticated() {
    let mut config = config("secure");
    config.brokers = service("VCC_LINK_TEST_KAFKA_SASL_SSL");
    config.security = Security {
        protocol: Protocol::SaslSsl,
        ca_file: Some(service("VCC_LINK_TEST_KAFKA_CA").into()),
        sasl_mechanism: Some("SCRAM-SHA-512".into()),
        username: Some(service("VCC_LINK_TEST_KAFKA_USER")),
        password: Some(service("VCC_LINK_TEST_KAFKA_PASSWORD").into()),
        ..Security::default()
    };
    create_topic(&config.topics.calls[0], 1).await;
    send_numbers(&config, 0..3).await;
    let mut consumer = Consumer::start(&config).expect("a consumer");
    let mut worker = Worker::default();
    worker.until(&mut consumer, |w| w.read.len() == 3).await;
    assert!(consumer.stop(PATIENCE).await);
}

/// A broker of the test's own, which may die.
struct Broker {
    folder: tempfile::TempDir,
}

impl Broker {
    fn script(&self, verb: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services/services.sh");
        let ended = Command::new(script)
            .args(["--only", "kafka", verb])
            .arg(self.folder.path())
            .status();
        assert!(ended.expect("it runs").success(), "{verb}");
    }

    /// Its address, out of the shell variables that the script leaves.
    fn address(&self) -> String {
        let file = self.folder.path().join("kafka/env");
        let text = std::fs::read_to_string(file).expect("the addresses");
        let mut lines = text.lines();
        let address = lines.find_map(|l| l.strip_prefix("export VCC_LINK_TEST_KAFKA="));
        address.expect("an address").to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.script("kill");
    }
}

/// Killed and started again: what was acknowledged is read once, what was not is told.
#[tokio::test]
async fn a_broker_that_dies_is_outlived() {
    let broker = Broker {
        folder: tempfile::tempdir().expect("a folder"),
    };
    broker.script("start");
    let mut config = config("broker");
    config.brokers = broker.address();
    let plan = topics::plan(&config).await.expect("a plan");
    topics::apply(&config, &plan).await.expect("created");
    let producer = Producer::new(&config).expect("a producer");
    let send = async |n: u32| {
        let message = Message {
            topic: config.topics.calls[0].clone(),
            key: None,
            headers: Vec::new(),
            payload: Some(n.to_string().into_bytes()),
        };
        producer.send(&[message]).await.remove(0).is_ok()
    };
    assert!(send(0).await);
    let mut consumer = Consumer::start(&config).expect("a consumer");
    let mut worker = Worker::default();
    worker.until(&mut consumer, |w| w.read.len() == 1).await;

    broker.script("kill");
    assert!(!send(1).await, "nobody acknowledges it");
    broker.script("start");
    let back = async {
        let mut n = 2;
        while !send(n).await {
            n += 1;
        }
        n
    };
    let last = within("one is acknowledged again", back).await;
    let came = |w: &Worker| w.numbers().contains(&last);
    worker.until(&mut consumer, came).await;
    let times = worker.read.iter().filter(|(_, n)| *n == last).count();
    assert_eq!(times, 1, "in {:?}", worker.numbers());
    assert!(consumer.stop(PATIENCE).await);
}

/// Runs `vcc-link` on the test's topics, with this on its standard input.
fn vcc_link(config: &Config, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vcc-link"));
    command
        .args(arguments)
        .env("VCC_LINK_KAFKA__BROKERS", &config.brokers)
        .env(
            "VCC_LINK_KAFKA__TOPICS__CALLS",
            format!("[{:?}]", config.topics.calls[0]),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = command.spawn().expect("it starts");
    let mut stdin = running.stdin.take().expect("its standard input");
    std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
    drop(stdin);
    running.wait_with_output().expect("it ends")
}

#[tokio::test]
async fn publish_sends_all_or_nothing() {
    let config = config("publish");
    create_topic(&config.topics.calls[0], 1).await;
    let line = |name: &str| name.replace('\n', " ") + "\n";
    let started = line(include_str!("../samples/call.started.v1.structured.json"));
    let ended = line(include_str!("../samples/call.ended.v1.structured.json"));
    let wrong = ended.replace("\"answered\"", "\"won\"");

    let refused = vcc_link(
        &config,
        &["publish", "-"],
        &format!("{started}{wrong}{ended}"),
    );
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("nothing was sent: 1 of 3 lines"), "{told}");
    assert!(told.contains("line 2: outcome: write one of"), "{told}");

    let sent = vcc_link(
        &config,
        &["publish", "-", "--json"],
        &format!("{started}{ended}"),
    );
    let told = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(sent.status.success(), "{told}");
    let summary: serde_json::Value = serde_json::from_slice(&sent.stdout).expect("JSON");
    assert_eq!(summary["sent"], 2);

    let records = read_raw(&config, 2).await;
    assert_eq!(records[0].offset, 0, "nothing was sent before");
    for record in &records {
        let read = decode(record.record(), config.max_event_bytes);
        let Ok(Decoded::Call(event)) = read else {
            panic!("a call event");
        };
        let interaction = event.call().interaction.as_str();
        assert_eq!(record.key.as_deref(), Some(interaction.as_bytes()));
    }
}
