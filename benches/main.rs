//! Benches of the engine's parts; `cargo bench` runs them all, `cargo bench -- chunker` those of one part.
//!
//! Each bench states a rate and its data. Generated data comes from a fixed seed; real data from the folder that
//! `ONENB_CORPUS` names, and what needs it says that it was skipped where it is unset.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod catalog;
mod codec;
mod data;
mod hashing;
mod store;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, hashing::benches, codec::benches, store::benches, catalog::benches);
criterion_main!(benches);
