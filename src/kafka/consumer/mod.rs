//! The consumer: one OS thread that polls, and hands over whatever arrived while the last batch
//! was stored.
//!
//! **Where reading starts.** On every assignment the new partitions stay paused until the owner of
//! the [`Consumer`] says where to go on ([`Consumer::resume_at`]): the store's offset, not Kafka's,
//! because the store's moved in the transaction that holds the events.
//!
//! **Offsets** are stored in Kafka only when told ([`Consumer::stored`]), and committed by
//! librdkafka every second and when partitions are revoked. They are for those who watch the lag, and
//! a witness of how far the store had come; beside them stands the store's own mark ([`Consumer::marked`]).
//!
//! **Holding back.** Where a batch waits to be taken and the next stays full, partitions are paused
//! and polling goes on, so that the group keeps its member however slow the store is. At most
//! three batches are in memory: one with the owner, one waiting, one growing.
//!
//! **A position that Kafka no longer has** is reported ([`Event::Lost`]) and its partition stays
//! stopped: never a silent reset.
//!
//! **A fatal error** of librdkafka ends the client, not the consumer: another joins in its place.
//!
//! - `context`: a client with librdkafka's callbacks, which run inside `poll`;
//! - `poller`: the thread;
//! - `batch`: the batch that grows, and where each partition stands;
//! - `commits`: what is committed in Kafka;
//! - `places`: partitions and positions as librdkafka takes them;
//! - `wanted`: which partitions are to go on, and when to ask the cluster about each.

mod batch;
mod commits;
mod context;
mod places;
mod poller;
mod wanted;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as orders;
use std::time::Duration;

use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use tokio::sync::{mpsc, oneshot, watch};

use super::wire::envelope::Record;
use super::{Config, Error};
use poller::Poller;

/// A partition: its topic and number.
pub type Partition = (String, i32);

/// A record, copied out of librdkafka's memory. No `Debug`: it is about people.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it stood.
    pub partition: Partition,
    /// At which offset.
    pub offset: i64,
    /// When the broker or the producer says it was written, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Headers that are left out, because their names are no UTF-8: Kafka takes any bytes.
    pub unreadable_headers: usize,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Received {
    /// As the wire format reads it.
    pub fn record(&self) -> Record<'_> {
        Record {
            headers: &self.headers,
            value: self.value.as_deref(),
        }
    }

    /// What it takes in memory, nearly.
    fn bytes(&self) -> usize {
        // The value itself and its three lists.
        const FIXED: usize = 160;
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(k, v)| k.len() + v.len()).sum();
        FIXED + length(&self.key) + length(&self.value) + headers
    }
}

impl From<&BorrowedMessage<'_>> for Received {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let (headers, unreadable_headers) = message.headers().map(copied).unwrap_or_default();
        Self {
            partition: (message.topic().to_owned(), message.partition()),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            headers,
            unreadable_headers,
            value: message.payload().map(<[u8]>::to_vec),
        }
    }
}

/// Copies headers; tells also how many are left out, because their names are no UTF-8. Such a name
/// makes `try_get` panic, and rdkafka has no other access to it: the panic is caught here, for each
/// header by itself, as it would end the polling thread, and that of each worker that follows.
fn copied(headers: &impl Headers) -> (Vec<(String, Vec<u8>)>, usize) {
    let mut kept = Vec::with_capacity(headers.count());
    let mut unreadable = 0;
    for place in 0..headers.count() {
        // Reading changes nothing, so nothing is left half-done.
        let read = AssertUnwindSafe(|| headers.try_get(place));
        match catch_unwind(read) {
            Ok(header) => kept.extend(header.map(|header| {
                let value = header.value.map(<[u8]>::to_vec).unwrap_or_default();
                (header.key.to_owned(), value)
            })),
            Err(_) => unreadable += 1,
        }
    }
    (kept, unreadable)
}

/// Records in order within each partition, none left out from where they begin. No `Debug`: they are
/// about people.
#[derive(Default)]
pub struct Batch {
    /// The records.
    pub records: Vec<Received>,
    /// Of each of their partitions, the next offset before them as [`Consumer::resume_at`] or the batch
    /// before said it; `None` where nothing was ever read.
    pub from: BTreeMap<Partition, Option<i64>>,
}

