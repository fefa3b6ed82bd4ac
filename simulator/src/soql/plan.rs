//! Resolves a statement against an org's schema, as one user sees it.

use std::sync::Arc;

use super::ast::{Aggregate, Clauses, Function, Item, Operand, Path, Query};
use super::condition::Test;
use super::error_at;
use crate::world::access;
use crate::world::org::{Org, User};
use crate::world::refusal::Refusal;
use crate::world::schema::{Field, Kind, Object};

/// Rows that `OFFSET` may skip.
const LARGEST_OFFSET: usize = 2_000;

/// A statement that fits the schema.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) object: Arc<str>,
    pub(crate) output: Output,
    pub(crate) selection: Selection,
}

/// Which rows, and in which order.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) filter: Option<Test>,
    pub(crate) order: Vec<Sorting>,
    pub(crate) limit: Option<usize>,
    pub(crate) offset: usize,
}

/// One sort key.
#[derive(Debug)]
pub(crate) struct Sorting {
    pub(crate) source: Source,
    pub(crate) descending: bool,
    pub(crate) nulls_last: bool,
}

/// What comes out.
#[derive(Debug)]
pub(crate) enum Output {
    Rows(Vec<Column>),
    /// `COUNT()`: a number and no rows.
    Count,
    Groups(Grouping),
}

/// `GROUP BY`: the rows of one group make one row.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// All rows are one group, if empty.
    pub(crate) by: Vec<Column>,
    pub(crate) having: Option<Test>,
    /// Name and source of each value.
    pub(crate) values: Vec<(String, Source)>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Column(Column),
    Aggregate(Function, Option<Column>),
}

/// A field of the row, or of a parent.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Relationship name and reference field of each step to a parent.
    pub(crate) hops: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) field: Arc<str>,
    pub(crate) kind: Kind,
}

/// Everything that names are resolved against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) org: &'a Org,
    pub(crate) user: &'a User,
    pub(crate) object: &'a Object,
    /// The object's other name in the statement.
    pub(crate) alias: Option<&'a str>,
    /// The statement, to be shown in errors.
    pub(crate) text: &'a str,
}

/// Resolves a query.
pub(crate) fn plan(org: &Org, user: &User, query: &Query, text: &str) -> Result<Plan, Refusal> {
    let object = access::object(org, user, &query.from.text).ok_or_else(|| {
        let reason = format!(
            "sObject type '{}' is not supported. If you are attempting to use a custom object, be \
             sure to append the '__c' after the entity name. Please reference your WSDL or the \
             describe call for the appropriate names.",
            query.from.text
        );
        error_at(text, query.from.at, "INVALID_TYPE", &reason)
    })?;
    let scope = Scope {
        org,
        user,
        object,
        alias: query.alias.as_deref(),
        text,
    };
    Ok(Plan {
        object: Arc::clone(&object.name),
        output: scope.output(query)?,
        selection: scope.selection(&query.clauses)?,
    })
}

