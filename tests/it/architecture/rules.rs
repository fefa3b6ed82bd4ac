//! The rules, as tables, and what breaks them.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens, without_tests};

/// Which rooms a room may know, besides itself. Who is not listed may not be there.
const ARROWS: &[(&str, &str)] = &[
    ("domain", ""),
    ("clock", ""),
    // Where components say whether they are ready, and the pages read it.
    ("readiness", ""),
    ("telemetry", "domain"),
    // Adapters and engine never know each other: they share domain values.
    ("crypto", "domain telemetry"),
    ("engine", "domain telemetry"),
    ("kafka", "clock domain telemetry"),
    ("salesforce", "clock domain telemetry"),
    ("store", "clock domain telemetry"),
    // Domain values as sealed rows: between the stages and two adapters.
    ("sealing", "crypto domain store telemetry"),
    // Domain values and rows as they are told, by the command line and the API alike.
    ("telling", "domain sealing store"),
    (
        "linking",
        "clock crypto domain engine kafka salesforce sealing store telemetry",
    ),
    // Tells people what becomes of links; they are changed elsewhere.
    (
        "notices",
        "clock crypto domain sealing store telemetry telling",
    ),
    // Looks callers up, for the worker and for an admin's test alike.
    ("callers", "clock domain salesforce"),
    // An admin's test of a link: what the worker would do, without a call.
    (
        "trial",
        "callers clock domain linking salesforce store telemetry",
    ),
    // These two meet in the store and in the events.
    (
        "pipeline",
        "callers clock crypto domain engine kafka linking readiness salesforce sealing store telemetry",
    ),
    (
        "http",
        "clock crypto domain engine kafka linking notices readiness salesforce sealing store \
         telemetry telling trial",
    ),
    // Puts the sections of all together.
    (
        "config",
        "crypto domain engine http kafka linking notices pipeline salesforce store telemetry",
    ),
    // Asks the services of the settings whether they are as they must be.
    (
        "preflight",
        "config domain http kafka linking salesforce sealing store",
    ),
    ("app", EVERYBODY_BELOW),
    ("cli", EVERYBODY_BELOW),
    ("main", "cli"),
    // Names its modules, and imports none.
    ("lib", ""),
];

/// What the top may know.
const EVERYBODY_BELOW: &str = "app callers clock config crypto domain engine http kafka linking notices \
                               pipeline preflight readiness salesforce sealing store telemetry \
                               telling trial";

/// Packages that have one room each, so that their types go nowhere else.
const PACKAGES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("rdkafka", &["kafka"]),
    ("prost", &["kafka"]),
    ("pbjson", &["kafka"]),
    // The sidecar asks the portal for its public keys; notices are webhooks, too.
    ("reqwest", &["http", "notices", "salesforce"]),
    ("lettre", &["notices"]),
    ("axum", &["http"]),
    // Only crypto sees keys of ours; salesforce hashes what its protocol wants hashed.
    ("aws_lc_rs", &["crypto", "salesforce"]),
    ("jsonwebtoken", &["http"]),
    ("opentelemetry", &["telemetry"]),
    ("prometheus", &["http", "telemetry"]),
];

/// Rooms that can be run a million times in a simulation: no runtime, no clock, no files.
const PURE: &[&str] = &["domain", "engine"];

/// The longest source, in lines without its tests.
const LONGEST: usize = 400;

/// Longer sources, each with the reason why it is one idea nonetheless.
const LONGER: &[(&str, &str)] = &[
    (
        "src/engine/answers.rs",
        "every answer that a request may bring, and what follows from it",
    ),
    (
        "src/engine/machine.rs",
        "the engine's state, and the stages of one turn in their order",
    ),
    (
        "src/engine/pacing.rs",
        "one org's window, breaker and budget, which read one another",
    ),
    (
        "src/engine/paging.rs",
        "one sweep with its cursor and its overflow",
    ),
    (
        "src/pipeline/dispatch.rs",
        "one batch from its notes to its answers",
    ),
    (
        "src/pipeline/ingest.rs",
        "one batch from Kafka to the inbox, with what the database refuses",
    ),
    (
        "src/pipeline/lookup.rs",
        "one batch from its numbers to its answers, with what is remembered",
    ),
    (
        "src/salesforce/client.rs",
        "the one place where a request is made, with all that holds for it",
    ),
];

