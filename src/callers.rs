//! Who a number belongs to: the one way in which callers are looked up, for the calls of the worker
//! and for the test that an admin makes.
//!
//! A number is searched if it is worth it, each hit is verified by normalising its phone fields, and
//! ordered rules choose among several ([`crate::domain::matching`]).

use chrono::{DateTime, Utc};

use crate::clock;
use crate::domain::call::Party;
use crate::domain::ids::RecordId;
use crate::domain::link::LinkedOrg;
use crate::domain::matching::{self, Candidate, LookupAnswer, LookupResult, Via};
use crate::domain::phone::{self, Number};
use crate::domain::private::Private;
use crate::salesforce::{Answered, Client, Error, Session};

/// Finds callers.
#[derive(Clone)]
pub struct Callers {
    /// The searches.
    salesforce: Client,
    /// Numbers that are never searched.
    own: Vec<Number>,
}

/// The records that have a number.
pub type Verified = (Number, Vec<Candidate>);

impl Callers {
    /// Finds callers there; `own` are numbers in E.164 form that are never searched.
    pub fn new(salesforce: Client, own: &[String]) -> Self {
        let own = own.iter().filter_map(|own| phone::normalise(own, None));
        Self {
            own: own.collect(),
            salesforce,
        }
    }

    /// The customer's number, if it is worth a search; else what the lookup comes to.
    pub fn number(&self, party: &Party, org: &LinkedOrg) -> Result<Number, LookupResult> {
        let number = phone::searchable(party, org.default_country.as_deref())?;
        if self.own.contains(&number) {
            Err(LookupResult::NotSearched)
        } else {
            Ok(number)
        }
    }

    /// Asks Salesforce until the deadline, and verifies each hit: for each number, in their order,
    /// the records that really have it.
    pub async fn find(
        &self,
        session: &Session,
        org: &LinkedOrg,
        numbers: &[Number],
        deadline: DateTime<Utc>,
    ) -> Result<Answered<Vec<Verified>>, Error> {
        let country = org.default_country.as_deref();
        let answered = self
            .salesforce
            .find_callers(session, numbers, deadline)
            .await?;
        Ok(answered.map(|hits| {
            let verified = |number: &Number| {
                let has = hits.iter().filter(|hit| {
                    let mut phones = hit.phones.iter();
                    phones.any(|phone| phone::same(number, phone.expose(), country))
                });
                let candidates = has.map(|hit| hit.candidate.clone());
                (number.clone(), candidates.collect())
            };
            numbers.iter().map(verified).collect()
        }))
    }
}

/// The answer for one number's candidates.
pub fn choose(org: &LinkedOrg, candidates: &[Candidate], via: Via) -> LookupAnswer {
    let mut answer = matching::choose(candidates, via, clock::now());
    answer.url = answer.record.as_ref().map(|r| page(org, &r.id));
    answer
}

/// A record's page in the org.
pub fn page(org: &LinkedOrg, id: &RecordId) -> Private<String> {
    Private::new(format!("{}/{id}", org.instance_url.trim_end_matches('/')))
}
