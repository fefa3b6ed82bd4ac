//! A value about a person (a phone number, a name, a note) that cannot be printed by accident.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// Holds a value that must never reach a log, a trace, a metric or an error text.
///
/// `Debug` shows `***` and there is no `Display`; the one way in is [`Private::expose`], which a
/// reviewer can search for. Serde writes the value itself: it is used only for the stored form,
/// which is sealed before it leaves the process.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the request or the sealed body that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Private<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Writes a secret setting as `***`, and an empty one as empty: for showing settings to people.
/// A secret has no `Serialize` of its own, so a field that forgets this does not compile.
pub fn masked<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if secret.expose_secret().is_empty() {
        ""
    } else {
        "***"
    })
}

/// The same for a secret that need not be set.
pub fn masked_option<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => masked(secret, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value() {
        assert_eq!(format!("{:?}", Private::new("+442079460018")), "***");
        assert_eq!(format!("{:?}", Some(Private::new(7))), "Some(***)");
    }
}
