//! Who has these numbers: SOSL over contacts, leads and accounts.
//!
//! The answer is what Salesforce's index thinks; which hit has which number is for the caller to
//! verify, by the phone fields that come with each. The index lags by minutes, so this is never
//! used to find out whether something was created.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::Call;
use super::error;
use super::soql::{MOST_ROWS, Search, Searched, encoded, statements};
use super::{Answered, Client, Error, Session};
use crate::domain::ids::RecordId;
use crate::domain::matching::Candidate;
use crate::domain::outcome::{Failure, FailureClass, FailureScope};
use crate::domain::phone::Number;
use crate::domain::private::Private;
use crate::domain::work::ApiUsage;

/// A record that Salesforce found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The record.
    pub candidate: Candidate,
    /// What its phone fields hold, as people wrote it.
    pub phones: Vec<Private<String>>,
}

/// Searches of one question that run at a time.
const TOGETHER: usize = 4;

impl Client {
    /// Finds records that may have one of these numbers, until the deadline. Many numbers go out
    /// in few searches; where a search comes back full it is repeated in halves, as Salesforce
    /// keeps what is beyond 2,000 records to itself.
    pub async fn find_callers(
        &self,
        session: &Session,
        numbers: &[Number],
        deadline: DateTime<Utc>,
    ) -> Result<Answered<Vec<Hit>>, Error> {
        let found = self.search_all(session, numbers, deadline).await;
        match found {
            Err(error) if error::is_hidden(&error.failure) => {
                self.learn_searched(session, deadline).await?;
                self.search_all(session, numbers, deadline).await
            }
            found => found,
        }
    }

    /// Makes the searches for these numbers.
    async fn search_all(
        &self,
        session: &Session,
        numbers: &[Number],
        deadline: DateTime<Utc>,
    ) -> Result<Answered<Vec<Hit>>, Error> {
        let searched = self.searched(session);
        let all = statements(numbers, &searched);
        if all.is_empty() && !numbers.is_empty() {
            return Err(Error::answered(nothing_to_search()));
        }
        let results = stream::iter(all)
            .map(|search| self.search_split(session, &searched, numbers, search, deadline))
            .buffered(TOGETHER);
        let mut answered = Answered {
            value: vec![],
            usage: None,
        };
        let all: Vec<Answered<Vec<Hit>>> = results.try_collect().await?;
        for mut one in all {
            answered.value.append(&mut one.value);
            answered.usage = later(answered.usage, one.usage);
        }
        Ok(answered)
    }

    /// Makes one search, and repeats it in halves as long as it comes back full.
    async fn search_split(
        &self,
        session: &Session,
        searched: &Searched,
        numbers: &[Number],
        search: Search,
        deadline: DateTime<Utc>,
    ) -> Result<Answered<Vec<Hit>>, Error> {
        let mut all = Answered {
            value: vec![],
            usage: None,
        };
        let mut open = vec![search];
        while let Some(Search {
            statement,
            numbers: part,
        }) = open.pop()
        {
            let one = self
                .search_once(session, searched, &statement, deadline)
                .await?;
            all.usage = later(all.usage, one.usage);
            if one.value.len() < MOST_ROWS || part.len() == 1 {
                all.value.extend(one.value);
                continue;
            }
            let middle = part.start + part.len() / 2;
            for half in [part.start..middle, middle..part.end] {
                let within = statements(&numbers[half.clone()], searched);
                open.extend(within.into_iter().map(|search| Search {
                    numbers: half.start + search.numbers.start..half.start + search.numbers.end,
                    ..search
                }));
            }
        }
        Ok(all)
    }

