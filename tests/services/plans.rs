//! Which index PostgreSQL reads, where another has the same rows in the same order and takes far too long.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use vcc_link::domain::ids::{SHARDS, ShardId};
use vcc_link::store::Outbox as _;
use vcc_link::store::postgres::Postgres;

use super::Database;

/// Events read by way of each of the outbox's indexes, once at least so many were; panics after half a minute
/// without. The planner itself looks at a few.
async fn read_by(connection: &mut PgConnection, events: i64) -> Vec<(String, i64)> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let read: Vec<(String, i64)> = sqlx::query_as(
            "select indexrelname::text, idx_tup_read from pg_stat_user_indexes
             where relname = 'outbox' and idx_tup_read > 10",
        )
        .fetch_all(&mut *connection)
        .await
        .expect("asked");
        if read.iter().map(|(_, read)| read).sum::<i64>() >= events {
            return read;
        }
        assert!(Instant::now() < deadline, "too few were read: {read:?}");
    }
}

/// Few shards have a long backlog behind published events, and PostgreSQL knows it: the primary key, which has
/// the events in the wanted order too, is not read from its start for each shard.
#[tokio::test]
async fn a_long_backlog_of_few_shards_is_read_from_its_own_index() {
    let database = Database::create().await;
    database
        .execute(
            "insert into outbox (id, shard, topic, body, published_at)
             select gen_random_uuid()::text, i % 4, 'call_logs',
                case when i > 30000 then convert_to(repeat(md5(i::text), 10), 'utf8') end,
                case when i <= 30000 then now() end
             from generate_series(1, 100000) as i",
        )
        .await;
    database.execute("analyze outbox").await;
    let reader = Postgres::connect(&database.config).await.expect("connect");
    let shards: Vec<ShardId> = (0..SHARDS).map(ShardId).collect();
    let read = reader.unpublished(&shards, 0, 500).await.expect("read");
    let positions: Vec<i64> = read.iter().map(|event| event.position).collect();
    let expected: Vec<i64> = (30_001..=30_500).collect();
    assert_eq!(positions, expected);
    // What a connection did is counted when it closes, at the latest.
    reader.close().await;
    let read = read_by(&mut database.connection().await, 500).await;
    assert_eq!(read, [("outbox_unpublished".to_owned(), 4 * 500)]);
    database.remove().await;
}
