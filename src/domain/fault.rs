//! A wrong setting, told so that the reader can mend it.

use std::fmt;

/// One fault in the settings. Checking goes on behind it, so that all are told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting's path, as in the file: `kafka.brokers`.
    pub setting: String,
    /// What is wrong and what to write, in one sentence; never the value of a secret.
    pub advice: String,
}

impl Fault {
    /// A fault of this setting.
    pub fn new(setting: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.advice)
    }
}
