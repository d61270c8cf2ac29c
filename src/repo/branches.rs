//! Which branch a branch came from: said by the user, captured when it was created, or found out afterwards.
//!
//! The answer for a run is stored when its commit is made, with the method, because reflogs end and branches go. For
//! commits that no hook saw it is found out when asked.

use super::Repo;
use super::facts::now_us;
use crate::catalog::ParentBranch;
use crate::error::Result;
use crate::format::binding::{BranchStart, CommitBranch};
use crate::id::CommitId;
use crate::store::ObjectKind;

impl Repo {
    /// Returns the branch that a branch came from and how that is known; `None` for one that came from no other.
    ///
    /// # Errors
    /// What reading the store can meet.
    pub fn parent_branch(&self, branch: &str) -> Result<Option<ParentBranch>> {
        let git = self.git();
        let found = |name: Option<String>, method: &str| {
            name.filter(|name| name != branch).map(|branch| ParentBranch { branch, method: method.to_owned() })
        };
        if let Some(set) = found(git.config_string(&format!("branch.{branch}.onenbParent")), "config") {
            return Ok(Some(set));
        }
        // The name may have been used before, by a branch that began elsewhere.
        let birth = git.branch_birth(branch);
        let is_this = |start: &BranchStart| birth.as_ref().is_none_or(|birth| birth.commit == start.commit);
        let captured = self.facts(|view| view.branch_starts_of(branch))?.into_iter().find(is_this);
        let captured = captured.and_then(|start| start.parent_branch);
        if let Some(captured) = found(captured, "captured") {
            return Ok(Some(captured));
        }
        let default = git.default_branch();
        if default.as_deref() == Some(branch) {
            return Ok(None);
        }
        Ok(found(self.born_from(branch), "reflog")
            .or_else(|| found(git.upstream_branch(branch), "upstream"))
            .or_else(|| found(git.base_branch(branch), "is-base"))
            .or_else(|| found(default, "default")))
    }

    fn born_from(&self, branch: &str) -> Option<String> {
        let git = self.git();
        let birth = git.branch_birth(branch)?;
        if birth.from == "HEAD" { git.checked_out_before(branch, &birth) } else { git.branch_named(&birth.from) }
    }

    /// Writes down where the branch that was just checked out started, if it is new.
    pub(super) fn capture_branch(&self, arguments: &[String]) -> Result<()> {
        // Git says 1 for branches and 0 for files.
        if arguments.get(2).is_none_or(|flag| flag != "1") {
            return Ok(());
        }
        let git = self.git();
        let Some(branch) = git.head_branch()? else { return Ok(()) };
        let Some(birth) = git.branch_birth(&branch).filter(|birth| birth.is_new) else { return Ok(()) };
        let known = self.facts(|view| view.branch_starts_of(&branch))?;
        let parent_branch = self.born_from(&branch);
        // A branch that went and came again at the same commit is another one. What was written down after its reflog
        // was is of this one, also where somebody has been elsewhere since.
        if known.first().is_some_and(|start| {
            start.commit == birth.commit && (start.parent_branch == parent_branch || start.time_us >= birth.written_us)
        }) {
            return Ok(());
        }
        let start = BranchStart { branch, commit: birth.commit, parent_branch, time_us: now_us() };
        self.remember(&[(ObjectKind::BRANCH_START, start.to_bytes())])
    }

    /// Writes down which branch the branch of a commit that bound something came from.
    pub(super) fn note_parent_branch(&self, commit: CommitId) -> Result<()> {
        let Some(branch) = self.git().head_branch()? else { return Ok(()) };
        let Some(ParentBranch { branch: parent_branch, method: parent_method }) = self.parent_branch(&branch)? else {
            return Ok(());
        };
        let note = CommitBranch { commit, branch, parent_branch, parent_method, time_us: now_us() };
        self.remember(&[(ObjectKind::COMMIT_BRANCH, note.to_bytes())])
    }
}
