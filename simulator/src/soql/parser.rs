//! Reads statements by recursive descent.

use super::ast::{
    Aggregate, Clauses, Comparison, Constant, Expr, Function, Item, Literal, Operand, Order, Path,
    Query,
};
use super::error_at;
use super::lexer::{Token, tokens};
use crate::world::refusal::Refusal;
use crate::world::value::{parse_date, parse_datetime};

/// Parentheses inside parentheses: a bound, so that no statement exhausts the stack.
const DEEPEST: usize = 60;

/// Words that end a list of columns or an alias.
const CLAUSE_WORDS: &[&str] = &[
    "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "WITH",
];

/// A statement that is being read.
#[derive(Debug)]
pub(crate) struct Parser<'t> {
    text: &'t str,
    /// The error code of whatever does not fit.
    code: &'static str,
    tokens: Vec<(Token, usize)>,
    next: usize,
}

type Parsed<T> = Result<T, Refusal>;

impl<'t> Parser<'t> {
    pub(crate) fn new(text: &'t str, code: &'static str) -> Parsed<Self> {
        let tokens = tokens(text, code)?;
        Ok(Self {
            text,
            code,
            tokens,
            next: 0,
        })
    }

    /// A whole query.
    pub(crate) fn query(mut self) -> Parsed<Query> {
        self.keyword("SELECT")?;
        let mut select = vec![self.item()?];
        while self.accept_sign(",") {
            select.push(self.item()?);
        }
        self.keyword("FROM")?;
        let from = self.path()?;
        let alias = self.alias();
        let clauses = self.clauses(CLAUSE_WORDS)?;
        self.end()?;
        Ok(Query {
            select,
            from,
            alias,
            clauses,
        })
    }

    /// The clauses after the object; only those whose words are `allowed`.
    pub(crate) fn clauses(&mut self, allowed: &[&str]) -> Parsed<Clauses> {
        let mut clauses = Clauses::default();
        let may = |word: &str| allowed.contains(&word);
        if may("WHERE") && self.accept("WHERE") {
            clauses.filter = Some(self.expression(0)?);
        }
        if may("GROUP") && self.accept("GROUP") {
            self.keyword("BY")?;
            clauses.group_by.push(self.path()?);
            while self.accept_sign(",") {
                clauses.group_by.push(self.path()?);
            }
            if self.accept("HAVING") {
                clauses.having = Some(self.expression(0)?);
            }
        }
        if may("ORDER") && self.accept("ORDER") {
            self.keyword("BY")?;
            clauses.order_by.push(self.order()?);
            while self.accept_sign(",") {
                clauses.order_by.push(self.order()?);
            }
        }
        if may("LIMIT") && self.accept("LIMIT") {
            clauses.limit = Some(self.count()?);
        }
        if may("OFFSET") && self.accept("OFFSET") {
            clauses.offset = Some(self.count()?);
        }
        Ok(clauses)
    }

    fn item(&mut self) -> Parsed<Item> {
        match self.operand()? {
            Operand::Field(path) => Ok(Item::Field(path)),
            Operand::Aggregate(aggregate) => Ok(Item::Aggregate(aggregate, self.alias())),
        }
    }

    /// A field, or an aggregate function of one.
    fn operand(&mut self) -> Parsed<Operand> {
        let path = self.path()?;
        if !self.accept_sign("(") {
            return Ok(Operand::Field(path));
        }
        let Some(function) = Function::named(&path.text) else {
            return Err(self.error(path.at, &format!("unknown function: {}", path.text)));
        };
        let field = match self.peek() {
            Token::Sign(")") if function == Function::Count => None,
            _ => Some(self.path()?),
        };
        self.sign(")")?;
        Ok(Operand::Aggregate(Aggregate {
            function,
            field,
            at: path.at,
        }))
    }

    /// Conditions joined by `AND` or by `OR`; a mixture needs parentheses.
    fn expression(&mut self, depth: usize) -> Parsed<Expr> {
        let first = self.condition(depth)?;
        let word = match self.peek() {
            token if is_word(token, "AND") => "AND",
            token if is_word(token, "OR") => "OR",
            _ => return Ok(first),
        };
        let mut parts = vec![first];
        while self.accept(word) {
            parts.push(self.condition(depth)?);
        }
        if is_word(self.peek(), "AND") || is_word(self.peek(), "OR") {
            return Err(self.unexpected());
        }
        Ok(match word {
            "AND" => Expr::And(parts),
            _ => Expr::Or(parts),
        })
    }

