//! Sealed values, in pages and replaced.
//!
//! Pages go downwards: a body that outlives its day moves to the lowest of all, and a new event
//! stands above all others, so nothing moves from below a page to above it.

use async_trait::async_trait;

use super::values::column;
use super::{Postgres, Result};
use crate::domain::key_head;
use crate::store::rings::{Place, Replacement, RingKind, Rings, SealedKind, SealedRow, sealed_row};

/// A page: `$1` how values begin that are left out, `$2` the length of a head, `$3` how many, `$4`
/// the key of the place before it.
macro_rules! page {
    ($columns:literal, $value:literal, $rest:literal) => {
        concat!(
            "select ",
            $columns,
            ", substring(",
            $value,
            " from 1 for $2) as head, case when substring(",
            $value,
            " from 1 for octet_length($1)) <> $1 then ",
            $value,
            " end as sealed from ",
            $rest
        )
    };
}

/// Replaces values: `$1` what they were, `$2` what they become, from `$3` on where. A row that is
/// locked is left out, so that this waits for nobody, and nobody in a circle with it.
macro_rules! replace {
    ($table:literal, $value:literal, $columns:literal, $places:literal, $same:literal) => {
        concat!(
            "with v as (select * from ",
            $places,
            "), free as (select ",
            $columns,
            ", after from ",
            $table,
            " join v using (",
            $columns,
            ") where ",
            $value,
            " = before for no key update of ",
            $table,
            " skip locked) update ",
            $table,
            " as kept set ",
            $value,
            " = after from free where ",
            $same
        )
    };
}

#[async_trait]
impl Rings for Postgres {
    async fn sealed(
        &self,
        kind: SealedKind,
        after: Option<&Place>,
        current: &[u8],
        limit: u32,
    ) -> Result<Vec<SealedRow>> {
        // Planned anew for each page: a plan for any page, the first one too, reads all pages before.
        let rows = sqlx::query(page(kind))
            .persistent(false)
            .bind(current)
            .bind(i32::try_from(key_head::LONGEST).expect("it is small"))
            .bind(i64::from(limit))
            .bind(after.map(Place::key))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| sealed_row(kind, row)).collect()
    }

    async fn replace_sealed(&self, kind: RingKind, values: &[Replacement]) -> Result<u64> {
        let Some(first) = values.first() else {
            return Ok(0);
        };
        let mut query = sqlx::query(replace(kind))
            .bind(column(values, |value| value.before.0.as_slice()))
            .bind(column(values, |value| value.after.0.as_slice()));
        let keys: Vec<Vec<String>> = values.iter().map(|value| value.place.key()).collect();
        for part in 0..first.place.key().len() {
            let parts: Vec<String> = keys.iter().map(|key| key[part].clone()).collect();
            query = query.bind(parts);
        }
        Ok(query.execute(&self.pool).await?.rows_affected())
    }
}

/// The page of a kind.
const fn page(kind: SealedKind) -> &'static str {
    match kind {
        SealedKind::ByRing(RingKind::Tokens) => page!(
            "account, generation, token_sequence",
            "tokens",
            "grants where $4::text[] is null
                or (account, generation) < ($4[1], $4[2]::bigint)
             order by account desc, generation desc limit $3"
        ),
        SealedKind::Bodies => page!(
            "call_day::text as day, account, interaction, kind",
            "body",
            "call_bodies where $4::text[] is null or (call_day <= $4[4]::date
                and (call_day, account, interaction, kind) < ($4[4]::date, $4[1], $4[2], $4[3]))
             order by call_day desc, account desc, interaction desc, kind desc limit $3"
        ),
        SealedKind::CallEvents => page!(
            "id, position",
            "body",
            "outbox where published_at is null and interaction is not null
                and ($4::text[] is null or position < $4[1]::bigint)
             order by position desc limit $3"
        ),
        SealedKind::ByRing(RingKind::LinkEvents) => page!(
            "id, position",
            "body",
            "outbox where published_at is null and interaction is null
                and ($4::text[] is null or position < $4[1]::bigint)
             order by position desc limit $3"
        ),
        SealedKind::ByRing(RingKind::AccountKeys) => page!(
            "account, id",
            "sealed",
            "account_keys where $4::text[] is null or account < $4[1]
             order by account desc limit $3"
        ),
        SealedKind::ByRing(RingKind::Quarantine) => page!(
            "topic, partition, kafka_offset",
            "body",
            "quarantine where $4::text[] is null
                or (topic, partition, kafka_offset) < ($4[1], $4[2]::integer, $4[3]::bigint)
             order by topic desc, partition desc, kafka_offset desc limit $3"
        ),
        SealedKind::ByRing(RingKind::Authorizations) => page!(
            "id",
            "secret",
            "authorizations where secret is not null and ($4::text[] is null or id < $4[1])
             order by id desc limit $3"
        ),
        SealedKind::ByRing(RingKind::Contacts) => page!(
            "account, contact",
            "target",
            "contacts where $4::text[] is null or (account, contact) < ($4[1], $4[2])
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
            "account, generation, token_sequence",
            "unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[]::bigint[],
                $5::text[]::bigint[]) as v (before, after, account, generation, token_sequence)",
            "kept.account = free.account and kept.generation = free.generation"
        ),
        RingKind::AccountKeys => replace!(
            "account_keys",
            "sealed",
            "account, id",
            "unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[])
                as v (before, after, account, id)",
            "kept.account = free.account and kept.id = free.id"
        ),
        RingKind::LinkEvents => replace!(
            "outbox",
            "body",
            "position",
            "unnest($1::bytea[], $2::bytea[], $3::text[]::bigint[]) as v (before, after, position)",
            "kept.position = free.position"
        ),
        RingKind::Quarantine => replace!(
            "quarantine",
            "body",
            "topic, partition, kafka_offset",
            "unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[]::integer[],
                $5::text[]::bigint[]) as v (before, after, topic, partition, kafka_offset)",
            "kept.topic = free.topic and kept.partition = free.partition
                and kept.kafka_offset = free.kafka_offset"
        ),
        RingKind::Authorizations => replace!(
            "authorizations",
            "secret",
            "id",
            "unnest($1::bytea[], $2::bytea[], $3::text[]) as v (before, after, id)",
            "kept.id = free.id"
        ),
        RingKind::Contacts => replace!(
            "contacts",
            "target",
            "account, contact",
            "unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[])
                as v (before, after, account, contact)",
            "kept.account = free.account and kept.contact = free.contact"
        ),
    }
}
