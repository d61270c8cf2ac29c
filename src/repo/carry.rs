//! Carrying late bindings to the commits that Git makes of older ones: amend, rebase, cherry-pick, revert, squash.
//!
//! - post-rewrite hears from Git which commit became which. For the others Git says so while it commits
//!   (`CHERRY_PICK_HEAD`,
//!   `REVERT_HEAD`, `SQUASH_MSG`), and has tidied up before post-commit where a person finished the work by
//!   `git commit`. So pre-commit leaves a note beside `HEAD`, which names the tree that is about to be committed, and
//!   post-commit believes it for a commit of that very tree.
//! - Where no hook ran before, the message that Git proposed may still name the commits.
//! - After `git reset` the files of what was reset may be committed again, as one commit.

use std::collections::HashSet;

use super::Repo;
use super::facts::now_us;
use crate::catalog::ParentBranch;
use crate::error::Result;
use crate::format::binding::{CommitBranch, LateBinding, Unbinding};
use crate::format::record::ExportKey;
use crate::fs;
use crate::git::{Change, GitRepo, Operation};
use crate::id::CommitId;
use crate::store::ObjectKind;

/// The note, beside the work tree's `HEAD`.
const NOTE: &str = "onenb-origins";
/// Most commits that one commit is made of, as far as we follow.
const MAX_ORIGINS: usize = 10_000;
/// First line of what `git merge --squash` proposes as message.
const SQUASHED: &str = "Squashed commit of the following:";

/// The commits that a new commit was made from, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
struct Origins {
    /// Those whose changes it makes again.
    picked: Vec<CommitId>,
    /// The one that it takes back.
    reverted: Option<CommitId>,
}

impl Origins {
    fn is_empty(&self) -> bool {
        self.picked.is_empty() && self.reverted.is_none()
    }
}

impl Repo {
    /// Notes what the commit that is about to be made is made from, for [`Repo::carry_origins`].
    pub(super) fn note_origins(&self) -> Result<()> {
        let git = self.git();
        let note = git.git_dir().join(NOTE);
        let mut origins = Origins { reverted: git.pseudo_ref("REVERT_HEAD")?, ..Origins::default() };
        if let Some(picked) = git.pseudo_ref("CHERRY_PICK_HEAD")? {
            origins.picked.push(picked);
        } else {
            let listed = squashed(&git.state_file("SQUASH_MSG")?.unwrap_or_default());
            if !listed.is_empty() {
                origins.picked = self.if_squashed(listed, git.head()?, &git.staged_changes(&|_| true)?)?;
            }
        }
        if origins.is_empty() {
            if note.exists() {
                fs::remove_file(&note)?;
            }
            return Ok(());
        }
        let mut lines = vec![format!("tree {}\n", git.index_tree()?)];
        lines.extend(origins.picked.iter().map(|picked| format!("pick {picked}\n")));
        lines.extend(origins.reverted.map(|reverted| format!("revert {reverted}\n")));
        Ok(fs::write_atomic(&note, lines.concat().as_bytes())?)
    }

    /// Gives a commit that was just made the late bindings of what it was made from.
    pub(super) fn carry_origins(&self, head: CommitId) -> Result<()> {
        let git = self.git();
        let mut origins = self.noted_origins(head)?;
        origins.picked.extend(git.pseudo_ref("CHERRY_PICK_HEAD")?.filter(|id| !origins.picked.contains(id)));
        origins.reverted = origins.reverted.or(git.pseudo_ref("REVERT_HEAD")?);
        // Git names a commit that is reverted without a conflict in the message alone.
        let is_rebase = git.operation_in_progress() == Some(Operation::Rebase);
        if origins.is_empty() && !is_rebase && self.has_late_bindings_at_all()? {
            origins = self.named_origins(head)?;
            if origins.is_empty() {
                origins.picked = self.made_again(head)?;
            }
        }
        if let Some(reverted) = origins.reverted.filter(|_| origins.picked.is_empty()) {
            self.take_back(reverted, head)?;
        }
        self.carry(&origins.picked.into_iter().map(|old| (old, head)).collect::<Vec<_>>(), false)
    }

