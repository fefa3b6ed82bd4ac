//! The producer: idempotent, and in order for each key.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::time::Instant;

use super::reported::Reported;
use super::wire::encode::Encoded;
use super::{Config, Error};

/// How long to wait for room in the queue before asking again, where none of our own messages is
/// on the way whose end could be waited for.
const QUEUE_FULL: Duration = Duration::from_millis(20);

/// Publishes. Cheap to clone; the connections are shared.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    /// The client; another takes its place after a fatal error.
    client: RwLock<FutureProducer<Reported>>,
    /// How clients are made.
    settings: ClientConfig,
    /// Names of topics.
    topics: super::config::Topics,
    /// How long a message may wait for room in the queue.
    patience: Duration,
}

/// A message for a topic by its name, as it is. No `Debug`: it is about people.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The value; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
}

impl Producer {
    /// A producer by these settings. It connects by itself, and again after a loss.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let settings = config.producer();
        let client = settings
            .create_with_context(Reported::default())
            .map_err(Error::client)?;
        Ok(Self {
            shared: Arc::new(Shared {
                client: RwLock::new(client),
                settings,
                topics: config.topics.clone(),
                patience: config.delivery_timeout,
            }),
        })
    }

    /// Publishes events, in order for each key, and waits until each is acknowledged or given up:
    /// at most twice the delivery time-out. One result each, in the order given. Behind one that
    /// failed, others may have been published; sent again in order, the last stands last again.
    pub async fn publish(&self, events: Vec<Encoded>) -> Vec<Result<(), Error>> {
        let message = |event: Encoded| Message {
            topic: self.shared.topics.name(event.topic).to_owned(),
            key: Some(event.key.into_bytes()),
            headers: event.headers,
            payload: Some(event.payload),
        };
        let messages: Vec<Message> = events.into_iter().map(message).collect();
        self.send(&messages).await
    }

    /// Sends messages as they are; as [`Producer::publish`] otherwise.
    pub async fn send(&self, messages: &[Message]) -> Vec<Result<(), Error>> {
        let client = self.client();
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            let delivery = self.enqueue(&client, message, &mut sent).await;
            sent.push(delivery);
        }
        let mut results = Vec::with_capacity(sent.len());
        for delivery in sent {
            results.push(delivery.end().await);
        }
        self.replace_if_dead(&client);
        results
    }

    /// Waits until nothing is on the way, for at most `patience`. Blocks: call it where that is
    /// allowed.
    pub fn flush(&self, patience: Duration) -> Result<(), Error> {
        self.client().flush(patience).map_err(failed)
    }

    /// Puts one message into the client's queue. Where that is full, waits for the oldest of ours
    /// to leave it: later messages must not overtake this one.
    async fn enqueue(
        &self,
        client: &FutureProducer<Reported>,
        message: &Message,
        sent: &mut [Delivery],
    ) -> Delivery {
        let deadline = Instant::now() + self.shared.patience;
        loop {
            match client.send_result(record(message)) {
                Ok(delivery) => return Delivery::Waiting(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                    if Instant::now() < deadline =>
                {
                    let oldest = sent.iter_mut().find(|d| matches!(d, Delivery::Waiting(_)));
                    match oldest {
                        Some(delivery) => delivery.wait().await,
                        None => tokio::time::sleep(QUEUE_FULL).await,
                    }
                }
                Err((error, _)) => return Delivery::Done(Err(failed(error))),
            }
        }
    }

    /// The client of now.
    fn client(&self) -> FutureProducer<Reported> {
        let client = self.shared.client.read();
        client.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes another client where this one met a fatal error: it refuses everything from then on.
    fn replace_if_dead(&self, client: &FutureProducer<Reported>) {
        let Some((code, _)) = client.client().fatal_error() else {
            return;
        };
        let error = &code as &dyn std::error::Error;
        tracing::error!(
            error,
            "the Kafka producer met a fatal error, another takes its place"
        );
        match self
            .shared
            .settings
            .create_with_context(Reported::default())
        {
            Ok(another) => {
                let slot = self.shared.client.write();
                *slot.unwrap_or_else(PoisonError::into_inner) = another;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the Kafka producer cannot be made again");
            }
        }
    }
}

/// A message on its way.
enum Delivery {
    /// In the queue, or sent.
    Waiting(DeliveryFuture),
    /// Acknowledged or given up.
    Done(Result<(), Error>),
}

impl Delivery {
    /// Waits for the end.
    async fn wait(&mut self) {
        if let Self::Waiting(delivery) = self {
            let result = match delivery.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => Err(failed(error)),
                Err(_) => Err(failed(KafkaError::Canceled)),
            };
            *self = Self::Done(result);
        }
    }

    /// The end.
    async fn end(mut self) -> Result<(), Error> {
        self.wait().await;
        match self {
            Self::Done(result) => result,
            Self::Waiting(_) => Err(failed(KafkaError::Canceled)),
        }
    }
}

/// A message as librdkafka takes it.
fn record(message: &Message) -> FutureRecord<'_, Vec<u8>, Vec<u8>> {
    let headers = OwnedHeaders::new_with_capacity(message.headers.len());
    let headers = message
        .headers
        .iter()
        .fold(headers, |headers, (key, value)| {
            let value = Some(value);
            headers.insert(Header { key, value })
        });
    let mut record = FutureRecord::to(&message.topic).headers(headers);
    record.key = message.key.as_ref();
    record.payload = message.payload.as_ref();
    record
}

/// A message that was not acknowledged.
const fn failed(source: KafkaError) -> Error {
    Error::Cluster {
        what: "publish",
        source,
    }
}