/// A source file.
pub(super) struct Source {
    /// Its path in the package.
    pub(super) path: String,
    /// Its tokens without tests, each with its line.
    tokens: Vec<(usize, Token)>,
    /// Its lines, those of its tests not counted.
    lines: usize,
}

impl Source {
    /// A file's source.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let tests = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
        Self {
            path: path.to_owned(),
            tokens: without_tests(&tokens(text)),
            lines: text[..tests].lines().count(),
        }
    }

    /// The modules that lead to this file: `store`, `postgres` for `src/store/postgres/mod.rs`.
    fn modules(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }

    /// The room that it belongs to.
    fn room(&self) -> &str {
        self.modules()[0]
    }

    /// A fault in it.
    fn fault(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// Its texts, each with its line.
    fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tokens.iter().filter_map(|(line, token)| match token {
            Token::Text(text) => Some((*line, text.as_str())),
            Token::Word(_) | Token::Sign(_) => None,
        })
    }

    /// The words at this place of the tokens that a path holds: `crate`, `store`, `Inbox`.
    fn path_at(&self, mut place: usize) -> Vec<&str> {
        let mut path = Vec::new();
        while let Some(word) = self.tokens.get(place).and_then(|(_, token)| token.word()) {
            path.push(word);
            let colon = |n: usize| matches!(self.tokens.get(n), Some((_, Token::Sign(':'))));
            if !(colon(place + 1) && colon(place + 2)) {
                break;
            }
            place += 3;
        }
        path
    }

    /// Every path in it, each with its line; of those in braces, each whole.
    fn paths(&self) -> Vec<(usize, Vec<&str>)> {
        let is = |n: usize, sign: char| matches!(self.tokens.get(n), Some((_, Token::Sign(s))) if *s == sign);
        let mut paths = Vec::new();
        // For each open brace: the path that stands before it, where one does.
        let mut around: Vec<Vec<&str>> = Vec::new();
        let mut place = 0;
        while let Some((line, token)) = self.tokens.get(place) {
            match token {
                Token::Word(_) => {
                    let path = self.path_at(place);
                    place += path.len() * 3 - 2;
                    let mut whole = around.last().cloned().unwrap_or_default();
                    whole.extend(path);
                    if is(place, ':') && is(place + 1, ':') && is(place + 2, '{') {
                        around.push(whole);
                        place += 3;
                    } else {
                        paths.push((*line, whole));
                    }
                    continue;
                }
                Token::Sign('{') => around.push(Vec::new()),
                Token::Sign('}') => drop(around.pop()),
                Token::Sign(_) | Token::Text(_) => {}
            }
            place += 1;
        }
        paths
    }
}

/// Everything that breaks the rules.
pub(super) fn faults(sources: &[Source]) -> Vec<String> {
    let codes: BTreeSet<&str> = sources
        .iter()
        .filter(|source| source.room() == "salesforce")
        .flat_map(|source| source.texts().map(|(_, text)| text))
        .filter(|text| is_error_code(text))
        .collect();
    sources
        .iter()
        .flat_map(|source| faults_of(source, &codes))
        .collect()
}

/// Everything that breaks the rules in one source; `codes` are Salesforce's error codes.
fn faults_of(source: &Source, codes: &BTreeSet<&str>) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| *room == source.room()) else {
        return vec![source.fault(1, "is a room that ARROWS does not list")];
    };
    let mut faults: Vec<String> = source
        .paths()
        .into_iter()
        .filter_map(|(line, path)| {
            let what = wrong_room(source, &path, allowed).or_else(|| wrong_path(source, &path))?;
            Some(source.fault(line, &what))
        })
        .collect();
    faults.extend(
        source
            .texts()
            .filter_map(|(line, text)| Some(source.fault(line, &wrong_text(source, text, codes)?))),
    );
    faults
}

