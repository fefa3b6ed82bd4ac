//! The store on a SQLite file.
pub(super) mod errors;
