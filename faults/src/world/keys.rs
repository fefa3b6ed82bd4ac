//! The key ring of a world's vcc-link, which a trial may change.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Keys by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The one that seals.
    pub(crate) primary: u8,
    /// The one beside it, which only opens.
    pub(crate) other: Option<u8>,
}

impl Keys {
    /// One key.
    pub(crate) const fn only(primary: u8) -> Self {
        Self {
            primary,
            other: None,
        }
    }

    /// The settings, by their names in the environment.
    pub(super) fn environment(&self) -> [(&'static str, String); 2] {
        let key = |number: u8| {
            let key = BASE64_STANDARD.encode([number; 32]);
            format!("{{ id = \"{}\", key = \"{key}\" }}", id(number))
        };
        let ring: Vec<String> = [Some(self.primary), self.other]
            .into_iter()
            .flatten()
            .map(key)
            .collect();
        [
            ("VCC_LINK_CRYPTO__PRIMARY", id(self.primary)),
            ("VCC_LINK_CRYPTO__KEYS", format!("[{}]", ring.join(", "))),
        ]
    }
}

fn id(number: u8) -> String {
    format!("key-{number}")
}
