//! Walks over history: parents before children, iterative, bounded by shallow boundaries and by the caller.

use std::collections::HashSet;

use super::grafts::Grafts;
use super::handles::Handle;
use super::objects::{from_gix, read_object, to_gix};
use super::{GitError, GitRepo};
use crate::id::CommitId;

/// Longest first-parent chain that is followed; a damaged commit-graph file could close a circle.
const MAX_FIRST_PARENTS: u32 = 20_000_000;

/// Longest commit object that is read while walking, in bytes.
const MAX_COMMIT_LEN: u64 = 16 << 20;

/// The commits behind which a shallow clone has no history.
pub(super) struct Boundary(Option<gix::shallow::Commits>);

impl Boundary {
    pub(super) fn read(repo: &gix::Repository) -> Result<Self, GitError> {
        repo.shallow_commits().map(Self).map_err(GitError::damaged("the shallow boundary"))
    }

    pub(super) fn contains(&self, commit: &CommitId) -> bool {
        self.0.as_ref().is_some_and(|commits| commits.iter().any(|id| id.as_bytes() == commit.as_slice()))
    }
}

/// Who is whose parent, from the commit-graph file where Git keeps one, else from the commits.
struct Ancestry<'a> {
    repo: Handle<'a>,
    grafts: &'a Grafts,
    boundary: Boundary,
    graph: Option<gix::commitgraph::Graph>,
}

impl<'a> Ancestry<'a> {
    fn new(repo: Handle<'a>, grafts: &'a Grafts) -> Result<Self, GitError> {
        let boundary = Boundary::read(&repo)?;
        // As in Git: what the file says of a shallow clone may predate the cut. A damaged file is no reason to fail.
        let graph = match boundary.0 {
            Some(_) => None,
            None if !grafts.is_empty() => None,
            None => repo.commit_graph_if_enabled().ok().flatten(),
        };
        Ok(Self { repo, grafts, boundary, graph })
    }

    fn parents(&self, commit: &CommitId) -> Result<Vec<CommitId>, GitError> {
        if self.boundary.contains(commit) {
            return Ok(Vec::new());
        }
        if let Some(grafted) = self.grafts.parents(commit) {
            return Ok(grafted.to_vec());
        }
        let id = to_gix(&self.repo, commit)?;
        if let Some(graph) = &self.graph
            && let Some(known) = graph.commit_by_id(id)
        {
            let parents: Result<Vec<CommitId>, _> =
                known.iter_parents().map(|position| position.map(|position| from_gix(graph.id_at(position)))).collect();
            return parents.map_err(GitError::damaged("the commit-graph file"));
        }
        self.parents_in_object(commit)
    }

    fn parents_in_object(&self, commit: &CommitId) -> Result<Vec<CommitId>, GitError> {
        let data = read_object(&self.repo, commit, gix::object::Kind::Commit, MAX_COMMIT_LEN)?;
        let decoded = gix::objs::CommitRefIter::from_bytes(&data, self.repo.object_hash());
        Ok(decoded.parent_ids().map(|id| from_gix(&id)).collect())
    }
}

impl GitRepo {
    /// Returns every commit reachable from `tips`, parents before children. A commit for which `stop` says true is
    /// left out, and so is what is reachable only through it.
    ///
    /// # Errors
    /// [`GitError::MissingObject`], [`GitError::NotACommit`] or [`GitError::Damaged`].
    pub fn walk_topological(
        &self,
        tips: &[CommitId],
        stop: &dyn Fn(&CommitId) -> bool,
    ) -> Result<Vec<CommitId>, GitError> {
        enum Step {
            Enter(CommitId),
            Leave(CommitId),
        }
        let ancestry = Ancestry::new(self.local(), &self.grafts)?;
        let mut seen = HashSet::new();
        let mut ordered = Vec::new();
        let mut steps: Vec<Step> = tips.iter().rev().map(|tip| Step::Enter(*tip)).collect();
        while let Some(step) = steps.pop() {
            match step {
                Step::Leave(commit) => ordered.push(commit),
                Step::Enter(commit) => {
                    if !seen.insert(commit) || stop(&commit) {
                        continue;
                    }
                    steps.push(Step::Leave(commit));
                    let parents = ancestry.parents(&commit)?;
                    steps.extend(parents.into_iter().rev().map(Step::Enter));
                }
            }
        }
        Ok(ordered)
    }

