//! Phone numbers: normalising, comparing, and whether a number is worth a search.
//!
//! A number counts when it is *possible* for its country, not only when it is *valid*: numbering
//! plans run ahead of any library's data, and a real caller must not be lost over that. Short
//! codes (`100`, `999`, `*67`) parse too, and only the length check tells them from real numbers.

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, Region,
};
use serde::{Deserialize, Serialize};

use super::call::{Party, Presentation};
use super::matching::LookupResult;
use super::private::Private;

/// A dialable number in E.164 form: `+442079460018`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(Private<String>);

impl Number {
    /// The number with its plus.
    pub fn e164(&self) -> &str {
        self.0.expose()
    }
}

/// The longest text that is taken for a number; Salesforce's phone fields hold 40 characters.
const LONGEST: usize = 64;

/// The number in a text, if a person could dial it from abroad: extensions, brackets, `tel:` and
/// `sip:` are taken off. A number without a country code needs `country` (ISO 3166-1 alpha-2).
pub fn normalise(text: &str, country: Option<&str>) -> Option<Number> {
    parse(text, country).map(|parsed| number(&parsed))
}

/// A country as numbers are read by it (ISO 3166-1 alpha-2), if the text is one's code.
pub fn country(text: &str) -> Option<String> {
    let code = text.trim().to_ascii_uppercase();
    let region = code.parse::<Region>().ok()?;
    PHONE_NUMBER_UTIL
        .get_country_code_for_region(region)
        .map(|_| code)
}

/// Parses and keeps what is long enough to be dialled from abroad.
fn parse(text: &str, country: Option<&str>) -> Option<PhoneNumber> {
    let text = bare(text)?;
    let region = country.and_then(|c| c.to_ascii_uppercase().parse::<Region>().ok());
    let parsed = PhoneNumber::parse(text, region).ok()?;
    let length = parsed.is_possible_with_reason().ok()?;
    (length == NumberLengthType::IsPossible).then_some(parsed)
}

/// The E.164 form of a parsed number.
fn number(parsed: &PhoneNumber) -> Number {
    Number(Private::new(
        parsed.format_as(PhoneNumberFormat::E164).into_owned(),
    ))
}

/// The dialled part of a text: without scheme and host.
fn bare(text: &str) -> Option<&str> {
    let text = text.trim();
    if text.len() > LONGEST || text.starts_with(['*', '#']) {
        return None;
    }
    let after = |scheme: &str| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let text = after("sip:")
        .or_else(|| after("sips:"))
        .or_else(|| after("tel:"))
        .unwrap_or(text);
    let text = text.split(['@', ';']).next()?;
    (!text.is_empty()).then_some(text)
}

/// The customer's number, if it is worth a search; else what the lookup comes to.
pub fn searchable(party: &Party, country: Option<&str>) -> Result<Number, LookupResult> {
    if party.presentation == Presentation::Restricted {
        return Err(LookupResult::Withheld);
    }
    let texts = [party.e164.as_ref(), party.raw.as_ref()];
    let mut texts = texts
        .into_iter()
        .flatten()
        .map(|t| t.expose().as_str())
        .peekable();
    if texts.peek().is_none() || texts.clone().all(is_withheld) {
        return Err(LookupResult::Withheld);
    }
    texts
        .find_map(|text| normalise(text, country))
        .ok_or(LookupResult::NotSearched)
}

/// What networks send in the number's place when the caller withholds it.
fn is_withheld(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    matches!(
        text.as_str(),
        "" | "anonymous" | "restricted" | "private" | "withheld" | "unknown" | "unavailable"
    ) || text.starts_with("anonymous@")
        || text.starts_with("sip:anonymous")
}

/// Whether a record's phone field holds this number. The field may lack the country code; then
/// the org's country is tried, and at last the number's own, so that a foreign customer's number
/// that was typed as at home is found too.
pub fn same(number: &Number, field: &str, country: Option<&str>) -> bool {
    let is_it = |found: Option<Number>| found.is_some_and(|found| found == *number);
    if is_it(normalise(field, country)) {
        return true;
    }
    if field.trim_start().starts_with(['+', '\u{ff0b}']) {
        return false;
    }
    let own = PhoneNumber::parse(number.e164(), None)
        .ok()
        .and_then(|p| p.get_region_code());
    own.is_some_and(|region| {
        PhoneNumber::parse(field, Some(region))
            .is_ok_and(|parsed| is_it(Some(self::number(&parsed))))
    })
}

/// The spellings under which a record's field may be indexed, most likely first: with country
/// code, national with trunk prefix, national significant, and the usual written forms as phrases.
/// Salesforce matches ten-digit numbers free of format; others by their written parts.
pub fn spellings(number: &Number) -> Vec<Private<String>> {
    let mut all = vec![parts(number.e164()).concat()];
    if let Ok(parsed) = PhoneNumber::parse(number.e164(), None) {
        let national = parsed.format_as(PhoneNumberFormat::National);
        let international = parsed.format_as(PhoneNumberFormat::International);
        let national = parts(&national);
        all.push(national.concat());
        all.push(parsed.get_national_significant_number());
        all.push(national.join(" "));
        // Without its country code, so that the phrase stands in `+44 20 …` and `+44 (0)20 …`.
        all.push(parts(&international).get(1..).unwrap_or_default().join(" "));
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|spelling| !spelling.is_empty() && seen.insert(spelling.clone()));
    all.into_iter().map(Private::new).collect()
}

