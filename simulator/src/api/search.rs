//! `GET /search` and `/parameterizedSearch`.

use http::Method;
use serde_json::{Map, Value, json};

use super::data::Ask;
use super::{Answer, Reply};
use crate::soql::run::Reader;
use crate::sosl::MALFORMED;
use crate::sosl::expression::RESERVED;
use crate::sosl::search::run;
use crate::sosl::statement::Statement;
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// The last version that answers with the bare rows.
const LAST_BARE_VERSION: u32 = 36;

/// Answers a SOSL statement.
pub(crate) fn search(work: &Transaction<'_>, ask: &Ask) -> Answer {
    let text = ask.parameter("q").unwrap_or_default();
    found(work, &text)
}

fn found(work: &Transaction<'_>, text: &str) -> Answer {
    let statement = Statement::parse(text)?;
    let reader = Reader {
        org: work.org,
        user: &work.user,
        version: &work.version,
    };
    let rows = run(&reader, &statement, text, work.now)?;
    let count = rows.len();
    let body = if work.version_number() <= LAST_BARE_VERSION {
        json!(rows)
    } else {
        json!({ "searchRecords": rows })
    };
    Ok(Reply::ok(body).with_rows(count))
}

/// Answers a search given by parameters: it is put together as a statement.
pub(crate) fn parameterized(work: &Transaction<'_>, ask: &Ask) -> Answer {
    ask.only(&[Method::GET, Method::POST])?;
    let body = if ask.method == Method::POST {
        ask.object()?
    } else {
        from_parameters(ask)
    };
    found(work, &statement_of(&body)?)
}

/// The body that the parameters of a GET stand for: `sobject=Contact&Contact.fields=Id,Name`.
fn from_parameters(ask: &Ask) -> Map<String, Value> {
    let list = |name: &str| -> Vec<String> {
        let list = ask.parameter(name).unwrap_or_default();
        let names = list.split(',').filter(|name| !name.is_empty());
        names.map(|name| name.trim().to_owned()).collect()
    };
    let number = |name: &str| {
        ask.parameter(name)
            .and_then(|text| text.parse::<u64>().ok())
    };
    let objects = list("sobject").into_iter().map(|name| {
        json!({
            "name": name,
            "fields": list(&format!("{name}.fields")),
            "where": ask.parameter(&format!("{name}.where")),
            "limit": number(&format!("{name}.limit")),
        })
    });
    let body = json!({
        "q": ask.parameter("q"),
        "in": ask.parameter("in"),
        "sobjects": objects.collect::<Vec<_>>(),
        "fields": list("fields"),
        "defaultLimit": number("defaultLimit"),
        "overallLimit": number("overallLimit"),
    });
    body.as_object().cloned().unwrap_or_default()
}

/// The text as a search expression: what would end the expression, or has no business in a phone
/// number's spelling, is escaped; quotes, wildcards and operators keep their meaning.
fn expression(query: &str) -> String {
    let mut expression = String::new();
    let mut escaped = false;
    for letter in query.chars() {
        let plain = RESERVED.contains(&letter) && !"\"*?()\\".contains(letter);
        if plain && !escaped {
            expression.push('\\');
        }
        escaped = letter == '\\' && !escaped;
        expression.push(letter);
    }
    if escaped {
        expression.push('\\');
    }
    expression
}

fn statement_of(body: &Map<String, Value>) -> Result<String, Refusal> {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let query = text("q").filter(|query| query.len() > 1).ok_or_else(|| {
        Refusal::new(
            400,
            MALFORMED,
            "search term must be longer than one character",
        )
    })?;
    let group = text("in").unwrap_or("ALL");
    let fields = names(body.get("fields"));
    let default_limit = body.get("defaultLimit").and_then(Value::as_u64);
    let mut returning = Vec::new();
    for object in body
        .get("sobjects")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = object["name"].as_str().unwrap_or_default();
        let own = names(object.get("fields"));
        let fields = if own.is_empty() { &fields } else { &own };
        let columns = if fields.is_empty() {
            "Id".to_owned()
        } else {
            fields.join(", ")
        };
        let filter = object["where"]
            .as_str()
            .map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let limit = object["limit"].as_u64().or(default_limit);
        let limit = limit.map_or(String::new(), |limit| format!(" LIMIT {limit}"));
        returning.push(format!("{name}({columns}{filter}{limit})"));
    }
    let query = expression(query);
    let mut statement = format!("FIND {{{query}}} IN {group} FIELDS");
    if !returning.is_empty() {
        statement.push_str(" RETURNING ");
        statement.push_str(&returning.join(", "));
    }
    if let Some(limit) = body.get("overallLimit").and_then(Value::as_u64) {
        statement.push_str(" LIMIT ");
        statement.push_str(&limit.to_string());
    }
    Ok(statement)
}

/// Names in a list, given as texts or as objects with a name.
fn names(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().or_else(|| item["name"].as_str()))
        .map(str::to_owned)
        .collect()
}
