//! The polling thread.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::batch::Growing;
use super::commits::Commits;
use super::context::{Change, Changes, Context, join};
use super::places::{go_to, list};
use super::wanted::Wanted;
use super::{Config, Error, Event, Order, Partition, Received, Status};

/// How long one poll waits while there is nothing to hand over.
const POLL: Duration = Duration::from_millis(50);

/// How long one poll waits while a batch does: the owner may take it any moment.
const POLL_WITH_BATCH: Duration = Duration::from_millis(1);

/// How long a full batch may wait to be taken before partitions are paused. Nothing is polled
/// meanwhile; a pause throws away what librdkafka has fetched ahead, so that it is read twice.
const BEFORE_PAUSE: Duration = Duration::from_millis(500);

/// How long a question to the cluster may take; nothing is polled meanwhile.
pub(super) const QUESTION: Duration = Duration::from_secs(2);

/// How long after a fatal error the next client is made.
const PAUSE: Duration = Duration::from_secs(1);

/// Why polling stopped.
enum Stopped {
    /// The handle was dropped.
    Told,
    /// librdkafka cannot go on with this client.
    Fatal(KafkaError),
}

/// The polling thread.
pub(super) struct Poller {
    /// How clients are made.
    settings: ClientConfig,
    /// What they subscribe to.
    topics: Vec<String>,
    /// The client.
    consumer: BaseConsumer<Context>,
    /// What its callbacks noted down.
    changes: Changes,
    /// To the owner.
    events: mpsc::Sender<Event>,
    /// From the owner.
    orders: Receiver<Order>,
    /// For metrics.
    status: watch::Sender<Status>,
    /// What is to be told before the next batch.
    news: VecDeque<Event>,
    /// The partitions that are ours.
    owned: BTreeSet<Partition>,
    /// Those that are to go on, and where.
    wanted: Wanted,
    /// Those that stand, because Kafka does not have their position.
    lost: BTreeSet<Partition>,
    /// What is committed of them.
    commits: Commits,
    /// The batch that grows.
    batch: Growing,
    /// Since when the batch is full.
    full_since: Option<Instant>,
    /// All partitions are paused, because the batch is not taken.
    held: bool,
    /// The last error that was logged; the same again says nothing new.
    told: Option<RDKafkaErrorCode>,
}

impl Poller {
    /// Joins the group.
    pub(super) fn new(
        config: &Config,
        events: mpsc::Sender<Event>,
        orders: Receiver<Order>,
        status: watch::Sender<Status>,
    ) -> Result<Self, Error> {
        let (settings, topics) = (config.consumer(), config.topics.calls.clone());
        let (consumer, changes) = join(&settings, &topics, &status).map_err(Error::client)?;
        Ok(Self {
            settings,
            topics,
            consumer,
            changes,
            events,
            orders,
            status,
            news: VecDeque::new(),
            owned: BTreeSet::new(),
            wanted: Wanted::default(),
            lost: BTreeSet::new(),
            commits: Commits::default(),
            batch: Growing::new((config.batch_events, config.batch_bytes)),
            full_since: None,
            held: false,
            told: None,
        })
    }

