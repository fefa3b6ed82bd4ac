//! Salesforce's ids: of records, orgs and users.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::InvalidId;

/// A Salesforce record id, always held in its 18-character form.
///
/// The last three characters are a checksum over the case of the first fifteen, so that ids
/// survive systems that fold case; 15-character input is completed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(String);

impl RecordId {
    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The three characters that tell the object: `003` Contact, `00Q` Lead, `001` Account.
    pub fn key_prefix(&self) -> &str {
        &self.0[..3]
    }
}

/// Salesforce's checksum: one character for each five, a bit for each upper-case letter.
fn checksum(first15: &[u8]) -> [u8; 3] {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let mut suffix = [0; 3];
    for (chunk, out) in first15.chunks(5).zip(&mut suffix) {
        let bits = chunk
            .iter()
            .enumerate()
            .filter(|(_, c)| c.is_ascii_uppercase())
            .fold(0, |bits, (i, _)| bits | 1 << i);
        *out = ALPHABET[bits];
    }
    suffix
}

impl FromStr for RecordId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = InvalidId::Salesforce {
            what: "a record id",
            prefix: "",
        };
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 15 | 18) || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(wrong);
        }
        let suffix = checksum(&bytes[..15]);
        if bytes.len() == 18 && !bytes[15..].eq_ignore_ascii_case(&suffix) {
            return Err(wrong);
        }
        let mut id = text[..15].to_owned();
        id.extend(suffix.map(char::from));
        Ok(Self(id))
    }
}

impl TryFrom<String> for RecordId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares a Salesforce id that must have one key prefix.
macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $prefix:literal, $words:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(RecordId);

        impl $name {
            /// The 18 characters.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The same id as a record's.
            pub fn record(&self) -> &RecordId {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let wrong = InvalidId::Salesforce { what: $what, prefix: $words };
                match text.parse::<RecordId>() {
                    Ok(id) if id.key_prefix() == $prefix => Ok(Self(id)),
                    _ => Err(wrong),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

prefixed_id!(
    /// A Salesforce org.
    OrgId, "an org id", "00D", " that starts with 00D"
);
prefixed_id!(
    /// A Salesforce user.
    UserId, "a user id", "005", " that starts with 005"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_id_is_completed_and_checked() {
        let id: RecordId = "0015g00000ABCDE".parse().expect("15 characters");
        assert_eq!(id.as_str().len(), 18);
        assert_eq!(id.as_str().parse::<RecordId>(), Ok(id.clone()));
        assert_eq!(
            "00DB0000000TfcR".parse::<OrgId>().expect("org").as_str(),
            "00DB0000000TfcRMAS"
        );
        assert!(
            "00DB0000000TfcRMAA".parse::<OrgId>().is_err(),
            "wrong checksum"
        );
        assert!(
            "005B0000005Bk90IAC".parse::<OrgId>().is_err(),
            "a user is no org"
        );
        assert!("".parse::<RecordId>().is_err());
        assert!("0015g00000ABCD\u{e9}".parse::<RecordId>().is_err());
    }
}
