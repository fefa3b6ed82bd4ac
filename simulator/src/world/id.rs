//! Record ids as Salesforce writes them.
//!
//! An id is 15 case-sensitive characters, of which the first three name the object. The 18-character
//! form adds a checksum of the upper-case letters, so that it survives case-insensitive tools. Either
//! form is accepted as input; answers carry the 18-character form.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits of generated ids, in ASCII order so that a later id also sorts later.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of the checksum: five bits each.
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// A Salesforce record id; equal in its 15- and its 18-character form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 15]);

impl Id {
    /// Reads an id of 15 or 18 characters; the checksum of the longer form must be right.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let id = Self(bytes.get(..15)?.try_into().ok()?);
        match bytes.len() {
            15 => Some(id),
            18 => bytes[15..]
                .eq_ignore_ascii_case(&id.checksum())
                .then_some(id),
            _ => None,
        }
    }

    /// Makes the `serial`-th id of an object in the org numbered `pod`.
    pub fn generate(prefix: [u8; 3], pod: u16, serial: u64) -> Self {
        let mut id = [b'0'; 15];
        id[..3].copy_from_slice(&prefix);
        id[3] = base62(u64::from(pod) / 62);
        id[4] = base62(u64::from(pod));
        let mut rest = serial;
        for place in id[6..].iter_mut().rev() {
            *place = base62(rest);
            rest /= 62;
        }
        Self(id)
    }

    /// The three characters that name the object.
    pub fn prefix(&self) -> [u8; 3] {
        [self.0[0], self.0[1], self.0[2]]
    }

    /// One character for each group of five, with a bit for every upper-case letter in it.
    fn checksum(&self) -> [u8; 3] {
        let mut checksum = [0; 3];
        for (place, group) in checksum.iter_mut().zip(self.0.chunks(5)) {
            let bits = group.iter().enumerate().fold(0, |bits, (n, letter)| {
                bits | (usize::from(letter.is_ascii_uppercase()) << n)
            });
            *place = CHECKSUM[bits];
        }
        checksum
    }
}

fn base62(value: u64) -> u8 {
    let digit = usize::try_from(value % 62).unwrap_or_default();
    BASE62[digit]
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().chain(&self.checksum()) {
            write!(f, "{}", char::from(*byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("'{text}' is no id of 15 or 18 characters"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_documented_ids() {
        for (short, long) in [
            ("001Vr00000m4eGC", "001Vr00000m4eGCIAY"),
            ("00DB0000000TfcR", "00DB0000000TfcRMAS"),
            ("005B0000005Bk90", "005B0000005Bk90IAC"),
        ] {
            assert_eq!(Id::parse(short).unwrap().to_string(), long);
            assert_eq!(Id::parse(short), Id::parse(long));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "003",
            "001Vr00000m4eGCIAX",
            "001Vr00000m4eG!",
            "001Vr00000m4eGCIA",
        ] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }

    #[test]
    fn later_ids_sort_later() {
        let ids: Vec<_> = [1, 61, 62, 5_000, 99_999_999]
            .map(|serial| Id::generate(*b"00T", 7, serial).to_string())
            .into();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| Id::parse(id).is_some()));
    }
}
