//! Field values as Salesforce writes them: datetimes, dates, and the digits of phone numbers.

use chrono::{DateTime, NaiveDate, SubsecRound as _, Utc};

use crate::clock::Timestamp;

/// Writes a datetime as `2026-11-23T21:10:00.000+0000`.
///
/// All stored datetimes have this form in UTC, so that comparing texts compares moments.
pub(crate) fn format_datetime(time: Timestamp) -> String {
    time.trunc_subsecs(3)
        .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
        .to_string()
}

/// Reads an ISO 8601 datetime with `Z`, `+0000` or `+00:00`, with or without a fraction.
pub(crate) fn parse_datetime(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .ok()
        .map(|time| time.with_timezone(&Utc))
}

/// Reads a date such as `2026-11-23`.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

/// The digits of a phone number, whatever its punctuation.
pub(crate) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Lower-case words, split at whatever is neither letter nor digit.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// The last ten digits, where there are more: what a search for a national number finds.
pub(crate) fn last_ten(digits: &str) -> Option<&str> {
    (digits.len() > 10).then(|| &digits[digits.len() - 10..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes_are_read_in_every_spelling_and_written_in_one() {
        for text in [
            "2026-11-23T21:10:00.000+0000",
            "2026-11-23T21:10:00Z",
            "2026-11-23T22:10:00+01:00",
            "2026-11-23T16:10:00.000-0500",
        ] {
            let time = parse_datetime(text).unwrap();
            assert_eq!(
                format_datetime(time),
                "2026-11-23T21:10:00.000+0000",
                "{text}"
            );
        }
        assert_eq!(parse_datetime("2026-11-23"), None);
    }
}
