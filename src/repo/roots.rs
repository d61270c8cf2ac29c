//! What a store must keep: every content that something names. `docs/design/0008-gc.md` lists the rules.
//!
//! - Named by Git: each version of each record that any reference, log, stash, index or unfinished operation of any
//!   work tree leads to, read from the trees themselves; and what receipts bind there, by the catalog.
//! - Named here: the records of all work trees, batches that are not finished, late bindings, pins, exports that are
//!   not old.
//! - Whatever cannot be read is an error: it could name anything. A record that cannot be decoded names every digest in
//!   it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::batch::JOURNALS_DIR;
use super::directory::read_manifest;
use super::pins::pinned;
use super::{Repo, STORE_DIR};
use crate::catalog::BindingsOf;
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::{BatchJournal, LateBinding, Pending};
use crate::format::directory::{MAX_MANIFEST_LEN, Manifest};
use crate::format::record::{EXPORTS_DIR, ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::format::run::{RUNS_DIR, RunRecord};
use crate::fs;
use crate::git::{GitError, SeenHistory, WorkTree};
use crate::id::{CommitId, ContentDigest};
use crate::store::{ObjectKind, StoredObject};

/// The folder that all records lie in.
const RECORDS_DIR: &str = ".1nb";
/// Longest journal of a batch that is read.
const MAX_JOURNAL_LEN: u64 = 1 << 30;
/// Enough of a content to tell that it is the list of a directory's files.
const PEEK_LEN: u64 = 1024;

/// What a content is, as far as whoever names it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    File,
    /// Nothing is said, so it may name others.
    Unknown,
    Directory,
}

#[derive(Debug, Default)]
struct Names(HashMap<ContentDigest, Shape>);

impl Names {
    fn add(&mut self, digest: ContentDigest, shape: Shape) {
        let known = self.0.entry(digest).or_insert(shape);
        *known = (*known).max(shape);
    }

    fn add_record(&mut self, record: &ExportRecord) {
        self.add(record.digest, if record.suffix.is_directory() { Shape::Directory } else { Shape::File });
    }

    /// Adds what a file among the records names.
    fn add_file(&mut self, bytes: &[u8]) {
        if let Ok(record) = ExportRecord::from_bytes(bytes) {
            self.add_record(&record);
        } else if let Ok(run) = RunRecord::from_bytes(bytes) {
            self.add(run.notebook, Shape::File);
            run.exports.iter().for_each(|export| self.add(export.digest, Shape::Unknown));
        } else {
            self.add_digests(bytes);
        }
    }

    /// Adds everything that looks like a digest: a conflict, a newer format or a typing error may surround it.
    fn add_digests(&mut self, bytes: &[u8]) {
        let words = bytes.split(|byte| !byte.is_ascii_hexdigit()).filter(|word| word.len() == 64);
        let digests = words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok());
        digests.for_each(|digest| self.add(digest, Shape::Unknown));
    }
}

/// One of the repositories that keep their data in a store.
struct Place {
    repo: Repo,
    seen: SeenHistory,
    /// Commits that no walk from elsewhere reaches in the catalog's way.
    more_tips: Vec<CommitId>,
}

/// Finds everything that is named. Asked again, it looks only at what is new in Git.
pub(super) struct RootFinder {
    repo: Repo,
    places: Vec<Place>,
    /// Uncommitted exports made later than this are kept, microseconds since 1970.
    kept_since_us: i64,
    names: Names,
    members: HashMap<ContentDigest, Vec<ContentDigest>>,
}

impl RootFinder {
    pub(super) fn new(repo: &Repo, kept_since_us: i64) -> Result<Self> {
        let mut repos = vec![repo.clone()];
        repos.extend(repo.sharing_store()?);
        let place = |repo| Place { repo, seen: SeenHistory::default(), more_tips: vec![] };
        Ok(Self {
            repo: repo.clone(),
            places: repos.into_iter().map(place).collect(),
            kept_since_us,
            names: Names::default(),
            members: HashMap::new(),
        })
    }

    /// Returns every content that is named.
    pub(super) fn find(&mut self) -> Result<HashSet<ContentDigest>> {
        let mut absent = HashSet::new();
        for place in &mut self.places {
            // Git may move a record from a work tree into a commit or stash, or back, at any time: whatever it does,
            // one of the three looks meets it.
            for tree in place.repo.git().work_trees()? {
                add_work_tree(&tree, &mut self.names)?;
            }
            place.add_history(&mut self.names)?;
            for tree in place.repo.git().work_trees()? {
                if !add_work_tree(&tree, &mut self.names)? && tree.is_locked {
                    absent.insert(tree.id);
                }
            }
        }
        if let Some(store) = self.repo.store_if_present()? {
            self.add_facts(&store.all_objects()?, &absent)?;
        }
        self.with_members()
    }