    /// Makes one search.
    async fn search_once(
        &self,
        session: &Session,
        searched: &Searched,
        statement: &str,
        deadline: DateTime<Utc>,
    ) -> Result<Answered<Vec<Hit>>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Found {
            search_records: Vec<Map<String, Value>>,
        }
        let call = Call {
            within: Some(self.left_until(deadline).ok_or_else(too_late)?),
            ..Call::get(format!("search/?q={}", encoded(statement)))
        };
        let answered: Answered<Found> = self.data(session, call).await?;
        Ok(answered.map(|found| {
            let hits = found
                .search_records
                .iter()
                .filter_map(|record| hit(record, searched));
            hits.collect()
        }))
    }

    /// Asks what the API user can see, after Salesforce refused a search that names everything.
    async fn learn_searched(
        &self,
        session: &Session,
        deadline: DateTime<Utc>,
    ) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Described {
            fields: Vec<Field>,
            searchable: bool,
        }
        #[derive(Deserialize)]
        struct Field {
            name: String,
        }
        let everything = Searched::default();
        let names: Vec<&str> = everything.0.iter().map(|object| object.name).collect();
        let paths: Vec<String> = names
            .iter()
            .map(|n| format!("sobjects/{n}/describe"))
            .collect();
        let within = Some(self.left_until(deadline).ok_or_else(too_late)?);
        let parts = self.composite(session, &paths, within).await?.value;
        let mut visible: Vec<Option<Vec<String>>> = Vec::with_capacity(parts.len());
        for part in parts {
            let described: Option<Described> = part.permitted().map_err(Error::answered)?;
            let described = described.filter(|d| d.searchable);
            visible.push(described.map(|d| d.fields.into_iter().map(|f| f.name).collect()));
        }
        let fields_of = |name: &str| {
            let place = names.iter().position(|n| *n == name)?;
            visible[place].clone()
        };
        self.remember_searched(session, everything.visible(fields_of));
        Ok(())
    }

    /// How long a request may take that shall be over by then; `None`: it is too late for one.
    fn left_until(&self, deadline: DateTime<Utc>) -> Option<Duration> {
        let left = (deadline - crate::clock::now()).to_std().ok()?;
        (!left.is_zero()).then(|| left.min(self.config.request_timeout))
    }
}

/// A record as the caller wants it; `None` for what is none of the searched objects.
fn hit(record: &Map<String, Value>, searched: &Searched) -> Option<Hit> {
    let text = |name: &str| {
        record
            .get(name)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
    };
    let object = record.get("attributes")?.get("type")?.as_str()?;
    let object = searched
        .0
        .iter()
        .find(|o| o.name.eq_ignore_ascii_case(object))?;
    let id: RecordId = text("Id")?.parse().ok()?;
    let modified_at = text("LastModifiedDate").and_then(|t| {
        DateTime::parse_from_str(t, "%Y-%m-%dT%H:%M:%S%.f%z")
            .ok()
            .map(|t| t.with_timezone(&Utc))
    });
    let private = |text: &str| Private::new(text.to_owned());
    Some(Hit {
        candidate: Candidate {
            id,
            record_type: object.record_type,
            name: text("Name").map(private),
            account: text("AccountId").and_then(|id| id.parse().ok()),
            modified_at,
        },
        phones: object.phones().filter_map(text).map(private).collect(),
    })
}

/// The usage that was told last: use only grows within a moment.
fn later(a: Option<ApiUsage>, b: Option<ApiUsage>) -> Option<ApiUsage> {
    [a, b].into_iter().flatten().max_by_key(|usage| usage.used)
}

/// The deadline passed before the search went out.
fn too_late() -> Error {
    let mut failure = Failure::new(
        FailureClass::Transient,
        FailureScope::Request,
        "deadline_passed",
    );
    failure.hint = "the caller is not waited for any longer".into();
    Error::answered(failure)
}

/// The API user sees no object with a phone field.
fn nothing_to_search() -> Failure {
    let mut failure = Failure::new(
        FailureClass::Admin,
        FailureScope::Request,
        "nothing_to_search",
    );
    failure.hint =
        "grant the API user read access to Contacts, Leads and Accounts and their phone fields"
            .into();
    failure
}
