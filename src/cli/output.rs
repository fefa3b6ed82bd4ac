//! How results and errors are written: as text, or as JSON for programs.

use std::io::{ErrorKind, Write};

use serde_json::{Value, json};

use crate::config::Faults;
use crate::domain::fault::Fault;

/// What every command with a result takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Output {
    /// Write the result as JSON to standard output, and an error as one JSON object to standard
    /// error.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Writes a result to standard output. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// What standard error says of a failure.
pub(super) fn told(error: &anyhow::Error, as_json: bool) -> String {
    if as_json {
        json_of(error).to_string()
    } else {
        format!("error: {error:#}")
    }
}

/// An error as one JSON object; wrong settings are listed in it.
fn json_of(error: &anyhow::Error) -> Value {
    let mut object = json!({ "error": format!("{error:#}") });
    if let Some(faults) = error.downcast_ref::<Faults>() {
        let fault = |fault: &Fault| json!({ "setting": fault.setting, "advice": fault.advice });
        object["settings"] = faults.iter().map(fault).collect();
    }
    object
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_is_one_json_object() {
        let error = std::io::Error::other("it is \"away\"\nand stays so");
        let error = Err::<(), _>(error).context("store.url").expect_err("fails");
        assert_eq!(
            told(&error, false),
            "error: store.url: it is \"away\"\nand stays so"
        );
        let line = told(&error, true);
        assert!(!line.contains('\n'), "{line}");
        let object: Value = serde_json::from_str(&line).expect("JSON");
        let wanted = json!({ "error": "store.url: it is \"away\"\nand stays so" });
        assert_eq!(object, wanted);
    }

    #[test]
    fn wrong_settings_are_listed_in_it() {
        let variable = (
            "VCC_LINK_INGEST__LOOKUP_DEADLINE".to_owned(),
            "1ms".to_owned(),
        );
        let faults = crate::config::load_sections(None, [variable], &["ingest"]);
        let error = anyhow::Error::from(faults.expect_err("wrong"));
        let object = json_of(&error);
        assert_eq!(object["settings"][0]["setting"], "ingest.lookup_deadline");
        assert_eq!(object["settings"][0]["advice"], "write at least 1s");
    }
}
