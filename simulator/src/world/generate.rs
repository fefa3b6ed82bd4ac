//! Synthetic phone books: repeatable, and with the spellings that people use for numbers.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::id::Id;
use super::org::Org;
use super::populate::fields_of;
use crate::clock::Timestamp;
use crate::seed::Generate;

const FIRST_NAMES: &[&str] = &[
    "Ada", "Ben", "Chloe", "Dev", "Eve", "Finn", "Grace", "Hugo", "Ines", "Jack",
];
const LAST_NAMES: &[&str] = &[
    "Archer", "Brown", "Clarke", "Diaz", "Evans", "Fischer", "Green", "Hughes",
];

/// Makes accounts, contacts and leads, each with a number of their own.
///
/// The n-th number is fixed, whatever the seed: Ofcom's range for drama, `+44 1632 9…`, for
/// contacts, `+44 7700 9…` for leads, `+44 20 7946 …` for accounts.
pub(super) fn phone_book(org: &mut Org, owner: Id, book: Generate, now: Timestamp) {
    let mut rng = StdRng::seed_from_u64(book.seed);
    let mut accounts = Vec::new();
    for n in 0..book.accounts {
        let id = org.next_id(*b"001");
        let phone = spelled(&mut rng, &format!("20794{:05}", n % 100_000));
        let fields = json!({"Name": format!("Company {n}"), "Phone": phone, "OwnerId": owner});
        org.set_up(id, fields_of(&fields), now);
        accounts.push(id);
    }
    for n in 0..book.contacts {
        let id = org.next_id(*b"003");
        let (first, last) = name(&mut rng);
        let account = (!accounts.is_empty()).then(|| accounts[n % accounts.len()]);
        let fields = json!({
            "FirstName": first, "LastName": last, "Name": format!("{first} {last}"),
            "Phone": spelled(&mut rng, &format!("163{:07}", 2_900_000 + n % 7_100_000)),
            "Email": format!("contact{n}@example.com"),
            "AccountId": account, "OwnerId": owner,
        });
        org.set_up(id, fields_of(&fields), now);
    }
    for n in 0..book.leads {
        let id = org.next_id(*b"00Q");
        let (first, last) = name(&mut rng);
        let fields = json!({
            "FirstName": first, "LastName": last, "Name": format!("{first} {last}"),
            "Company": format!("Prospect {n}"), "Status": "Open - Not Contacted",
            "MobilePhone": spelled(&mut rng, &format!("770{:07}", 900_000 + n % 9_100_000)),
            "IsConverted": false, "OwnerId": owner,
        });
        org.set_up(id, fields_of(&fields), now);
    }
}

fn name(rng: &mut StdRng) -> (&'static str, &'static str) {
    (
        FIRST_NAMES[rng.random_range(0..FIRST_NAMES.len())],
        LAST_NAMES[rng.random_range(0..LAST_NAMES.len())],
    )
}

/// A national number of ten digits in one of the spellings found in real orgs.
fn spelled(rng: &mut StdRng, national: &str) -> String {
    match rng.random_range(0..4) {
        0 => format!("+44{national}"),
        1 => format!(
            "+44 {} {} {}",
            &national[..4],
            &national[4..7],
            &national[7..]
        ),
        2 => format!("0{} {}", &national[..4], &national[4..]),
        _ => format!(
            "(0{}) {}-{}",
            &national[..3],
            &national[3..6],
            &national[6..]
        ),
    }
}
