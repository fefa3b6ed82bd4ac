//! The rows of the table: every fault that is tried.

mod answers;
mod calls;
mod clocks;
mod combined;
mod crashes;
mod disks;
mod hostile;
mod kafka;
mod millions;
mod operators;
mod outages;
mod partitions;
mod postgres;
mod recovery;
mod tokens;

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::row::Row;

/// Faults that no row tries, each with the reason.
pub(crate) const LEFT_OUT: [(&str, &str); 1] = [(
    "upgrade and downgrade by one release",
    "there is one release so far",
)];

/// Every row, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    [
        crashes::ROWS.as_slice(),
        partitions::ROWS.as_slice(),
        answers::ROWS.as_slice(),
        hostile::ROWS.as_slice(),
        kafka::ROWS.as_slice(),
        postgres::ROWS.as_slice(),
        recovery::ROWS.as_slice(),
        disks::ROWS.as_slice(),
        outages::ROWS.as_slice(),
        tokens::ROWS.as_slice(),
        calls::ROWS.as_slice(),
        clocks::ROWS.as_slice(),
        operators::ROWS.as_slice(),
        combined::ROWS.as_slice(),
        millions::ROWS.as_slice(),
    ]
    .concat()
}

/// Lets a random time pass: the moment at which the fault strikes is left to chance.
async fn moment(chance: &mut StdRng, longest: Duration) {
    let share = longest.mul_f64(chance.random());
    tokio::time::sleep(share).await;
}
