//! A world's consumer group, as Kafka tells of it.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::{World, topics};

/// How long Kafka may take to answer.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// Who is in the group, and how often the workers' partitions changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    members: Vec<String>,
    rebalances: Vec<Option<u64>>,
}

impl World {
    /// Who is in the group.
    pub(crate) async fn membership(&self) -> anyhow::Result<Membership> {
        let asker = self.asker()?;
        let name = self.name.clone();
        let asked = move || {
            let groups = asker.fetch_group_list(Some(&name), WITHIN)?;
            let group = groups.groups().first().context("Kafka has no such group")?;
            let ids = group.members().iter().map(|member| member.id().to_owned());
            anyhow::Ok(ids.collect::<Vec<String>>())
        };
        let mut members = tokio::task::spawn_blocking(asked).await??;
        members.sort();
        let mut rebalances = Vec::new();
        for worker in &self.workers {
            rebalances.push(worker.rebalances().await);
        }
        ensure!(
            rebalances.iter().all(Option::is_some),
            "a worker does not tell how often its partitions changed"
        );
        Ok(Membership {
            members,
            rebalances,
        })
    }

    /// How many events the group has read, by the offsets that it has committed.
    pub(crate) async fn committed(&self) -> anyhow::Result<i64> {
        Ok(self.progress().await?.0)
    }

    /// How many events the group has not read yet.
    pub(crate) async fn lag(&self) -> anyhow::Result<i64> {
        let (committed, all) = self.progress().await?;
        Ok(all - committed)
    }

    /// How many events the group has read, and how many there are.
    async fn progress(&self) -> anyhow::Result<(i64, i64)> {
        let asker = self.asker()?;
        let (topic, partitions) = topics(&self.name)[0].clone();
        let asked = move || {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, partitions - 1);
            let (mut read, mut all) = (0, 0);
            for place in asker.committed_offsets(list, WITHIN)?.elements() {
                // Before the first commit there is no number.
                if let Offset::Offset(offset) = place.offset() {
                    read += offset;
                }
                all += asker.fetch_watermarks(&topic, place.partition(), WITHIN)?.1;
            }
            anyhow::Ok((read, all))
        };
        tokio::task::spawn_blocking(asked).await?
    }

    /// How many events of these partitions the group has read.
    pub(crate) async fn read_in(&self, partitions: Range<usize>) -> anyhow::Result<u64> {
        let asker = self.asker()?;
        let (topic, _) = topics(&self.name)[0].clone();
        let asked = move || {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition(&topic, i32::try_from(partition)?);
            }
            let mut read = 0;
            for place in asker.committed_offsets(list, WITHIN)?.elements() {
                if let Offset::Offset(offset) = place.offset() {
                    read += u64::try_from(offset)?;
                }
            }
            anyhow::Ok(read)
        };
        tokio::task::spawn_blocking(asked).await?
    }

    /// A client that asks about the group and is no member.
    pub(super) fn asker(&self) -> anyhow::Result<BaseConsumer> {
        let asker = ClientConfig::new()
            .set("bootstrap.servers", &self.services.kafka)
            .set("group.id", &self.name)
            .create();
        asker.context("no client to ask Kafka about the group")
    }
}
