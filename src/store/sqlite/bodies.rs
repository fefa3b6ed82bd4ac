//! The sealed bodies of calls.

use super::values::{Joined, batch};
use super::{Result, Tx};
use crate::domain::ids::CallId;
use crate::store::Sealed;

/// One body in its place.
pub(super) struct Body<'a> {
    /// Whose it is.
    pub(super) call: &'a CallId,
    /// `started`, `ended` or `lookup`.
    pub(super) kind: &'static str,
    /// The bytes.
    pub(super) sealed: &'a Sealed,
}

/// Keeps bodies, in place of those that they supersede.
pub(super) async fn insert_bodies(tx: &mut Tx, bodies: &[Body<'_>]) -> Result<()> {
    if bodies.is_empty() {
        return Ok(());
    }
    let mut joined = Joined::new();
    let rows = batch(bodies, |body| {
        let (place, length) = joined.push(body.sealed);
        let call = body.call;
        (&call.account, &call.interaction, body.kind, place, length)
    });
    sqlx::query(
        "insert into call_bodies (account, interaction, kind, body)
         select value ->> 0, value ->> 1, value ->> 2, substr($2, value ->> 3, value ->> 4)
         from json_each($1) where true
         on conflict (account, interaction, kind) do update set body = excluded.body",
    )
    .bind(rows)
    .bind(joined.bytes())
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}
