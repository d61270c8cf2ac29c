//! Batches: many exports that become durable and visible together.
//!
//! - Order: the contents (one sync of each class of packs), then a journal with all records under its final name, then
//!   the record files. The journal acknowledges the batch: before it nothing of the batch is named, and once it is
//!   there every record will be, because whoever opens the repository next finishes what a killed process left.
//! - Journals lie beside `HEAD` of the work tree that they belong to and go when their records are durable.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::export::{ExportWriter, check_is_file, record_of};
use super::types::{ExportOptions, ExportOutcome};
use super::working::bare;
use super::{Repo, STORE_DIR};
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::BatchJournal;
use crate::format::name::ExportName;
use crate::format::record::{ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::fs::{self, FileLock, Sharing};
use crate::store::{ContentBatch, ContentWriter, ObjectKind, StoredContent, WriteHold, WriteOptions};

/// Folder of the journals below a work tree's Git directory.
pub(super) const JOURNALS_DIR: &str = "batches";
/// Held by the process whose journal is there.
const LOCK_FILE: &str = "lock";
/// Longest journal that is read back, in bytes.
const MAX_JOURNAL_LEN: u64 = 1024 * 1024 * 1024;

/// Exports that become durable and visible together, by [`ExportBatch::commit`]. Dropped before that, it leaves
/// nothing.
///
/// Clones are handles of the same batch, so that several exports can be written at once.
#[derive(Clone)]
pub struct ExportBatch {
    repo: Repo,
    state: Arc<Mutex<Option<State>>>,
}

struct State {
    /// Until the records are there.
    hold: WriteHold,
    content: ContentBatch,
    /// The names in the work tree and in this batch, by the form in which they must differ.
    names: HashMap<String, ExportName>,
    records: Vec<ExportRecord>,
    positions: HashMap<ExportKey, usize>,
}

/// What a batch became.
#[derive(Debug, Clone)]
pub struct BatchOutcome {
    /// Its records, in the order in which their exports ended.
    pub records: Vec<ExportRecord>,
    /// New bytes in the store, after deduplication and compression.
    pub stored_len: u64,
}

impl Repo {
    /// Starts a batch of exports.
    ///
    /// # Errors
    /// `ReadOnly` for a repository that cannot be written.
    pub fn batch(&self) -> Result<ExportBatch> {
        self.check_writable()?;
        let names = self.export_names()?.into_iter().map(|name| (name.fold(), name)).collect();
        let hold = self.hold()?;
        let content = self.store()?.batch(&WriteOptions::default())?;
        let state = State { hold, content, names, records: vec![], positions: HashMap::new() };
        Ok(ExportBatch { repo: self.clone(), state: Arc::new(Mutex::new(Some(state))) })
    }

    fn journals_dir(&self) -> PathBuf {
        self.git().git_dir().join(STORE_DIR).join(JOURNALS_DIR)
    }

    /// Finishes batches that were acknowledged by a process that died before it wrote all records. Every export does
    /// this before it writes its own record, so that what a batch left never comes after it.
    pub(super) fn finish_batches(&self) -> Result<()> {
        let dir = self.journals_dir();
        if journals_in(&dir).is_empty() || self.work_dir().is_none() {
            return Ok(());
        }
        // Somebody who lives holds the lock and finishes by itself.
        match FileLock::try_acquire(&dir.join(LOCK_FILE), Sharing::Exclusive)? {
            Some(_lock) => self.finish_journals(&dir),
            None => Ok(()),
        }
    }

    /// Writes what journals say, while their lock is held. One that cannot be finished does not keep others from it.
    fn finish_journals(&self, dir: &Path) -> Result<()> {
        let done: Vec<Result<()>> = journals_in(dir).iter().map(|path| self.finish_journal(path)).collect();
        done.into_iter().collect()
    }

    fn finish_journal(&self, path: &Path) -> Result<()> {
        let finish = || -> Result<()> {
            let journal = BatchJournal::from_bytes(&fs::read_bounded(path, MAX_JOURNAL_LEN)?)?;
            let written = std::fs::metadata(path)?.modified()?;
            let is_newer = |record: &ExportRecord| {
                let file = self.record_file(&record.key()).and_then(|file| std::fs::metadata(file).ok());
                file.and_then(|file| file.modified().ok()).is_some_and(|modified| modified > written)
            };
            // A checkout since then counts more.
            let records: Vec<_> = journal.records.into_iter().filter(|record| !is_newer(record)).collect();
            self.publish_records(&records)?;
            remove_journal(path)
        };
        finish().map_err(|error| {
            let hint = format!("mend that, or give the batch up by deleting `{}`", path.display());
            error.context("a batch that ended half way could not be finished").with_hint(hint)
        })
    }

    /// Writes record files and remembers that no commit has them yet.
    fn publish_records(&self, records: &[ExportRecord]) -> Result<()> {
        let root = self.work_dir().ok_or_else(bare)?;
        let (mut files, mut pending) = (vec![], vec![]);
        for record in records {
            let below = record.key().record_path();
            fs::refuse_links(root, &below)?;
            let (path, bytes) = (root.join(below), record.to_bytes());
            if fs::read_bounded(&path, MAX_RECORD_LEN).is_ok_and(|old| old == bytes) {
                continue;
            }
            pending.push((ObjectKind::PENDING, self.pending(record).to_bytes()));
            files.push((path, bytes));
        }
        if !pending.is_empty() {
            self.remember(&pending)?;
        }
        Ok(fs::write_many(&files)?)
    }
}

impl ExportBatch {
    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an export of the batch. It joins the batch when its writer is finished.
    ///
    /// # Errors
    /// Usage for a clashing name; `Failed` if the batch has ended.
    pub fn export(&self, options: ExportOptions) -> Result<ExportWriter> {
        if self.repo.work_dir().is_none() {
            return Err(bare());
        }
        check_is_file(&options.suffix)?;
        let mut guard = self.lock();
        let state = guard.as_mut().ok_or_else(ended)?;
        let before = match state.names.entry(options.name.fold()) {
            Entry::Occupied(known) => {
                super::working::refuse_twin(&options.name, known.get())?;
                let key = ExportKey { name: options.name.clone(), params_hash: options.params.hash() };
                self.repo.working_record(&key).unwrap_or_default()
            }
            Entry::Vacant(place) => {
                place.insert(options.name.clone());
                None
            }
        };
        let content = state.content.writer(before.map(|record| record.digest).into_iter().collect());
        drop(guard);
        Ok(ExportWriter::in_batch(self.repo.clone(), options, content, self.clone()))
    }

    /// Takes in an export that was written to its end.
    pub(super) fn add(
        &self,
        options: &ExportOptions,
        content: ContentWriter,
        value: Option<serde_json::Value>,
    ) -> Result<ExportOutcome> {
        let mut guard = self.lock();
        let state = guard.as_mut().ok_or_else(ended)?;
        let stored = state.content.add(content)?;
        let record = self.record(options, &stored, value);
        let key = record.key();
        // Exported twice in one batch: the last one counts.
        if let Some(earlier) = state.positions.get(&key).and_then(|at| state.records.get_mut(*at)) {
            *earlier = record.clone();
        } else {
            state.positions.insert(key, state.records.len());
            state.records.push(record.clone());
        }
        let receipt = super::export::receipt_of(options, &record);
        Ok(ExportOutcome { record, stored_len: stored.stored_bytes, unchanged_since: None, receipt })
    }

    fn record(
        &self,
        options: &ExportOptions,
        stored: &StoredContent,
        value: Option<serde_json::Value>,
    ) -> ExportRecord {
        record_of(options, (stored.digest, stored.len), self.repo.producer(options.producer.as_deref()), value)
    }

    /// Throws the batch away. Exports of it that are still written fail when they are finished.
    pub fn discard(&self) {
        drop(self.lock().take());
    }

    /// Makes the whole batch durable, then visible in `working`.
    ///
    /// # Errors
    /// What writing can meet. If the records could not all be written, the next command finishes that; otherwise
    /// nothing of the batch is visible.
    pub fn commit(&self) -> Result<BatchOutcome> {
        let state = self.lock().take().ok_or_else(ended)?;
        let State { hold: _hold, content, records, .. } = state;
        let stored_len = content.commit()?;
        if records.is_empty() {
            return Ok(BatchOutcome { records, stored_len });
        }
        let dir = self.repo.journals_dir();
        fs::create_dir_all(&dir)?;
        let _lock = FileLock::acquire(&dir.join(LOCK_FILE), Sharing::Exclusive)?;
        // Older than this one, whoever left it.
        self.repo.finish_journals(&dir)?;
        let journal = BatchJournal { records };
        let path = dir.join(format!("{}.json", crate::id::fresh_ulid()));
        fs::write_atomic(&path, &journal.to_bytes())?;
        self.repo.publish_records(&journal.records)?;
        remove_journal(&path)?;
        Ok(BatchOutcome { records: journal.records, stored_len })
    }
}

/// Removes a journal for good: one that came back after a power cut would bring back what was removed since.
fn remove_journal(path: &Path) -> Result<()> {
    fs::remove_file(path)?;
    Ok(path.parent().map_or(Ok(()), fs::sync_dir)?)
}

fn ended() -> Error {
    Error::new(ErrorKind::Failed, "the batch has ended").with_hint("start another one for further exports")
}

/// Lists the journals in a folder, oldest first.
fn journals_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_journal = |path: &PathBuf| {
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|extension| extension == "json")
    };
    let mut journals: Vec<PathBuf> = entries.filter(is_journal).collect();
    journals.sort();
    journals
}
