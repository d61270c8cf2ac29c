//! The catalog: the SQLite index over exports, runs and facts, keyed by commit.
//!
//! - Derived: packs and Git can fill it again at any time. A file that is damaged, foreign or of another version is
//!   emptied and reported through [`Origin`]; a place that cannot be written gives a catalog in memory.
//! - It is fed values and answers questions; it knows nothing of Git, packs, notebooks or the work tree.
//! - The cursor moves in the same transaction as the rows that it covers ([`WriteTransaction::set_cursor`]).
//! - A snapshot never changes, and its number is never given to another one.
//! - One connection per process: after a fork the child opens its own ([`Catalog`]).
//! - SQLite's types stay inside. Tables: `docs/format/catalog.md`; why snapshots are chains:
//!   `docs/design/0003-catalog-snapshots.md`.

mod ancestry;
mod commits;
mod error;
mod facts;
mod open;
mod runs;
mod schema;
mod transaction;

#[cfg(test)]
mod tests;

pub use ancestry::{Place, Reach};
pub use commits::{BindingNo, BindingsOf, Bound, Change, CommitRow, CommittedBinding, SnapshotNo};
pub use error::CatalogError;
pub use facts::LateRow;
pub use open::{Access, Catalog, OpenOptions, Origin};
pub use runs::{CommittedRun, ParentBranch};
pub use transaction::{ReadTransaction, WriteTransaction};
