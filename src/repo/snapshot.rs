//! Snapshots: everything exported as seen at one commit.
//!
//! Per key, in this order (docs/design/0005-snapshots.md): what the commit's tree changed against every parent, by
//! its record files or else by the receipts of its notebooks; the commit's own late bindings; what the parents hand
//! down. The answer for a commit never changes, so the catalog keeps it. History from before `.1nb` first existed is
//! not walked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Repo;
use super::receipts::{HeldRuns, bound_by_receipts};
use crate::catalog::{BindingNo, Bound, CatalogError, CommitRow, ReadTransaction, SnapshotNo, WriteTransaction};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::{EXPORTS_DIR, ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::format::run::{RUNS_DIR, RunRecord};
use crate::git::{CommitInfo, GitError, GitRepo};
use crate::id::CommitId;

/// How often indexing starts over because another process forgot what it builds on.
const MAX_ATTEMPTS: u32 = 5;
/// Commits that one catalog transaction covers.
const COMMITS_PER_TRANSACTION: usize = 2_000;

type Numbers = BTreeMap<ExportKey, BindingNo>;
type Changes = BTreeMap<ExportKey, Option<Bound>>;

/// A change of one key by one commit; `None` removes it.
pub(super) type Change = (ExportKey, Option<ExportRecord>);

impl Repo {
    /// Asks questions about the history of commits in one view that has all of it, indexing what is new.
    pub(super) fn indexed<T>(
        &self,
        tips: &[CommitId],
        questions: impl Fn(&ReadTransaction) -> Result<T, CatalogError>,
    ) -> Result<T> {
        self.ask_indexed(tips, |view| {
            for tip in tips {
                if view.snapshot_of(tip)?.is_none() {
                    return Ok(None);
                }
            }
            questions(view).map(Some)
        })
    }

    /// As [`Repo::indexed`] for what one commit has.
    pub(super) fn at_commit<T>(
        &self,
        commit: CommitId,
        questions: impl Fn(&ReadTransaction, SnapshotNo) -> Result<T, CatalogError>,
    ) -> Result<T> {
        self.ask_indexed(&[commit], |view| {
            view.snapshot_of(&commit)?.map(|snapshot| questions(view, snapshot)).transpose()
        })
    }

    /// Asks until there is an answer, indexing the tips in between.
    fn ask_indexed<T>(
        &self,
        tips: &[CommitId],
        ask: impl Fn(&ReadTransaction) -> Result<Option<T>, CatalogError>,
    ) -> Result<T> {
        // Another process may forget the commits between indexing and asking, because a late binding arrived there.
        for _ in 0..MAX_ATTEMPTS {
            if let Some(answer) = self.facts(&ask)? {
                return Ok(answer);
            }
            self.index_history(tips)?;
        }
        Err(Error::new(ErrorKind::Failed, "the catalog changes faster than it can be read").with_hint("try again"))
    }

    /// Returns everything a commit has, sorted by name and parameters.
    pub(super) fn bound_at(&self, commit: CommitId) -> Result<Vec<Bound>> {
        self.at_commit(commit, ReadTransaction::entries)
    }

    /// Indexes the commits reachable from `tips` that the catalog does not know; returns how many there were.
    pub(super) fn index_history(&self, tips: &[CommitId]) -> Result<u64> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(indexed) = self.index_once(tips)? {
                return Ok(indexed);
            }
        }
        Err(Error::new(ErrorKind::Failed, "the catalog changes faster than it can be written").with_hint("try again"))
    }

    /// As [`Repo::index_history`]; `None` if another process forgot meanwhile what this builds on.
    fn index_once(&self, tips: &[CommitId]) -> Result<Option<u64>> {
        let git = self.git();
        let outside = self.facts(ReadTransaction::has_late_bindings)?;
        let Missing { commits: missing, before } = self.view(|view| Ok(Missing::find(view, git, tips, outside)))??;
        let mut held_runs = HeldRuns::default();
        let history = self.history();
        for batch in missing.chunks(COMMITS_PER_TRANSACTION) {
            // What one transaction knows may be forgotten before the next, so each starts from the catalog.
            let recent = HashMap::new();
            let mut indexer =
                Indexer { git, before: &before, recent, empty: None, held_runs: &mut held_runs, is_stale: false };
            let written = self.catalog()?.write(|tx| {
                if !tx.is_of_history(&history)? {
                    return Err(Error::new(
                        ErrorKind::Failed,
                        "history was replaced or grafted while this process ran",
                    )
                    .with_hint("start it again"));
                }
                batch.iter().try_for_each(|commit| indexer.index(tx, *commit))
            });
            if indexer.is_stale {
                return Ok(None);
            }
            written?;
        }
        Ok(Some(missing.len() as u64))
    }
}

