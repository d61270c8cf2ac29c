//! Transactions: the only way to reach the rows, and the one place that runs SQL.

use std::ops::Deref;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::error::{CatalogError, sqlite};
use super::open::Catalog;
use crate::id::{CommitId, ParamsHash};

/// How long to wait before asking again where SQLite answers "busy" without having waited itself.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// A consistent view: every question asked through it sees the same rows, whatever others write meanwhile.
#[derive(Debug)]
pub struct ReadTransaction {
    connection: Connection,
}

/// A view that may also change rows; nobody else writes meanwhile, and all of it appears at once or never.
#[derive(Debug)]
pub struct WriteTransaction {
    view: ReadTransaction,
}

impl Deref for WriteTransaction {
    type Target = ReadTransaction;

    fn deref(&self) -> &Self::Target {
        &self.view
    }
}

impl WriteTransaction {
    /// Takes a connection. The value lives as long as that; callers see it only inside [`Catalog::write`], and its view
    /// only there and inside [`Catalog::read`], while a transaction is open.
    pub(super) fn over(connection: Connection) -> Self {
        Self { view: ReadTransaction { connection } }
    }

    /// Lends the connection, outside of any transaction, with another patience for other processes.
    pub(super) fn with_patience<T>(
        &self,
        patience: Duration,
        usual: Duration,
        work: impl FnOnce(&Connection) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let connection = &self.view.connection;
        connection.busy_timeout(patience).map_err(sqlite)?;
        let answer = work(connection);
        connection.busy_timeout(usual).map_err(sqlite)?;
        answer
    }
}

impl Catalog {
    /// Runs `work` on a consistent view. It must not call the catalog again: there is one connection.
    ///
    /// # Errors
    /// What `work` returns, or a [`CatalogError`] that kept it from starting.
    pub fn read<T, E: From<CatalogError>>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, E>) -> Result<T, E> {
        self.with_connection(|transaction| {
            let open = Open::read(&transaction.connection, self.timeout())?;
            let answer = work(transaction)?;
            open.commit(self.timeout())?;
            Ok(answer)
        })
    }

    /// Runs `work` in a write transaction, waiting for its turn, and commits if it returns `Ok`; else nothing changes.
    ///
    /// It must not call the catalog again, and others wait for it: do slow work before.
    ///
    /// # Errors
    /// What `work` returns, or a [`CatalogError`] from starting or committing.
    pub fn write<T, E: From<CatalogError>>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let answer = self.with_connection(|transaction| {
            let open = Open::write(&transaction.connection, self.timeout())?;
            let answer = work(transaction)?;
            open.commit(self.timeout())?;
            Ok::<_, E>(answer)
        })?;
        self.keep_log_short();
        Ok(answer)
    }
}

/// A begun transaction; dropped without [`Open::commit`], it is rolled back, also when a panic unwinds.
pub(super) struct Open<'c> {
    connection: &'c Connection,
    done: bool,
}

impl<'c> Open<'c> {
    fn read(connection: &'c Connection, timeout: Duration) -> Result<Self, CatalogError> {
        patiently(timeout, || {
            run(connection, "BEGIN")?;
            let open = Self { connection, done: false };
            // `BEGIN` alone takes no lock; the first row read does, and may find the file busy.
            let mut statement = connection.prepare_cached("SELECT 1 FROM meta").map_err(sqlite)?;
            statement.exists([]).map_err(sqlite)?;
            Ok(open)
        })
    }

    pub(super) fn write(connection: &'c Connection, timeout: Duration) -> Result<Self, CatalogError> {
        patiently(timeout, || run(connection, "BEGIN IMMEDIATE"))?;
        Ok(Self { connection, done: false })
    }

    pub(super) fn commit(mut self, timeout: Duration) -> Result<(), CatalogError> {
        // Without WAL a commit waits for readers; after "busy" the transaction is still open and may try again.
        patiently(timeout, || run(self.connection, "COMMIT"))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // SQLite rolls some errors back by itself; a second rollback then fails, which is fine.
        if !self.done && !self.connection.is_autocommit() {
            let _ = run(self.connection, "ROLLBACK");
        }
    }
}

fn run(connection: &Connection, sql: &str) -> Result<(), CatalogError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop).map_err(sqlite)
}

/// Tries until SQLite is no longer busy. Its own busy handler waits too, but some answers of "busy" do not call it:
/// recovery after a crash, a change of journal mode.
pub(super) fn patiently<T>(
    timeout: Duration,
    mut attempt: impl FnMut() -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(CatalogError::Busy { .. }) if start.elapsed() < timeout => std::thread::sleep(RETRY_PAUSE),
            Err(CatalogError::Busy { .. }) => {
                let waited_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Err(CatalogError::Busy { waited_ms });
            }
            other => return other,
        }
    }
}

