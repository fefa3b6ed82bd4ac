//! SOQL reads: by address while that is short enough, else within a composite request.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::{Call, Session, data_path};
use super::error;
use super::profile::{permissions_path, sees_all};
use super::soql::{LONGEST_ADDRESS, encoded, list};
use super::{Answered, Client, Error};
use crate::domain::ids::{RecordId, UserId};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::private::Private;
use crate::domain::work::ApiUsage;

/// Pages of one query that are read at most: 20,000 rows, far beyond any question of ours.
const MOST_PAGES: usize = 10;

/// A page of rows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    /// Rows of all pages.
    total_size: usize,
    /// The rows.
    records: Vec<T>,
    /// Where the next page is.
    next_records_url: Option<String>,
}

/// The answer to a composite request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composite {
    /// In any order; each names its question.
    composite_response: Vec<Part>,
}

/// The answer to one part of a composite request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    /// As if it had been asked alone.
    body: Value,
    /// The HTTP status that it would have had.
    http_status_code: u16,
    /// Which part.
    reference_id: String,
}

impl Part {
    /// The body, if it is a success of the expected form.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let status = self.http_status_code;
        if !(200..300).contains(&status) {
            return Err(error::classify(
                status,
                self.body.to_string().as_bytes(),
                false,
            ));
        }
        serde_json::from_value(self.body)
            .map_err(|_| error::trouble(error::Trouble::BadJson(status), false))
    }

    /// The same; `None` where the API user may not ask.
    pub(super) fn permitted<T: DeserializeOwned>(self) -> Result<Option<T>, Failure> {
        match self.read() {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.class == FailureClass::Admin => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Which rows a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Neither deleted nor archived ones.
    Living,
    /// All.
    All,
}

impl Rows {
    /// The resource.
    const fn resource(self) -> &'static str {
        match self {
            Self::Living => "query",
            Self::All => "queryAll",
        }
    }
}

/// The path of a query.
pub(super) fn query_path(rows: Rows, statement: &str) -> String {
    format!("{}?q={}", rows.resource(), encoded(statement))
}

impl Client {
    /// Asks several things in one request that counts as one call; parts come in the order asked.
    /// At most 25, of which 5 queries (Composite resource limits). `within`: how long it may take,
    /// if not as long as the setting says.
    pub(super) async fn composite(
        &self,
        session: &Session,
        paths: &[String],
        within: Option<Duration>,
    ) -> Result<Answered<Vec<Part>>, Error> {
        let part = |(place, path): (usize, &String)| json!({ "method": "GET", "url": data_path(path), "referenceId": format!("r{place}") });
        let parts: Vec<Value> = paths.iter().enumerate().map(part).collect();
        let body = json!({ "allOrNone": false, "compositeRequest": parts });
        let call = Call {
            within,
            ..Call::ask("composite".into(), body)
        };
        let answered: Answered<Composite> = self.data(session, call).await?;
        let usage = answered.usage;
        let mut by_name: HashMap<String, Part> = answered
            .value
            .composite_response
            .into_iter()
            .map(|p| (p.reference_id.clone(), p))
            .collect();
        let parts: Option<Vec<Part>> = (0..paths.len())
            .map(|place| by_name.remove(&format!("r{place}")))
            .collect();
        let missing = || error::trouble(error::Trouble::WrongCount, false);
        let value = parts.ok_or_else(|| told(missing(), usage))?;
        Ok(Answered { value, usage })
    }

    /// All rows of a query.
    pub(super) async fn query<T: DeserializeOwned>(
        &self,
        session: &Session,
        rows: Rows,
        statement: &str,
    ) -> Result<Answered<Vec<T>>, Error> {
        let path = query_path(rows, statement);
        let first: Answered<Page<T>> = if path.len() <= LONGEST_ADDRESS {
            self.data(session, Call::get(path)).await?
        } else {
            let mut parts = self.composite(session, &[path], None).await?;
            let usage = parts.usage;
            let page = parts.value.swap_remove(0).read();
            page.map(|value| Answered { value, usage })
                .map_err(|failure| told(failure, usage))?
        };
        self.all_pages(session, first).await
    }