impl Scope<'_> {
    pub(crate) fn error(&self, at: usize, code: &str, reason: &str) -> Refusal {
        error_at(self.text, at, code, reason)
    }

    fn output(&self, query: &Query) -> Result<Output, Refusal> {
        let clauses = &query.clauses;
        if let [Item::Aggregate(Aggregate { field: None, .. }, None)] = query.select.as_slice() {
            return Ok(Output::Count);
        }
        let aggregates = query
            .select
            .iter()
            .any(|item| matches!(item, Item::Aggregate(..)));
        if !aggregates && clauses.group_by.is_empty() {
            let columns = query.select.iter().map(|item| match item {
                Item::Field(path) => self.column(path),
                Item::Aggregate(aggregate, _) => self.column_of(aggregate),
            });
            return Ok(Output::Rows(columns.collect::<Result<_, _>>()?));
        }
        let by = clauses
            .group_by
            .iter()
            .map(|path| self.filterable(path, "grouped"))
            .collect::<Result<Vec<_>, _>>()?;
        let mut values = Vec::new();
        let mut unnamed = 0;
        for item in &query.select {
            values.push(match item {
                Item::Field(path) => {
                    let grouped = clauses
                        .group_by
                        .iter()
                        .any(|group| group.text.eq_ignore_ascii_case(&path.text));
                    if !grouped {
                        let reason = format!("Field must be grouped or aggregated: {}", path.text);
                        return Err(self.error(path.at, "MALFORMED_QUERY", &reason));
                    }
                    let column = self.column(path)?;
                    (column.field.to_string(), Source::Column(column))
                }
                Item::Aggregate(aggregate, alias) => {
                    let name = alias.clone().unwrap_or_else(|| format!("expr{unnamed}"));
                    unnamed += usize::from(alias.is_none());
                    (name, self.aggregate(aggregate)?)
                }
            });
        }
        let having = clauses
            .having
            .as_ref()
            .map(|having| self.test(having))
            .transpose()?;
        Ok(Output::Groups(Grouping { by, having, values }))
    }

    /// Resolves filter, order and bounds.
    pub(crate) fn selection(&self, clauses: &Clauses) -> Result<Selection, Refusal> {
        let filter = clauses
            .filter
            .as_ref()
            .map(|filter| self.test(filter))
            .transpose()?;
        let order = clauses.order_by.iter().map(|order| {
            let source = match &order.operand {
                Operand::Field(path) => Source::Column(self.filterable(path, "sorted")?),
                Operand::Aggregate(aggregate) => self.aggregate(aggregate)?,
            };
            Ok(Sorting {
                source,
                descending: order.descending,
                nulls_last: order.nulls_last,
            })
        });
        let offset = clauses.offset.unwrap_or(0);
        if offset > LARGEST_OFFSET {
            let text = "Maximum SOQL offset allowed is 2000";
            return Err(Refusal::new(400, "NUMBER_OUTSIDE_VALID_RANGE", text));
        }
        Ok(Selection {
            filter,
            order: order.collect::<Result<_, Refusal>>()?,
            limit: clauses.limit,
            offset,
        })
    }

    pub(crate) fn aggregate(&self, aggregate: &Aggregate) -> Result<Source, Refusal> {
        if aggregate.field.is_none() {
            let reason = "COUNT() must be the only element of the SELECT list";
            return Err(self.error(aggregate.at, "MALFORMED_QUERY", reason));
        }
        let column = self.column_of(aggregate)?;
        Ok(Source::Aggregate(aggregate.function, Some(column)))
    }

    fn column_of(&self, aggregate: &Aggregate) -> Result<Column, Refusal> {
        match &aggregate.field {
            Some(path) => self.filterable(path, "aggregated"),
            None => Err(self.error(aggregate.at, "MALFORMED_QUERY", "unexpected token: '('")),
        }
    }

    /// Resolves a dotted name: parents first, then the field.
    pub(crate) fn column(&self, path: &Path) -> Result<Column, Refusal> {
        let mut hops = Vec::new();
        let mut objects = vec![self.object];
        let mut parts: Vec<&str> = path.text.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let is_the_object = |part: &&str| {
            let names = [Some(&*self.object.name), self.alias];
            let mut names = names.into_iter().flatten();
            names.any(|name| part.eq_ignore_ascii_case(name))
        };
        if parts.first().is_some_and(is_the_object) {
            parts.remove(0);
        }
        for part in parts {
            let reference = objects
                .iter()
                .find_map(|object| object.relationship(part).map(|field| (object, field)))
                .filter(|(object, field)| !self.user.is_hidden(&object.name, &field.name))
                .map(|(_, field)| field);
            let Some((field, to)) = reference.and_then(parents) else {
                return Err(self.no_relationship(path.at, part, objects[0]));
            };
            hops.push((
                field.relationship.clone().unwrap_or_default(),
                Arc::clone(&field.name),
            ));
            objects = to
                .iter()
                .filter_map(|name| self.org.schema.object(name))
                .collect();
        }
        let polymorphic = objects.len() > 1;
        if polymorphic && last.eq_ignore_ascii_case("Type") {
            return Ok(Column {
                hops,
                field: "Type".into(),
                kind: Kind::Text,
            });
        }
        objects
            .iter()
            .find_map(|object| access::field(self.user, object, last))
            .map(|field| Column {
                hops,
                field: Arc::clone(&field.name),
                kind: field.kind.clone(),
            })
            .ok_or_else(|| self.no_column(path.at, last, objects[0], polymorphic))
    }

    fn no_column(&self, at: usize, field: &str, object: &Object, polymorphic: bool) -> Refusal {
        let entity = if polymorphic { "Name" } else { &*object.name };
        let reason = format!(
            "No such column '{field}' on entity '{entity}'. If you are attempting to use a custom \
             field, be sure to append the '__c' after the custom field name. Please reference your \
             WSDL or the describe call for the appropriate names."
        );
        self.error(at, "INVALID_FIELD", &reason)
    }

    fn no_relationship(&self, at: usize, part: &str, object: &Object) -> Refusal {
        let reason = format!(
            "Didn't understand relationship '{part}' in field path. If you are attempting to use a \
             custom relationship, be sure to append the '__r' after the custom relationship name. \
             Please reference your WSDL or the describe call for the appropriate names. ({})",
            object.name
        );
        self.error(at, "INVALID_FIELD", &reason)
    }

    /// A column that conditions, groups and sorting may use.
    pub(crate) fn filterable(&self, path: &Path, use_of: &str) -> Result<Column, Refusal> {
        let column = self.column(path)?;
        if column.kind == Kind::LongText {
            let reason = format!(
                "field '{}' can not be {use_of} in a query call",
                column.field
            );
            return Err(self.error(path.at, "INVALID_FIELD", &reason));
        }
        Ok(column)
    }
}

/// The objects that a reference field leads to.
fn parents(field: &Field) -> Option<(&Field, &'static [&'static str])> {
    match field.kind {
        Kind::Reference(to) => Some((field, to)),
        _ => None,
    }
}
