//! The text of SOQL and SOSL: escaping, bounds, splitting.
//!
//! Nothing that comes from outside stands in a statement but through [`literal`] or [`term`].

use std::fmt::Write as _;
use std::ops::Range;

use chrono::{DateTime, SecondsFormat, Utc};
use url::form_urlencoded;

use crate::domain::ids::RecordId;
use crate::domain::matching::RecordType;
use crate::domain::phone::{self, Number};

/// A text as a SOQL string literal, quotes included. Control characters that have no escape are
/// left out: no value of ours holds them, and Salesforce refuses them.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Texts as the right side of `IN`: `('a','b')`.
pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let literals: Vec<String> = texts.into_iter().map(literal).collect();
    format!("({})", literals.join(","))
}

/// A moment as SOQL writes it: without quotes.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The statement that finds Tasks by a key: made `since`, where the key's field has no index, and `also`
/// these, whatever their key.
pub(super) fn tasks_by_key(
    field: &str,
    keys: &[String],
    since: Option<DateTime<Utc>>,
    also: &[RecordId],
) -> String {
    let mut wanted = format!("{field} IN {}", list(keys.iter().map(String::as_str)));
    if let Some(since) = since {
        wanted = format!("{wanted} AND CreatedDate >= {}", moment(since));
    }
    if !also.is_empty() {
        let also = list(also.iter().map(RecordId::as_str));
        wanted = format!("({wanted}) OR Id IN {also}");
    }
    format!("SELECT Id, {field} FROM Task WHERE {wanted} ORDER BY CreatedDate")
}

/// What means something in a SOSL search term (SOSL Reference, Reserved Characters).
const RESERVED: &str = "?&|!{}[]()^~*:\\\"'+-";

/// A text as one SOSL search term; a phrase in quotes unless it is one plain word. `None` where
/// nothing is left to search for: Salesforce refuses terms of one character.
pub(super) fn term(text: &str) -> Option<String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric());
    let operator = ["AND", "OR", "NOT"]
        .iter()
        .any(|o| text.eq_ignore_ascii_case(o));
    if text.chars().filter(|c| c.is_alphanumeric()).count() < 2 {
        return None;
    }
    if plain && !operator {
        return Some(text.to_owned());
    }
    let mut out = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()) {
        if RESERVED.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Some(out)
}

/// A text as it stands in an address.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The longest address of a GET, in bytes. Salesforce turns away 16,384 for address and headers
/// together, and an access token may take some thousands of them.
pub(super) const LONGEST_ADDRESS: usize = 8_000;

/// The longest search expression, in characters: beyond it Salesforce drops the operators without
/// a word, and the search finds something else.
const LONGEST_FIND: usize = 4_000;

/// Numbers in one search, at most.
const MOST_NUMBERS: usize = 100;

/// Records that one search returns at most, over all objects.
pub(super) const MOST_ROWS: usize = 2_000;

/// An object that is searched for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SearchedObject {
    /// Its kind.
    pub record_type: RecordType,
    /// Its API name.
    pub name: &'static str,
    /// The fields asked for beside `Id`, `Name` and `LastModifiedDate`.
    pub fields: Vec<&'static str>,
    /// What its records must be.
    condition: &'static str,
}

/// What a search names: the objects and fields that the API user can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Searched(pub Vec<SearchedObject>);

impl Default for Searched {
    /// Everything that can hold a customer's number in an org without custom fields.
    fn default() -> Self {
        let object = |record_type, name, fields: &[&'static str], condition| SearchedObject {
            record_type,
            name,
            fields: fields.to_vec(),
            condition,
        };
        let contact = [
            "AccountId",
            "Phone",
            "MobilePhone",
            "HomePhone",
            "OtherPhone",
            "AssistantPhone",
        ];
        Self(vec![
            object(RecordType::Contact, "Contact", &contact, ""),
            // A converted lead lives on as a contact, and a Task cannot be on it.
            object(
                RecordType::Lead,
                "Lead",
                &["Phone", "MobilePhone"],
                " WHERE IsConverted = false",
            ),
            object(RecordType::Account, "Account", &["Phone"], ""),
        ])
    }
}

impl Searched {
    /// The same without what is not among an object's visible fields; objects that cannot be seen
    /// or hold no phone field are left out.
    pub(super) fn visible(mut self, fields_of: impl Fn(&str) -> Option<Vec<String>>) -> Self {
        self.0.retain_mut(|object| {
            let Some(visible) = fields_of(object.name) else {
                return false;
            };
            object
                .fields
                .retain(|field| visible.iter().any(|v| v == field));
            object.phones().next().is_some()
        });
        self
    }

    /// The `RETURNING` clause.
    fn returning(&self) -> String {
        let mut out = String::new();
        for object in &self.0 {
            let comma = if out.is_empty() { "" } else { ", " };
            let SearchedObject {
                name,
                fields,
                condition,
                ..
            } = object;
            let fields = fields.join(", ");
            write!(
                out,
                "{comma}{name}(Id, Name, LastModifiedDate, {fields}{condition})"
            )
            .expect("a string takes any text");
        }
        out
    }
}

impl SearchedObject {
    /// The phone fields among its fields.
    pub(super) fn phones(&self) -> impl Iterator<Item = &'static str> {
        self.fields
            .iter()
            .copied()
            .filter(|field| field.ends_with("Phone"))
    }
}

/// One search for some of the numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// The statement.
    pub statement: String,
    /// Which of the numbers it is for.
    pub numbers: Range<usize>,
}