    fn condition(&mut self, depth: usize) -> Parsed<Expr> {
        if depth > DEEPEST {
            return Err(self.error(self.at(), "expression is nested too deeply"));
        }
        if self.accept("NOT") {
            let inner = self.condition(depth + 1)?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        if self.accept_sign("(") {
            let inner = self.expression(depth + 1)?;
            self.sign(")")?;
            return Ok(inner);
        }
        let operand = self.operand()?;
        if self.accept("NOT") {
            self.keyword("IN")?;
            return Ok(Expr::In(operand, true, self.literals()?));
        }
        if self.accept("IN") {
            return Ok(Expr::In(operand, false, self.literals()?));
        }
        let comparison = self.comparison()?;
        Ok(Expr::Compare(operand, comparison, self.literal()?))
    }

    fn comparison(&mut self) -> Parsed<Comparison> {
        let comparison = match self.peek() {
            Token::Sign("=") => Comparison::Equal,
            Token::Sign("!=") => Comparison::NotEqual,
            Token::Sign("<") => Comparison::Less,
            Token::Sign("<=") => Comparison::LessOrEqual,
            Token::Sign(">") => Comparison::Greater,
            Token::Sign(">=") => Comparison::GreaterOrEqual,
            token if is_word(token, "LIKE") => Comparison::Like,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(comparison)
    }

    fn literals(&mut self) -> Parsed<Vec<Literal>> {
        self.sign("(")?;
        let mut literals = vec![self.literal()?];
        while self.accept_sign(",") {
            literals.push(self.literal()?);
        }
        self.sign(")")?;
        Ok(literals)
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let at = self.at();
        let value = match self.peek() {
            Token::Text(text) => Constant::Text(text.clone()),
            Token::Figure(text) if parse_datetime(text).is_some() => {
                Constant::DateTime(text.clone())
            }
            Token::Figure(text) if parse_date(text).is_some() => Constant::Date(text.clone()),
            Token::Figure(text) if is_number(text) => Constant::Number(text.clone()),
            token if is_word(token, "null") => Constant::Null,
            token if is_word(token, "true") => Constant::Bool(true),
            token if is_word(token, "false") => Constant::Bool(false),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(Literal { value, at })
    }

    fn order(&mut self) -> Parsed<Order> {
        let operand = self.operand()?;
        let descending = !self.accept("ASC") && self.accept("DESC");
        let mut nulls_last = false;
        if self.accept("NULLS") {
            nulls_last = !self.accept("FIRST");
            if nulls_last {
                self.keyword("LAST")?;
            }
        }
        Ok(Order {
            operand,
            descending,
            nulls_last,
        })
    }

    /// A whole number.
    pub(crate) fn count(&mut self) -> Parsed<usize> {
        let count = match self.peek() {
            Token::Figure(text) => text.parse().ok(),
            _ => None,
        };
        let count = count.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(count)
    }

    /// A dotted name.
    pub(crate) fn path(&mut self) -> Parsed<Path> {
        let at = self.at();
        let Token::Word(text) = self.peek() else {
            return Err(self.unexpected());
        };
        let text = text.clone();
        self.next += 1;
        Ok(Path { text, at })
    }

    /// Another name for what was read: `FROM Contact c`, `FROM Contact AS c`, `COUNT(Id) n`.
    fn alias(&mut self) -> Option<String> {
        self.accept("AS");
        let alias = match self.peek() {
            Token::Word(word) if !is_clause_word(word) => Some(word.clone()),
            _ => None,
        };
        self.next += usize::from(alias.is_some());
        alias
    }

    pub(crate) fn keyword(&mut self, word: &str) -> Parsed<()> {
        if self.accept(word) {
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// Reads past a word, if it comes next.
    pub(crate) fn accept(&mut self, word: &str) -> bool {
        let next = is_word(self.peek(), word);
        self.next += usize::from(next);
        next
    }

    pub(crate) fn sign(&mut self, sign: &str) -> Parsed<()> {
        if self.accept_sign(sign) {
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// Reads past a sign, if it comes next.
    pub(crate) fn accept_sign(&mut self, sign: &str) -> bool {
        let next = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.next += usize::from(next);
        next
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Parsed<()> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.text.len(), |(_, at)| *at)
    }

    /// The error of a token that has no business where it stands.
    pub(crate) fn unexpected(&self) -> Refusal {
        let reason = format!("unexpected token: {}", self.peek().shown());
        self.error(self.at(), &reason)
    }

    fn error(&self, at: usize, reason: &str) -> Refusal {
        error_at(self.text, at, self.code, reason)
    }
}

fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(wanted))
}

fn is_clause_word(word: &str) -> bool {
    CLAUSE_WORDS
        .iter()
        .any(|clause| clause.eq_ignore_ascii_case(word))
}

fn is_number(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}