    /// Returns whether a path was ever in the tree of one of these commits or of an ancestor, as far as their trees are
    /// here. Git itself looks, because it is the fastest at that, and faster still with a commit-graph file.
    pub fn ever_had(&self, commits: &[CommitId], path: &str) -> bool {
        let mut command = self.command();
        // A clone without trees must not fetch them one by one.
        command.env("GIT_NO_LAZY_FETCH", "1");
        // On standard input, where there is room for any number.
        command.args(["rev-list", "--max-count=1", "--full-history", "--stdin", "--", path]);
        let tips: Vec<String> = commits.iter().map(CommitId::to_string).collect();
        Self::feed(command, "rev-list", (tips.join("\n") + "\n").as_bytes()).is_ok_and(|printed| !printed.is_empty())
    }

    /// Returns the first commit of HEAD's first-parent history, which clones share; `None` without a commit, or where
    /// a shallow clone does not reach it.
    ///
    /// # Errors
    /// [`GitError::MissingObject`] or [`GitError::Damaged`].
    pub fn root_commit(&self) -> Result<Option<CommitId>, GitError> {
        self.head()?.map_or(Ok(None), |head| self.root_of(head))
    }

    /// As [`GitRepo::root_commit`], of any commit's first-parent history.
    ///
    /// # Errors
    /// [`GitError::MissingObject`] or [`GitError::Damaged`].
    pub fn root_of(&self, mut commit: CommitId) -> Result<Option<CommitId>, GitError> {
        let ancestry = Ancestry::new(self.local(), &self.grafts)?;
        for _ in 0..MAX_FIRST_PARENTS {
            if ancestry.boundary.contains(&commit) {
                return Ok(None);
            }
            match ancestry.parents(&commit)?.first() {
                Some(parent) => commit = *parent,
                None => return Ok(Some(commit)),
            }
        }
        Ok(None)
    }

    /// Returns where the history of the branches and of `HEAD` begins: commits without parents. Walks all of it, in
    /// Git.
    ///
    /// # Errors
    /// [`GitError::Program`] or [`GitError::Spawn`].
    pub fn beginnings(&self) -> Result<Vec<CommitId>, GitError> {
        if self.head()?.is_none() {
            return Ok(vec![]);
        }
        let printed = self.run(&["rev-list", "--max-parents=0", "--branches", "HEAD"], &[])?;
        Ok(String::from_utf8_lossy(&printed).lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Returns which objects Git shows in the place of others (`git replace`), sorted, as of when the repository was
    /// opened.
    pub fn replacements(&self) -> Vec<(CommitId, CommitId)> {
        self.local().objects.store_ref().replacements().map(|(old, new)| (from_gix(&old), from_gix(&new))).collect()
    }

    /// Returns the best common ancestor of two commits; `None` if they share no history here.
    ///
    /// # Errors
    /// [`GitError::MissingObject`] or [`GitError::Damaged`].
    pub fn merge_base(&self, one: CommitId, two: CommitId) -> Result<Option<CommitId>, GitError> {
        let repo = self.local();
        let (left, right) = (to_gix(&repo, &one)?, to_gix(&repo, &two)?);
        for (id, commit) in [(left, one), (right, two)] {
            if !repo.has_object(id) {
                return Err(GitError::MissingObject { id: commit });
            }
        }
        if !self.grafts.is_empty() {
            return Ok(self.merge_base_by_git(one, two));
        }
        let base = repo.merge_base(left, right).map_err(GitError::damaged("history"))?;
        Ok(base.map(|id| from_gix(&id)))
    }

    /// As [`Self::merge_base`], where `gix` does not see the parents that Git sees.
    fn merge_base_by_git(&self, one: CommitId, two: CommitId) -> Option<CommitId> {
        let printed = self.run(&["merge-base", &one.to_string(), &two.to_string()], b"").ok()?;
        String::from_utf8_lossy(&printed).lines().next()?.trim().parse().ok()
    }

    /// Returns whether `ancestor` is `descendant` or reachable from it.
    ///
    /// # Errors
    /// As [`Self::merge_base`].
    pub fn is_ancestor(&self, ancestor: CommitId, descendant: CommitId) -> Result<bool, GitError> {
        Ok(ancestor == descendant || self.merge_base(ancestor, descendant)? == Some(ancestor))
    }
}

#[cfg(test)]
mod tests;