/// The searches for these numbers, each within the bounds, in order; none where there is nothing
/// to search in.
pub(super) fn statements(numbers: &[Number], searched: &Searched) -> Vec<Search> {
    if searched.0.is_empty() {
        return vec![];
    }
    let tail = format!(
        "}} IN PHONE FIELDS RETURNING {} LIMIT {MOST_ROWS}",
        searched.returning()
    );
    let room = LONGEST_ADDRESS.saturating_sub(encoded(&tail).len() + 200);
    let mut found = Vec::new();
    let (mut find, mut first) = (String::new(), 0);
    for (place, number) in numbers.iter().enumerate() {
        let terms = terms(number);
        let longer = find.chars().count() + terms.chars().count() + 4;
        let address = encoded(&find).len() + encoded(&terms).len() + 4;
        let full = longer > LONGEST_FIND || address > room || place - first >= MOST_NUMBERS;
        if full && place > first {
            let find = std::mem::take(&mut find);
            found.push(Search {
                statement: format!("FIND {{{find}{tail}"),
                numbers: first..place,
            });
            first = place;
        }
        if !find.is_empty() && !terms.is_empty() {
            find.push_str(" OR ");
        }
        find.push_str(&terms);
    }
    if first < numbers.len() {
        let statement = format!("FIND {{{find}{tail}");
        found.push(Search {
            statement,
            numbers: first..numbers.len(),
        });
    }
    found
}

/// A number's spellings, one of which must be there.
fn terms(number: &Number) -> String {
    let spellings = phone::spellings(number);
    let terms: Vec<String> = spellings.iter().filter_map(|s| term(s.expose())).collect();
    terms.join(" OR ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        phone::normalise(text, None).expect("a number")
    }

    #[test]
    fn a_search_reads_as_salesforce_wants_it() {
        let searches = statements(
            &[number("+442079460018"), number("+14155552671")],
            &Searched::default(),
        );
        let [search] = searches.as_slice() else {
            panic!("one search")
        };
        insta::assert_snapshot!(search.statement, @r#"FIND {442079460018 OR 02079460018 OR 2079460018 OR "020 7946 0018" OR "20 7946 0018" OR 14155552671 OR 4155552671 OR "415 555 2671"} IN PHONE FIELDS RETURNING Contact(Id, Name, LastModifiedDate, AccountId, Phone, MobilePhone, HomePhone, OtherPhone, AssistantPhone), Lead(Id, Name, LastModifiedDate, Phone, MobilePhone WHERE IsConverted = false), Account(Id, Name, LastModifiedDate, Phone) LIMIT 2000"#);
    }

    #[test]
    fn many_numbers_are_split_within_the_bounds() {
        let numbers: Vec<Number> = (0..500)
            .map(|i| number(&format!("+4420794{i:05}")))
            .collect();
        let searches = statements(&numbers, &Searched::default());
        assert!(
            searches.len() < 13,
            "about forty numbers with all spellings fit in one"
        );
        let mut next = 0;
        for search in &searches {
            assert_eq!(search.numbers.start, next);
            next = search.numbers.end;
            assert!(!search.numbers.is_empty() && search.numbers.len() <= MOST_NUMBERS);
            let find = search
                .statement
                .split(['{', '}'])
                .nth(1)
                .expect("a FIND clause");
            assert!(find.chars().count() <= LONGEST_FIND);
            assert!(encoded(&search.statement).len() < LONGEST_ADDRESS);
        }
        assert_eq!(next, numbers.len());
    }

    #[test]
    fn what_is_hidden_is_not_named() {
        let visible = |object: &str| match object {
            "Contact" => Some(vec!["Name".to_owned(), "MobilePhone".to_owned()]),
            "Account" => Some(vec!["Name".to_owned()]),
            _ => None,
        };
        let searched = Searched::default().visible(visible);
        assert_eq!(
            searched.returning(),
            "Contact(Id, Name, LastModifiedDate, MobilePhone)"
        );
        let nothing = searched.visible(|_| None);
        assert_eq!(statements(&[number("+14155552671")], &nothing), []);
    }

    #[test]
    fn a_moment_has_no_quotes() {
        assert_eq!(moment(DateTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }

    /// The text between two delimiters, by the rules of a reader: the value and what follows it.
    fn read(text: &str, delimiter: char) -> Option<(String, &str)> {
        let mut chars = text.strip_prefix(delimiter)?.char_indices();
        let mut value = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.push(match chars.next()?.1 {
                    'n' if delimiter == '\'' => '\n',
                    'r' if delimiter == '\'' => '\r',
                    't' if delimiter == '\'' => '\t',
                    other => other,
                }),
                c if c == delimiter => return Some((value, &text[at + 2..])),
                c => value.push(c),
            }
        }
        None
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_literal(text: String) {
            let written = literal(&text);
            let kept: String =
                text.chars().filter(|c| !c.is_control() || "\n\r\t".contains(*c)).collect();
            prop_assert_eq!(read(&written, '\''), Some((kept, "")));
        }

        #[test]
        fn no_text_leaves_its_term(text: String) {
            let Some(written) = term(&text) else { return Ok(()) };
            if written.starts_with('"') {
                let kept: String = text.chars().filter(|c| !c.is_control()).collect();
                prop_assert_eq!(read(&written, '"'), Some((kept, "")));
            } else {
                prop_assert!(written.chars().all(|c| c.is_ascii_alphanumeric()));
            }
        }
    }
}