    /// Polls until the handle is dropped; then leaves the group.
    pub(super) fn run(mut self) {
        while let Stopped::Fatal(error) = self.poll() {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "the Kafka consumer met a fatal error, another takes its place"
            );
            match self.orders.recv_timeout(PAUSE) {
                Err(RecvTimeoutError::Disconnected) => break,
                // What it was told was about partitions of the client that is gone.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            if let Err(error) = self.join_again() {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the Kafka consumer cannot be made again");
                break;
            }
        }
    }

    /// Starts over with a client of its own. Records not handed over are read again.
    fn join_again(&mut self) -> KafkaResult<()> {
        (self.consumer, self.changes) = join(&self.settings, &self.topics, &self.status)?;
        let gone: Vec<Partition> = std::mem::take(&mut self.owned).into_iter().collect();
        self.forget(&gone);
        Ok(())
    }

    /// Polls until told to stop, or until the client is dead.
    fn poll(&mut self) -> Stopped {
        while self.obey() {
            let wait = if self.batch.is_empty() {
                POLL
            } else {
                POLL_WITH_BATCH
            };
            let polled = if self.full_since.is_some() && !self.held {
                std::thread::sleep(wait);
                None
            } else {
                let polled = self.consumer.poll(wait);
                polled.map(|polled| polled.map(|message| Received::from(&message)))
            };
            match polled {
                Some(Ok(record)) => {
                    self.told = None;
                    self.batch.push(record);
                }
                None => {}
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Stopped::Fatal(error);
                }
                Some(Err(error)) => self.report(&error),
            }
            self.follow_changes();
            self.resume();
            self.hand_over();
            self.hold();
        }
        Stopped::Told
    }

    /// Carries out what it was told; `false` when told to stop.
    fn obey(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Again) => self.again(),
                Ok(Order::Marked(mark)) => self.commits.witness(&self.consumer, mark),
                Ok(Order::Resume(offsets)) => {
                    for (partition, next) in offsets {
                        self.wanted.insert(partition, next);
                    }
                }
                Ok(Order::Stored(mut offsets)) => {
                    offsets.retain(|(partition, _)| self.owned.contains(partition));
                    self.commits.store(&self.consumer, offsets);
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Forgets where all partitions stand, and what was read of them, until it is told anew.
    fn again(&mut self) {
        let ours: Vec<Partition> = self.owned.iter().cloned().collect();
        self.forget(&ours);
        if !ours.is_empty() {
            self.news.push_back(Event::Assigned(ours));
        }
    }

    /// Follows what rebalances changed.
    fn follow_changes(&mut self) {
        let changes = self.changes.take();
        if changes.is_empty() {
            return;
        }
        let rebalances = changes.len() as u64;
        for change in changes {
            match change {
                Change::Assigned(partitions) => {
                    self.owned.extend(partitions.iter().cloned());
                    self.news.push_back(Event::Assigned(partitions));
                }
                Change::Revoked(partitions) => {
                    self.owned.retain(|p| !partitions.contains(p));
                    self.forget(&partitions);
                }
            }
        }
        self.status.send_modify(|status| {
            status.partitions = self.owned.len();
            status.rebalances += rebalances;
        });
    }

    /// Forgets all about partitions that are no longer ours, or are to be read anew.
    fn forget(&mut self, gone: &[Partition]) {
        self.batch.drop_partitions(gone);
        self.wanted.forget(gone);
        self.lost.retain(|p| !gone.contains(p));
        self.commits.forget(gone);
        self.tell_lost();
        for event in &mut self.news {
            if let Event::Assigned(partitions) = event {
                partitions.retain(|p| !gone.contains(p));
            }
        }
        self.news.retain(|event| match event {
            Event::Assigned(partitions) => !partitions.is_empty(),
            Event::Lost { partition, .. } => !gone.contains(partition),
            Event::Batch(_) => true,
        });
    }

    /// Goes on with partitions where told, if Kafka has that position. At most one question
    /// remains without an answer before the next poll.
    fn resume(&mut self) {
        for (partition, wanted, marks) in self.ask() {
            match self.resume_one(&partition, wanted, marks) {
                Ok(None) => {
                    self.lost.remove(&partition);
                }
                Ok(Some(lost)) => {
                    self.batch.end(&partition);
                    self.news.push_back(lost);
                    self.lost.insert(partition);
                }
                Err(error) => self.ask_again(partition, wanted, &error),
            }
            self.tell_lost();
        }
    }

    /// Asks which positions Kafka has of the partitions that are to go on: of all of them before
    /// any goes on, as a broker answers in order, and so each answer would wait behind a fetch.
    fn ask(&mut self) -> Vec<(Partition, Option<i64>, (i64, i64))> {
        let mut answered = Vec::new();
        while let Some((partition, wanted)) = self.wanted.next(Instant::now()) {
            if !self.owned.contains(&partition) {
                continue;
            }
            let (topic, number) = (partition.0.as_str(), partition.1);
            match self.consumer.fetch_watermarks(topic, number, QUESTION) {
                Ok(marks) => answered.push((partition, wanted, marks)),
                Err(error) => {
                    self.ask_again(partition, wanted, &error);
                    break;
                }
            }
        }
        answered
    }

    /// Asks about a partition again later.
    fn ask_again(&mut self, partition: Partition, wanted: Option<i64>, error: &KafkaError) {
        let (topic, number) = (partition.0.as_str(), partition.1);
        let error = error as &dyn std::error::Error;
        tracing::debug!(
            topic,
            partition = number,
            error,
            "cannot go on yet, asking again"
        );
        self.wanted.unanswered(Instant::now(), partition, wanted);
    }

    /// Tells how many partitions stand.
    fn tell_lost(&self) {
        let lost = self.lost.len();
        self.status.send_if_modified(|status| {
            let changed = status.lost != lost;
            status.lost = lost;
            changed
        });
    }

    /// Goes on with one partition, of which Kafka has the positions from `low` to `high`; or tells
    /// that its position is lost.
    fn resume_one(
        &mut self,
        partition: &Partition,
        wanted: Option<i64>,
        (low, high): (i64, i64),
    ) -> KafkaResult<Option<Event>> {
        let running = self.batch.position(partition);
        let next = running.or(wanted).unwrap_or(low);
        let one = list(std::iter::once(partition));
        if next < low || next > high {
            self.consumer.pause(&one)?;
            return Ok(Some(Event::Lost {
                partition: partition.clone(),
                wanted: next,
                low,
                high,
            }));
        }
        go_to(&self.consumer, partition, next, QUESTION)?;
        if self.held {
            self.consumer.pause(&one)?;
        } else {
            self.consumer.resume(&one)?;
        }
        if let (None, Some(stored)) = (running, wanted) {
            self.commits.begin(partition.clone(), stored);
        }
        self.batch.begin(partition.clone(), wanted, next);
        Ok(None)
    }

    /// Tells the news, then hands the batch over, as far as there is room.
    fn hand_over(&mut self) {
        while let Some(event) = self.news.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.news.push_front(event);
                return;
            }
        }
        if !self.batch.is_empty()
            && let Ok(room) = self.events.try_reserve()
        {
            room.send(Event::Batch(self.batch.take()));
        }
    }

    /// Holds back while a full batch is not taken, and goes on once it was handed over.
    fn hold(&mut self) {
        self.full_since = match self.full_since {
            _ if !self.batch.is_full() => None,
            since => since.or_else(|| Some(Instant::now())),
        };
        let hold = self
            .full_since
            .is_some_and(|since| since.elapsed() >= BEFORE_PAUSE);
        if hold == self.held {
            return;
        }
        self.held = hold;
        self.status.send_modify(|status| status.held = hold);
        let running = list(self.batch.running());
        let change = if hold {
            self.consumer.pause(&running)
        } else {
            self.consumer.resume(&running)
        };
        if let Err(error) = change {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "partitions could not be paused or resumed");
        }
    }

    /// Tells of an error once. A lost position makes all positions be looked at, as librdkafka
    /// does not say which; all else mends itself.
    fn report(&mut self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AutoOffsetReset) {
            let stand = |p: &Partition| (p.clone(), self.batch.position(p));
            let running: Vec<_> = self.batch.running().map(stand).collect();
            for (partition, position) in running {
                self.wanted.insert(partition, position);
            }
        } else if self.told != code {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "Kafka reports an error; it is tried again by itself");
            self.told = code;
        }
    }
}