/// Whether a text holds this number, however it is written: with its country code, or as at home.
/// What stands between two numbers must be more than a space.
pub fn is_mentioned(number: &Number, text: &str) -> bool {
    let digits: String = parts(number.e164()).concat();
    let Ok(parsed) = PhoneNumber::parse(number.e164(), None) else {
        return text.contains(&digits);
    };
    let significant = parsed.get_national_significant_number();
    let code = digits.strip_suffix(&significant).unwrap_or_default();
    let national = parts(&parsed.format_as(PhoneNumberFormat::National)).concat();
    // `+44 (0)20 …` is written by many.
    let abroad = [digits.clone(), format!("{code}0{significant}")];
    let at_home = [national, significant, format!("00{digits}")];
    let is_of_a_number = |c: char| c.is_ascii_digit() || " +()-./\u{a0}".contains(c);
    let mut runs = text.split(|c: char| !is_of_a_number(c));
    runs.any(|run| {
        let found = parts(run).concat();
        abroad.contains(&found) || (!run.contains('+') && at_home.contains(&found))
    })
}

/// The groups of digits of a written number.
fn parts(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_found_in_a_text_however_it_is_written() {
        let number = normalise("+442079460001", None).expect("a number");
        for text in [
            "{\"e164\":\"+442079460001\",\"at\":\"2026-11-23\"}",
            "call back 020 7946 0001, please",
            "0044 20 7946 0001",
            "+44 (0)20 7946-0001",
            "sip:442079460001@pbx",
        ] {
            assert!(is_mentioned(&number, text), "{text}");
        }
        for text in ["+442079460002", "+1 207 946 0001", "4420794600011", ""] {
            assert!(!is_mentioned(&number, text), "{text}");
        }
    }

    #[test]
    fn numbers_are_normalised_or_refused() {
        let check = |text: &str, country: Option<&str>, expected: Option<&str>| {
            let found = normalise(text, country);
            assert_eq!(
                found.as_ref().map(Number::e164),
                expected,
                "{text} in {country:?}"
            );
        };
        check("+44 20 7946 0018", None, Some("+442079460018"));
        check("(020) 7946 0018", Some("GB"), Some("+442079460018"));
        check("+44 (0)20 7946 0018", None, Some("+442079460018"));
        check("tel:+44-20-7946-0018", None, Some("+442079460018"));
        check(
            "sip:+442079460018@sbc.example;user=phone",
            None,
            Some("+442079460018"),
        );
        check("\u{ff0b}44 20 7946 0018", None, Some("+442079460018"));
        check("+1 (415) 555-2671 ext 5", None, Some("+14155552671"));
        check("001 415 555 2671", Some("GB"), Some("+14155552671"));
        check("1-800-FLOWERS", Some("US"), Some("+18003569377"));
        // Ofcom's drama range: not valid, and still a number that somebody may call from.
        check("07700 900123", Some("gb"), Some("+447700900123"));
        check("020 7946 0018", None, None);
        for short in ["100", "999", "112", "*67", "0", ""] {
            check(short, Some("GB"), None);
        }
        for word in ["anonymous", "Restricted", "unknown", "\0", "+", "++++"] {
            check(word, Some("GB"), None);
        }
    }

    #[test]
    fn a_field_is_compared_by_what_it_dials() {
        let number = normalise("+442079460018", None).expect("a number");
        for field in [
            "020 7946 0018",
            "+44 20 7946 0018",
            "0044 20 7946 0018",
            "442079460018",
        ] {
            assert!(same(&number, field, Some("GB")), "{field}");
        }
        assert!(
            same(&number, "020 7946 0018", Some("US")),
            "typed as at home, in a foreign org"
        );
        assert!(!same(&number, "020 7946 0019", Some("GB")));
        assert!(!same(&number, "+1 20 7946 0018", Some("US")));
        assert!(!same(&number, "", Some("GB")));
    }

    #[test]
    fn a_withheld_number_is_told_from_one_that_is_not_searched() {
        let party = |raw: &str| Party {
            raw: Some(raw.to_owned().into()),
            ..Party::default()
        };
        let of = |raw: &str| searchable(&party(raw), Some("GB")).map(|n| n.e164().to_owned());
        assert_eq!(of("anonymous"), Err(LookupResult::Withheld));
        assert_eq!(
            of("sip:anonymous@anonymous.invalid"),
            Err(LookupResult::Withheld)
        );
        assert_eq!(of("999"), Err(LookupResult::NotSearched));
        assert_eq!(of("020 7946 0018"), Ok("+442079460018".into()));
        let restricted = Party {
            presentation: Presentation::Restricted,
            ..party("+442079460018")
        };
        assert_eq!(searchable(&restricted, None), Err(LookupResult::Withheld));
        assert_eq!(
            searchable(&Party::default(), None),
            Err(LookupResult::Withheld)
        );
    }

    #[test]
    fn spellings_cover_how_people_write() {
        let number = normalise("+442079460018", None).expect("a number");
        let all: Vec<String> = spellings(&number)
            .into_iter()
            .map(|s| s.expose().clone())
            .collect();
        let expected = [
            "442079460018",
            "02079460018",
            "2079460018",
            "020 7946 0018",
            "20 7946 0018",
        ];
        assert_eq!(all, expected);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_without_a_panic(text: String, country in "[A-Z]{2}") {
            if let Some(number) = normalise(&text, Some(&country)) {
                prop_assert!(number.e164().starts_with('+'));
                prop_assert!(!spellings(&number).is_empty());
            }
        }
    }
}
