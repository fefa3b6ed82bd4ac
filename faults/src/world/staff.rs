//! A world's workers: started, counted, ended.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rustix::process::Signal;

use super::process::{Death, Own, Worker};
use super::{PATIENCE, World, database, tick};

impl World {
    /// Starts a worker; returns its place.
    pub(crate) fn spawn(&mut self, own: &Own) -> anyhow::Result<usize> {
        let worker = self.new_worker(own)?;
        self.workers.push(worker);
        Ok(self.workers.len() - 1)
    }

    /// Starts another in the place of a dead one. Its log is kept.
    pub(crate) fn respawn(&mut self, place: usize, own: &Own) -> anyhow::Result<()> {
        self.peak = self.peak.max(self.workers[place].look());
        self.workers[place] = self.new_worker(own)?;
        Ok(())
    }

    fn new_worker(&mut self, own: &Own) -> anyhow::Result<Worker> {
        self.logs += 1;
        let log = self.folder.join(format!("worker-{}.log", self.logs));
        self.program.worker(log, own)
    }

    /// The way to the database through the proxy.
    pub(crate) fn through_proxy(&self) -> Own {
        let port = self.postgres.address.port();
        Own {
            database: Some(database(&self.services, &self.name, port)),
            ..Own::default()
        }
    }

    /// Starts all workers anew, so that they reach the database through the proxy.
    pub(crate) async fn all_through_proxy(&mut self) -> anyhow::Result<()> {
        self.restart_all(&self.through_proxy()).await?;
        self.ready().await
    }

    /// Kills all workers, and starts others in their places.
    pub(crate) async fn restart_all(&mut self, own: &Own) -> anyhow::Result<()> {
        self.kill_all().await?;
        for place in 0..self.workers.len() {
            self.respawn(place, own)?;
        }
        Ok(())
    }

    /// Kills all workers, wherever they are.
    pub(crate) async fn kill_all(&mut self) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            worker.kill().await?;
        }
        Ok(())
    }

    /// Ends a worker in good order, or at least ends it, and forgets it: the last in the row.
    pub(crate) async fn dismiss(&mut self, place: usize) -> anyhow::Result<()> {
        self.look();
        let mut worker = self.workers.remove(place);
        worker.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while worker.death()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "worker {place} does not end when it is told to"
            );
            tick().await;
        }
        Ok(())
    }

    /// Sees to it that as many workers run as the row wants, and that all are ready.
    pub(crate) async fn staffed(&mut self) -> anyhow::Result<()> {
        for place in 0..self.setup.workers {
            if place == self.workers.len() {
                self.spawn(&Own::default())?;
            } else if self.workers[place].death()?.is_some() {
                self.respawn(place, &Own::default())?;
            }
        }
        self.ready().await
    }

    /// Waits until all workers are ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for place in 0..self.workers.len() {
            while !self.workers[place].is_ready().await {
                ensure!(
                    self.workers[place].death()?.is_none(),
                    "worker {place} ended by itself"
                );
                ensure!(Instant::now() < deadline, "worker {place} is not ready");
                tick().await;
            }
        }
        Ok(())
    }

    /// Waits until a worker has died at its crash point. `false`: it did not within the patience.
    pub(crate) async fn aborted(
        &mut self,
        place: usize,
        patience: Duration,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            self.look();
            match self.workers[place].death()? {
                Some(Death::Aborted) => return Ok(true),
                Some(Death::Ended(status)) => bail!("worker {place} ended by itself: {status}"),
                None => tick().await,
            }
        }
        Ok(false)
    }

    /// Reads how much memory the workers had.
    pub(super) fn look(&mut self) {
        for worker in &mut self.workers {
            self.peak = self.peak.max(worker.look());
        }
    }

    /// The most memory that any worker had so far, in bytes.
    pub(crate) fn peak(&mut self) -> u64 {
        self.look();
        self.peak
    }

    /// Ends the workers in good order. `false`: one had to be killed.
    pub(crate) async fn drained(&mut self) -> anyhow::Result<bool> {
        self.look();
        for worker in &self.workers {
            worker.signal(Signal::CONT);
            worker.signal(Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut good = true;
        for mut worker in std::mem::take(&mut self.workers) {
            while worker.death()?.is_none() && Instant::now() < deadline {
                tick().await;
            }
            good &= worker.death()?.is_some();
        }
        Ok(good)
    }
}
