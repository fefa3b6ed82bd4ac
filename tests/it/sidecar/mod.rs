//! The sidecar: who gets in, what its API answers, and what nobody can forge.

mod access;
mod announcing;
mod api;
mod document;
mod forgery;
mod inviting;
mod world;