    /// Returns the commits that were taken back by `git reset` and are now one: the files of the last of them are
    /// committed on what the first was made on.
    pub(super) fn made_again(&self, head: CommitId) -> Result<Vec<CommitId>> {
        let git = self.git();
        let info = git.commit_info(head)?;
        let [parent] = info.parents[..] else { return Ok(vec![]) };
        // What Git remembers there may be gone.
        let Ok(Some(lost)) = git.pseudo_ref("ORIG_HEAD") else { return Ok(vec![]) };
        let Ok(lost_info) = git.commit_info(lost) else { return Ok(vec![]) };
        // Where nothing changed, equal files say nothing.
        let is_same = lost_info.tree == info.tree && info.tree != git.commit_info(parent)?.tree;
        if lost == head || lost == parent || !is_same || !git.is_ancestor(parent, lost)? {
            return Ok(vec![]);
        }
        let is_below = |commit: &CommitId| git.is_ancestor(*commit, parent).unwrap_or(true);
        let mut lost = git.walk_topological(&[lost], &is_below)?;
        lost.truncate(MAX_ORIGINS);
        Ok(lost)
    }

    /// Returns what the message of the commit that was just made names, as far as Git did such a thing.
    fn named_origins(&self, head: CommitId) -> Result<Origins> {
        let git = self.git();
        let message = git.commit_message(head)?;
        // Anybody may write or quote the words that Git proposes.
        let is_replayed = git.last_action().is_none_or(|did| did.starts_with("revert") || did.contains("cherry-pick"));
        let mut origins = Origins::default();
        let listed = squashed(&message);
        if !listed.is_empty() {
            let parent = git.commit_info(head)?.parents.first().copied();
            origins.picked = self.if_squashed(listed, parent, &git.changes(parent, head, &|_| true)?)?;
        } else if is_replayed {
            origins.picked = picked(&message);
            // Git may be set to shorten the id.
            origins.reverted = reverted(&message).and_then(|id| git.resolve(id).ok()).map(|found| found.commit);
        }
        Ok(origins)
    }

    /// Returns the commits of a squash into `parent` if any file that they bring there is among these changes, else
    /// none: Git goes on listing them after a person put all files back. Where they bring no file there is nothing to
    /// tell by, and a file that both sides changed need not be as any commit made it.
    fn if_squashed(
        &self,
        listed: Vec<CommitId>,
        parent: Option<CommitId>,
        changes: &[Change],
    ) -> Result<Vec<CommitId>> {
        let git = self.git();
        let Some(parent) = parent else { return Ok(listed) };
        let has = |changes: &[Change], path: &str| changes.binary_search_by(|it| it.path.as_str().cmp(path)).is_ok();
        // They may be gone since, and then nothing of theirs is known.
        let known: Vec<_> = listed.iter().filter_map(|id| Some((*id, git.commit_info(*id).ok()?.parents))).collect();
        let inner: HashSet<&CommitId> = known.iter().flat_map(|(_, parents)| parents).collect();
        let mut brings_files = false;
        for (tip, _) in known.iter().filter(|(id, _)| !inner.contains(id)) {
            let Ok(base) = git.merge_base(parent, *tip) else { continue };
            let missing = git.changes(Some(parent), *tip, &|_| true)?;
            for made in git.changes(base, *tip, &|path| has(&missing, path))? {
                brings_files = true;
                if has(changes, &made.path) {
                    return Ok(listed);
                }
            }
        }
        Ok(if brings_files { vec![] } else { listed })
    }

