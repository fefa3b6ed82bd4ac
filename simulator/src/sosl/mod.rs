//! SOSL: full-text search over several objects.
//!
//! `FIND {…} IN … FIELDS RETURNING Object(fields WHERE … ORDER BY … LIMIT …), … LIMIT n`. What it
//! reads is the search index, which lags behind the database.

pub(crate) mod expression;
pub(crate) mod matching;
pub(crate) mod search;
pub(crate) mod statement;

#[cfg(test)]
mod tests;

/// The code of every malformed search.
pub(crate) const MALFORMED: &str = "MALFORMED_SEARCH";
