//! What is known of a call that is not stored: events that were published of it, and quarantined
//! records that name it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::domain::ids::CallId;
use crate::sealing::Sealer;
use crate::store::inbox::QuarantineRow;
use crate::store::reports::Traces;
use crate::telling::time;

/// What is left of a call.
pub(super) struct Left<'a> {
    /// The call.
    id: &'a CallId,
    /// What the store knows.
    traces: &'a Traces,
    /// The quarantined records that name it, the latest first.
    quarantined: Vec<&'a QuarantineRow>,
}

impl<'a> Left<'a> {
    /// Picks out what is the call's. Records that cannot be opened are left out.
    pub(super) fn of(id: &'a CallId, traces: &'a Traces, sealer: &Sealer) -> Self {
        let names = |row: &&QuarantineRow| {
            let record = sealer.open_quarantined(row);
            record.is_ok_and(|record| record.names(id.interaction.as_str()))
        };
        Self {
            id,
            traces,
            quarantined: traces.quarantined.iter().filter(names).collect(),
        }
    }

    /// It in words, with what a person can do.
    pub(super) fn text(&self) -> String {
        let (id, account) = (self.id, &self.id.account);
        let Traces {
            published,
            unpublished,
            ..
        } = self.traces;
        let mut text = format!("call {id} is not stored");
        for row in &self.quarantined {
            let (topic, partition) = (&row.partition.topic, row.partition.partition);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n  a record that names it was quarantined at {} ({topic}, partition {partition}, offset {}): {}",
                time(row.received_at),
                row.offset,
                row.reason
            );
        }
        if published + unpublished > 0 {
            let _ = write!(
                text,
                "\n  {published} events of it are published, {unpublished} wait: it was beyond the dedupe horizon when its event came, and so skipped as too old, or its key was forgotten since"
            );
        }
        if self.quarantined.is_empty() && published + unpublished == 0 {
            let _ = write!(
                text,
                ": no event of it was received, none of the last {} quarantined records names it, and no published event of it is remembered; check both ids, and see `vcc-link calls list --account {account}`",
                self.traces.quarantined.len()
            );
        }
        text
    }

    /// It as JSON.
    pub(super) fn json(&self) -> Value {
        let quarantined = self.quarantined.iter().map(|row| {
            json!({
                "topic": row.partition.topic,
                "partition": row.partition.partition,
                "offset": row.offset,
                "receivedAt": time(row.received_at),
                "reason": row.reason,
            })
        });
        json!({
            "account": self.id.account,
            "call": self.id.interaction,
            "known": false,
            "published": self.traces.published,
            "unpublished": self.traces.unpublished,
            "quarantined": quarantined.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Context;
    use crate::store::inbox::Partition;

    /// A quarantined record, sealed as ingest seals it.
    fn row(sealer: &Sealer, offset: i64, key: Option<&str>, value: &str) -> QuarantineRow {
        let partition = Partition {
            topic: "vcc.calls".to_owned(),
            partition: 3,
        };
        let context = Context::Quarantine {
            topic: partition.topic.clone(),
            partition: partition.partition,
            offset,
        };
        let headers = vec![("content-type", b"application/json".as_slice())];
        let record = (key.map(str::as_bytes), headers, value.as_bytes());
        QuarantineRow {
            partition,
            offset,
            received_at: "2026-11-23T21:12:40Z".parse().expect("a time"),
            reason: format!("reason {offset}"),
            body: sealer.seal(&context, &record),
        }
    }

    #[test]
    fn what_is_known_of_a_call_that_is_not_stored_is_told() {
        let sealer = Sealer::for_tests();
        let id = CallId {
            account: "acme".parse().expect("an account"),
            interaction: "c1".parse().expect("an interaction"),
        };
        let mut unreadable = row(&sealer, 4, Some("c1"), "");
        unreadable.offset = 5;
        let mut traces = Traces {
            published: 1,
            unpublished: 1,
            quarantined: vec![
                row(&sealer, 1, Some("c1"), "no JSON"),
                row(&sealer, 2, Some("c2"), "{}"),
                row(&sealer, 3, None, r#"{"interactionId":"c1"}"#),
                unreadable,
            ],
        };
        let left = Left::of(&id, &traces, &sealer);
        let text = left.text();
        assert!(text.starts_with("call acme/c1 is not stored\n"), "{text}");
        assert!(text.contains("offset 1): reason 1"), "{text}");
        assert!(text.contains("1 events of it are published"), "{text}");
        assert!(!text.contains("reason 2"), "another call's: {text}");
        let json = left.json();
        assert_eq!(json["known"], false);
        assert_eq!(json["quarantined"].as_array().map(Vec::len), Some(2));
        assert_eq!(json["quarantined"][1]["offset"], 3);

        (traces.published, traces.unpublished) = (0, 0);
        traces.quarantined.clear();
        let text = Left::of(&id, &traces, &sealer).text();
        assert!(text.contains("no event of it was received"), "{text}");
    }
}
