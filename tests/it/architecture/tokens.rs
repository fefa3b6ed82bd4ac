//! Rust source as words, signs and texts: enough to see who names whom.

/// A piece of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// Any other character but space.
    Sign(char),
    /// What stands in a string.
    Text(String),
}

impl Token {
    /// The word, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Sign(_) | Self::Text(_) => None,
        }
    }
}

/// The tokens of a source, each with its line, without comments.
pub(super) fn tokens(source: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, token) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), None)
        } else if let Some((length, text)) = string(rest) {
            (length, Some(Token::Text(text)))
        } else if let Some(length) = character(rest) {
            (length, None)
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            (length, Some(Token::Word(rest[..length].to_owned())))
        } else {
            let token = (!first.is_whitespace()).then_some(Token::Sign(first));
            (first.len_utf8(), token)
        };
        tokens.extend(token.map(|token| (line, token)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Whether a character belongs to words.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length and content of a string that begins here, raw ones and those of bytes among them.
fn string(rest: &str) -> Option<(usize, String)> {
    // A prefix is short: two letters, and a few hashes.
    let quote = rest.char_indices().take(8).find(|(_, c)| *c == '"')?.0;
    let kind = rest[..quote].trim_end_matches('#');
    let hashes = &rest[kind.len()..quote];
    let raw = ["r", "br", "cr"].contains(&kind);
    let plain = ["", "b", "c"].contains(&kind) && hashes.is_empty();
    if !raw && !plain {
        return None;
    }
    let content = &rest[quote + 1..];
    let mut escaped = false;
    let end = if raw {
        content.find(&format!("\"{hashes}"))?
    } else {
        content.find(|c| {
            let end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            end
        })?
    };
    Some((
        quote + 1 + end + 1 + hashes.len(),
        content[..end].to_owned(),
    ))
}

/// The length of a character literal that begins here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        return escape
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '\'')
            .map(|(end, _)| end + 3);
    }
    let c = inside.chars().next()?;
    inside[c.len_utf8()..]
        .starts_with('\'')
        .then(|| c.len_utf8() + 2)
}

/// Takes every item behind `#[cfg(test)]` out.
pub(super) fn without_tests(tokens: &[(usize, Token)]) -> Vec<(usize, Token)> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let spells = |(_, token): &(usize, Token), text: &str| match token {
        Token::Word(word) => word == text,
        Token::Sign(sign) => text.chars().eq([*sign]),
        Token::Text(_) => false,
    };
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((first, behind)) = rest.split_first() {
        let marked = rest.len() >= MARK.len() && rest.iter().zip(MARK).all(|(t, m)| spells(t, m));
        if marked {
            rest = &rest[item_end(rest)..];
        } else {
            kept.push(first.clone());
            rest = behind;
        }
    }
    kept
}

/// Where the item that begins here ends: behind its block, or behind its semicolon.
fn item_end(tokens: &[(usize, Token)]) -> usize {
    let mut depth = 0;
    for (n, (_, token)) in tokens.iter().enumerate() {
        match token {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') if depth == 1 => return n + 1,
            Token::Sign('}') => depth -= 1,
            Token::Sign(';') if depth == 0 => return n + 1,
            _ => {}
        }
    }
    tokens.len()
}
