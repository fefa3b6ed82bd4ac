//! Whether a record, as the index holds it, matches a search expression.
//!
//! Texts are split at punctuation into words; a term matches where its words stand in a row. Phone
//! fields also match by digits: a number of ten digits is found whatever its punctuation, and any
//! number by its last ten. How other international numbers match differs between orgs; see
//! [`OrgSwitches::strict_international`](crate::seed::OrgSwitches).

use serde_json::Value;

use super::expression::{Expression, Term};
use super::statement::Group;
use crate::world::schema::{Field, Kind, Object};
use crate::world::table::Fields;
use crate::world::value::{digits, last_ten, words};

/// The fewest digits that are compared as a phone number.
const SHORTEST_NUMBER: usize = 7;

/// How texts are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matcher {
    pub(crate) group: Group,
    pub(crate) strict_international: bool,
}

impl Matcher {
    /// Whether the index's copy of a record matches.
    pub(crate) fn matches(self, expression: &Expression, object: &Object, fields: &Fields) -> bool {
        match expression {
            Expression::All(parts) => parts.iter().all(|part| self.matches(part, object, fields)),
            Expression::Any(parts) => parts.iter().any(|part| self.matches(part, object, fields)),
            Expression::Not(inner) => !self.matches(inner, object, fields),
            Expression::Term(term) => object
                .fields()
                .iter()
                .filter(|field| self.searches(field))
                .filter_map(|field| Some((field, fields.get(&field.name).and_then(Value::as_str)?)))
                .any(|(field, text)| self.field_matches(term, field, text)),
        }
    }

    fn searches(self, field: &Field) -> bool {
        match self.group {
            Group::All => field.is_searched(),
            Group::Name => matches!(&*field.name, "Name" | "FirstName" | "LastName" | "Subject"),
            Group::Email => field.kind == Kind::Email,
            Group::Phone => field.is_phone(),
        }
    }

    fn field_matches(self, term: &Term, field: &Field, text: &str) -> bool {
        (field.is_phone() && self.phone_matches(term, text)) || words_match(term, text)
    }

    fn phone_matches(self, term: &Term, stored: &str) -> bool {
        let Some(wanted) = number(term) else {
            return false;
        };
        let stored_digits = digits(stored);
        if self.strict_international && !is_ten_digits(&stored_digits) {
            return term.text == stored;
        }
        stored_digits == wanted || last_ten(&stored_digits) == Some(wanted.as_str())
    }
}

/// Ten digits, or eleven with North America's 1.
fn is_ten_digits(digits: &str) -> bool {
    digits.len() == 10 || (digits.len() == 11 && digits.starts_with('1'))
}

/// The digits of a term that is a phone number and nothing else.
pub(crate) fn number(term: &Term) -> Option<String> {
    let only_digits = term.wild.is_empty() && !term.text.chars().any(char::is_alphabetic);
    let digits = digits(&term.text);
    (only_digits && digits.len() >= SHORTEST_NUMBER).then_some(digits)
}

/// What the phone index must be asked for an expression that is nothing but numbers joined by `OR`.
///
/// A phone field that matches a term has the term's digits, or all its words: so whatever matches is
/// under the digits or under the longest word.
pub(crate) fn only_numbers(expression: &Expression) -> Option<Vec<String>> {
    match expression {
        Expression::Term(term) => {
            let longest = words(&term.text).max_by_key(String::len);
            Some([number(term)?].into_iter().chain(longest).collect())
        }
        Expression::Any(parts) => {
            let parts: Option<Vec<Vec<String>>> = parts.iter().map(only_numbers).collect();
            Some(parts?.concat())
        }
        Expression::All(_) | Expression::Not(_) => None,
    }
}

/// Whether the words of a term stand in a row in a text.
fn words_match(term: &Term, text: &str) -> bool {
    let wanted = term_words(term);
    let found: Vec<String> = words(text).collect();
    !wanted.is_empty()
        && found.windows(wanted.len()).any(|row| {
            row.iter()
                .zip(&wanted)
                .all(|(word, pattern)| is_word(word, pattern))
        })
}

/// A letter of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Letter(char),
    AnyLetter,
    AnyText,
}

fn term_words(term: &Term) -> Vec<Vec<Mark>> {
    let mut words = vec![Vec::new()];
    for (at, letter) in term.text.char_indices() {
        let mark = match letter {
            '*' if term.wild.contains(&at) => Mark::AnyText,
            '?' if term.wild.contains(&at) => Mark::AnyLetter,
            letter if letter.is_alphanumeric() => {
                let Some(last) = words.last_mut() else {
                    continue;
                };
                last.extend(letter.to_lowercase().map(Mark::Letter));
                continue;
            }
            _ => {
                words.push(Vec::new());
                continue;
            }
        };
        if let Some(last) = words.last_mut() {
            last.push(mark);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_word(word: &str, pattern: &[Mark]) -> bool {
    let letters: Vec<char> = word.chars().collect();
    let mut reached = vec![false; letters.len() + 1];
    reached[0] = true;
    for mark in pattern {
        let mut next = vec![false; letters.len() + 1];
        for at in 0..=letters.len() {
            match mark {
                Mark::AnyText => next[at] = reached[at] || (at > 0 && next[at - 1]),
                Mark::AnyLetter => next[at] = at > 0 && reached[at - 1],
                Mark::Letter(letter) => {
                    next[at] = at > 0 && reached[at - 1] && letters[at - 1] == *letter;
                }
            }
        }
        reached = next;
    }
    reached[letters.len()]
}
