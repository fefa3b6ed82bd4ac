//! Runs a search: the index first, its cut-off next, the database's rules last.

use std::collections::BTreeSet;

use serde_json::Value;

use super::expression::Expression;
use super::matching::{Matcher, only_numbers};
use super::statement::{Group, Returning, Statement};
use crate::clock::Timestamp;
use crate::soql::ast::{Clauses, Path};
use crate::soql::error_at;
use crate::soql::plan::{Column, Scope, Selection};
use crate::soql::run::Reader;
use crate::world::access;
use crate::world::refusal::Refusal;
use crate::world::schema::Object;
use crate::world::table::{Record, Table};

/// Rows that the index gives for all objects together, before sharing and filters.
const MOST_ROWS: usize = 2_000;

/// One object of the search, resolved.
#[derive(Debug)]
struct Part<'a> {
    object: &'a Object,
    columns: Vec<Column>,
    selection: Selection,
}

/// Runs a statement and returns its rows.
pub(crate) fn run(
    reader: &Reader<'_>,
    statement: &Statement,
    text: &str,
    now: Timestamp,
) -> Result<Vec<Value>, Refusal> {
    let parts = resolve(reader, statement, text)?;
    let Some(find) = &statement.find else {
        return Ok(Vec::new());
    };
    let hits: Vec<Vec<&Record>> = parts
        .iter()
        .map(|part| from_index(reader, statement.group, find, part.object, now))
        .collect();
    let limit = statement.limit.unwrap_or(MOST_ROWS).min(MOST_ROWS);
    let mut rows = Vec::new();
    for (part, hits) in parts.iter().zip(cut_off(hits)) {
        // Sharing comes after the cut-off: hits that the user may not see crowd out those they may.
        let visible = hits
            .into_iter()
            .filter(|record| access::is_visible(reader.org, reader.user, part.object, record))
            .collect();
        for record in reader.select(&part.selection, visible) {
            rows.push(reader.row(record, &part.columns));
        }
    }
    rows.truncate(limit);
    Ok(rows)
}

fn resolve<'a>(
    reader: &Reader<'a>,
    statement: &Statement,
    text: &str,
) -> Result<Vec<Part<'a>>, Refusal> {
    let everything: Vec<Returning>;
    let returning = if statement.returning.is_empty() {
        everything = reader
            .org
            .schema
            .objects()
            .filter(|object| object.searchable && reader.user.has_object(&object.name))
            .map(|object| Returning {
                object: Path {
                    text: object.name.to_string(),
                    at: 0,
                },
                fields: Vec::new(),
                clauses: Clauses::default(),
            })
            .collect();
        &everything
    } else {
        &statement.returning
    };
    returning
        .iter()
        .map(|one| part(reader, one, text))
        .collect()
}

fn part<'a>(reader: &Reader<'a>, returning: &Returning, text: &str) -> Result<Part<'a>, Refusal> {
    let name = &returning.object;
    let object = access::object(reader.org, reader.user, &name.text)
        .filter(|object| object.searchable)
        .ok_or_else(|| {
            let reason = format!("sObject type '{}' is not supported.", name.text);
            error_at(text, name.at, "INVALID_TYPE", &reason)
        })?;
    let scope = Scope {
        org: reader.org,
        user: reader.user,
        object,
        alias: None,
        text,
    };
    let id = Path {
        text: "Id".to_owned(),
        at: name.at,
    };
    let fields = if returning.fields.is_empty() {
        &[id][..]
    } else {
        &returning.fields
    };
    Ok(Part {
        object,
        columns: fields
            .iter()
            .map(|path| scope.column(path))
            .collect::<Result<_, _>>()?,
        selection: scope.selection(&returning.clauses)?,
    })
}

/// What the search index finds for one object.
fn from_index<'a>(
    reader: &Reader<'a>,
    group: Group,
    find: &Expression,
    object: &Object,
    now: Timestamp,
) -> Vec<&'a Record> {
    let matcher = Matcher {
        group,
        strict_international: reader.org.switches.strict_international,
    };
    let hit = |record: &&Record| {
        !record.is_deleted()
            && record
                .indexed(now)
                .is_some_and(|fields| matcher.matches(find, object, fields))
    };
    let Some(table) = reader.org.table(&object.name) else {
        return Vec::new();
    };
    match only_numbers(find).filter(|_| group == Group::Phone) {
        Some(keys) => by_number(table, &keys).filter(hit).collect(),
        None => table.records().filter(hit).collect(),
    }
}

/// The records that the phone index has under these keys: a short cut for what phone look-ups ask.
fn by_number<'a>(table: &'a Table, keys: &[String]) -> impl Iterator<Item = &'a Record> {
    let ids: BTreeSet<_> = keys.iter().flat_map(|key| table.with_phone(key)).collect();
    ids.into_iter().filter_map(|id| table.get(id))
}

/// Shares the most rows there are among the objects, one by one.
fn cut_off(mut hits: Vec<Vec<&Record>>) -> Vec<Vec<&Record>> {
    let mut left = MOST_ROWS;
    let mut places: Vec<usize> = (0..hits.len()).collect();
    places.sort_by_key(|&place| hits[place].len());
    for (done, &place) in places.iter().enumerate() {
        let share = left / (places.len() - done);
        hits[place].truncate(share);
        left -= hits[place].len();
    }
    hits
}
