//! Opening: finding, making, emptying and leaving alone the file, and one connection per process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::{CatalogError, sqlite};
use super::schema::{self, Content};
use super::transaction::{Open, WriteTransaction, patiently};
use crate::fs::{self, FileLock, Sharing};

/// Statements kept prepared; more than this module has.
const STATEMENT_CACHE: usize = 96;

/// Most memory for pages of the file, in KiB.
const CACHE_KIB: i64 = 32 * 1024;

/// Length of the write-ahead log, in bytes, after which a commit moves it into the file and empties it. Whoever opens
/// the file while nobody else has it open reads the log from end to end first, and that is every hook and every
/// command; and forgets how much of it is in the file, so that a log that was only copied would be copied again by
/// every writer.
const MAX_LOG_LEN: u64 = 512 * 1024;

/// What a process may do with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Make it if it is absent, empty it if it is damaged, write to it.
    #[default]
    ReadWrite,
    /// Leave it as it is.
    ReadOnly,
}

/// How to open a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// What this process may do with the file.
    pub access: Access,
    /// How long to wait for other processes, in milliseconds.
    pub busy_timeout_ms: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { access: Access::ReadWrite, busy_timeout_ms: 10_000 }
    }
}

/// Where the content of an opened catalog comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The file was a catalog of this version.
    Found,
    /// There was no file; it is empty now.
    Created,
    /// The file was damaged, foreign or of another version; it is empty now.
    Rebuilt,
    /// The file cannot be used from here, so the catalog is empty, in memory, and gone with this value.
    Memory,
}

/// An open catalog. Threads take turns; processes have a connection each.
///
/// After a fork the child opens a connection of its own and leaks its parent's: SQLite forbids even closing that one.
#[derive(Debug)]
pub struct Catalog {
    place: Place,
    options: OpenOptions,
    origin: Origin,
    fallback: Option<CatalogError>,
    slot: Slot,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Memory,
}

/// The connection of one process, and behind it that of a child forked from it. A child never waits for a mutex that
/// a thread of its parent may have held, because nobody would ever release it.
#[derive(Debug)]
struct Slot {
    pid: u32,
    /// `None` only while the value is being dropped.
    connection: Mutex<Option<WriteTransaction>>,
    child: OnceLock<Box<Slot>>,
}

impl Slot {
    fn new(connection: Connection) -> Self {
        Self {
            pid: std::process::id(),
            connection: Mutex::new(Some(WriteTransaction::over(connection))),
            child: OnceLock::new(),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.pid != std::process::id() {
            std::mem::forget(connection);
        }
    }
}

impl Catalog {
    /// Opens the catalog at `path`, making or emptying the file where that is needed and allowed.
    ///
    /// A place that cannot be used, read-only or broken, gives an empty catalog in memory: an index must not keep
    /// people from their data. [`Catalog::origin`] says which it was and so what the caller has to fill in.
    ///
    /// # Errors
    /// [`CatalogError::Busy`] if other processes keep the file locked for longer than the time-out.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, CatalogError> {
        Self::from_opened(path, open_file(path, &options), options)
    }

    /// Opens the catalog at `path` and empties it, however damaged the file is.
    ///
    /// # Errors
    /// [`CatalogError::Busy`] as [`Catalog::open`].
    pub fn open_empty(path: &Path, options: OpenOptions) -> Result<Self, CatalogError> {
        Self::from_opened(path, rebuild(path, &options, Keep::Nothing), options)
    }

    /// Makes an empty catalog that lives in memory.
    ///
    /// # Errors
    /// [`CatalogError::Failed`] if the memory is not to be had.
    pub fn in_memory() -> Result<Self, CatalogError> {
        let connection = Connection::open_in_memory().map_err(sqlite)?;
        settle(&connection)?;
        schema::create(&connection)?;
        Ok(Self {
            place: Place::Memory,
            options: OpenOptions::default(),
            origin: Origin::Memory,
            fallback: None,
            slot: Slot::new(connection),
        })
    }

