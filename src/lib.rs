//! onenb: a Git-integrated, content-addressed data store for notebook data.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout))]

pub mod error;
pub mod format;
pub mod fs;
pub mod id;
pub mod store;

pub use error::{Error, ErrorKind, Result};
