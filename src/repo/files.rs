//! Exports of files as they lie on disk: one that looks as it did is not read again, one that changes while it is read
//! is refused.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::SystemTime;

use super::Repo;
use super::export::{check_is_file, record_of};
use super::stat_cache::{Stamp, StatCache, shows_every_change};
use super::types::{ExportOptions, ExportOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::{Progress, ProgressFn};

/// Bytes read at a time.
const COPY_LEN: usize = 256 * 1024;
/// Shorter files are read faster than a note about them is written and synced.
const MIN_NOTED_LEN: u64 = 1024 * 1024;
/// What a file that is exported by itself is called in the notes about its path.
const ITSELF: &str = "";

/// What exporting a file gave.
#[derive(Debug)]
pub struct FileOutcome {
    /// The export.
    pub export: ExportOutcome,
    /// The file did not look as it did the last time.
    pub was_read: bool,
}

/// A file as it looked when its export began.
pub(super) struct Source<'a> {
    pub(super) place: &'a Path,
    pub(super) file: File,
    pub(super) stamp: Stamp,
    pub(super) started: SystemTime,
    /// Whether it is noted how the file looks: a change through a memory map must show then.
    pub(super) is_noted: bool,
}

impl Source<'_> {
    /// Reads the whole file in pieces, and fails if it changes meanwhile.
    pub(super) fn read(
        mut self,
        at: &mut Progress,
        progress: ProgressFn<'_>,
        mut push: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let failed = |error| Error::from(error).context(format!("could not read `{}`", self.place.display()));
        let looks_the_same = |file: &File| file.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp);
        if self.is_noted && self.stamp.is_settled(self.started) {
            crate::fs::sync_file(&self.file).map_err(failed)?;
        }
        let same_before = looks_the_same(&self.file);
        let (mut buffer, mut len) = (vec![0; COPY_LEN], 0);
        // Whoever appends to it may never end.
        while len <= self.stamp.size() || looks_the_same(&self.file) {
            if !progress(*at) {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            let count = match self.file.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                count => count.map_err(failed)?,
            };
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            push(bytes)?;
            len += count as u64;
            at.done += count as u64;
        }
        // What a program makes up when it is asked for, as in `/sys`, says any length.
        if same_before && looks_the_same(&self.file) && (len == self.stamp.size() || !self.is_noted) {
            return Ok(());
        }
        let message = format!("`{}` changed while it was exported", self.place.display());
        Err(Error::new(ErrorKind::Failed, message)
            .with_hint("export again when nothing writes to it, or export a copy of it"))
    }
}

impl Repo {
    /// Exports a file that says how long it is; pipes, terminals and files of `/proc` do not. One of 1 MiB or more that
    /// looks as it did the last time is not read.
    ///
    /// # Errors
    /// As [`Repo::export`]; `Failed` for a file that changes while it is read. The previous version then stays.
    pub fn export_file(&self, options: ExportOptions, path: &Path, progress: ProgressFn<'_>) -> Result<FileOutcome> {
        let failed = |error| Error::from(error).context(format!("could not read `{}`", path.display()));
        let started = SystemTime::now();
        // Networks look again at what they remember of a file when it is opened.
        let file = File::open(path).map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        // A name of `/proc` may lead to a file that has none.
        let (place, has_name) = path.canonicalize().map_or((path.to_path_buf(), false), |place| (place, true));
        let is_noted = has_name && stamp.size() >= MIN_NOTED_LEN && shows_every_change(&place);
        if is_noted {
            self.check_export(&options.name)?;
            check_is_file(&options.suffix)?;
            let _hold = self.hold()?;
            let known = StatCache::load(self, &place).find(ITSELF, &stamp);
            if let Some(digest) = known
                && self.store()?.is_complete(&digest)?
            {
                let producer = self.producer(options.producer.as_deref());
                let record = record_of(&options, (digest, stamp.size()), producer, None);
                return Ok(FileOutcome { export: self.conclude(&options, record, 0)?, was_read: false });
            }
        }
        let mut writer = self.export(options)?;
        let mut at = Progress { doing: "exporting", done: 0, total: Some(stamp.size()) };
        let source = Source { place: &place, file, stamp, started, is_noted };
        source.read(&mut at, progress, |bytes| Ok(writer.write_all(bytes)?))?;
        let export = writer.finish()?;
        if is_noted {
            let mut noted = StatCache::default();
            noted.note(ITSELF, stamp, export.record.digest, started);
            noted.save(self, &place);
        }
        Ok(FileOutcome { export, was_read: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of two pieces, to which `change` is done after the first.
    fn read(is_noted: bool, change: impl Fn(&Path)) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("file");
        crate::fs::write_atomic(&place, &vec![7; COPY_LEN + 1]).unwrap();
        let file = File::open(&place).unwrap();
        let stamp = Stamp::of(&file.metadata().unwrap());
        let source = Source { place: &place, file, stamp, started: SystemTime::now(), is_noted };
        let (mut at, mut bytes) = (Progress { doing: "reading", done: 0, total: None }, vec![]);
        source.read(
            &mut at,
            &mut |news| {
                if news.done > 0 {
                    change(&place);
                }
                true
            },
            |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            },
        )?;
        assert_eq!(at.done, bytes.len() as u64);
        Ok(bytes)
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_refused() {
        assert!(read(true, |_| ()).unwrap() == vec![7; COPY_LEN + 1]);
        let append = |place: &Path| File::options().append(true).open(place).unwrap().write_all(b"more").unwrap();
        let cut = |place: &Path| File::options().write(true).open(place).unwrap().set_len(9).unwrap();
        for is_noted in [true, false] {
            for change in [&append as &dyn Fn(&Path), &cut] {
                let error = read(is_noted, change).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Failed);
                assert!(error.to_string().contains("changed while it was exported"), "{error}");
            }
        }
    }
}