impl ReadTransaction {
    /// Returns how far the store's metadata objects were taken in, in the store's own terms; `None` for nothing yet.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn cursor(&self) -> Result<Option<Vec<u8>>, CatalogError> {
        self.one("SELECT value FROM meta WHERE key = 'cursor'", [], |row| column(row, 0))
    }

    /// Returns whether the commits that are here were read from this history ([`WriteTransaction::claim_history`]).
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn is_of_history(&self, history: &[u8]) -> Result<bool, CatalogError> {
        let known = self.one("SELECT value FROM meta WHERE key = 'history'", [], |row| column::<Vec<u8>>(row, 0))?;
        Ok(known.unwrap_or_default() == history)
    }

    /// Collects what `decode` makes of each row.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        decode: impl Fn(&Row<'_>) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(sqlite)?;
        let mut rows = statement.query(params).map_err(sqlite)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(sqlite)? {
            out.push(decode(row)?);
        }
        Ok(out)
    }

    /// Returns what `decode` makes of the first row, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        decode: impl FnOnce(&Row<'_>) -> Result<T, CatalogError>,
    ) -> Result<Option<T>, CatalogError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(sqlite)?;
        statement.query_row(params, |row| Ok(decode(row))).optional().map_err(sqlite)?.transpose()
    }

    /// Returns whether a query has a row.
    pub(super) fn any(&self, sql: &str, params: impl Params) -> Result<bool, CatalogError> {
        Ok(self.one(sql, params, |_| Ok(()))?.is_some())
    }
}

impl WriteTransaction {
    /// Moves the cursor; it covers the rows of this transaction and all before.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn set_cursor(&self, cursor: &[u8]) -> Result<(), CatalogError> {
        self.change("INSERT OR REPLACE INTO meta (key, value) VALUES ('cursor', ?1)", [cursor]).map(drop)
    }

    /// Forgets commits, snapshots and runs; facts and cursor stay.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn forget_commits(&self) -> Result<(), CatalogError> {
        for sql in [
            "DELETE FROM run_exports",
            "DELETE FROM runs",
            "DELETE FROM chain_edges",
            "DELETE FROM meta WHERE key = 'cut'",
            "DELETE FROM commits",
            "DELETE FROM entries",
            "DELETE FROM bindings",
            "DELETE FROM snapshots",
        ] {
            self.change(sql, [])?;
        }
        Ok(())
    }

    /// Says which history the commits are read from, in the caller's terms; nothing for the one that the objects tell.
    /// Commits of another are forgotten.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn claim_history(&self, history: &[u8]) -> Result<(), CatalogError> {
        if self.is_of_history(history)? {
            return Ok(());
        }
        self.forget_commits()?;
        self.change("INSERT OR REPLACE INTO meta (key, value) VALUES ('history', ?1)", [history]).map(drop)
    }

    /// Forgets everything, the cursor too.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn clear(&self) -> Result<(), CatalogError> {
        self.forget_commits()?;
        for sql in [
            "DELETE FROM pending",
            "DELETE FROM late_bindings",
            "DELETE FROM pushes",
            "DELETE FROM branch_starts",
            "DELETE FROM commit_branches",
            "DELETE FROM meta",
        ] {
            self.change(sql, [])?;
        }
        Ok(())
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) fn change(&self, sql: &str, params: impl Params) -> Result<usize, CatalogError> {
        self.view.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(sqlite)
    }

    /// Runs an `INSERT` and returns the number of the new row.
    pub(super) fn insert(&self, sql: &str, params: impl Params) -> Result<i64, CatalogError> {
        self.view.connection.prepare_cached(sql).and_then(|mut statement| statement.insert(params)).map_err(sqlite)
    }
}

/// Reads a column of a type that SQLite's crate knows.
pub(super) fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, index: usize) -> Result<T, CatalogError> {
    row.get(index).map_err(sqlite)
}

/// Reads a commit id of 20 or 32 bytes.
pub(super) fn commit_column(row: &Row<'_>, index: usize) -> Result<CommitId, CatalogError> {
    CommitId::from_slice(&column::<Vec<u8>>(row, index)?).ok_or_else(|| CatalogError::bad_row("commit id"))
}

/// Reads a parameter hash.
pub(super) fn params_hash_column(row: &Row<'_>, index: usize) -> Result<ParamsHash, CatalogError> {
    column(row, index).map(ParamsHash::from_bytes)
}