    fn from_opened(
        path: &Path,
        opened: Result<(Connection, Origin), CatalogError>,
        options: OpenOptions,
    ) -> Result<Self, CatalogError> {
        match opened {
            Ok((connection, origin)) => Ok(Self {
                place: Place::File(path.to_path_buf()),
                options,
                origin,
                fallback: None,
                slot: Slot::new(connection),
            }),
            Err(busy @ CatalogError::Busy { .. }) => Err(busy),
            Err(reason) => Ok(Self { fallback: Some(reason), ..Self::in_memory()? }),
        }
    }

    /// Returns where the content comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns why the catalog is in memory, if [`Catalog::open`] could not use the file.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<&CatalogError> {
        self.fallback.as_ref()
    }

    /// Moves the write-ahead log into the file and empties it if it is long, unless somebody is in the way.
    pub(super) fn keep_log_short(&self) {
        let Place::File(path) = &self.place else { return };
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        // Its length only: opening and closing a file of SQLite's would drop its locks (POSIX).
        if std::fs::metadata(log).map_or(true, |found| found.len() <= MAX_LOG_LEN) {
            return;
        }
        let emptied = self.with_connection::<_, CatalogError>(|transaction| {
            transaction.with_patience(Duration::ZERO, self.timeout(), |connection| {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sqlite)
            })
        });
        // The log is as good where it is, only slower to open.
        drop(emptied);
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.options.busy_timeout_ms)
    }

    /// Lends this process's connection to `work`.
    pub(super) fn with_connection<T, E: From<CatalogError>>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        // A panic inside `work` rolled its transaction back, so a poisoned connection is as good as any.
        let guard = self.slot_of_this_process()?.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(guard.as_ref().expect("only dropping takes the connection"))
    }

    fn slot_of_this_process(&self) -> Result<&Slot, CatalogError> {
        let Place::File(path) = &self.place else {
            // Memory is copied by a fork and has no locks that a child could upset.
            return Ok(&self.slot);
        };
        let mut slot = &self.slot;
        while slot.pid != std::process::id() {
            if slot.child.get().is_none() {
                // SQLite keeps its locks in memory too; forked in the middle, they would be wrong in the child for
                // ever.
                if matches!(slot.connection.try_lock(), Err(TryLockError::WouldBlock)) {
                    return Err(CatalogError::ForkedInUse);
                }
                let (connection, _) = open_file(path, &self.options)?;
                // Another thread may have been faster; then its connection is used and this one is closed.
                let _ = slot.child.set(Box::new(Slot::new(connection)));
            }
            slot = slot.child.get().expect("set above or by another thread");
        }
        Ok(slot)
    }
}

/// What [`rebuild`] leaves in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// A catalog of this version, which another process may have made meanwhile.
    GoodCatalog,
    Nothing,
}

fn open_file(path: &Path, options: &OpenOptions) -> Result<(Connection, Origin), CatalogError> {
    if options.access == Access::ReadOnly {
        let connection = connect(path, options)?;
        return match look(&connection, options)? {
            Content::Catalog => Ok((connection, Origin::Found)),
            Content::Nothing | Content::Foreign => Err(CatalogError::bad_row("header")),
        };
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let connection = connect(path, options)?;
    match look(&connection, options) {
        Ok(Content::Catalog) => Ok((connection, Origin::Found)),
        Ok(Content::Nothing) => {
            let origin = make(&connection, options)?;
            Ok((connection, origin))
        }
        Ok(Content::Foreign) | Err(CatalogError::Damaged { .. }) => {
            drop(connection);
            rebuild(path, options, Keep::GoodCatalog)
        }
        Err(error) => Err(error),
    }
}

/// Empties a file. One process at a time, and the file is looked at again behind the lock, so that two processes which
/// met the same damage do not empty each other's new catalog.
fn rebuild(path: &Path, options: &OpenOptions, keep: Keep) -> Result<(Connection, Origin), CatalogError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let _lock = FileLock::acquire(Path::new(&lock_path), Sharing::Exclusive)?;
    let connection = connect(path, options)?;
    match look(&connection, options) {
        Ok(Content::Catalog) if keep == Keep::GoodCatalog => return Ok((connection, Origin::Found)),
        Ok(_) | Err(CatalogError::Damaged { .. }) => reset(&connection, options)?,
        Err(error) => return Err(error),
    }
    make(&connection, options)?;
    Ok((connection, Origin::Rebuilt))
}

