//! Runs a plan over an org's records.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::ast::{Comparison, Function};
use super::condition::{Test, key};
use super::plan::{Column, Grouping, Output, Plan, Selection, Sorting, Source};
use crate::world::access;
use crate::world::id::Id;
use crate::world::org::{Org, User};
use crate::world::refusal::Refusal;
use crate::world::schema::Kind;
use crate::world::table::Record;

/// Rows of a result with aggregates: it has no second page.
const MOST_GROUPS: usize = 2_000;

/// What a query finds.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) total: usize,
    pub(crate) rows: Vec<Value>,
}

/// Where rows are read, by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) org: &'a Org,
    pub(crate) user: &'a User,
    /// The version in the records' URLs.
    pub(crate) version: &'a str,
}

impl<'a> Reader<'a> {
    /// Runs a query. `all` also reads deleted and archived records.
    pub(crate) fn run(&self, plan: &Plan, all: bool) -> Result<Found, Refusal> {
        let records = self.candidates(plan, all);
        match &plan.output {
            Output::Rows(columns) => {
                let records = self.select(&plan.selection, records);
                let rows: Vec<Value> = records
                    .iter()
                    .map(|record| self.row(record, columns))
                    .collect();
                Ok(Found {
                    total: rows.len(),
                    rows,
                })
            }
            Output::Count => Ok(Found {
                total: self.select(&plan.selection, records).len(),
                rows: Vec::new(),
            }),
            Output::Groups(grouping) => {
                let records = self.filter(&plan.selection, records);
                let rows = self.groups(grouping, &plan.selection, records);
                if rows.len() > MOST_GROUPS {
                    let text = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch";
                    return Err(Refusal::new(400, "EXCEEDED_ID_LIMIT", text));
                }
                Ok(Found {
                    total: rows.len(),
                    rows,
                })
            }
        }
    }

