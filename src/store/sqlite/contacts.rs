//! Contacts: who is told of an account's link.

use async_trait::async_trait;

use super::values::micros;
use super::{Result, Sqlite, Tx};
use crate::domain::ids::AccountId;
use crate::store::contacts::{
    ContactBook, ContactChange, ContactEvent, ContactLine, ContactRow, Contacts, ContactsChange,
    ContactsWrite, contact_line, contact_row,
};
use crate::store::values::{to_json, word};

#[async_trait]
impl ContactBook for Sqlite {
    async fn contacts(&self, account: &AccountId) -> Result<Contacts> {
        // One statement, and so one snapshot: the version is that of these contacts.
        let rows = sqlx::query(
            "select v.version, c.contact, c.channel, c.target, c.shown, c.added_at,
                n.facts, n.state, coalesce(n.ended_at, n.made_at) as at, n.fault
             from (select coalesce(max(version), 0) as version from contact_history
                where account = $1) as v
             left join contacts c on c.account = $1
             left join notices n on n.notice = (select notice from notices
                where account = c.account and contact = c.contact
                order by made_at desc limit 1)
             order by c.added_at, c.contact",
        )
        .bind(account.as_str())
        .fetch_all(&self.readers)
        .await?;
        Contacts::read(&rows)
    }

    async fn change_contacts(&self, change: &ContactsChange) -> Result<ContactsWrite> {
        let mut tx = self.begin().await?;
        let (event, row) = match &change.what {
            ContactChange::Add(row) => (ContactEvent::Added, row.clone()),
            ContactChange::Remove(id) => {
                let found = sqlx::query(
                    "select contact, channel, target, shown, added_at from contacts
                     where account = $1 and contact = $2",
                )
                .bind(change.account.as_str())
                .bind(id.as_str())
                .fetch_optional(&mut *tx.inner)
                .await?;
                match found {
                    Some(row) => (ContactEvent::Removed, contact_row(&row)?),
                    None => return Ok(ContactsWrite::Unknown),
                }
            }
        };
        if !insert_line(&mut tx, change, event, &row).await? {
            return Ok(ContactsWrite::Changed);
        }
        match event {
            ContactEvent::Added => insert(&mut tx, &change.account, &row).await?,
            ContactEvent::Removed => {
                for sql in [
                    "delete from notices where account = $1 and contact = $2",
                    "delete from contacts where account = $1 and contact = $2",
                ] {
                    sqlx::query(sql)
                        .bind(change.account.as_str())
                        .bind(row.id.as_str())
                        .execute(&mut *tx.inner)
                        .await?;
                }
            }
        }
        tx.commit().await?;
        Ok(ContactsWrite::Stored)
    }

    async fn contact_history(&self, account: &AccountId, limit: u32) -> Result<Vec<ContactLine>> {
        let rows = sqlx::query(
            "select at, actor, event, channel, shown from contact_history
             where account = $1 order by version desc limit $2",
        )
        .bind(account.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(contact_line).collect()
    }
}

/// Adds a contact.
async fn insert(tx: &mut Tx, account: &AccountId, row: &ContactRow) -> Result<()> {
    sqlx::query(
        "insert into contacts (account, contact, channel, target, shown, added_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(account.as_str())
    .bind(row.id.as_str())
    .bind(word(row.channel))
    .bind(&row.target.0)
    .bind(&row.shown)
    .bind(micros(row.added_at))
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// Notes a change as the next version; whether it is that. Of two at once, the second waits here for
/// the first, and is none.
async fn insert_line(
    tx: &mut Tx,
    change: &ContactsChange,
    event: ContactEvent,
    row: &ContactRow,
) -> Result<bool> {
    let noted = sqlx::query(
        "insert into contact_history (account, version, at, actor, event, channel, shown)
         select $1, $2 + 1, $3, $4, $5, $6, $7
         where $2 = (select coalesce(max(version), 0) from contact_history where account = $1)
         on conflict do nothing",
    )
    .bind(change.account.as_str())
    .bind(change.expected)
    .bind(micros(change.at))
    .bind(to_json(&change.actor))
    .bind(word(event))
    .bind(word(row.channel))
    .bind(&row.shown)
    .execute(&mut *tx.inner)
    .await?;
    Ok(noted.rows_affected() == 1)
}
