//! SOQL: the part of the language that integrations use.
//!
//! `SELECT` of fields, fields of parents and aggregates; `WHERE` with comparisons, `IN`, `LIKE`,
//! `AND`, `OR`, `NOT`; `GROUP BY … HAVING`; `ORDER BY`, `LIMIT`, `OFFSET`. Subqueries, semi-joins,
//! `TYPEOF` and date functions are not played.

pub(crate) mod ast;
pub(crate) mod condition;
pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod plan;
pub(crate) mod run;

#[cfg(test)]
mod tests;

use crate::world::refusal::Refusal;

/// Characters of a statement.
const LONGEST_STATEMENT: usize = 100_000;

/// Characters shown on either side of an error.
const SHOWN_AROUND: usize = 40;

/// Reads a statement.
pub(crate) fn parse(text: &str) -> Result<ast::Query, Refusal> {
    if text.chars().count() > LONGEST_STATEMENT {
        let text = "SOQL statements cannot be longer than 100000 characters.";
        return Err(Refusal::new(400, "MALFORMED_QUERY", text));
    }
    parser::Parser::new(text, "MALFORMED_QUERY")?.query()
}

/// An error at a place in a statement: the surroundings, a caret, the position, the reason.
pub(crate) fn error_at(text: &str, at: usize, code: &str, reason: &str) -> Refusal {
    let at = (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    let (before, after) = text.split_at(at);
    let row = before.matches('\n').count() + 1;
    let line = before.rsplit('\n').next().unwrap_or_default();
    let column = line.chars().count() + 1;
    let skipped = (column - 1).saturating_sub(SHOWN_AROUND);
    let head: String = line.chars().skip(skipped).collect();
    let tail: String = after
        .chars()
        .take_while(|&letter| letter != '\n')
        .take(SHOWN_AROUND)
        .collect();
    let caret = " ".repeat(head.chars().count());
    let message = format!("\n{head}{tail}\n{caret}^\nERROR at Row:{row}:Column:{column}\n{reason}");
    Refusal::new(400, code, message)
}
