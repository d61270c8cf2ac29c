//! onenb: a Git-integrated, content-addressed data store for notebook data.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout))]

pub mod backend;
pub mod catalog;
pub mod cli;
pub mod error;
pub mod format;
pub mod fs;
pub mod git;
pub mod host;
pub mod id;
pub mod notebook;
pub mod repo;
pub mod store;
pub mod sync;
#[cfg(test)]
mod testing;
pub mod tune;

pub use error::{Error, ErrorKind, Result};
pub use repo::*;
