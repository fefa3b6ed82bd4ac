//! The sidecar: who gets in, what its API answers, and what nobody can forge.

mod access;
mod announcing;
mod api;
mod callback;
mod contacts;
mod document;
mod forgery;
mod inviting;
mod keys;
mod machines;
mod stolen;
mod trial;
mod world;