    /// The records that could match: by id where the filter names ids, else all.
    fn candidates(&self, plan: &Plan, all: bool) -> Vec<&'a Record> {
        let Some(object) = self.org.schema.object(&plan.object) else {
            return Vec::new();
        };
        let Some(table) = self.org.table(&plan.object) else {
            return Vec::new();
        };
        let shown = |record: &&Record| {
            (all || !(record.is_deleted() || record.is_true("IsArchived")))
                && access::is_visible(self.org, self.user, object, record)
        };
        match plan.selection.filter.as_ref().and_then(wanted_ids) {
            Some(ids) => ids
                .into_iter()
                .filter_map(|id| table.get(id))
                .filter(shown)
                .collect(),
            None => table.records().filter(shown).collect(),
        }
    }

    /// Filters, sorts and bounds records.
    pub(crate) fn select(
        &self,
        selection: &Selection,
        records: Vec<&'a Record>,
    ) -> Vec<&'a Record> {
        let mut records = self.filter(selection, records);
        if !selection.order.is_empty() {
            records.sort_by(|left, right| {
                let value = |record: &Record, source: &Source| match source {
                    Source::Column(column) => self.value(record, column),
                    Source::Aggregate(..) => Value::Null,
                };
                in_order(&selection.order, |source| {
                    (value(left, source), value(right, source))
                })
            });
        }
        let limit = selection.limit.unwrap_or(usize::MAX);
        records
            .into_iter()
            .skip(selection.offset)
            .take(limit)
            .collect()
    }

    fn filter(&self, selection: &Selection, mut records: Vec<&'a Record>) -> Vec<&'a Record> {
        if let Some(filter) = &selection.filter {
            records.retain(|record| {
                passes(filter, &|source| match source {
                    Source::Column(column) => self.value(record, column),
                    Source::Aggregate(..) => Value::Null,
                })
            });
        }
        records
    }

    /// A field of a record, or of the parent that the column leads to.
    pub(crate) fn value(&self, record: &Record, column: &Column) -> Value {
        let mut record = record;
        for (_, reference) in &column.hops {
            match record
                .reference(reference)
                .and_then(|id| self.org.record(id))
            {
                Some(parent) => record = parent,
                None => return Value::Null,
            }
        }
        if &*column.field == "Type" && !column.hops.is_empty() {
            let object = self.org.schema.object_with_prefix(record.id.prefix());
            return object.map_or(Value::Null, |object| json!(*object.name));
        }
        record.get(&column.field).clone()
    }

    /// A record as JSON: `attributes` first, every column present, parents nested.
    pub(crate) fn row(&self, record: &Record, columns: &[Column]) -> Value {
        let mut row = self.attributes(record);
        for column in columns {
            self.lay(&mut row, record, column);
        }
        Value::Object(row)
    }

    fn lay(&self, row: &mut Map<String, Value>, record: &Record, column: &Column) {
        let mut place = row;
        let mut parent = record;
        for (relationship, reference) in &column.hops {
            let Some(next) = parent
                .reference(reference)
                .and_then(|id| self.org.record(id))
            else {
                place.insert(relationship.to_string(), Value::Null);
                return;
            };
            let nested = place
                .entry(relationship.to_string())
                .or_insert_with(|| Value::Object(self.attributes(next)));
            let Value::Object(nested) = nested else {
                return;
            };
            place = nested;
            parent = next;
        }
        let value = self.value(record, column);
        place.insert(column.field.to_string(), value);
    }

    fn attributes(&self, record: &Record) -> Map<String, Value> {
        let object = self.org.schema.object_with_prefix(record.id.prefix());
        let name = object.map_or("Name", |object| &*object.name);
        let url = format!(
            "/services/data/{}/sobjects/{name}/{}",
            self.version, record.id
        );
        Map::from_iter([("attributes".to_owned(), json!({ "type": name, "url": url }))])
    }

    fn groups(
        &self,
        grouping: &Grouping,
        selection: &Selection,
        records: Vec<&'a Record>,
    ) -> Vec<Value> {
        let mut groups: BTreeMap<Vec<Option<String>>, Vec<&Record>> = BTreeMap::new();
        if grouping.by.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        for record in records {
            let group = grouping
                .by
                .iter()
                .map(|column| key(&column.kind, &self.value(record, column)));
            groups.entry(group.collect()).or_default().push(record);
        }
        let mut groups: Vec<Vec<&Record>> = groups.into_values().collect();
        if let Some(having) = &grouping.having {
            groups.retain(|group| passes(having, &|source| self.of_group(group, source)));
        }
        groups.sort_by(|left, right| {
            in_order(&selection.order, |source| {
                (self.of_group(left, source), self.of_group(right, source))
            })
        });
        groups
            .iter()
            .skip(selection.offset)
            .take(selection.limit.unwrap_or(usize::MAX))
            .map(|group| {
                let mut row =
                    Map::from_iter([("attributes".to_owned(), json!({"type": "AggregateResult"}))]);
                for (name, source) in &grouping.values {
                    row.insert(name.clone(), self.of_group(group, source));
                }
                Value::Object(row)
            })
            .collect()
    }

    fn of_group(&self, group: &[&Record], source: &Source) -> Value {
        let (function, column) = match source {
            Source::Column(column) => {
                return group
                    .first()
                    .map_or(Value::Null, |first| self.value(first, column));
            }
            Source::Aggregate(_, None) => return json!(group.len()),
            Source::Aggregate(function, Some(column)) => (function, column),
        };
        let values = group
            .iter()
            .map(|record| self.value(record, column))
            .filter(|value| !value.is_null());
        match function {
            Function::Count => json!(values.count()),
            Function::CountDistinct => {
                let distinct: HashSet<_> = values.map(|value| key(&column.kind, &value)).collect();
                json!(distinct.len())
            }
            Function::Min => values.min_by(compare).unwrap_or_default(),
            Function::Max => values.max_by(compare).unwrap_or_default(),
        }
    }
}

