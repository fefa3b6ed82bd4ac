//! The search expression between the braces of `FIND {…}`.

use std::fmt;

use crate::world::refusal::Refusal;

use super::MALFORMED;

/// Beyond this many characters operators are dropped: everything is joined by `OR`.
const MOST_WITH_OPERATORS: usize = 4_000;

/// Beyond this many characters nothing is found.
const MOST_AT_ALL: usize = 10_000;

/// The fewest characters of a term.
const SHORTEST_TERM: usize = 2;

/// Parentheses inside parentheses: a bound, so that no expression exhausts the stack.
const DEEPEST: usize = 60;

/// Characters that mean something, and must be escaped to be searched for.
pub(crate) const RESERVED: &[char] = &[
    '?', '&', '|', '!', '{', '}', '[', ']', '(', ')', '^', '~', '*', ':', '\\', '"', '\'', '+', '-',
];

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Term(Term),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
}

/// A word or a quoted phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    /// The text meant, with `\*` and `\?` no longer escaped; wildcards are in `wild`.
    pub(crate) text: String,
    /// Places in `text` of unescaped `*` and `?`.
    pub(crate) wild: Vec<usize>,
    pub(crate) quoted: bool,
}

impl Expression {
    /// Reads an expression; `None` if it is so long that Salesforce finds nothing.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Refusal> {
        let length = text.chars().count();
        if length > MOST_AT_ALL {
            return Ok(None);
        }
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens, next: 0 };
        let expression = parser.any(0)?;
        if parser.next < parser.tokens.len() {
            return Err(malformed("unexpected token in the search expression"));
        }
        if length > MOST_WITH_OPERATORS {
            let mut terms = Vec::new();
            expression.collect(&mut terms);
            let terms = terms.into_iter().map(Self::Term);
            return Ok(Some(Self::Any(terms.collect())));
        }
        Ok(Some(expression))
    }

    fn collect(self, terms: &mut Vec<Term>) {
        match self {
            Self::Term(term) => terms.push(term),
            Self::Not(inner) => inner.collect(terms),
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.collect(terms);
                }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Term(Term),
    And,
    Or,
    Not,
    Open,
    Close,
}

fn malformed(text: &str) -> Refusal {
    Refusal::new(400, MALFORMED, text)
}

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(&letter) = letters.peek() {
        match letter {
            letter if letter.is_whitespace() => {
                letters.next();
            }
            '(' | ')' => {
                letters.next();
                tokens.push(if letter == '(' {
                    Token::Open
                } else {
                    Token::Close
                });
            }
            '"' => {
                letters.next();
                tokens.push(Token::Term(phrase(&mut letters)?));
            }
            _ => tokens.push(word(&mut letters)?),
        }
    }
    Ok(tokens)
}

type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

fn phrase(letters: &mut Letters<'_>) -> Result<Term, Refusal> {
    let mut term = Term {
        text: String::new(),
        wild: Vec::new(),
        quoted: true,
    };
    while let Some(letter) = letters.next() {
        if letter == '"' {
            return checked(term);
        }
        take(&mut term, letter, letters)?;
    }
    Err(malformed("the search phrase has no closing quotation mark"))
}

fn word(letters: &mut Letters<'_>) -> Result<Token, Refusal> {
    let mut term = Term {
        text: String::new(),
        wild: Vec::new(),
        quoted: false,
    };
    let mut escaped = false;
    while let Some(letter) =
        letters.next_if(|next| !next.is_whitespace() && !"()\"".contains(*next))
    {
        escaped |= letter == '\\';
        take(&mut term, letter, letters)?;
    }
    if !escaped {
        match term.text.to_ascii_uppercase().as_str() {
            "AND" => return Ok(Token::And),
            "OR" => return Ok(Token::Or),
            "NOT" => return Ok(Token::Not),
            _ => {}
        }
    }
    checked(term).map(Token::Term)
}

/// Adds a letter to a term: escaped ones as they are, `*` and `?` as wildcards.
fn take(term: &mut Term, letter: char, letters: &mut Letters<'_>) -> Result<(), Refusal> {
    match letter {
        '\\' => match letters.next() {
            Some(escaped) => term.text.push(escaped),
            None => return Err(malformed("a backslash escapes nothing")),
        },
        '*' | '?' => {
            term.wild.push(term.text.len());
            term.text.push(letter);
        }
        reserved if RESERVED.contains(&reserved) => {
            let text =
                format!("unexpected token: '{reserved}' (reserved characters must be escaped)");
            return Err(malformed(&text));
        }
        other => term.text.push(other),
    }
    Ok(())
}

fn checked(term: Term) -> Result<Term, Refusal> {
    if term.wild.first() == Some(&0) {
        return Err(malformed("a search term must not start with a wildcard"));
    }
    let letters = term.text.chars().count() - term.wild.len();
    if letters < SHORTEST_TERM {
        return Err(malformed("search term must be longer than one character"));
    }
    Ok(term)
}

#[derive(Debug)]
struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn accept(&mut self, token: &Token) -> bool {
        let next = self.tokens.get(self.next) == Some(token);
        self.next += usize::from(next);
        next
    }

    fn any(&mut self, depth: usize) -> Result<Expression, Refusal> {
        let mut parts = vec![self.all(depth)?];
        while self.accept(&Token::Or) {
            parts.push(self.all(depth)?);
        }
        Ok(single_or(parts, Expression::Any))
    }

    /// Words side by side are joined by `AND`.
    fn all(&mut self, depth: usize) -> Result<Expression, Refusal> {
        let mut parts = vec![self.one(depth)?];
        loop {
            let joined = self.accept(&Token::And);
            let more = matches!(
                self.tokens.get(self.next),
                Some(Token::Term(_) | Token::Open | Token::Not)
            );
            if !joined && !more {
                return Ok(single_or(parts, Expression::All));
            }
            parts.push(self.one(depth)?);
        }
    }

    fn one(&mut self, depth: usize) -> Result<Expression, Refusal> {
        if depth > DEEPEST {
            return Err(malformed("the search expression is nested too deeply"));
        }
        if self.accept(&Token::Not) {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.accept(&Token::Open) {
            let inner = self.any(depth + 1)?;
            if !self.accept(&Token::Close) {
                return Err(malformed("a parenthesis is not closed"));
            }
            return Ok(inner);
        }
        match self.tokens.get(self.next) {
            Some(Token::Term(term)) => {
                self.next += 1;
                Ok(Expression::Term(term.clone()))
            }
            _ => Err(malformed("search term must be longer than one character")),
        }
    }
}

fn single_or(
    mut parts: Vec<Expression>,
    join: impl Fn(Vec<Expression>) -> Expression,
) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nested = |parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
            parts.join(word)
        };
        match self {
            Self::Term(term) => write!(f, "{term}"),
            Self::All(parts) => f.write_str(&nested(parts, " AND ")),
            Self::Any(parts) => f.write_str(&nested(parts, " OR ")),
            Self::Not(inner) => write!(f, "NOT ({inner})"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (at, letter) in self.text.char_indices() {
            if RESERVED.contains(&letter) && !self.wild.contains(&at) {
                text.push('\\');
            }
            text.push(letter);
        }
        if self.quoted {
            write!(f, "\"{text}\"")
        } else {
            f.write_str(&text)
        }
    }
}