/// What the thread tells.
pub enum Event {
    /// These partitions are ours now, paused until [`Consumer::resume_at`].
    Assigned(Vec<Partition>),
    /// Records. Some may be of partitions that went to another worker meanwhile; storing them does
    /// no harm, as the store knows each event and never moves an offset back.
    Batch(Batch),
    /// Kafka no longer has the position asked for (or does not have it yet): events were deleted
    /// unread, or the topic was made anew. The partition stands until [`Consumer::resume_at`]
    /// names another position.
    Lost {
        /// Which.
        partition: Partition,
        /// The position asked for.
        wanted: i64,
        /// The first that Kafka has.
        low: i64,
        /// The next that it will have.
        high: i64,
    },
}

/// How the consumer stands, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Records that wait in Kafka behind what is stored, over our partitions; every five seconds.
    pub lag: u64,
    /// Partitions that are ours.
    pub partitions: usize,
    /// Those of them that stand, because Kafka does not have their position ([`Event::Lost`]).
    pub lost: usize,
    /// Assignments and revocations so far.
    pub rebalances: u64,
    /// All partitions are paused, because the store takes nothing more.
    pub held: bool,
}

/// What the thread is told.
enum Order {
    /// Go on at these offsets; `None`: at the earliest.
    Resume(Vec<(Partition, Option<i64>)>),
    /// Everything below is stored.
    Stored(Vec<(Partition, i64)>),
    /// Give up where all partitions stand, and ask anew where to go on.
    Again,
    /// The store's mark is this now.
    Marked(i64),
}

/// The handle on the polling thread.
pub struct Consumer {
    /// What the thread tells. One batch waits here at most; the next grows meanwhile.
    events: mpsc::Receiver<Event>,
    /// What it is told; dropped to stop it.
    orders: orders::Sender<Order>,
    /// How it stands.
    status: watch::Receiver<Status>,
    /// Closed when the thread has left its group.
    left: oneshot::Receiver<()>,
}

impl Consumer {
    /// Joins the group and starts polling.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let (events_sender, events) = mpsc::channel(1);
        let (orders, orders_receiver) = orders::channel();
        let (status_sender, status) = watch::channel(Status::default());
        let (left_sender, left) = oneshot::channel();
        let poller = Poller::new(config, events_sender, orders_receiver, status_sender)?;
        std::thread::Builder::new()
            .name("kafka-consumer".into())
            .spawn(move || {
                poller.run();
                drop(left_sender);
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            events,
            orders,
            status,
            left,
        })
    }

    /// The next thing that the thread tells; `None` when it has stopped, which it does by itself
    /// only where a client cannot be made any more (a certificate's file is gone).
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Where to go on with assigned partitions: the next offset to read; `None`: the earliest.
    /// Those that went away meanwhile are passed over.
    pub fn resume_at(&self, offsets: Vec<(Partition, Option<i64>)>) {
        // The thread has ended where it does not listen; `next` tells so.
        let _ = self.orders.send(Order::Resume(offsets));
    }

    /// Everything below these offsets is stored, and may be committed.
    pub fn stored(&self, offsets: Vec<(Partition, i64)>) {
        let _ = self.orders.send(Order::Stored(offsets));
    }

    /// The store's mark is durable at this: it is committed beside the offsets of our partitions.
    pub fn marked(&self, mark: i64) {
        let _ = self.orders.send(Order::Marked(mark));
    }

    /// Reads our partitions again from where the owner will say: all of them are told as
    /// [`Event::Assigned`] once more. A batch that is handed over before that begins where the last one
    /// ended.
    pub fn again(&self) {
        let _ = self.orders.send(Order::Again);
    }

    /// How it stands.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Leaves the group: commits what is stored, and waits for the thread at most `patience`.
    /// Whether it left in time; if not, the thread ends with the process.
    pub async fn stop(self, patience: Duration) -> bool {
        let Self { orders, left, .. } = self;
        drop(orders);
        tokio::time::timeout(patience, left).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Header;

    use super::*;

    /// Headers as rdkafka gives them: a name that is no UTF-8 panics.
    struct Native(Vec<(&'static [u8], Option<&'static [u8]>)>);

    impl Headers for Native {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn try_get(&self, idx: usize) -> Option<Header<'_, &[u8]>> {
            let (name, value) = self.0.get(idx)?;
            let key = std::str::from_utf8(name).unwrap();
            Some(Header { key, value: *value })
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_counted_and_its_neighbours_are_read() {
        let headers = Native(vec![
            (b"ce_id", Some(b"1")),
            (b"\xff\xfe", Some(b"2")),
            (b"ce_type", None),
        ]);
        let (kept, unreadable) = copied(&headers);
        let expected = [("ce_id".into(), b"1".to_vec()), ("ce_type".into(), vec![])];
        assert_eq!((kept, unreadable), (expected.to_vec(), 1));
    }
}
