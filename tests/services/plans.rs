//! Which index PostgreSQL reads, where another would be right too, and never end.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use vcc_link::domain::ids::ShardId;
use vcc_link::store::Outbox as _;
use vcc_link::store::postgres::Postgres;

use super::Database;

/// Scans of the outbox by index, once at least so many rows were read; panics after
/// half a minute without.
async fn scans(connection: &mut PgConnection, rows: i64) -> Vec<(String, i64)> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let scans: Vec<(String, i64, i64)> = sqlx::query_as(
            "select indexrelname::text, idx_scan, idx_tup_read from pg_stat_user_indexes
             where relname = 'outbox' and idx_scan > 0 order by indexrelname",
        )
        .fetch_all(&mut *connection)
        .await
        .expect("asked");
        if scans.iter().map(|(_, _, read)| read).sum::<i64>() >= rows {
            let scans = scans.into_iter();
            return scans.map(|(index, scans, _)| (index, scans)).collect();
        }
        assert!(Instant::now() < deadline, "too few were read: {scans:?}");
    }
}

/// Few shards have a long backlog behind many published events, and PostgreSQL knows it: the primary key,
/// which has the events in the wanted order too, is not read from its start each time.
#[tokio::test]
async fn a_long_backlog_of_few_shards_is_read_from_its_own_index() {
    let database = Database::create().await;
    database
        .execute(
            "insert into outbox (id, shard, topic, body, published_at)
             select i::text, i % 4, 'call_outcomes',
                case when i > 60000 then '\\x00'::bytea end,
                case when i <= 60000 then now() end
             from generate_series(1, 100000) as i",
        )
        .await;
    database.execute("vacuum analyze outbox").await;
    let reader = Postgres::connect(&database.config).await.expect("connect");
    let shards: Vec<ShardId> = (0..256).map(ShardId).collect();
    let read = reader.unpublished(&shards, 0, 500).await.expect("read");
    let positions: Vec<i64> = read.iter().map(|event| event.position).collect();
    let expected: Vec<i64> = (60_001..=60_500).collect();
    assert_eq!(positions, expected);
    // What a connection did is counted when it closes, at the latest.
    reader.close().await;
    let scans = scans(&mut database.connection().await, 500).await;
    assert_eq!(scans, [("outbox_unpublished".to_owned(), 256)]);
    database.remove().await;
}
