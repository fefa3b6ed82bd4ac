//! From any bytes to something that is nearly right.
//!
//! Random bytes fall at the first brace. So an input is read as a recipe: which sample to begin with, and what to do
//! to it. A fuzzer that changes a byte of the recipe changes one thing about the result.

/// What gets interesting where text is expected.
const TOKENS: [&[u8]; 24] = [
    b"\"",
    b"'",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"\0",
    b"\xff\xfe",
    b"\xf0\x9f\x93\x9e",
    b"\\u0000",
    b"\\ud800",
    b"' OR Id != '",
    b"} IN ALL FIELDS RETURNING User(Id)",
    b"https://evil.example",
    b"../",
    b"\r\n",
    b"0001-01-01T00:00:00Z",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// The longest result, in bytes.
const LONGEST: usize = 64 * 1024;

/// One of the samples, changed as the recipe says; the recipe itself where it chooses none.
pub(crate) fn damaged(samples: &[&[u8]], recipe: &[u8]) -> Vec<u8> {
    let Some((choice, steps)) = recipe.split_first() else {
        return Vec::new();
    };
    let Some(sample) = samples.get(usize::from(*choice) % (samples.len() + 1)) else {
        return steps.to_vec();
    };
    let mut value = sample.to_vec();
    for step in steps.chunks_exact(4) {
        let [what, high, low, how] = [step[0], step[1], step[2], step[3]];
        let at = usize::from(u16::from_be_bytes([high, low])) % (value.len() + 1);
        change(&mut value, at, what, how);
        value.truncate(LONGEST);
    }
    value
}

/// One change at a place of the value.
fn change(value: &mut Vec<u8>, at: usize, what: u8, how: u8) {
    let end = (at + usize::from(how)).min(value.len());
    match what % 5 {
        0 if at < value.len() => value[at] = how,
        1 => drop(value.drain(at..end)),
        2 => {
            let again = value[at..end].to_vec();
            value.splice(at..at, again);
        }
        3 => {
            let token = TOKENS[usize::from(how) % TOKENS.len()];
            value.splice(at..at, token.iter().copied());
        }
        _ => {
            let token = TOKENS[usize::from(how) % TOKENS.len()];
            let end = (at + token.len()).min(value.len());
            value.splice(at..end, token.iter().copied());
        }
    }
}