fn connect(path: &Path, options: &OpenOptions) -> Result<Connection, CatalogError> {
    let access = match options.access {
        Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(sqlite)?;
    connection.busy_timeout(Duration::from_millis(options.busy_timeout_ms)).map_err(sqlite)?;
    // Closing must neither cost a short-lived hook a checkpoint nor take the log from under a forked child.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    // Where the file may only be read, SQLite opens it that way without a word; writes would fail much later.
    if options.access == Access::ReadWrite && connection.is_readonly("main").map_err(sqlite)? {
        return Err(CatalogError::ReadOnly { source: "the file may not be written".into() });
    }
    Ok(connection)
}

/// Looks at a file and settles the connection if it is a catalog; both meet a damaged header or schema.
///
/// Through SQLite and nothing else: opening and closing the file directly would drop the locks of any other connection
/// that this process has to it (POSIX).
fn look(connection: &Connection, options: &OpenOptions) -> Result<Content, CatalogError> {
    patiently(Duration::from_millis(options.busy_timeout_ms), || {
        let content = schema::inspect(connection)?;
        if content == Content::Catalog {
            settle(connection)?;
        }
        Ok(content)
    })
}

/// Turns an empty file into a catalog, unless another process was faster.
fn make(connection: &Connection, options: &OpenOptions) -> Result<Origin, CatalogError> {
    let timeout = Duration::from_millis(options.busy_timeout_ms);
    // Where the file system has no shared memory the answer is another mode or an error, and both will do.
    let wal = || connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(sqlite);
    if let Err(busy @ CatalogError::Busy { .. }) = patiently(timeout, wal) {
        return Err(busy);
    }
    settle(connection)?;
    let open = Open::write(connection, timeout)?;
    let origin = match schema::inspect(connection)? {
        Content::Nothing => {
            schema::create(connection)?;
            Origin::Created
        }
        Content::Catalog => Origin::Found,
        Content::Foreign => return Err(CatalogError::bad_row("header")),
    };
    open.commit(timeout)?;
    Ok(origin)
}

/// Empties a file in place, so that processes which have it open go on safely; removing it would let their old file
/// meet the new one's log.
fn reset(connection: &Connection, options: &OpenOptions) -> Result<(), CatalogError> {
    // Loads the schema if there is one, which keeps the journal mode; SQLite asks for this first.
    let _ = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true).map_err(sqlite)?;
    let timeout = Duration::from_millis(options.busy_timeout_ms);
    let emptied = patiently(timeout, || connection.execute_batch("VACUUM").map_err(sqlite));
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false).map_err(sqlite)?;
    emptied
}

/// Sets what holds for one connection. Only on a file that is known to be a database.
fn settle(connection: &Connection) -> Result<(), CatalogError> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Plans do not depend on the values that are bound: else SQLite may plan a kept statement anew for each of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(sqlite)?;
    // Derived data may lose its last transactions in a power cut, cursor included, but may not be torn: NORMAL.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(sqlite)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(sqlite)?;
    // Enough for the index of a large history; it grows with use, so a hook never has it.
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(sqlite)?;
    let set =
        |name: &str, value: i64| connection.pragma_update_and_check(None, name, value, |_| Ok(())).map_err(sqlite);
    // [`Catalog::keep_log_short`] does it; this is for where the log is not beside the file, as behind a link.
    set("wal_autocheckpoint", 4096)?;
    set("journal_size_limit", 4 << 20)
}
