//! `google.protobuf.Timestamp`, with its JSON by the canonical mapping: RFC 3339 in UTC, ending in
//! `Z`. (`pbjson-types` writes `+00:00`.)

use std::fmt;

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use serde::de::{Error as _, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time, as on the wire: it may be none that there is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// And nanoseconds, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// The time, if it lies between the years 1 and 9999, as the mapping demands.
    pub fn time(self) -> Option<DateTime<Utc>> {
        let nanos = u32::try_from(self.nanos).ok()?;
        DateTime::from_timestamp(self.seconds, nanos).filter(|at| (1..=9999).contains(&at.year()))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        // Within a leap second chrono counts on; the wire does not.
        let nanos = at.timestamp_subsec_nanos().min(999_999_999);
        Self {
            seconds: at.timestamp(),
            nanos: i32::try_from(nanos).expect("below a milliard"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = self.time();
        let at = at.ok_or_else(|| S::Error::custom("no time between the years 1 and 9999"))?;
        serializer.collect_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rfc3339;
        impl Visitor<'_> for Rfc3339 {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in RFC 3339: 2026-11-23T21:10:00Z")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                let at = DateTime::parse_from_rfc3339(text).map_err(|_| E::custom("no time"))?;
                Ok(at.with_timezone(&Utc).into())
            }
        }
        deserializer
            .deserialize_str(Rfc3339)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_canonical_mapping() {
        let check = |seconds, nanos, json: &str| {
            let stamp = Timestamp { seconds, nanos };
            assert_eq!(serde_json::to_string(&stamp).expect("JSON"), json);
            assert_eq!(
                serde_json::from_str::<Timestamp>(json).expect("a time"),
                stamp
            );
        };
        check(0, 0, "\"1970-01-01T00:00:00Z\"");
        check(1_795_468_095, 250_000_000, "\"2026-11-23T21:08:15.250Z\"");
        check(-1, 1, "\"1969-12-31T23:59:59.000000001Z\"");
        for (seconds, nanos) in [(i64::MAX, 0), (0, -1), (253_402_300_800, 0)] {
            assert!(serde_json::to_string(&Timestamp { seconds, nanos }).is_err());
        }
        let east: Timestamp =
            serde_json::from_str("\"1970-01-01T02:00:00+02:00\"").expect("a time");
        assert_eq!(east, Timestamp::default());
    }
}