    fn add_facts(&mut self, objects: &[StoredObject], absent: &HashSet<String>) -> Result<()> {
        // The newest export of each key in work trees that are away: nobody can look at their records.
        let mut latest: BTreeMap<(String, ExportKey), Pending> = BTreeMap::new();
        for object in objects {
            match object.kind {
                ObjectKind::PENDING => {
                    let pending = Pending::from_bytes(&object.bytes)?;
                    if pending.time_us > self.kept_since_us {
                        self.names.add_record(&pending.record);
                    }
                    if absent.contains(&pending.worktree) {
                        let key = (pending.worktree.clone(), pending.record.key());
                        if latest.get(&key).is_none_or(|known| known.time_us <= pending.time_us) {
                            latest.insert(key, pending);
                        }
                    }
                }
                ObjectKind::LATE_BINDING => self.names.add_record(&LateBinding::from_bytes(&object.bytes)?.record),
                ObjectKind::UNBINDING
                | ObjectKind::PUSH_LOG
                | ObjectKind::BRANCH_START
                | ObjectKind::COMMIT_BRANCH
                | ObjectKind::PIN => {}
                // Of a newer version, which may name contents in it.
                _ => self.names.add_digests(&object.bytes),
            }
        }
        pinned(objects)?.iter().for_each(|pin| self.names.add_record(&pin.record));
        for pending in latest.values() {
            self.names.add_record(&pending.record);
        }
        Ok(())
    }

    /// Adds the files of directories.
    fn with_members(&mut self) -> Result<HashSet<ContentDigest>> {
        let mut all: HashSet<ContentDigest> = self.names.0.keys().copied().collect();
        for (digest, shape) in &self.names.0 {
            if *shape == Shape::File {
                continue;
            }
            if !self.members.contains_key(digest)
                && let Some(members) = members_of(&self.repo, digest, *shape)?
            {
                self.members.insert(*digest, members);
            }
            all.extend(self.members.get(digest).into_iter().flatten());
        }
        Ok(all)
    }
}

/// Reads which files a directory has; `None` if that is not here.
fn members_of(repo: &Repo, digest: &ContentDigest, shape: Shape) -> Result<Option<Vec<ContentDigest>>> {
    let Some(store) = repo.store_if_present()? else { return Ok(None) };
    let Some(len) = store.contains(digest)? else { return Ok(None) };
    if shape == Shape::Unknown {
        let mut start = vec![];
        if len <= MAX_MANIFEST_LEN {
            repo.open_object(digest)?.take(PEEK_LEN).read_to_end(&mut start)?;
        }
        if Manifest::check_start(&start).is_err() {
            return Ok(Some(vec![]));
        }
    }
    let manifest = read_manifest(repo.open_object(digest)?);
    match manifest {
        Ok(manifest) => Ok(Some(manifest.contents().map(|(_, digest)| digest).collect())),
        Err(error) if error.kind() == ErrorKind::Damaged && shape == Shape::Unknown => Ok(Some(vec![])),
        Err(error) => Err(error.context(format!("could not read which files the directory {} has", digest.short()))),
    }
}

impl Place {
    fn add_history(&mut self, names: &mut Names) -> Result<()> {
        let git = self.repo.git();
        let mut tips = git.root_commits()?;
        let new = git.files_of_all_commits(&tips, RECORDS_DIR, &mut self.seen)?;
        for (path, blob) in new.files {
            if !is_record(&path) {
                continue;
            }
            match git.read_blob(blob, MAX_RECORD_LEN) {
                Ok(bytes) => names.add_file(&bytes),
                // Longer than any record.
                Err(GitError::TooLarge { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.more_tips.extend(new.last_with);
        tips.extend(&self.more_tips);
        tips.sort_unstable();
        tips.dedup();
        // Records were read from the trees; what receipts bind, only the catalog has worked out.
        let bound = self.repo.indexed(&tips, |view| {
            let reach = view.reach(&tips)?;
            let mut bindings = view.bindings(BindingsOf::All)?;
            bindings.retain(|binding| reach.contains(binding.place));
            Ok(bindings)
        })?;
        for binding in &bound {
            names.add_record(&binding.bound.record);
        }
        Ok(())
    }
}

fn is_record(path: &str) -> bool {
    path.ends_with(".json")
        && [EXPORTS_DIR, RUNS_DIR].iter().any(|dir| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
}

/// Adds the records of a work tree and of its unfinished batches; `false` if the work tree is not there.
fn add_work_tree(tree: &WorkTree, names: &mut Names) -> Result<bool> {
    for (path, is_dir) in list(&tree.git_dir.join(STORE_DIR).join(JOURNALS_DIR))? {
        if !is_dir && path.extension().is_some_and(|extension| extension == "json") {
            // It may have been finished meanwhile, and then its records are there.
            let Some(bytes) = read(&path, MAX_JOURNAL_LEN)? else { continue };
            BatchJournal::from_bytes(&bytes)?.records.iter().for_each(|record| names.add_record(record));
        }
    }
    let Some(dir) = &tree.dir else { return Ok(true) };
    match std::fs::metadata(dir) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        Err(error) => return Err(unreadable(dir, error)),
    }
    let mut pending = vec![dir.join(EXPORTS_DIR), dir.join(RUNS_DIR)];
    while let Some(dir) = pending.pop() {
        for (path, is_dir) in list(&dir)? {
            if is_dir {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                names.add_file(&read(&path, MAX_RECORD_LEN)?.unwrap_or_default());
            }
        }
    }
    Ok(true)
}

/// Lists a directory without following links; a missing one is empty.
fn list(dir: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(vec![]);
        }
        Err(error) => return Err(unreadable(dir, error)),
    };
    let described = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry.map_err(|error| unreadable(dir, error))?;
        let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), error))?;
        Ok((entry.path(), kind.is_dir()))
    };
    entries.map(described).collect()
}

/// Reads a file; `None` if it is gone or longer than it can be.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    match fs::read_bounded(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::from(error).context(format!("could not read `{}`", path.display()))
}
