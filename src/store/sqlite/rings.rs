//! Sealed values, in pages and replaced. Pages go downwards, as on PostgreSQL: a new event stands
//! above all others.

use async_trait::async_trait;

use super::values::{Joined, batch};
use super::{Result, Sqlite};
use crate::domain::key_head;
use crate::store::rings::{Place, Replacement, RingKind, Rings, SealedKind, SealedRow, sealed_row};
use crate::store::values::to_json;

/// A page: `$1` how values begin that are left out, `$2` the length of a head, `$3` how many, `$4`
/// the key of the place before it. Without one it begins below a blob, which stands above all texts and
/// numbers: a condition that is true without `$4` would keep each page from the index.
macro_rules! page {
    ($columns:literal, $value:literal, $rest:literal) => {
        concat!(
            "select ",
            $columns,
            ", substr(",
            $value,
            ", 1, $2) as head, case when substr(",
            $value,
            ", 1, length($1)) <> $1 then ",
            $value,
            " end as sealed from ",
            $rest
        )
    };
}

/// Replaces values: `$1` where, and where in `$2` stands what they were and what they become.
macro_rules! replace {
    ($table:literal, $value:literal, $key:literal) => {
        concat!(
            "update ",
            $table,
            " set ",
            $value,
            " = substr($2, place ->> 3, place ->> 4) from (select value as place from json_each($1)) where ",
            $key,
            " and ",
            $value,
            " = substr($2, place ->> 1, place ->> 2)"
        )
    };
}

#[async_trait]
impl Rings for Sqlite {
    async fn sealed(
        &self,
        kind: SealedKind,
        after: Option<&Place>,
        current: &[u8],
        limit: u32,
    ) -> Result<Vec<SealedRow>> {
        let rows = sqlx::query(page(kind))
            .bind(current)
            .bind(i64::try_from(key_head::LONGEST).expect("it is small"))
            .bind(i64::from(limit))
            .bind(after.map(|place| to_json(&place.key())))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| sealed_row(kind, row)).collect()
    }

    async fn replace_sealed(&self, kind: RingKind, values: &[Replacement]) -> Result<u64> {
        let mut joined = Joined::new();
        let rows = batch(values, |value| {
            let (before, before_length) = joined.push(&value.before);
            let (after, after_length) = joined.push(&value.after);
            let key = value.place.key();
            (key, before, before_length, after, after_length)
        });
        let mut tx = self.begin().await?;
        let replaced = sqlx::query(replace(kind))
            .bind(rows)
            .bind(joined.bytes())
            .execute(&mut *tx.inner)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(replaced)
    }
}

/// The page of a kind.
const fn page(kind: SealedKind) -> &'static str {
    match kind {
        SealedKind::ByRing(RingKind::Tokens) => page!(
            "account, generation, token_sequence",
            "tokens",
            "grants where (account, generation)
                < (coalesce($4 ->> 0, x''), cast($4 ->> 1 as integer))
             order by account desc, generation desc limit $3"
        ),
        SealedKind::Bodies => page!(
            "null as day, account, interaction, kind",
            "body",
            "call_bodies where (account, interaction, kind)
                < (coalesce($4 ->> 0, x''), $4 ->> 1, $4 ->> 2)
             order by account desc, interaction desc, kind desc limit $3"
        ),
        SealedKind::CallEvents => page!(
            "id, position",
            "body",
            "outbox where published_at is null and interaction is not null
                and position < coalesce(cast($4 ->> 0 as integer), x'')
             order by position desc limit $3"
        ),
        SealedKind::ByRing(RingKind::LinkEvents) => page!(
            "id, position",
            "body",
            "outbox where published_at is null and interaction is null
                and position < coalesce(cast($4 ->> 0 as integer), x'')
             order by position desc limit $3"
        ),
        SealedKind::ByRing(RingKind::AccountKeys) => page!(
            "account, id",
            "sealed",
            "account_keys where account < coalesce($4 ->> 0, x'')
             order by account desc limit $3"
        ),
        SealedKind::ByRing(RingKind::Quarantine) => page!(
            "topic, partition, kafka_offset",
            "body",
            "quarantine where (topic, partition, kafka_offset) < (coalesce($4 ->> 0, x''),
                cast($4 ->> 1 as integer), cast($4 ->> 2 as integer))
             order by topic desc, partition desc, kafka_offset desc limit $3"
        ),
        SealedKind::ByRing(RingKind::Authorizations) => page!(
            "id",
            "secret",
            "authorizations where secret is not null and id < coalesce($4 ->> 0, x'')
             order by id desc limit $3"
        ),
        SealedKind::ByRing(RingKind::Contacts) => page!(
            "account, contact",
            "target",
            "contacts where (account, contact) < (coalesce($4 ->> 0, x''), $4 ->> 1)
             order by account desc, contact desc limit $3"
        ),
    }
}

/// The replacing of a kind.
const fn replace(kind: RingKind) -> &'static str {
    match kind {
        RingKind::Tokens => replace!(
            "grants",
            "tokens",
            "account = place ->> '$[0][0]'
                and generation = cast(place ->> '$[0][1]' as integer)
                and token_sequence = cast(place ->> '$[0][2]' as integer)"
        ),
        RingKind::AccountKeys => replace!(
            "account_keys",
            "sealed",
            "account = place ->> '$[0][0]' and id = place ->> '$[0][1]'"
        ),
        RingKind::LinkEvents => replace!(
            "outbox",
            "body",
            "position = cast(place ->> '$[0][0]' as integer)"
        ),
        RingKind::Quarantine => replace!(
            "quarantine",
            "body",
            "topic = place ->> '$[0][0]' and partition = cast(place ->> '$[0][1]' as integer)
                and kafka_offset = cast(place ->> '$[0][2]' as integer)"
        ),
        RingKind::Authorizations => {
            replace!("authorizations", "secret", "id = place ->> '$[0][0]'")
        }
        RingKind::Contacts => replace!(
            "contacts",
            "target",
            "account = place ->> '$[0][0]' and contact = place ->> '$[0][1]'"
        ),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;
    use crate::store::Config;

    /// However far a rotation is, it does not read all that it has seen for its next page.
    #[tokio::test]
    async fn a_page_begins_in_the_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.db");
        let config = Config::default();
        Sqlite::migrate(&path, &config).await.expect("migrate");
        let store = Sqlite::open(&path, &config).await.expect("open");
        let of_accounts = [SealedKind::Bodies, SealedKind::CallEvents];
        for kind in RingKind::ALL
            .map(SealedKind::ByRing)
            .into_iter()
            .chain(of_accounts)
        {
            let asked = format!("explain query plan {}", page(kind));
            let plan = sqlx::query(AssertSqlSafe(asked)).fetch_all(&store.readers);
            for step in plan.await.expect("a plan") {
                let step: String = step.get("detail");
                assert!(step.starts_with("SEARCH"), "{kind:?}: {step}");
            }
        }
    }
}
