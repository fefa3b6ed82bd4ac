//! What could not be read, as the quarantine topic carries it: key, headers and value as received,
//! and behind them where they stood and what is wrong.

use crate::kafka::consumer::Received;
use crate::kafka::producer::Message;

/// What is wrong with it, and what to do.
pub const REASON: &str = "vcc-link-reason";
/// The topic that it came from.
pub const TOPIC: &str = "vcc-link-topic";
/// Its partition there.
pub const PARTITION: &str = "vcc-link-partition";
/// Its offset there.
pub const OFFSET: &str = "vcc-link-offset";
/// How many bytes its value had, where it was too long to be passed on whole.
pub const CUT_FROM: &str = "vcc-link-cut-from";

/// Where a record stood that an operator sent to its topic again: topic, partition and offset.
pub const RESENT: &str = "vcc-link-resent";

/// A record for the quarantine topic. Of a value over `longest` bytes only the beginning is kept.
pub fn quarantined(topic: &str, received: &Received, reason: &str, longest: usize) -> Message {
    let mut headers = received.headers.clone();
    let (from, partition) = &received.partition;
    let mut add = |name: &str, value: String| headers.push((name.into(), value.into_bytes()));
    add(REASON, reason.to_owned());
    add(TOPIC, from.clone());
    add(PARTITION, partition.to_string());
    add(OFFSET, received.offset.to_string());
    let mut payload = received.value.clone();
    if let Some(value) = &mut payload
        && value.len() > longest
    {
        add(CUT_FROM, value.len().to_string());
        value.truncate(longest);
    }
    Message {
        topic: topic.into(),
        key: received.key.clone(),
        headers,
        payload,
    }
}