/// The ids that a filter narrows the rows to, if it does.
fn wanted_ids(test: &Test) -> Option<Vec<Id>> {
    let is_id = |source: &Source| matches!(source, Source::Column(column) if column.hops.is_empty() && column.kind == Kind::Id);
    match test {
        Test::All(parts) => parts.iter().find_map(wanted_ids),
        Test::Compare(source, Comparison::Equal, Value::String(id)) if is_id(source) => {
            Some(Id::parse(id).into_iter().collect())
        }
        Test::OneOf(source, false, ids) if is_id(source) => {
            let mut ids: Vec<Id> = ids
                .iter()
                .flatten()
                .filter_map(|id| Id::parse(id))
                .collect();
            ids.sort_unstable();
            Some(ids)
        }
        _ => None,
    }
}

/// Whether a condition holds. As in SOQL, there is no third truth value: `!=` and `NOT` find nulls.
fn passes(test: &Test, value_of: &dyn Fn(&Source) -> Value) -> bool {
    match test {
        Test::All(parts) => parts.iter().all(|part| passes(part, value_of)),
        Test::Any(parts) => parts.iter().any(|part| passes(part, value_of)),
        Test::Not(inner) => !passes(inner, value_of),
        Test::OneOf(source, negated, wanted) => {
            let found = wanted.contains(&key(kind_of(source), &value_of(source)));
            found != *negated
        }
        Test::Compare(source, comparison, wanted) => {
            let value = value_of(source);
            let kind = kind_of(source);
            let same = || key(kind, &value) == key(kind, wanted);
            let known = !value.is_null() && !wanted.is_null();
            match comparison {
                Comparison::Equal => same(),
                Comparison::NotEqual => !same(),
                Comparison::Like => match (value.as_str(), wanted.as_str()) {
                    (Some(subject), Some(pattern)) => is_like(subject, pattern),
                    _ => false,
                },
                Comparison::Less => known && compare(&value, wanted).is_lt(),
                Comparison::LessOrEqual => known && compare(&value, wanted).is_le(),
                Comparison::Greater => known && compare(&value, wanted).is_gt(),
                Comparison::GreaterOrEqual => known && compare(&value, wanted).is_ge(),
            }
        }
    }
}

fn kind_of(source: &Source) -> &Kind {
    match source {
        Source::Column(column) | Source::Aggregate(Function::Min | Function::Max, Some(column)) => {
            &column.kind
        }
        Source::Aggregate(..) => &Kind::Int,
    }
}

fn in_order(order: &[Sorting], values: impl Fn(&Source) -> (Value, Value)) -> Ordering {
    for sorting in order {
        let (left, right) = values(&sorting.source);
        let ordering = match (left.is_null(), right.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if sorting.nulls_last => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if sorting.nulls_last => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) if sorting.descending => compare(&right, &left),
            (false, false) => compare(&left, &right),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    Ordering::Equal
}

fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left
            .as_f64()
            .partial_cmp(&right.as_f64())
            .unwrap_or(Ordering::Equal),
        (Value::String(left), Value::String(right)) => {
            left.to_lowercase().cmp(&right.to_lowercase())
        }
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        _ => Ordering::Equal,
    }
}

/// `LIKE`: `%` is any text, `_` any letter, and a backslash makes either itself.
fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut reached: HashSet<usize> = HashSet::from([0]);
    let mut pattern = pattern.chars().flat_map(char::to_lowercase).peekable();
    while let Some(letter) = pattern.next() {
        reached = match letter {
            '%' => {
                let first = reached.iter().min().copied().unwrap_or(text.len() + 1);
                (first..=text.len()).collect()
            }
            '_' => reached
                .iter()
                .filter(|&&at| at < text.len())
                .map(|at| at + 1)
                .collect(),
            letter => {
                let escaped = pattern.next_if(|next| letter == '\\' && "%_".contains(*next));
                let letter = escaped.unwrap_or(letter);
                let fits = |at: &&usize| text.get(**at) == Some(&letter);
                reached.iter().filter(fits).map(|at| at + 1).collect()
            }
        };
        if reached.is_empty() {
            return false;
        }
    }
    reached.contains(&text.len())
}