    /// Reads the note if it is about this commit, and removes it in any case.
    fn noted_origins(&self, head: CommitId) -> Result<Origins> {
        let git = self.git();
        let Some(text) = git.state_file(NOTE)? else { return Ok(Origins::default()) };
        fs::remove_file(&git.git_dir().join(NOTE))?;
        let mut lines = text.lines();
        if lines.next() != Some(&format!("tree {}", git.commit_info(head)?.tree)) {
            return Ok(Origins::default());
        }
        let mut origins = Origins::default();
        for line in lines.take(MAX_ORIGINS) {
            match line.split_once(' ') {
                Some(("pick", id)) => origins.picked.extend(id.parse::<CommitId>()),
                Some(("revert", id)) => origins.reverted = id.parse().ok(),
                _ => {}
            }
        }
        Ok(origins)
    }

    fn has_late_bindings_at_all(&self) -> Result<bool> {
        self.facts(crate::catalog::ReadTransaction::has_late_bindings)
    }

    /// Gives new commits the late bindings of the old ones that they were made from; of two that became one, the later
    /// counts. A record that the new commit changes and the old one did not have is a later word. `keeps_own` keeps
    /// what a new commit was bound already.
    pub(super) fn carry(&self, rewritten: &[(CommitId, CommitId)], keeps_own: bool) -> Result<()> {
        let mut carried = Vec::new();
        let mut time_us = self.late_time_us()?;
        for (old, new) in rewritten {
            let own = if keeps_own { self.facts(|view| view.late_bindings_of(new))? } else { vec![] };
            for row in self.facts(|view| view.late_bindings_of(old))? {
                let is_own = own.iter().any(|own| own.key == row.key);
                if is_own || self.has_newer_record(*old, *new, &row.key)? {
                    continue;
                }
                time_us += 1;
                carried.push(match row.record {
                    Some(record) => {
                        let binding = LateBinding { commit: *new, record, explicit: row.explicit, time_us };
                        (ObjectKind::LATE_BINDING, binding.to_bytes())
                    }
                    None => unbinding(*new, row.key, time_us),
                });
            }
        }
        if carried.is_empty() { Ok(()) } else { self.remember(&carried) }
    }

    fn has_newer_record(&self, old: CommitId, new: CommitId, key: &ExportKey) -> Result<bool> {
        let path = key.record_path();
        let Some(now) = self.git().tree_id_at(new, &path)? else { return Ok(false) };
        let is_other = |commit: CommitId| self.git().tree_id_at(commit, &path).is_ok_and(|there| there != Some(now));
        // What the branch below changed is no word of this commit.
        Ok(is_other(old) && self.git().commit_info(new)?.parents.first().is_none_or(|parent| is_other(*parent)))
    }

    /// Says of commits that a rebase made which branch they belong to.
    pub(super) fn carry_branches(&self, rewritten: &[(CommitId, CommitId)]) -> Result<()> {
        let Some(branch) = self.git().head_branch()? else { return Ok(()) };
        let mut notes = Vec::new();
        for (old, new) in rewritten {
            if let Some(ParentBranch { branch: parent_branch, method: parent_method }) =
                self.facts(|view| view.parent_branch_of(old))?
            {
                let branch = branch.clone();
                let note = CommitBranch { commit: *new, branch, parent_branch, parent_method, time_us: now_us() };
                notes.push((ObjectKind::COMMIT_BRANCH, note.to_bytes()));
            }
        }
        if notes.is_empty() { Ok(()) } else { self.remember(&notes) }
    }

