//! Moments as people write them: as a time, or by how long ago or ahead they are.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;

/// A moment that is over: "30m", "1day" or a time.
pub(super) fn ago(text: &str) -> Result<DateTime<Utc>, String> {
    read(text, |age| clock::now().checked_sub_signed(age))
}

/// A moment that is to come: "30m", "1day" or a time.
pub(super) fn ahead(text: &str) -> Result<DateTime<Utc>, String> {
    let at = read(text, |wait| clock::now().checked_add_signed(wait))?;
    if at <= clock::now() {
        return Err("that moment is over: write one that is to come".to_owned());
    }
    Ok(at)
}

/// Reads a time, or a duration that leads to one.
fn read(
    text: &str,
    moment: impl FnOnce(chrono::TimeDelta) -> Option<DateTime<Utc>>,
) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let duration: Option<Duration> = humantime_serde::re::humantime::parse_duration(text).ok();
    let delta = duration.and_then(|duration| chrono::TimeDelta::from_std(duration).ok());
    delta.and_then(moment).ok_or_else(|| {
        "write a duration like 30m, 2h or 1day, or a time like 2026-11-26T08:00:00Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_duration() {
        let time: DateTime<Utc> = "2026-11-26T08:00:00Z".parse().expect("a time");
        assert_eq!(ago("2026-11-26T09:00:00+01:00"), Ok(time));
        let hour = chrono::TimeDelta::hours(1);
        let before = clock::now() - hour;
        let read = ago("1h").expect("a duration");
        assert!((before..=clock::now() - hour).contains(&read));
        assert!(ahead("1h").expect("a duration") > clock::now());
        for wrong in ["yesterday", "", "99999999999999years"] {
            assert!(ago(wrong).is_err(), "{wrong}");
        }
        assert!(ahead("2026-01-01T00:00:00Z").is_err());
    }
}
