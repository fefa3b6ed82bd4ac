//! The whole flow with real processes: Kafka to PostgreSQL to a simulated Salesforce and back.
//!
//! What came of the calls is judged by the simulator's oracle and by what was published, never by
//! the tables of the program that is tested.

mod calls;
mod crashes;
mod displaced;
mod erased;
mod fleet;
mod hostile;
mod limits;
mod links;
mod ordinary;
mod pages;
mod replay;
mod restored;
mod results;
mod secrets;
mod sharing;
mod slow;
mod worker;
mod world;