/// What is wrong with a path that leads to another room.
fn wrong_room(source: &Source, path: &[&str], allowed: &str) -> Option<String> {
    let climbs = path.iter().take_while(|word| **word == "super").count();
    let from_root = match path.first()? {
        &"crate" | &"vcc_link" => &path[1..],
        &"super" if climbs >= source.modules().len() => &path[climbs..],
        _ => return None,
    };
    let room = from_root.first()?;
    if room == &source.room() || allowed.split(' ').any(|known| known == *room) {
        let wire = from_root.starts_with(&["kafka", "wire", "proto"]);
        return (wire && source.room() != "kafka")
            .then(|| "names a wire type: outside kafka/ there are domain values only".to_owned());
    }
    let is_room = ARROWS.iter().any(|(name, _)| name == room);
    is_room.then(|| format!("{} may not know {room}", source.room()))
}

/// What is wrong with any other path.
fn wrong_path(source: &Source, path: &[&str]) -> Option<String> {
    let room = source.room();
    let first = *path.first()?;
    if let Some((package, rooms)) = PACKAGES.iter().find(|(package, _)| *package == first)
        && path.len() > 1
        && !rooms.contains(&room)
    {
        return Some(format!("{package} belongs to {}", rooms.join(" and ")));
    }
    let ends = |end: &[&str]| path.ends_with(end);
    if room != "app" && (path == ["tokio", "spawn"] || ends(&["task", "spawn"])) {
        return Some("spawns a task that nobody waits for: only app spawns, on its tracker".into());
    }
    if PURE.contains(&room) {
        let clock =
            ends(&["Utc", "now"]) || ends(&["SystemTime", "now"]) || ends(&["Instant", "now"]);
        let io = first == "tokio"
            || matches!(path, ["std", "fs" | "net" | "env" | "io" | "thread", ..])
            || path == ["rand", "rng"];
        if clock || io {
            return Some(format!("{room} is pure: `now` and chance are arguments"));
        }
    }
    path.iter()
        .any(|word| word.to_lowercase().contains("simulator"))
        .then(|| "the house does not know the simulator".into())
}

/// What is wrong with a text.
fn wrong_text(source: &Source, text: &str, codes: &BTreeSet<&str>) -> Option<String> {
    let room = source.room();
    if room != "store" && room != "salesforce" && is_sql(text) {
        return Some("SQL belongs below store/".into());
    }
    if room != "salesforce" && codes.contains(text) {
        return Some("an error code of Salesforce belongs to salesforce/".into());
    }
    text.contains("simulator")
        .then(|| "the house does not know the simulator".into())
}

/// Whether a text is SQL.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start().to_lowercase();
    let pairs = [
        ("select ", " from "),
        ("update ", " set "),
        ("insert ", "into "),
        ("delete ", "from "),
    ];
    pairs
        .iter()
        .any(|(begin, within)| text.starts_with(begin) && text.contains(within))
}

/// Whether a text looks like an error code: `UNABLE_TO_LOCK_ROW`.
fn is_error_code(text: &str) -> bool {
    // Cargo's own variables stand in `env!`.
    text.contains('_')
        && !text.starts_with("CARGO_")
        && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// Whether a source is longer than one idea takes.
pub(super) fn too_long(source: &Source) -> Option<String> {
    let excused = LONGER.iter().any(|(path, _)| *path == source.path);
    let (path, lines) = (&source.path, source.lines);
    match (lines > LONGEST, excused) {
        (true, false) => Some(format!(
            "{path}: {lines} lines without tests: is it still one idea?"
        )),
        (false, true) => Some(format!("{path}: {lines} lines need no excuse any more")),
        _ => None,
    }
}
