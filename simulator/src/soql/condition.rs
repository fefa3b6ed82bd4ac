//! Conditions: resolved, with every literal of its field's type.

use std::collections::HashSet;

use serde_json::Value;

use super::ast::{Comparison, Constant, Expr, Function, Literal, Operand};
use super::plan::{Scope, Source};
use crate::world::id::Id;
use crate::world::refusal::Refusal;
use crate::world::schema::Kind;
use crate::world::value::{format_datetime, parse_datetime};

/// A condition.
#[derive(Debug)]
pub(crate) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Compare(Source, Comparison, Value),
    /// The wanted values as [`key`] spells them; null stands for itself.
    OneOf(Source, bool, HashSet<Option<String>>),
}

/// A value as equality sees it: texts whatever their case.
pub(crate) fn key(kind: &Kind, value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if matches!(kind, Kind::Id | Kind::Reference(_)) => Some(text.clone()),
        Value::String(text) => Some(text.to_lowercase()),
        Value::Number(number) => number.as_f64().map(|number| number.to_string()),
        other => Some(other.to_string()),
    }
}

impl Scope<'_> {
    /// Resolves a condition.
    pub(crate) fn test(&self, expr: &Expr) -> Result<Test, Refusal> {
        let all = |parts: &[Expr]| {
            parts
                .iter()
                .map(|part| self.test(part))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match expr {
            Expr::And(parts) => Test::All(all(parts)?),
            Expr::Or(parts) => Test::Any(all(parts)?),
            Expr::Not(inner) => Test::Not(Box::new(self.test(inner)?)),
            Expr::Compare(operand, comparison, literal) => {
                let (source, kind) = self.source(operand)?;
                let textual = !matches!(
                    kind,
                    Kind::Id
                        | Kind::Reference(_)
                        | Kind::Boolean
                        | Kind::Int
                        | Kind::Double
                        | Kind::Date
                        | Kind::DateTime
                );
                if *comparison == Comparison::Like && !textual {
                    let reason = "invalid operator on id field";
                    return Err(self.error(literal.at, "INVALID_FIELD", reason));
                }
                let value = self.wanted(operand, &kind, literal)?;
                Test::Compare(source, *comparison, value)
            }
            Expr::In(operand, negated, literals) => {
                let (source, kind) = self.source(operand)?;
                let wanted = literals
                    .iter()
                    .map(|literal| Ok(key(&kind, &self.wanted(operand, &kind, literal)?)))
                    .collect::<Result<_, Refusal>>()?;
                Test::OneOf(source, *negated, wanted)
            }
        })
    }

    fn source(&self, operand: &Operand) -> Result<(Source, Kind), Refusal> {
        match operand {
            Operand::Field(path) => {
                let column = self.filterable(path, "filtered")?;
                let kind = column.kind.clone();
                Ok((Source::Column(column), kind))
            }
            Operand::Aggregate(aggregate) => {
                let source = self.aggregate(aggregate)?;
                let kind = match (&source, aggregate.function) {
                    (Source::Aggregate(_, Some(column)), Function::Min | Function::Max) => {
                        column.kind.clone()
                    }
                    _ => Kind::Int,
                };
                Ok((source, kind))
            }
        }
    }

    /// A literal as the field stores it, if it is of the field's type.
    fn wanted(&self, operand: &Operand, kind: &Kind, literal: &Literal) -> Result<Value, Refusal> {
        let wrong = |expected: &str, quoted: bool| {
            let name = operand.to_string();
            let quotes = if quoted {
                "should be enclosed"
            } else {
                "should not be enclosed"
            };
            let reason = format!(
                "value of filter criterion for field '{name}' must be of type {expected} and {quotes} in quotes"
            );
            self.error(literal.at, "INVALID_FIELD", &reason)
        };
        match (kind, &literal.value) {
            (_, Constant::Null) => Ok(Value::Null),
            (Kind::Id | Kind::Reference(_), Constant::Text(text)) if text.is_empty() => {
                Ok(Value::Null)
            }
            (Kind::Id | Kind::Reference(_), Constant::Text(text)) => Id::parse(text)
                .map(|id| Value::String(id.to_string()))
                .ok_or_else(|| {
                    let reason = format!("invalid ID field: {text}");
                    self.error(literal.at, "INVALID_QUERY_FILTER_OPERATOR", &reason)
                }),
            (Kind::Boolean, Constant::Bool(value)) => Ok(Value::Bool(*value)),
            (Kind::Boolean, _) => Err(wrong("boolean", false)),
            (Kind::Int | Kind::Double, Constant::Number(text)) => {
                Ok(text.parse::<f64>().map(Value::from).unwrap_or_default())
            }
            (Kind::Int, _) => Err(wrong("int", false)),
            (Kind::Double, _) => Err(wrong("double", false)),
            (Kind::Date, Constant::Date(text)) => Ok(Value::String(text.clone())),
            (Kind::Date, _) => Err(wrong("date", false)),
            (Kind::DateTime, Constant::DateTime(text)) => Ok(parse_datetime(text)
                .map(format_datetime)
                .map_or(Value::Null, Value::String)),
            (Kind::DateTime, _) => Err(wrong("dateTime", false)),
            (_, Constant::Text(text)) => Ok(Value::String(text.clone())),
            (_, _) => Err(wrong("string", true)),
        }
    }
}
