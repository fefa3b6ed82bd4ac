//! Words, values and signs of a statement.

use crate::world::refusal::Refusal;

use super::error_at;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name or a keyword, with its dots.
    Word(String),
    /// A quoted text, with its escapes read except those of `%` and `_`.
    Text(String),
    /// A number, date or datetime, as written.
    Figure(String),
    /// `(`, `)`, `,`, `=`, `!=`, `<`, `<=`, `>`, `>=`, `:`.
    Sign(&'static str),
    End,
}

impl Token {
    /// The token as an error shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Text(text) | Self::Figure(text) => format!("'{text}'"),
            Self::Sign(sign) => format!("'{sign}'"),
            Self::End => "'<EOF>'".to_owned(),
        }
    }
}

/// Signs, longer before shorter.
const SIGNS: &[(&str, &str)] = &[
    ("<>", "!="),
    ("!=", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
    ("(", "("),
    (")", ")"),
    (",", ","),
    (":", ":"),
];

/// Reads all tokens, each with the place where it starts.
pub(crate) fn tokens(text: &str, code: &str) -> Result<Vec<(Token, usize)>, Refusal> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        if letter.is_whitespace() {
            at += letter.len_utf8();
            continue;
        }
        let (token, length) = token(&text[at..], letter).ok_or_else(|| {
            let reason = match letter {
                '\'' => "unexpected token: ''' (String literal is not closed, or has a bad escape)"
                    .to_owned(),
                other => format!("unexpected token: '{other}'"),
            };
            error_at(text, at, code, &reason)
        })?;
        found.push((token, at));
        at += length;
    }
    found.push((Token::End, text.len()));
    Ok(found)
}

/// The token at the start of `rest`, and its length.
fn token(rest: &str, first: char) -> Option<(Token, usize)> {
    if first == '\'' {
        return quoted(rest);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = run(rest, |letter| {
            letter.is_ascii_alphanumeric() || "_.".contains(letter)
        });
        return Some((Token::Word(rest[..length].to_owned()), length));
    }
    let signed = "+-.".contains(first);
    if first.is_ascii_digit()
        || (signed && rest[1..].starts_with(|next: char| next.is_ascii_digit()))
    {
        let length = run(rest, |letter| {
            letter.is_ascii_alphanumeric() || ":+-.".contains(letter)
        });
        return Some((Token::Figure(rest[..length].to_owned()), length));
    }
    SIGNS
        .iter()
        .find(|(written, _)| rest.starts_with(written))
        .map(|(written, meant)| (Token::Sign(meant), written.len()))
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !belongs(letter)).unwrap_or(text.len())
}

/// A quoted text. `\%` and `\_` keep their backslash: only `LIKE` reads it.
fn quoted(rest: &str) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return Some((Token::Text(text), at + 1)),
            '\\' => match letters.next()?.1 {
                'n' | 'N' => text.push('\n'),
                'r' | 'R' => text.push('\r'),
                't' | 'T' => text.push('\t'),
                'b' | 'B' => text.push('\u{8}'),
                'f' | 'F' => text.push('\u{c}'),
                same @ ('\\' | '\'' | '"') => text.push(same),
                wildcard @ ('%' | '_') => text.extend(['\\', wildcard]),
                _ => return None,
            },
            other => text.push(other),
        }
    }
    None
}
