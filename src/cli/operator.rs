//! Who is at the command line, for the record.

/// Whose name is noted.
#[derive(Clone, Debug, clap::Args)]
pub struct By {
    /// Whose name is noted with it; the operating system's user, if none is given.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl By {
    /// The name.
    pub(super) fn name(&self) -> String {
        let user = || std::env::var("USER").ok();
        self.by
            .clone()
            .or_else(user)
            .unwrap_or_else(|| "unknown".into())
    }
}
