//! Exporting: bytes into the store, then the recipe, then the record in the work tree, each durable before the next.

use std::io::{self, Write};
use std::path::Path;

use super::Repo;
use super::batch::ExportBatch;
use super::facts::now_us;
use super::read::ExportReader;
use super::types::{ExportOptions, ExportOutcome};
use super::working::bare;
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::Pending;
use crate::format::name::{ExportName, Suffix};
use crate::format::record::{ExportKey, ExportRecord, Input, MAX_RECORD_LEN, MAX_VALUE_LEN, Producer};
use crate::format::run::{RECEIPT_VERSION, Receipt};
use crate::fs;
use crate::id::{CodeIdentity, ContentDigest};
use crate::notebook;
use crate::store::{ContentWriter, ObjectKind, WriteHold, WriteOptions};

/// Scripts longer than this have no code identity.
const MAX_SCRIPT_LEN: u64 = 16 * 1024 * 1024;

/// An export being written. Dropping it discards everything; the previous version stays.
pub struct ExportWriter {
    repo: Repo,
    options: ExportOptions,
    content: ContentWriter,
    batch: Option<ExportBatch>,
    /// Until the record is there; a batch has its own.
    hold: Option<WriteHold>,
}

impl Repo {
    /// Starts an export into this repository's store and work tree.
    ///
    /// # Errors
    /// Usage for a clashing name, `ReadOnly` for a repository that cannot be written.
    pub fn export(&self, options: ExportOptions) -> Result<ExportWriter> {
        self.check_export(&options.name)?;
        check_is_file(&options.suffix)?;
        let hold = Some(self.hold()?);
        let parents = self.earlier_versions(&options);
        let content = self.store()?.writer(&WriteOptions { parents, ..WriteOptions::default() })?;
        Ok(ExportWriter { repo: self.clone(), options, content, batch: None, hold })
    }

    /// Refuses an export that could not have a record.
    pub(super) fn check_export(&self, name: &ExportName) -> Result<()> {
        self.check_writable()?;
        if self.work_dir().is_none() {
            return Err(bare());
        }
        self.check_name_is_unique(name)
    }

    /// Returns contents that the new one is likely to resemble, the likeliest first: the export as it is now, else the
    /// newest of its other parameter sets. Nothing that cannot be read matters here.
    pub(super) fn earlier_versions(&self, options: &ExportOptions) -> Vec<ContentDigest> {
        let key = ExportKey { name: options.name.clone(), params_hash: options.params.hash() };
        if let Some(record) = self.working_record(&key).unwrap_or_default() {
            return vec![record.digest];
        }
        self.newest_sibling(&key).map(|record| record.digest).into_iter().collect()
    }

    /// Exports a small value, which is kept inline in the record, the receipt and the store.
    ///
    /// # Errors
    /// Usage if its canonical JSON has more than 100 bytes.
    pub fn export_value(&self, options: ExportOptions, value: &serde_json::Value) -> Result<ExportOutcome> {
        self.export(options)?.finish_value(value)
    }

    /// Says what made an export: the path below the work tree, and the code of a script.
    pub(super) fn producer(&self, path: Option<&Path>) -> Producer {
        let Some(relative) = path.and_then(|path| self.git().to_relative(path)) else { return Producer::default() };
        let code_identity = path.filter(|_| !relative.ends_with(".ipynb")).and_then(script_identity);
        Producer { path: Some(relative), code_identity }
    }

    /// Returns the newest tag or commit that has the identical content for the record's key.
    fn unchanged_since(&self, record: &ExportRecord) -> Result<Option<String>> {
        let Some(head) = self.git().head()? else { return Ok(None) };
        let key = record.key();
        let Some(bound) = self.at_commit(head, |view, snapshot| view.entry(snapshot, &key))? else { return Ok(None) };
        if bound.record.digest != record.digest {
            return Ok(None);
        }
        let tag = self.git().tags()?.into_iter().find(|(_, commit)| *commit == bound.commit);
        Ok(Some(tag.map_or_else(|| bound.commit.short(), |(name, _)| name)))
    }
}

/// Refuses the suffix that marks directories for what is one file.
pub(super) fn check_is_file(suffix: &Suffix) -> Result<()> {
    if !suffix.is_directory() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, format!("suffix `{suffix}` is kept for directories"))
        .with_hint("export a directory with `onenb export NAME DIR`, or choose another suffix with `--suffix`"))
}

/// Reads a script and identifies its code; `None` if it cannot be read.
pub(super) fn script_identity(path: &Path) -> Option<CodeIdentity> {
    fs::read_bounded(path, MAX_SCRIPT_LEN).ok().map(|source| notebook::script_identity(&source))
}

impl ExportWriter {
    pub(super) fn in_batch(repo: Repo, options: ExportOptions, content: ContentWriter, batch: ExportBatch) -> Self {
        Self { repo, options, content, batch: Some(batch), hold: None }
    }

