//! What a token is good for.

use std::fmt;

/// Scopes in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope(Vec<String>);

impl Scope {
    /// Reads a list separated by spaces. `offline_access` is another name of `refresh_token`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut names: Vec<String> = Vec::new();
        for name in text.split_whitespace() {
            let name = match name {
                "offline_access" => "refresh_token",
                name => name,
            };
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Self(names)
    }

    /// All that the app may ask for.
    pub(crate) fn of_app(scopes: &[String]) -> Self {
        Self::parse(&scopes.join(" "))
    }

    /// Everything, but no refresh token: what a session has that no app asked for.
    pub(crate) fn full() -> Self {
        Self::parse("full")
    }

    /// Whether it has a scope; `full` stands for all but `refresh_token`.
    pub(crate) fn has(&self, name: &str) -> bool {
        let full = name != "refresh_token" && self.names().any(|known| known == "full");
        full || self.names().any(|known| known == name)
    }

    /// Whether it has all that another has.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.names().all(|name| self.has(name))
    }

    /// All but one.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|known| known != name);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_covers_all_but_refresh_tokens() {
        let full = Scope::full();
        assert!(full.covers(&Scope::parse("api id")));
        assert!(!full.covers(&Scope::parse("api refresh_token")));
        let scope = Scope::parse("api  offline_access api");
        assert_eq!(scope.to_string(), "api refresh_token");
        assert!(!scope.covers(&Scope::full()));
    }
}
