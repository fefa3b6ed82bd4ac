//! `docs/settings.md`: every setting on one page, made from the settings' types (names, defaults,
//! environment variables) and the words of the example file, which another test holds to them.
//!
//! `UPDATE_SETTINGS=1 cargo test --test it settings_page` writes the page anew.

use std::fmt::Write as _;

use vcc_link::config::{Config, EXAMPLE, Line};

/// What stands above the settings.
const HEAD: &str = "\
# Settings

Defaults, then a TOML file (`--config FILE`, or `VCC_LINK_CONFIG`), then the environment: the later
wins. `vcc-link check` tells every fault at once, with what to write, and lists the settings in effect.
Durations are written as in \"1h 30m\", \"10s\", \"500ms\".

Made from the settings' types and [the example file](../deploy/vcc-link.example.toml), which has them
all ready to copy.
";

#[test]
fn the_page_tells_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
    let page = page();
    if std::env::var_os("UPDATE_SETTINGS").is_some() {
        std::fs::write(path, &page).expect("written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        kept, page,
        "docs/settings.md is not up to date; `UPDATE_SETTINGS=1 cargo test --test it settings_page` writes it anew"
    );
}

/// The page.
fn page() -> String {
    let lines = Config::default().lines();
    let mut page = HEAD.to_owned();
    let mut section = "";
    let mut words: Vec<&str> = Vec::new();
    let mut told = 0;
    for line in EXAMPLE.lines() {
        if let Some(word) = line.strip_prefix("# ").or_else(|| line.strip_prefix('#')) {
            // A setting without a default stands as a comment, under its words.
            match unset(word) {
                Some(field) => tell(
                    &mut page,
                    &Line {
                        setting: name_in(section, field),
                        value: "not set".to_owned(),
                        origin: None,
                    },
                    &std::mem::take(&mut words),
                ),
                None => words.push(word),
            }
        } else if let Some(header) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = header;
            let about = std::mem::take(&mut words).join(" ");
            writeln!(page, "\n## `{section}`\n\n{about}\n").expect("a text takes all");
        } else if let Some((field, _)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
            let setting = name_in(section, field);
            let own = lines.iter().filter(|line| {
                line.setting == setting || line.setting.starts_with(&format!("{setting}."))
            });
            let words = std::mem::take(&mut words);
            for line in own {
                told += 1;
                tell(&mut page, line, &words);
            }
        } else if line.is_empty() {
            words.clear();
        }
    }
    assert_eq!(told, lines.len(), "each setting stands in the example once");
    page
}

/// The field of a line like `task = "…"` that is commented out for want of a default.
fn unset(comment: &str) -> Option<&str> {
    let (field, _) = comment.split_once(" =")?;
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    (!field.is_empty() && field.chars().all(plain)).then_some(field)
}

/// A setting's whole name.
fn name_in(section: &str, field: &str) -> String {
    if section.is_empty() {
        field.to_owned()
    } else {
        format!("{section}.{field}")
    }
}

/// One setting.
fn tell(page: &mut String, line: &Line, words: &[&str]) {
    let (setting, value, variable) = (&line.setting, &line.value, line.variable());
    writeln!(
        page,
        "- **`{setting}`** = `{value}` (`{variable}`)\n  {}",
        words.join("\n  ").trim_end()
    )
    .expect("a text takes all");
}