    /// Makes the export durable and visible in `working`; within a batch, the batch does that when it is committed.
    ///
    /// # Errors
    /// What writing can meet; the previous version then stays.
    pub fn finish(self) -> Result<ExportOutcome> {
        self.finish_with(None)
    }

    /// Writes a small value, which is kept inline in the record, the receipt and the store, and ends the export.
    ///
    /// # Errors
    /// Usage if its canonical JSON has more than 100 bytes; otherwise as [`ExportWriter::finish`].
    pub fn finish_value(mut self, value: &serde_json::Value) -> Result<ExportOutcome> {
        let json = serde_json::to_vec(value).map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))?;
        if json.len() > MAX_VALUE_LEN {
            let (name, len) = (&self.options.name, json.len());
            let message = format!("the value of `{name}` has {len} bytes of JSON, more than {MAX_VALUE_LEN}");
            return Err(
                Error::new(ErrorKind::Usage, message).with_hint("write it with `open(suffix=\".json\")` instead")
            );
        }
        self.write_all(&json)?;
        self.finish_with(Some(value.clone()))
    }

    /// Ends the export without a record, and reads back what was written: for formats whose writers change their minds.
    ///
    /// # Errors
    /// What writing and reading can meet; nothing is visible in any case.
    pub fn into_reader(self) -> Result<ExportReader> {
        let stored = self.content.finish()?;
        self.repo.open_object(&stored.digest)
    }

    /// Replaces what was read before in the same run, for inputs that were read while the export was open.
    pub fn set_inputs(&mut self, inputs: Vec<Input>) {
        self.options.inputs = inputs;
    }

    fn finish_with(self, value: Option<serde_json::Value>) -> Result<ExportOutcome> {
        let Self { repo, options, content, batch, hold: _hold } = self;
        if let Some(batch) = batch {
            return batch.add(&options, content, value);
        }
        let stored = content.finish()?;
        let record =
            record_of(&options, (stored.digest, stored.len), repo.producer(options.producer.as_deref()), value);
        repo.conclude(&options, record, stored.stored_bytes)
    }
}

impl Repo {
    /// Makes the note that no commit has a record yet.
    pub(super) fn pending(&self, record: &ExportRecord) -> Pending {
        Pending {
            worktree: self.git().worktree_id(),
            script: record.producer.code_identity.filter(|_| !record.producer.is_notebook()),
            record: record.clone(),
            time_us: now_us(),
        }
    }

    /// Writes the record of a content that is durable.
    pub(super) fn conclude(
        &self,
        options: &ExportOptions,
        record: ExportRecord,
        stored_len: u64,
    ) -> Result<ExportOutcome> {
        let path = self.record_file(&record.key()).ok_or_else(bare)?;
        self.finish_batches()?;
        let unchanged = fs::read_bounded(&path, MAX_RECORD_LEN).is_ok_and(|old| old == record.to_bytes());
        if !unchanged {
            self.remember(&[(ObjectKind::PENDING, self.pending(&record).to_bytes())])?;
            self.write_record(&record)?;
        }
        // Talk only: an unreadable history must not fail an export that is already durable.
        let unchanged_since = self.unchanged_since(&record).unwrap_or_default();
        let receipt = receipt_of(options, &record);
        Ok(ExportOutcome { record, stored_len, unchanged_since, receipt })
    }
}

/// Makes what an export leaves in the notebook, if a run is known.
pub(super) fn receipt_of(options: &ExportOptions, record: &ExportRecord) -> Option<Receipt> {
    let cell_source_digest = options.cell_source.as_deref().map(|source| ContentDigest::of(source.as_bytes()));
    options.run.map(|run| Receipt {
        v: RECEIPT_VERSION,
        run,
        export: record.name.clone(),
        params: record.params.clone(),
        digest: record.digest,
        size: record.size,
        suffix: record.suffix.clone(),
        cell_source_digest,
        inputs: record.inputs.clone(),
    })
}

/// Makes the record of a content, which is told by its digest and its length.
pub(super) fn record_of(
    options: &ExportOptions,
    (digest, size): (ContentDigest, u64),
    producer: Producer,
    value: Option<serde_json::Value>,
) -> ExportRecord {
    let mut inputs = options.inputs.clone();
    inputs.sort_by(|a, b| (&a.repo, &a.rev, &a.name, a.digest).cmp(&(&b.repo, &b.rev, &b.name, b.digest)));
    inputs.dedup();
    ExportRecord {
        name: options.name.clone(),
        params: options.params.clone(),
        digest,
        size,
        suffix: options.suffix.clone(),
        media_type: options.suffix.media_type().to_owned(),
        producer,
        inputs,
        value,
    }
}

impl Write for ExportWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.content.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