    /// All rows of a query, and whether the API user sees every record: asked in one request, so
    /// that the one holds for the other.
    pub(super) async fn query_with_sight<T: DeserializeOwned>(
        &self,
        session: &Session,
        rows: Rows,
        statement: &str,
    ) -> Result<Answered<(Vec<T>, bool)>, Error> {
        let paths = [query_path(rows, statement), permissions_path(session)];
        let mut parts = self.composite(session, &paths, None).await?;
        let usage = parts.usage;
        let sight = sees_all(parts.value.swap_remove(1)).map_err(|f| told(f, usage))?;
        let page = parts.value.swap_remove(0).read();
        let value = page.map_err(|failure| told(failure, usage))?;
        let answered = self.all_pages(session, Answered { value, usage }).await?;
        Ok(answered.map(|rows| (rows, sight)))
    }

    /// The rows of a first page and of those behind it: as many as Salesforce said, or none. Rows
    /// that are missing without a word would count as absent.
    async fn all_pages<T: DeserializeOwned>(
        &self,
        session: &Session,
        mut page: Answered<Page<T>>,
    ) -> Result<Answered<Vec<T>>, Error> {
        let total = page.value.total_size;
        let mut all = std::mem::take(&mut page.value.records);
        for _ in 1..MOST_PAGES {
            // Only the path below our own version is taken from the answer, never a host.
            let next = page.value.next_records_url.take();
            let next = next.and_then(|url| Some(url.strip_prefix(&data_path(""))?.to_owned()));
            let Some(next) = next else {
                break;
            };
            page = self.data(session, Call::get(next)).await?;
            all.append(&mut page.value.records);
        }
        let usage = page.usage;
        if all.len() != total {
            return Err(told(
                error::trouble(error::Trouble::WrongCount, false),
                usage,
            ));
        }
        Ok(Answered { value: all, usage })
    }

    /// The active users with these e-mail addresses (in lower case). An address that two users
    /// share, or none has, is left out.
    pub async fn users_by_email(
        &self,
        session: &Session,
        emails: &[Private<String>],
    ) -> Result<Answered<HashMap<Private<String>, UserId>>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Row {
            id: UserId,
            email: Option<String>,
        }
        let asked = list(emails.iter().map(|email| email.expose().as_str()));
        let statement = format!(
            "SELECT Id, Email FROM User WHERE IsActive = true AND UserType = 'Standard' AND Email IN {asked}"
        );
        let answered = self.query::<Row>(session, Rows::Living, &statement).await?;
        Ok(answered.map(|rows| {
            let mut found: HashMap<Private<String>, Vec<UserId>> = HashMap::new();
            for row in rows {
                let email = Private::new(row.email.unwrap_or_default().to_lowercase());
                found.entry(email).or_default().push(row.id);
            }
            let only = |(email, mut users): (_, Vec<UserId>)| {
                Some((email, users.pop()?)).filter(|_| users.is_empty())
            };
            // A literal leaves control characters out, and so asks for another address.
            found.retain(|email, _| emails.contains(email));
            found.into_iter().filter_map(only).collect()
        }))
    }

    /// The text in one field of these Tasks; Tasks that are gone or out of sight are left out.
    pub(super) async fn task_texts(
        &self,
        session: &Session,
        rows: Rows,
        field: &str,
        tasks: &[RecordId],
    ) -> Result<Answered<HashMap<RecordId, Option<String>>>, Error> {
        let ids = list(tasks.iter().map(RecordId::as_str));
        let statement = format!("SELECT Id, {field} FROM Task WHERE Id IN {ids}");
        let answered = self.query::<TaskRow>(session, rows, &statement).await?;
        Ok(answered.map(|rows| rows.into_iter().map(|row| row.with(field)).collect()))
    }
}

/// A failed part of an answer, with what the whole answer told.
fn told(failure: Failure, usage: Option<ApiUsage>) -> Error {
    Error {
        usage,
        ..Error::answered(failure)
    }
}

/// A Task with some field.
#[derive(Deserialize)]
pub(super) struct TaskRow {
    /// The Task.
    #[serde(rename = "Id")]
    id: RecordId,
    /// The other fields.
    #[serde(flatten)]
    fields: HashMap<String, Value>,
}

impl TaskRow {
    /// The Task.
    pub(super) const fn id(&self) -> &RecordId {
        &self.id
    }

    /// The Task and the text of a field, whose name's case Salesforce does not heed.
    pub(super) fn with(self, field: &str) -> (RecordId, Option<String>) {
        let value = self
            .fields
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(field));
        let text = value.and_then(|(_, value)| value.as_str().map(ToOwned::to_owned));
        (self.id, text)
    }
}
