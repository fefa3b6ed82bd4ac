//! The statement around the search expression.

use crate::soql::ast::{Clauses, Path};
use crate::soql::error_at;
use crate::soql::parser::Parser;
use crate::world::refusal::Refusal;

use super::MALFORMED;
use super::expression::Expression;

/// Characters of a statement.
const LONGEST_STATEMENT: usize = 100_000;

/// Which fields are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    All,
    Name,
    Email,
    Phone,
}

/// A statement as read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    /// `None` if it is so long that Salesforce finds nothing.
    pub(crate) find: Option<Expression>,
    pub(crate) group: Group,
    /// Every searchable object with its id, if empty.
    pub(crate) returning: Vec<Returning>,
    pub(crate) limit: Option<usize>,
}

/// One object of `RETURNING`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Returning {
    pub(crate) object: Path,
    pub(crate) fields: Vec<Path>,
    pub(crate) clauses: Clauses,
}

impl Statement {
    /// Reads a statement.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.chars().count() > LONGEST_STATEMENT {
            return Err(Refusal::new(400, MALFORMED, "the statement is too long"));
        }
        let (find, rest) = find_clause(text)?;
        let expression = Expression::parse(find).map_err(|refusal| {
            error_at(text, text.len() - rest.len(), MALFORMED, &refusal.message)
        })?;
        // The clause is blanked out, not cut off, so that errors point to where things stand.
        let blanked = format!("{}{rest}", " ".repeat(text.len() - rest.len()));
        let mut parser = Parser::new(&blanked, MALFORMED)?;
        let group = group(&mut parser)?;
        let mut returning = Vec::new();
        if parser.accept("RETURNING") {
            returning.push(one_returning(&mut parser)?);
            while parser.accept_sign(",") {
                returning.push(one_returning(&mut parser)?);
            }
        }
        let limit = parser.accept("LIMIT").then(|| parser.count()).transpose()?;
        parser.end()?;
        Ok(Self {
            find: expression,
            group,
            returning,
            limit,
        })
    }
}

/// Splits `FIND {…}` off a statement.
fn find_clause(text: &str) -> Result<(&str, &str), Refusal> {
    let malformed = |at, reason: &str| error_at(text, at, MALFORMED, reason);
    let start = text.len() - text.trim_start().len();
    let find = text
        .get(start..start + 4)
        .filter(|word| word.eq_ignore_ascii_case("FIND"));
    if find.is_none() {
        return Err(malformed(start, "Expecting 'FIND'"));
    }
    let after = &text[start + 4..];
    let open = text.len() - after.trim_start().len();
    if !text[open..].starts_with('{') {
        return Err(malformed(open, "Expecting '{' after FIND"));
    }
    let mut escaped = false;
    for (at, letter) in text[open + 1..].char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '}' => return Ok((&text[open + 1..open + 1 + at], &text[open + 2 + at..])),
            _ => {}
        }
    }
    Err(malformed(
        open,
        "the search expression has no closing brace",
    ))
}

fn group(parser: &mut Parser<'_>) -> Result<Group, Refusal> {
    if !parser.accept("IN") {
        return Ok(Group::All);
    }
    let groups = [
        ("ALL", Group::All),
        ("NAME", Group::Name),
        ("EMAIL", Group::Email),
        ("PHONE", Group::Phone),
        ("SIDEBAR", Group::All),
    ];
    let Some((_, group)) = groups.into_iter().find(|(word, _)| parser.accept(word)) else {
        return Err(parser.unexpected());
    };
    parser.keyword("FIELDS")?;
    Ok(group)
}

fn one_returning(parser: &mut Parser<'_>) -> Result<Returning, Refusal> {
    let object = parser.path()?;
    let mut fields = Vec::new();
    let mut clauses = Clauses::default();
    if parser.accept_sign("(") {
        fields.push(parser.path()?);
        while parser.accept_sign(",") {
            fields.push(parser.path()?);
        }
        clauses = parser.clauses(&["WHERE", "ORDER", "LIMIT", "OFFSET"])?;
        parser.sign(")")?;
    }
    Ok(Returning {
        object,
        fields,
        clauses,
    })
}