/// What the catalog does not know of a history.
struct Missing {
    /// The commits to be indexed, parents before children.
    commits: Vec<CommitId>,
    /// Commits that the walk ended at, because neither they nor any ancestor ever had the folder.
    before: HashSet<CommitId>,
}

impl Missing {
    /// Looks behind the tips. History from before `onenb init` is left out unless there is something bound to it.
    fn find(view: &ReadTransaction, git: &GitRepo, tips: &[CommitId], outside: bool) -> Result<Self> {
        let is_known = |commit: &CommitId| view.snapshot_of(commit).is_ok_and(|known| known.is_some());
        let ends = RefCell::new(Vec::new());
        let stop = |commit: &CommitId| {
            is_known(commit)
                || (!outside && is_without_onenb(git, commit) && {
                    ends.borrow_mut().push(*commit);
                    true
                })
        };
        let found = git.walk_topological(tips, &stop)?;
        let ends = ends.take();
        // Who takes `.1nb` away and brings it back has history of ours behind a commit without it.
        if !ends.is_empty() && git.ever_had(&ends, FOLDER) {
            return Ok(Self { commits: git.walk_topological(tips, &is_known)?, before: HashSet::new() });
        }
        let before: HashSet<CommitId> = ends.iter().copied().collect();
        // A tip from before `.1nb` is its own, empty, root.
        let mut listed = HashSet::new();
        let roots = tips.iter().copied().filter(|tip| before.contains(tip) && listed.insert(*tip));
        Ok(Self { commits: roots.chain(found).collect(), before })
    }
}

/// The folder that everything tracked of ours lies in.
const FOLDER: &str = ".1nb";

/// Returns whether a commit's tree certainly has nothing of ours, as all of history before `onenb init`.
pub(super) fn is_without_onenb(git: &GitRepo, commit: &CommitId) -> bool {
    matches!(git.tree_id_at(*commit, FOLDER), Ok(None))
}

/// What a commit got, kept while its children are indexed.
#[derive(Clone)]
struct Known {
    snapshot: SnapshotNo,
    generation: u64,
}

struct Indexer<'a> {
    git: &'a GitRepo,
    /// Parents from before `.1nb`, which are not walked.
    before: &'a HashSet<CommitId>,
    recent: HashMap<CommitId, Known>,
    /// The snapshot without exports, once it was needed.
    empty: Option<SnapshotNo>,
    held_runs: &'a mut HeldRuns,
    /// Whether a parent that must be known is not.
    is_stale: bool,
}

