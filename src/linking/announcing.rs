//! Telling of links at once, also while no worker is up to relay it (decision 9).
//!
//! The event of a change stands in the outbox, and its shard's relay publishes it in order. The
//! process that made the change publishes the same event, with the same id, as soon as it is
//! durable. So it is told twice: consumers drop what they have seen, and take the highest sequence.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Linking;
use crate::domain::event::Published;
use crate::kafka::producer::Producer;
use crate::kafka::wire::encode::Encoder;
use crate::store::outbox::OutboxRow;

/// Events that may wait to be told; one beyond is left to the relay.
const WAITING: usize = 1000;

/// Where changes of links are put, to be told at once.
#[derive(Clone)]
pub struct Announcements(mpsc::Sender<Published>);

/// Publishes what is put there.
pub struct Announcer {
    /// What is to be told.
    events: mpsc::Receiver<Published>,
    /// Domain events to bytes.
    encoder: Encoder,
    /// To Kafka.
    producer: Producer,
}

impl Announcer {
    /// An announcer, and where it is told.
    pub fn new(encoder: Encoder, producer: Producer) -> (Announcements, Self) {
        let (sender, events) = mpsc::channel(WAITING);
        let announcer = Self {
            events,
            encoder,
            producer,
        };
        (Announcements(sender), announcer)
    }

    /// Publishes events until cancelled, those that are there by then included. What Kafka does not
    /// take is left to the relay.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            let event = tokio::select! {
                biased;
                event = self.events.recv() => event,
                () = cancel.cancelled() => return,
            };
            let Some(event) = event else { return };
            let (id, event) = (event.id(), self.encoder.encode(&event));
            for acknowledged in self.producer.publish(vec![event]).await {
                if let Err(error) = acknowledged {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(event = %id, error, "an event is not published at once; the relay publishes it");
                }
            }
        }
    }
}

impl Linking {
    /// Tells changes of links at once.
    #[must_use]
    pub fn with_announcements(self, announcements: Announcements) -> Self {
        Self {
            announcements: Some(announcements),
            ..self
        }
    }

    /// Tells of a change that is durable.
    pub(super) fn announce(&self, row: &OutboxRow) {
        let Some(Announcements(sender)) = &self.announcements else {
            return;
        };
        match self.sealer.open_event(row) {
            Ok(event) => drop(sender.try_send(event)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(event = %row.id, error, "an event of ours cannot be opened");
            }
        }
    }
}
