//! What `onenb tune` needs of a repository: its exports with all their versions, its settings, a scratch place and how
//! far away its remote is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Repo;
use super::directory::read_manifest;
use crate::catalog::BindingsOf;
use crate::error::{Error, ErrorKind, Result};
use crate::format::encoding::Encodings;
use crate::format::recipe::ChunkRef;
use crate::format::record::ExportRecord;
use crate::id::ContentDigest;
use crate::store::{ContentReader, Scratch};

/// How often the remote is asked.
const PINGS: usize = 5;
/// How long answers are waited for, all together.
const PATIENCE: Duration = Duration::from_secs(2);
const MICROS: i64 = 1_000_000;

/// The contents that one export had, or one file of a directory export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportVersions {
    /// Name and parameters, and the path of the file.
    pub name: String,
    /// What it belongs to: its suffix, or the directory export that the file is of.
    pub group: String,
    /// The different contents, the oldest first. Not all of them need be here.
    pub contents: Vec<ContentDigest>,
}

impl Repo {
    /// Returns what every export of this work tree and of the repository's history ever was.
    ///
    /// # Errors
    /// What reading the repository, the store and the catalog can meet.
    pub fn export_versions(&self) -> Result<Vec<ExportVersions>> {
        let mut records: Vec<((i64, u64), ExportRecord)> = vec![];
        if let Some(head) = self.git().head()? {
            self.bound_at(head)?;
        }
        let worktree = self.git().worktree_id();
        self.facts(|view| {
            for binding in view.bindings(BindingsOf::All)? {
                let at = (binding.time_unix.saturating_mul(MICROS), binding.generation);
                records.push((at, binding.bound.record));
            }
            for pending in view.exports_of_all(&worktree)? {
                records.push(((pending.time_us, 0), pending.record));
            }
            Ok(())
        })?;
        // What happened at one time has some order, always the same.
        records.sort_by(|(a, one), (b, other)| (a, one.digest).cmp(&(b, other.digest)));
        let mut versions = Versions::default();
        for (_, record) in &records {
            let label = record.label();
            if record.suffix.is_directory() {
                self.add_members(&label, &record.digest, &mut versions);
            } else {
                versions.add(&label, &record.suffix.to_string(), record.digest);
            }
        }
        Ok(versions.found.into_values().collect())
    }

    /// Adds the files of a directory whose manifest is here.
    fn add_members(&self, label: &str, manifest: &ContentDigest, versions: &mut Versions) {
        let Ok(manifest) = self.open_object(manifest).and_then(read_manifest) else { return };
        for (path, digest) in manifest.contents() {
            versions.add(&format!("{label}/{path}"), label, digest);
        }
    }

    /// Opens a content that is here, and lists its chunks.
    ///
    /// # Errors
    /// `NotFound` if it is not here, Damaged.
    pub fn open_chunked(&self, digest: &ContentDigest) -> Result<(Vec<ChunkRef>, ContentReader)> {
        let store = self.store()?;
        Ok((store.chunks_of(digest)?, store.open_content(digest)?))
    }

    /// Returns how new data is encoded.
    ///
    /// # Errors
    /// An error that names the file if it is newer than this program or malformed; writers use the defaults then.
    pub fn encodings(&self) -> Result<Encodings> {
        Ok(self.store_if_present()?.map_or_else(|| Ok(Encodings::default()), crate::store::Store::encodings)?)
    }

    /// Says that new data is written with the defaults because the settings cannot be used.
    #[must_use]
    pub fn settings_note(&self) -> Option<String> {
        let error = self.encodings().err()?;
        let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
        Some(format!("new data is written with the default settings: {error}{hint}"))
    }

    /// Sets how new data is encoded, in this store and for every process.
    ///
    /// # Errors
    /// `ReadOnly`, or what writing can meet.
    pub fn set_encodings(&self, encodings: &Encodings) -> Result<()> {
        self.check_writable()?;
        Ok(self.store()?.set_encodings(encodings)?)
    }

    /// Returns whether a path, absolute and without links, lies where Git keeps its data.
    #[must_use]
    pub fn is_within_git(&self, path: &Path) -> bool {
        let dirs = [self.git().git_dir(), self.git().common_dir()];
        dirs.iter().filter_map(|dir| dir.canonicalize().ok()).any(|dir| path.starts_with(dir))
    }

    /// Makes a place for scratch stores beside the data, which vanishes when it is dropped.
    ///
    /// # Errors
    /// Conflict while another process has it, `ReadOnly`, or what writing can meet.
    pub fn scratch(&self) -> Result<Scratch> {
        self.check_writable()?;
        self.store()?.scratch()?.ok_or_else(|| {
            Error::new(ErrorKind::Conflict, "another `onenb tune` is measuring in this store")
                .with_hint("let it end; two at once would measure each other")
        })
    }

    /// Returns how long a small request to the remote takes, by the middle one of a few; `None` when storage is local.
    ///
    /// # Errors
    /// Auth for a remote that was not approved, or what keeps it from answering, within two seconds.
    pub fn remote_latency(&self) -> Result<Option<Duration>> {
        let Some((remote, _)) = self.remote()? else { return Ok(None) };
        let (send, answers) = mpsc::channel();
        // Nobody waits for a remote that hangs: the thread ends when it gives up, or with the process.
        std::thread::spawn(move || {
            for _ in 0..PINGS {
                let started = Instant::now();
                let answer = remote.ping().map(|()| started.elapsed());
                if send.send(answer).is_err() {
                    break;
                }
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let mut times = vec![];
        while let Ok(answer) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            times.push(answer?);
        }
        times.sort();
        let silent = || {
            Error::new(ErrorKind::Failed, format!("the remote did not answer within {} seconds", PATIENCE.as_secs()))
        };
        times.get(times.len() / 2).copied().map(Some).ok_or_else(silent)
    }
}

#[derive(Default)]
struct Versions {
    found: BTreeMap<String, ExportVersions>,
    seen: BTreeSet<ContentDigest>,
}

impl Versions {
    /// Adds a content where it appears first: a copy under another name is no other data.
    fn add(&mut self, name: &str, group: &str, digest: ContentDigest) {
        if self.seen.insert(digest) {
            let empty = || ExportVersions { name: name.to_owned(), group: group.to_owned(), contents: vec![] };
            self.found.entry(name.to_owned()).or_insert_with(empty).contents.push(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_counts_once_whatever_it_is_called() {
        let digest = |text: &str| ContentDigest::of(text.as_bytes());
        let mut versions = Versions::default();
        for (name, content) in [("A", "one"), ("B", "one"), ("A", "two"), ("A", "one"), ("B", "three")] {
            versions.add(name, ".csv", digest(content));
        }
        let found: Vec<_> = versions.found.into_values().map(|of| (of.name, of.contents)).collect();
        let wanted = [("A".to_owned(), vec![digest("one"), digest("two")]), ("B".to_owned(), vec![digest("three")])];
        assert_eq!(found, wanted);
    }
}
