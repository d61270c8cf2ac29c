//! Branches: where one began, which one it came from, and what a file was called before.

use std::time::UNIX_EPOCH;

use super::{GitError, GitRepo};
use crate::id::CommitId;

/// Longest reflog that is read, in bytes.
const MAX_REFLOG_LEN: u64 = 16 << 20;

/// The first entry of a branch's reflog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchBirth {
    /// The commit that it was created at.
    pub commit: CommitId,
    /// What it was created from, in the user's words: `HEAD`, `main`, `refs/remotes/origin/main`, an id.
    pub from: String,
    /// When, in seconds since 1970 as Git wrote it.
    pub time_s: i64,
    /// Whether nothing happened to the branch since.
    pub is_new: bool,
    /// When its reflog was written last, in microseconds since 1970: never before the birth.
    pub written_us: i64,
}

impl GitRepo {
    /// Returns how a branch began, where its reflog still tells.
    pub fn branch_birth(&self, branch: &str) -> Option<BranchBirth> {
        let path = self.common_dir().join("logs/refs/heads").join(branch);
        let text = String::from_utf8_lossy(&crate::fs::read_bounded(&path, MAX_REFLOG_LEN).ok()?).into_owned();
        let mut lines = text.lines();
        let (header, message) = lines.next()?.split_once('\t')?;
        let from = message.strip_prefix("branch: Created from ")?.to_owned();
        let (commit, time_s) = entry(header)?;
        let written = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok()?;
        let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written_us = i64::try_from(written.as_micros()).unwrap_or(i64::MAX);
        Some(BranchBirth { commit, from, time_s, is_new: lines.next().is_none(), written_us })
    }

    /// Returns the branch that was checked out in this work tree when `branch` was born, where HEAD's reflog still
    /// tells.
    ///
    /// A name may be used again: of several moves to it those count that led to the commit of its birth, first those of
    /// the very second of the birth, and of these the last.
    pub fn checked_out_before(&self, branch: &str, birth: &BranchBirth) -> Option<String> {
        let bytes = crate::fs::read_bounded(&self.git_dir().join("logs/HEAD"), MAX_REFLOG_LEN).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let moves = text.lines().filter_map(|line| {
            let (header, message) = line.split_once('\t')?;
            let from = message.strip_prefix("checkout: moving from ")?.strip_suffix(branch)?.strip_suffix(" to ")?;
            let (commit, time_s) = entry(header)?;
            (commit == birth.commit && time_s >= birth.time_s).then_some((time_s, from))
        });
        let (_, from) = moves.reduce(|best, other| if other.0 <= best.0 { other } else { best })?;
        self.is_branch(from).then(|| from.to_owned())
    }

    /// Returns the local branch that a name for a revision means: itself, or the branch of that name on a remote.
    pub fn branch_named(&self, name: &str) -> Option<String> {
        let name = name.strip_prefix("refs/heads/").unwrap_or(name);
        if self.is_branch(name) {
            return Some(name.to_owned());
        }
        let tracking = name.strip_prefix("refs/remotes/").or(name.strip_prefix("remotes/")).unwrap_or(name);
        let (remote, branch) = tracking.split_once('/')?;
        self.remote_url(remote).map(|_| branch.to_owned())
    }

    /// Returns the branch that `branch` tracks, if that has another name.
    pub fn upstream_branch(&self, branch: &str) -> Option<String> {
        let merge = self.config_string(&format!("branch.{branch}.merge"))?;
        let name = merge.strip_prefix("refs/heads/")?;
        (name != branch).then(|| name.to_owned())
    }

    /// Returns the branch that Git itself takes for the base of another; `None` where this Git has no such rule.
    pub fn base_branch(&self, branch: &str) -> Option<String> {
        let format = format!("--format=%(refname:short)%09%(is-base:refs/heads/{branch})");
        let exclude = format!("--exclude=refs/heads/{branch}");
        let printed = self.run(&["for-each-ref", &format, &exclude, "refs/heads/"], b"").ok()?;
        let text = String::from_utf8_lossy(&printed).into_owned();
        text.lines().find_map(|line| {
            let (name, mark) = line.split_once('\t')?;
            (!mark.is_empty()).then(|| name.to_owned())
        })
    }

    /// Returns the branch that a clone starts on, else `main` or `master`, whichever is there.
    pub fn default_branch(&self) -> Option<String> {
        let repo = self.local();
        let head = repo.try_find_reference("refs/remotes/origin/HEAD").ok().flatten();
        let target = head.and_then(|head| head.target().try_name().map(|name| name.as_bstr().to_string()));
        let there = target.and_then(|name| name.strip_prefix("refs/remotes/origin/").map(str::to_owned));
        there.or_else(|| ["main", "master"].into_iter().find(|name| self.is_branch(name)).map(str::to_owned))
    }

    fn is_branch(&self, name: &str) -> bool {
        matches!(super::revisions::find_reference(&self.local(), &format!("refs/heads/{name}")), Ok(Some(_)))
    }

    /// Returns the names that a file had in HEAD's history, newest first, its own included; Git detects the renames.
    ///
    /// # Errors
    /// [`GitError::Program`] or [`GitError::Spawn`].
    pub fn names_of(&self, path: &str) -> Result<Vec<String>, GitError> {
        let args = ["log", "--follow", "--diff-filter=R", "--find-renames", "--name-status", "--format=", "-z", "HEAD"];
        let printed = self.run(&[&args[..], &["--", path]].concat(), b"")?;
        let text = String::from_utf8_lossy(&printed).into_owned();
        let mut fields = text.split(['\0', '\n']).filter(|field| !field.is_empty());
        let mut names = vec![path.to_owned()];
        while let Some(status) = fields.next() {
            if let (true, Some(old), Some(_)) = (status.starts_with('R'), fields.next(), fields.next()) {
                names.push(old.to_owned());
            }
        }
        names.dedup();
        Ok(names)
    }
}

/// Reads of a reflog's line, up to the tab, which commit the reference got and when: `OLD NEW NAME <MAIL> TIME ZONE`.
fn entry(header: &str) -> Option<(CommitId, i64)> {
    Some((header.split(' ').nth(1)?.parse().ok()?, header.rsplit(' ').nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests;