impl Indexer<'_> {
    fn index(&mut self, tx: &WriteTransaction, commit: CommitId) -> Result<()> {
        let info = self.git.commit_info(commit)?;
        let parents = self.known_parents(tx, &info)?;
        let (base, mut changes) = self.inherit(tx, commit, &info, &parents)?;
        // One comparison of trees for records, receipts and runs.
        let files = changed_against_all(self.git, commit, &info)?;
        let mut own = self.tree_changes(&files, &info)?;
        let tree_keys: BTreeSet<ExportKey> = own.iter().map(|(key, _)| key.clone()).collect();
        let receipts = bound_by_receipts(self.git, commit, &info, &files, self.held_runs)?;
        own.extend(receipts.bound.into_iter().filter(|(key, _)| !tree_keys.contains(key)));
        let own_keys: BTreeSet<ExportKey> = own.iter().map(|(key, _)| key.clone()).collect();
        let late = Repo::late_changes(tx, commit)?;
        // The tree is the strongest word, unless somebody repaired history by hand afterwards.
        own.extend(
            late.into_iter()
                .filter(|(key, change)| change.forced || !own_keys.contains(key))
                .map(|(key, late)| (key, late.record)),
        );
        for (key, record) in own {
            changes.insert(key, record.map(|record| Bound { record, commit }));
        }
        let changes: Vec<_> = changes.into_iter().collect();
        let snapshot = tx.derive(base, &changes)?;
        let generation = 1 + parents.iter().map(|parent| parent.generation).max().unwrap_or(0);
        let row = CommitRow { id: commit, time_unix: info.time_unix, generation, parents: info.parents.clone() };
        tx.put_commit(&row, snapshot)?;
        let runs = self.runs_changed(&files)?;
        if !runs.is_empty() {
            tx.put_runs(&commit, &runs)?;
        }
        self.recent.insert(commit, Known { snapshot, generation });
        Ok(())
    }

    /// Returns what is known of each parent, in order. One from before `.1nb` has nothing.
    fn known_parents(&mut self, tx: &WriteTransaction, info: &CommitInfo) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for parent in &info.parents {
            if let Some(found) = self.recent.get(parent) {
                known.push(found.clone());
            } else if let (Some(row), Some(snapshot)) = (tx.commit(parent)?, tx.snapshot_of(parent)?) {
                known.push(Known { snapshot, generation: row.generation });
            } else if self.before.contains(parent) {
                known.push(Known { snapshot: self.empty(tx)?, generation: 0 });
            } else {
                self.is_stale = true;
                return Err(Error::new(ErrorKind::Failed, "a parent was forgotten"));
            }
        }
        Ok(known)
    }

    fn empty(&mut self, tx: &WriteTransaction) -> Result<SnapshotNo> {
        match self.empty {
            Some(empty) => Ok(empty),
            None => Ok(*self.empty.insert(tx.derive(None, &[])?)),
        }
    }

    /// Returns the first parent's snapshot and what the other parents change in it.
    fn inherit(
        &self,
        tx: &WriteTransaction,
        commit: CommitId,
        info: &CommitInfo,
        parents: &[Known],
    ) -> Result<(Option<SnapshotNo>, Changes)> {
        let mut changes = BTreeMap::new();
        let Some(first) = parents.first() else { return Ok((None, changes)) };
        if parents.iter().all(|parent| parent.snapshot == first.snapshot) {
            return Ok((Some(first.snapshot), changes));
        }
        let sides: Vec<Numbers> =
            parents.iter().map(|parent| tx.binding_numbers(parent.snapshot)).collect::<Result<_, _>>()?;
        let base = self.merge_base_numbers(tx, info)?;
        let keys: BTreeSet<&ExportKey> = sides.iter().flat_map(BTreeMap::keys).collect();
        let read = |number: Option<&BindingNo>| number.map(|number| tx.bound(*number)).transpose();
        for key in keys {
            let numbers: Vec<Option<&BindingNo>> = sides.iter().map(|side| side.get(key)).collect();
            // The sides of a merge have most in common, and only what differs is read.
            if numbers.iter().all(|number| Some(number) == numbers.first()) {
                continue;
            }
            let values: Vec<Option<Bound>> = numbers.into_iter().map(read).collect::<Result<_, _>>()?;
            let values: Vec<Option<&Bound>> = values.iter().map(Option::as_ref).collect();
            let before = read(base.get(key))?;
            let chosen = self.choose(commit, info, key, &values, before.as_ref())?;
            if chosen.map(|bound| &bound.record) != values.first().copied().flatten().map(|bound| &bound.record) {
                changes.insert(key.clone(), chosen.cloned());
            }
        }
        Ok((Some(first.snapshot), changes))
    }

    /// Decides one key of a merge: the common value, else what the merged tree says, else the side that changed it.
    fn choose<'b>(
        &self,
        commit: CommitId,
        info: &CommitInfo,
        key: &ExportKey,
        values: &[Option<&'b Bound>],
        base: Option<&Bound>,
    ) -> Result<Option<&'b Bound>> {
        let first = values.first().copied().flatten();
        let record = |bound: Option<&'b Bound>| bound.map(|bound| &bound.record);
        if values.iter().all(|value| record(*value) == record(first)) {
            return Ok(first);
        }
        let path = key.record_path();
        if let Some(bytes) = self.git.read_file_at(commit, &path, MAX_RECORD_LEN)? {
            let merged = ExportRecord::from_bytes(&bytes).ok();
            let same = values.iter().copied().flatten().find(|bound| Some(&bound.record) == merged.as_ref());
            if same.is_some() {
                return Ok(same);
            }
        } else {
            let was_tracked = info
                .parents
                .iter()
                .any(|parent| matches!(self.git.read_file_at(*parent, &path, MAX_RECORD_LEN), Ok(Some(_))));
            if was_tracked {
                return Ok(None);
            }
        }
        let changed: Vec<_> =
            values.iter().copied().filter(|value| record(*value) != base.map(|bound| &bound.record)).collect();
        Ok(changed.first().copied().unwrap_or(first))
    }

    fn merge_base_numbers(&self, tx: &WriteTransaction, info: &CommitInfo) -> Result<Numbers> {
        let (Some(first), Some(second)) = (info.parents.first(), info.parents.get(1)) else {
            return Ok(Numbers::new());
        };
        let Some(base) = self.git.merge_base(*first, *second)? else { return Ok(Numbers::new()) };
        let snapshot = match self.recent.get(&base) {
            Some(known) => Some(known.snapshot),
            None => tx.snapshot_of(&base)?,
        };
        Ok(snapshot.map(|snapshot| tx.binding_numbers(snapshot)).transpose()?.unwrap_or_default())
    }

    /// Returns the record files that the commit changed against every parent.
    fn tree_changes(&self, changed: &[ChangedFile], info: &CommitInfo) -> Result<Vec<Change>> {
        let mut found = Vec::new();
        for (path, blob) in changed.iter().filter(|(path, _)| is_below(path, EXPORTS_DIR)) {
            let Some(blob) = blob else {
                // The key of a deleted record is in its old content.
                if let Some(record) = self.old_record(info, path)? {
                    found.push((record.key(), None));
                }
                continue;
            };
            if let Ok(record) = read_record(self.git, *blob, path)? {
                found.push((record.key(), Some(record)));
            } else if let Some(record) = self.old_record(info, path)? {
                // Nobody knows what it says now, but surely not what it said before. The others still work.
                found.push((record.key(), None));
            }
        }
        Ok(found)
    }

    fn old_record(&self, info: &CommitInfo, path: &str) -> Result<Option<ExportRecord>> {
        for parent in &info.parents {
            if let Some(bytes) = self.git.read_file_at(*parent, path, MAX_RECORD_LEN)?
                && let Ok(record) = ExportRecord::from_bytes(&bytes)
                && record.key().record_path() == path
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn runs_changed(&self, changed: &[ChangedFile]) -> Result<Vec<RunRecord>> {
        let mut runs = Vec::new();
        for (path, blob) in changed {
            if let Some(blob) = blob.filter(|_| is_below(path, RUNS_DIR))
                && let Some(bytes) = what_is_there(self.git.read_blob(blob, MAX_RECORD_LEN))?
            {
                // A damaged record is no run.
                runs.extend(RunRecord::from_bytes(&bytes));
            }
        }
        Ok(runs)
    }
}

/// Reads the record file at `path`; the inner error says why it is none.
pub(super) fn read_record(git: &GitRepo, blob: CommitId, path: &str) -> Result<Result<ExportRecord>> {
    let bytes = match git.read_blob(blob, MAX_RECORD_LEN) {
        Err(error) if is_damage(&error) => return Ok(Err(error.into())),
        other => other?,
    };
    Ok(match ExportRecord::from_bytes(&bytes) {
        Ok(record) if record.key().record_path() == path => Ok(record),
        Ok(record) => {
            let message = format!("it is the record of {}, which belongs into another file", record.label());
            Err(Error::new(ErrorKind::Damaged, message))
        }
        Err(error) => Err(error.into()),
    })
}

/// Returns what was read; `None` where reading again would give no more. What Git could not fetch now is an error,
/// because the catalog keeps what it is told for ever.
pub(super) fn what_is_there(read: Result<Vec<u8>, GitError>) -> Result<Option<Vec<u8>>> {
    match read {
        Err(error) if is_damage(&error) => Ok(None),
        other => Ok(Some(other?)),
    }
}

fn is_damage(error: &GitError) -> bool {
    matches!(error, GitError::MissingObject { .. } | GitError::Damaged { .. } | GitError::TooLarge { .. })
}

/// A file that a commit has otherwise than every parent: its path, and its content unless it is gone.
pub(super) type ChangedFile = (String, Option<CommitId>);

pub(super) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the files that a commit has otherwise than every parent.
pub(super) fn changed_against_all(git: &GitRepo, commit: CommitId, info: &CommitInfo) -> Result<Vec<ChangedFile>> {
    let against = |parent: Option<CommitId>| -> Result<BTreeMap<String, Option<CommitId>>> {
        let changes = git.changes(parent, commit, &|_| true)?;
        Ok(changes.into_iter().map(|change| (change.path, change.new)).collect())
    };
    let mut changed = against(info.parents.first().copied())?;
    for parent in info.parents.iter().skip(1) {
        let others = against(Some(*parent))?;
        changed.retain(|path, _| others.contains_key(path));
    }
    Ok(changed.into_iter().collect())
}
