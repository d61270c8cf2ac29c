//! What hooks ask first: whether there can be anything to do for them, answered without the store and the catalog.
//!
//! After a commit, post-commit leaves a note beside `HEAD` that says what it found: whether exports are pending,
//! whether anything was ever bound late, and which files made exports here. The note holds while no metadata object
//! came in since, in any process, which the packs show from outside. Lost, damaged or outdated, it costs a look into
//! the catalog.

use std::collections::BTreeSet;

use super::Repo;
use super::carry::{is_made_from_others, names_others};
use super::receipts::is_notebook_path;
use super::snapshot::is_below;
use crate::error::{Error, Result};
use crate::format::record::EXPORTS_DIR;
use crate::format::run::RUNS_DIR;
use crate::fs;
use crate::id::CommitId;
use crate::store::ObjectsStamp;

/// The note, beside the work tree's `HEAD`.
const NOTE: &str = "onenb-quiet";
/// First line of the note.
const VERSION: &str = "onenb quiet 1";
/// Most commits that a tip is compared with.
const MAX_COMPARED: usize = 4;
/// Most files that the note lists; with more there is none.
const MAX_PRODUCERS: usize = 1000;

/// What a note says that still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quiet {
    has_pending: bool,
    has_late: bool,
    /// The files of this work tree that ever made an export here.
    producers: BTreeSet<String>,
}

impl Quiet {
    /// Returns whether pre-commit has nothing to look for in files that are staged.
    pub(super) fn knows_none_of(&self, paths: &[String]) -> bool {
        paths.iter().all(|path| !is_notebook_path(path) && !self.producers.contains(path))
    }

    fn to_text(&self, stamp: &ObjectsStamp) -> String {
        let word = |yes: bool| if yes { "yes" } else { "no" };
        let mut text = format!(
            "{VERSION}\nobjects {}\npending {}\nlate {}\n",
            stamp.digest(),
            word(self.has_pending),
            word(self.has_late)
        );
        for producer in &self.producers {
            text.push_str("file ");
            text.push_str(producer);
            text.push('\n');
        }
        text.push_str("end\n");
        text
    }

    /// Reads a note that was written for this very stamp.
    fn from_text(text: &str, stamp: &ObjectsStamp) -> Option<Self> {
        let mut lines = text.strip_suffix("\nend\n")?.lines();
        let digest = stamp.digest().to_string();
        if lines.next() != Some(VERSION) || lines.next()?.strip_prefix("objects ") != Some(digest.as_str()) {
            return None;
        }
        let mut flag = |name: &str| match lines.next()?.strip_prefix(name)? {
            " yes" => Some(true),
            " no" => Some(false),
            _ => None,
        };
        let (has_pending, has_late) = (flag("pending")?, flag("late")?);
        let producers: Option<_> = lines.map(|line| line.strip_prefix("file ").map(str::to_owned)).collect();
        Some(Self { has_pending, has_late, producers: producers? })
    }
}

impl Repo {
    /// Returns what the note says, if it still holds.
    pub(super) fn quiet(&self) -> Option<Quiet> {
        let text = self.git().state_file(NOTE).ok().flatten()?;
        Quiet::from_text(&text, &ObjectsStamp::take(self.store_dir()).ok()?)
    }

    /// Returns whether post-commit has nothing to do for a commit that was just made: it is made from no other commits,
    /// nothing is pending, and it changed no record, run or notebook.
    pub(super) fn is_quiet_commit(&self, head: CommitId) -> Result<bool> {
        let Some(quiet) = self.quiet().filter(|quiet| !quiet.has_pending) else { return Ok(false) };
        let git = self.git();
        let has_origins =
            || Ok::<_, Error>(names_others(&git.commit_message(head)?) || !self.made_again(head)?.is_empty());
        if is_made_from_others(git) || (quiet.has_late && has_origins()?) {
            return Ok(false);
        }
        let info = git.commit_info(head)?;
        self.differ_in_nothing_of_ours(info.parents.first().copied(), head)
    }

    /// Returns whether a branch has nothing that one of some older commits does not have: their trees tell all, because
    /// nothing was ever bound late.
    pub(super) fn is_quiet_since(&self, tip: CommitId, older: &[CommitId]) -> bool {
        if self.quiet().is_none_or(|quiet| quiet.has_late) {
            return false;
        }
        // What the remote has need not be here.
        let is_alike = |commit: &CommitId| self.differ_in_nothing_of_ours(Some(*commit), tip).unwrap_or(false);
        older.iter().take(MAX_COMPARED).any(is_alike)
    }

    fn differ_in_nothing_of_ours(&self, from: Option<CommitId>, to: CommitId) -> Result<bool> {
        let is_ours = |path: &str| is_below(path, EXPORTS_DIR) || is_below(path, RUNS_DIR) || is_notebook_path(path);
        Ok(self.git().changes(from, to, &is_ours)?.is_empty())
    }

    /// Leaves the note for the next hook. It only saves time, so what keeps it from being written is no error.
    pub(super) fn note_quiet(&self) {
        let _ = self.try_note_quiet();
    }

    fn try_note_quiet(&self) -> Result<()> {
        // First the stamp, then what the catalog has heard of: at least everything that the stamp covers.
        let stamp = ObjectsStamp::take(self.store_dir())?;
        let worktree = self.git().worktree_id();
        let quiet = self.facts(|view| {
            Ok(Quiet {
                has_pending: !view.pending_of(&worktree)?.is_empty(),
                has_late: view.has_late_bindings()?,
                producers: view.producers_of(&worktree)?,
            })
        })?;
        let is_line = |path: &String| !path.contains(['\n', '\r']);
        if quiet.producers.len() > MAX_PRODUCERS || !quiet.producers.iter().all(is_line) {
            return Ok(());
        }
        let text = quiet.to_text(&stamp);
        if self.git().state_file(NOTE)?.as_deref() != Some(&text) {
            fs::write_hint(&self.git().git_dir().join(NOTE), text.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> ObjectsStamp {
        ObjectsStamp::take(std::path::Path::new("/nowhere")).expect("a missing store looks empty")
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_less() {
        let producers = BTreeSet::from(["end".to_owned(), "make it.py".to_owned()]);
        let quiet = Quiet { has_pending: false, has_late: true, producers };
        let text = quiet.to_text(&stamp());
        assert_eq!(Quiet::from_text(&text, &stamp()), Some(quiet.clone()));
        for len in 0..text.len() {
            assert_eq!(Quiet::from_text(&text[..len], &stamp()), None, "cut at {len}");
        }
        let digest = stamp().digest().to_string();
        let other = text.replace(&digest, &"0".repeat(digest.len()));
        assert_eq!(Quiet::from_text(&other, &stamp()), None);
    }

    #[test]
    fn notebooks_and_files_that_exported_are_looked_at() {
        let quiet = Quiet { has_pending: false, has_late: false, producers: BTreeSet::from(["make.py".to_owned()]) };
        let knows_none_of = |path: &str| quiet.knows_none_of(&["README".to_owned(), path.to_owned()]);
        assert!(knows_none_of("other.py"));
        assert!(!knows_none_of("make.py") && !knows_none_of("new.ipynb"));
    }
}
