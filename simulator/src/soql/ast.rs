//! A statement as read. `Display` writes it back.

use std::fmt::{self, Write as _};

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) select: Vec<Item>,
    pub(crate) from: Path,
    /// The object's other name, which paths may begin with.
    pub(crate) alias: Option<String>,
    pub(crate) clauses: Clauses,
}

/// What may follow the object, in a query and in SOSL's `RETURNING`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Clauses {
    pub(crate) filter: Option<Expr>,
    pub(crate) group_by: Vec<Path>,
    pub(crate) having: Option<Expr>,
    pub(crate) order_by: Vec<Order>,
    pub(crate) limit: Option<usize>,
    pub(crate) offset: Option<usize>,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Field(Path),
    Aggregate(Aggregate, Option<String>),
}

/// `COUNT()`, `COUNT(Id)`, `MAX(CreatedDate)` …
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) function: Function,
    /// Absent only in `COUNT()`.
    pub(crate) field: Option<Path>,
    pub(crate) at: usize,
}

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Count,
    CountDistinct,
    Min,
    Max,
}

/// A dotted name, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) text: String,
    pub(crate) at: usize,
}

impl PartialEq for Path {
    /// Two spellings of one statement are equal wherever the names stand.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare(Operand, Comparison, Literal),
    In(Operand, bool, Vec<Literal>),
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Field(Path),
    Aggregate(Aggregate),
}

/// An operator between a field and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) value: Constant,
    pub(crate) at: usize,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    /// The text meant, and the text with the escapes that only `LIKE` reads.
    Text(String),
    Date(String),
    /// As written.
    DateTime(String),
}

/// One sort key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) operand: Operand,
    pub(crate) descending: bool,
    /// Nulls come first unless said otherwise.
    pub(crate) nulls_last: bool,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT {} FROM {}", list(&self.select), self.from)?;
        if let Some(alias) = &self.alias {
            write!(f, " {alias}")?;
        }
        write!(f, "{}", self.clauses)
    }
}

impl fmt::Display for Clauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(filter) = &self.filter {
            write!(f, " WHERE {filter}")?;
        }
        if !self.group_by.is_empty() {
            write!(f, " GROUP BY {}", list(&self.group_by))?;
        }
        if let Some(having) = &self.having {
            write!(f, " HAVING {having}")?;
        }
        if !self.order_by.is_empty() {
            write!(f, " ORDER BY {}", list(&self.order_by))?;
        }
        if let Some(limit) = self.limit {
            write!(f, " LIMIT {limit}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " OFFSET {offset}")?;
        }
        Ok(())
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    joined(items, ", ")
}

fn joined<T: fmt::Display>(items: &[T], separator: &str) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(separator)
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(path) => write!(f, "{path}"),
            Self::Aggregate(aggregate, None) => write!(f, "{aggregate}"),
            Self::Aggregate(aggregate, Some(alias)) => write!(f, "{aggregate} {alias}"),
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field.as_ref().map_or("", |field| &field.text);
        write!(f, "{}({field})", self.function.name())
    }
}

impl Function {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::CountDistinct => "COUNT_DISTINCT",
            Self::Min => "MIN",
            Self::Max => "MAX",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Count, Self::CountDistinct, Self::Min, Self::Max]
            .into_iter()
            .find(|function| function.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nested = |parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
            parts.join(word)
        };
        match self {
            Self::And(parts) => f.write_str(&nested(parts, " AND ")),
            Self::Or(parts) => f.write_str(&nested(parts, " OR ")),
            Self::Not(inner) => write!(f, "NOT ({inner})"),
            Self::Compare(operand, comparison, literal) => {
                write!(f, "{operand} {} {}", comparison.symbol(), literal.value)
            }
            Self::In(operand, negated, literals) => {
                let values: Vec<&Constant> =
                    literals.iter().map(|literal| &literal.value).collect();
                let word = if *negated { "NOT IN" } else { "IN" };
                write!(f, "{operand} {word} ({})", list(&values))
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(path) => write!(f, "{path}"),
            Self::Aggregate(aggregate) => write!(f, "{aggregate}"),
        }
    }
}

impl Comparison {
    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "LIKE",
        }
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(text) | Self::Date(text) | Self::DateTime(text) => f.write_str(text),
            Self::Text(text) => {
                f.write_char('\'')?;
                for letter in text.chars() {
                    match letter {
                        '\'' => f.write_str("\\'")?,
                        '\\' => f.write_str("\\\\")?,
                        '\n' => f.write_str("\\n")?,
                        '\r' => f.write_str("\\r")?,
                        other => f.write_char(other)?,
                    }
                }
                f.write_char('\'')
            }
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = if self.nulls_last { " NULLS LAST" } else { "" };
        write!(f, "{}{direction}{nulls}", self.operand)
    }
}