    /// Gives each key that a commit was bound late what it had before; keys that changed since stay as they are.
    fn take_back(&self, reverted: CommitId, head: CommitId) -> Result<()> {
        let rows = self.facts(|view| view.late_bindings_of(&reverted))?;
        let before = self.git().commit_info(reverted)?.parents.first().copied();
        let parent = self.git().commit_info(head)?.parents.first().copied();
        let mut restored = Vec::new();
        let mut time_us = self.late_time_us()?;
        for row in rows {
            let has = |commit: Option<CommitId>| match commit {
                Some(commit) => self.at_commit(commit, |view, snapshot| view.entry(snapshot, &row.key)),
                None => Ok(None),
            };
            if has(parent)?.map(|bound| bound.record) != row.record {
                continue;
            }
            time_us += 1;
            restored.push(match has(before)? {
                Some(old) => {
                    let binding = LateBinding { commit: head, record: old.record, explicit: row.explicit, time_us };
                    (ObjectKind::LATE_BINDING, binding.to_bytes())
                }
                None => unbinding(head, row.key.clone(), time_us),
            });
        }
        if restored.is_empty() { Ok(()) } else { self.remember(&restored) }
    }
}

fn unbinding(commit: CommitId, key: ExportKey, time_us: i64) -> (ObjectKind, Vec<u8>) {
    let ExportKey { name, params_hash } = key;
    (ObjectKind::UNBINDING, Unbinding { commit, name, params_hash, time_us }.to_bytes())
}

/// Returns whether Git says of the commit that is being made, or was just made, that it is made from others.
pub(super) fn is_made_from_others(git: &GitRepo) -> bool {
    [NOTE, "CHERRY_PICK_HEAD", "REVERT_HEAD"].into_iter().any(|name| git.git_dir().join(name).exists())
}

/// Returns whether a message says that its commit was made from others.
pub(super) fn names_others(message: &str) -> bool {
    !squashed(message).is_empty() || !picked(message).is_empty() || reverted(message).is_some()
}

/// Returns the commits that the message of a squash lists, oldest first.
fn squashed(message: &str) -> Vec<CommitId> {
    if !message.lines().any(|line| line == SQUASHED) {
        return Vec::new();
    }
    let listed = message.lines().filter_map(|line| line.strip_prefix("commit ")?.parse().ok());
    let mut ids: Vec<CommitId> = listed.take(MAX_ORIGINS).collect();
    ids.reverse();
    ids
}

/// Returns the commits that a message says were picked, in the words that Git proposes.
fn picked(message: &str) -> Vec<CommitId> {
    let lines = message.lines().map(str::trim);
    let ids =
        lines.filter_map(|line| line.strip_prefix("(cherry picked from commit ")?.strip_suffix(')')?.parse().ok());
    ids.take(MAX_ORIGINS).collect()
}

/// Returns the id, perhaps short, of the commit that a message says was reverted, in the words that Git proposes.
fn reverted(message: &str) -> Option<&str> {
    let said = message.lines().find_map(|line| line.strip_prefix("This reverts commit "))?;
    let id = said.split([' ', ',', '.']).next()?;
    (id.len() >= 4 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> CommitId {
        digit.to_string().repeat(40).parse().expect("an id")
    }

    #[test]
    fn a_squash_names_its_commits_oldest_first() {
        let text = format!("{SQUASHED}\n\ncommit {}\nAuthor: A\n\n    two\n\ncommit {}\nAuthor: A\n", id('2'), id('1'));
        assert_eq!(squashed(&text), [id('1'), id('2')]);
        assert_eq!(squashed(&format!("commit {}\n", id('1'))), []);
    }

    #[test]
    fn a_picked_commit_is_named_at_the_end_of_the_message() {
        let text = format!("fix\n\n(cherry picked from commit {})\n", id('a'));
        assert_eq!((picked(&text), reverted(&text)), (vec![id('a')], None));
        assert!(!names_others("fix\n\n(cherry picked from commit nowhere)\nThis reverts commit nothing.\n"));
        let text = format!("Revert \"x\"\n\nThis reverts commit {}, reversing\n", id('b'));
        assert_eq!(reverted(&text), Some(id('b').to_string().as_str()));
        assert_eq!(reverted("x\n\nThis reverts commit 0a1b2c3 (x, 2026-01-02).\n"), Some("0a1b2c3"));
    }
}
