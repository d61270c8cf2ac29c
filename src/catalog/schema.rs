//! The tables, their version, and how an empty file becomes a catalog.
//!
//! The contract is `docs/format/catalog.md`; a test compares the page with this text. Any change of a table raises
//! [`VERSION`]: there are no migrations, because a catalog of another version is emptied and filled again.

use rusqlite::Connection;

use super::error::{CatalogError, sqlite};

/// `PRAGMA application_id`: the bytes `1nbC`.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"1nbC");
/// `PRAGMA user_version`: version of the tables below.
pub(super) const VERSION: i32 = 4;

pub(super) const TABLES: &str = "\
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  base     INTEGER,
  position INTEGER NOT NULL
) STRICT;

CREATE TABLE bindings (
  id        INTEGER PRIMARY KEY,
  name      TEXT NOT NULL,
  record    TEXT NOT NULL,
  commit_id BLOB NOT NULL
) STRICT;
CREATE INDEX bindings_by_name ON bindings (name);
CREATE INDEX bindings_by_commit ON bindings (commit_id);

CREATE TABLE entries (
  snapshot    INTEGER NOT NULL,
  name        TEXT NOT NULL,
  params_hash BLOB NOT NULL,
  binding     INTEGER,
  PRIMARY KEY (snapshot, name, params_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE commits (
  id         BLOB PRIMARY KEY,
  snapshot   INTEGER NOT NULL,
  time_unix  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  parents    BLOB NOT NULL,
  chain      INTEGER NOT NULL,
  position   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX commits_by_place ON commits (chain, position);
CREATE INDEX commits_by_generation ON commits (generation);

CREATE TABLE chain_edges (
  chain         INTEGER NOT NULL,
  position      INTEGER NOT NULL,
  to_chain      INTEGER NOT NULL,
  to_position   INTEGER NOT NULL,
  to_generation INTEGER NOT NULL,
  PRIMARY KEY (chain, position, to_chain, to_position)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  id            INTEGER PRIMARY KEY,
  commit_id     BLOB NOT NULL REFERENCES commits (id) DEFERRABLE INITIALLY DEFERRED,
  path          TEXT NOT NULL,
  params_hash   BLOB NOT NULL,
  record        TEXT NOT NULL,
  UNIQUE (commit_id, path, params_hash)
) STRICT;
CREATE INDEX runs_by_path ON runs (path);

CREATE TABLE run_exports (
  name TEXT NOT NULL,
  run  INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  PRIMARY KEY (name, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_exports_by_run ON run_exports (run);

CREATE TABLE pending (
  worktree    TEXT NOT NULL,
  name        TEXT NOT NULL,
  params_hash BLOB NOT NULL,
  time_us     INTEGER NOT NULL,
  object      BLOB NOT NULL,
  record      TEXT NOT NULL,
  script      BLOB,
  producer    TEXT,
  settled     INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (worktree, name, params_hash, time_us, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_open ON pending (worktree) WHERE settled = 0;
CREATE INDEX pending_by_producer ON pending (worktree, producer);

CREATE TABLE late_bindings (
  commit_id   BLOB NOT NULL,
  name        TEXT NOT NULL,
  params_hash BLOB NOT NULL,
  time_us     INTEGER NOT NULL,
  object      BLOB NOT NULL,
  record      TEXT,
  explicit    INTEGER NOT NULL,
  PRIMARY KEY (commit_id, name, params_hash, time_us, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX late_bindings_by_key ON late_bindings (name, params_hash);
CREATE INDEX late_bindings_by_time ON late_bindings (time_us);

CREATE TABLE pushes (
  remote    TEXT NOT NULL,
  tag       TEXT NOT NULL,
  time_us   INTEGER NOT NULL,
  commit_id BLOB,
  PRIMARY KEY (remote, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE commit_branches (
  commit_id     BLOB NOT NULL,
  time_us       INTEGER NOT NULL,
  object        BLOB NOT NULL,
  branch        TEXT NOT NULL,
  parent_branch TEXT NOT NULL,
  parent_method TEXT NOT NULL,
  PRIMARY KEY (commit_id, time_us, object)
) STRICT, WITHOUT ROWID;

CREATE TABLE branch_starts (
  branch        TEXT NOT NULL,
  time_us       INTEGER NOT NULL,
  commit_id     BLOB NOT NULL,
  parent_branch TEXT,
  PRIMARY KEY (branch, time_us, commit_id)
) STRICT, WITHOUT ROWID;
";

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A catalog of this version.
    Catalog,
    /// A database without a table.
    Nothing,
    /// Another program's or version's database.
    Foreign,
}

/// Looks at what a file is. A file that is no database at all is an error of kind `Damaged`.
pub(super) fn inspect(connection: &Connection) -> Result<Content, CatalogError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(sqlite);
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, VERSION) => Ok(Content::Catalog),
        (0, 0) => {
            let tables: i64 =
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
            Ok(if tables == 0 { Content::Nothing } else { Content::Foreign })
        }
        _ => Ok(Content::Foreign),
    }
}

/// Makes the tables. The caller holds the write transaction, so that nobody ever sees half of them.
pub(super) fn create(connection: &Connection) -> Result<(), CatalogError> {
    connection.execute_batch(TABLES).map_err(sqlite)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    connection.pragma_update(None, "user_version", VERSION).map_err(sqlite)
}
