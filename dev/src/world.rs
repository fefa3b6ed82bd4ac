//! Who there is: the accounts of the contact centre, and their orgs at Salesforce.

use salesforce_simulator::seed::Seed;
use serde_json::{Value, json};

/// Contacts, leads and companies in each org's phone book.
const BOOK: [u64; 3] = [120, 40, 20];

/// The number that two contacts of every org have.
const SHARED_NUMBER: &str = "+441632960001";

/// The agents of every account: id and first name.
const AGENTS: [(&str, &str); 3] = [("1007", "Ada"), ("1042", "Sam"), ("1063", "Noor")];

/// How an account stands with Salesforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Linked, and all is well.
    Sound,
    /// Linked, and then its tokens were revoked at Salesforce.
    Broken,
    /// Never linked.
    Missing,
}

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// Its id with the contact centre.
    pub(crate) id: String,
    pub(crate) link: Link,
}

/// An agent of an account.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// The id with the contact centre.
    pub(crate) id: &'static str,
    /// Who has it at Salesforce owns the Tasks.
    pub(crate) email: String,
}

/// Who calls, or is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Customer {
    Contact(u64),
    Lead(u64),
    Company(u64),
    /// The caller shows no number.
    Withheld,
    /// Nobody at Salesforce has the number.
    Unknown(u64),
    /// Two contacts have it.
    Several,
}

/// All accounts.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) accounts: Vec<Account>,
}

impl World {
    /// So many accounts, at least three: the last is not linked, the last but one is broken.
    pub(crate) fn new(accounts: u16) -> Self {
        let sound = (1..=accounts.saturating_sub(2)).map(|n| (n.to_string(), Link::Sound));
        let others = [("broken", Link::Broken), ("unlinked", Link::Missing)];
        let others = others.map(|(name, link)| (name.to_owned(), link));
        let account = |(name, link): (String, Link)| Account {
            id: format!("acme-{name}"),
            link,
        };
        Self {
            accounts: sound.chain(others).map(account).collect(),
        }
    }

    /// The account of the call of this number: of twenty calls one is of the broken account and one
    /// of that without a link, and the others take turns.
    pub(crate) fn account(&self, number: u64) -> &Account {
        let sound = self.accounts.len() - 2;
        let place = match number % 20 {
            9 => sound,
            19 => sound + 1,
            _ => usize::try_from(number).unwrap_or_default() % sound,
        };
        &self.accounts[place]
    }

    /// The accounts that have an org.
    pub(crate) fn linked(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter().filter(|a| a.link != Link::Missing)
    }

    /// The world at Salesforce: an org for each account that has one, and an app that sends browsers
    /// back there.
    pub(crate) fn seed(&self, callback: &str) -> anyhow::Result<Seed> {
        let orgs: Vec<Value> = self.linked().enumerate().map(|(n, a)| a.org(n)).collect();
        Ok(serde_json::from_value(
            json!({ "orgs": orgs, "app": { "redirect_uris": [callback] } }),
        )?)
    }
}

impl Account {
    /// The user that vcc-link acts as in its org.
    pub(crate) fn api_user(&self) -> String {
        format!("vcc-link@{}.example", self.id)
    }

    /// One of its agents, by any number.
    pub(crate) fn agent(&self, number: usize) -> Agent {
        let (id, name) = AGENTS[number % AGENTS.len()];
        Agent {
            id,
            email: format!("{}@{}.example", name.to_lowercase(), self.id),
        }
    }

    /// Its org, the `number`-th. Every second one has no unique field for the key of calls.
    fn org(&self, number: usize) -> Value {
        let agents = AGENTS.map(|(_, name)| {
            let email = format!("{}@{}.example", name.to_lowercase(), self.id);
            json!({"username": email, "email": email, "name": format!("{name} Agent")})
        });
        let mut users = vec![json!({
            "username": self.api_user(), "name": "vcc-link", "api_only": true, "view_all_data": true,
        })];
        users.extend(agents);
        let twin =
            |name: &str| json!({"type": "Contact", "LastName": name, "Phone": SHARED_NUMBER});
        let [contacts, leads, companies] = BOOK;
        json!({
            "name": self.id, "my_domain": self.id, "users": users,
            "task_external_id_field": number.is_multiple_of(2).then_some("VCC_Call_Key__c"),
            "generate": {"contacts": contacts, "leads": leads, "accounts": companies},
            "records": [twin("Twin"), twin("Twin")],
            // About what Salesforce takes.
            "latency": {"base_ms": 80, "per_record_ms": 1.0},
        })
    }
}

impl Customer {
    /// A customer by a number below a hundred, which decides of what kind, and any other.
    pub(crate) fn of(kind: u32, any: u64) -> Self {
        let [contacts, leads, companies] = BOOK;
        match kind {
            0..70 => Self::Contact(any % contacts),
            70..80 => Self::Lead(any % leads),
            80..90 => Self::Company(any % companies),
            90..93 => Self::Withheld,
            93..97 => Self::Unknown(any % 1_000),
            _ => Self::Several,
        }
    }

    /// The customer's end of a call, as the network tells it. The simulator's phone book has a
    /// range of numbers for each kind of record.
    pub(crate) fn party(self) -> Value {
        let number = match self {
            Self::Contact(n) => format!("+44163{}", 2_900_000 + n),
            Self::Lead(n) => format!("+44770{:07}", 900_000 + n),
            Self::Company(n) => format!("+4420794{n:05}"),
            Self::Unknown(n) => format!("+44163{}", 2_970_000 + n),
            Self::Several => SHARED_NUMBER.to_owned(),
            Self::Withheld => return json!({"presentation": "restricted"}),
        };
        json!({"e164": number})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_is_broken_and_one_has_no_org() {
        let world = World::new(5);
        let links: Vec<Link> = world.accounts.iter().map(|a| a.link).collect();
        let [a, b, c] = [Link::Sound; 3];
        assert_eq!(links, [a, b, c, Link::Broken, Link::Missing]);
        assert_eq!(
            world.seed("http://localhost/callback").unwrap().orgs.len(),
            4
        );
        let of = |link| (0..200).filter(|n| world.account(*n).link == link).count();
        assert_eq!((of(Link::Sound), of(Link::Broken)), (180, 10));
    }

    #[test]
    fn a_tenth_of_the_customers_is_not_simply_found() {
        let found = |customer: &Customer| {
            matches!(
                customer,
                Customer::Contact(_) | Customer::Lead(_) | Customer::Company(_)
            )
        };
        let all = (0..100).map(|kind| Customer::of(kind, 7));
        assert_eq!(all.filter(|customer| !found(customer)).count(), 10);
    }
}
