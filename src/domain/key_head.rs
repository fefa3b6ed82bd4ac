//! How a sealed value begins: `version ‖ length of the key's id ‖ the key's id`. So keys can be added and
//! changed while old values stay readable, and the store knows by which key a value was sealed without
//! seeing more of it.

use super::ids::KeyId;

/// The form of a sealed value. Another form gets another number.
const VERSION: u8 = 1;

/// The longest head, in bytes.
pub const LONGEST: usize = 34;

/// What a value begins with that this key sealed, and no other value does.
pub fn of(key: &KeyId) -> Vec<u8> {
    let id = key.as_str().as_bytes();
    let length = u8::try_from(id.len()).expect("key ids have at most 32 bytes");
    [&[VERSION, length], id].concat()
}

/// Takes the head off a sealed value: the id of the key that sealed it, and the rest; `None` where it
/// is no sealed value. The first [`LONGEST`] bytes are enough to know the key.
pub fn split(sealed: &[u8]) -> Option<(KeyId, &[u8])> {
    let (&[version, length], rest) = sealed.split_first_chunk::<2>()?;
    if version != VERSION {
        return None;
    }
    let (id, rest) = rest.split_at_checked(usize::from(length))?;
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    Some((id, rest))
}
