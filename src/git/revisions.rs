//! Revisions: what tags, branches and expressions name, and what comes near a name that is unknown.

use gix::bstr::ByteSlice as _;
use gix::revision::spec::parse::{ObjectKindHint, Options};

use super::objects::{from_gix, kind_name};
use super::{GitError, GitRepo, nearest};
use crate::id::CommitId;

/// Longest revision that is looked at, in bytes.
const MAX_REV_LEN: usize = 1024;

/// How many references a hint looks through.
const MAX_HINT_NAMES: usize = 20_000;

/// A commit, and what it was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The commit.
    pub commit: CommitId,
    /// What named it.
    pub kind: RevisionKind,
}

/// What a revision names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevisionKind {
    /// A tag, by its name below `refs/tags/`.
    Tag {
        /// The name.
        name: String,
    },
    /// A local branch, by its name below `refs/heads/`.
    Branch {
        /// The name.
        name: String,
    },
    /// Anything else: an object id, `HEAD`, `main~1`, a remote branch.
    Commit,
}

impl GitRepo {
    /// Finds the commit that `rev` names, in the grammar of `git rev-parse`; annotated tags are followed.
    ///
    /// A tag beats a branch beats an abbreviated commit; `refs/heads/x` forces; `@` is `HEAD`.
    ///
    /// # Errors
    /// [`GitError::UnknownRevision`], [`GitError::NotACommit`], [`GitError::Unborn`] or [`GitError::Damaged`].
    pub fn resolve(&self, rev: &str) -> Result<Revision, GitError> {
        let repo = self.local();
        if rev.is_empty() || rev.len() > MAX_REV_LEN || rev.starts_with('-') || rev.chars().any(char::is_control) {
            return Err(unknown(rev, Vec::new()));
        }
        if rev == "HEAD" || rev == "@" {
            let commit = self.head()?.ok_or_else(|| self.unborn())?;
            return Ok(Revision { commit, kind: RevisionKind::Commit });
        }
        if rev.len() == repo.object_hash().len_in_hex()
            && let Ok(id) = gix::ObjectId::from_hex(rev.as_bytes())
        {
            if !repo.has_object(id) {
                return Err(unknown(rev, Vec::new()));
            }
            let commit = peel(&repo, id)?.map_err(|found| GitError::NotACommit { rev: shorten(rev), found })?;
            return Ok(Revision { commit, kind: RevisionKind::Commit });
        }
        if let Some(found) = find_named(&repo, rev)? {
            return Ok(found);
        }
        // Git alone walks along grafts.
        if !self.grafts.is_empty()
            && rev.contains(['^', '~'])
            && let Some(id) = self.rev_parse(rev)
        {
            let commit = peel(&repo, id)?.map_err(|found| GitError::NotACommit { rev: shorten(rev), found })?;
            return Ok(Revision { commit, kind: RevisionKind::Commit });
        }
        let options = Options { object_kind_hint: Some(ObjectKindHint::Committish), ..Options::default() };
        let parsed = gix::revision::Spec::from_bstr(rev.as_bytes().as_bstr(), &repo, options);
        let id = match parsed {
            Ok(spec) => match spec.single() {
                Some(id) => Some(id.detach()),
                None => return Err(GitError::NotACommit { rev: shorten(rev), found: "range" }),
            },
            // What `gix` does not know of the grammar, Git answers; plain names need no second opinion. Abbreviated ids
            // do: `gix` misses loose objects of sha256 repositories.
            Err(_) if rev.contains(['@', '^', '~', ':']) || is_abbreviation(rev) => self.rev_parse(rev),
            Err(_) => None,
        };
        let Some(id) = id else {
            let starts_at_head = rev.starts_with("HEAD") || rev.starts_with("@~") || rev.starts_with("@^");
            if starts_at_head && self.head()?.is_none() {
                return Err(self.unborn());
            }
            return Err(unknown(rev, self.names_like(rev)));
        };
        let commit = peel(&repo, id)?.map_err(|found| GitError::NotACommit { rev: shorten(rev), found })?;
        Ok(Revision { commit, kind: RevisionKind::Commit })
    }

    /// Returns the commit that is checked out; `None` while the branch has none.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn head(&self) -> Result<Option<CommitId>, GitError> {
        let repo = self.local();
        let mut head = repo.head().map_err(GitError::damaged("HEAD"))?;
        let id = head.try_peel_to_id().map_err(GitError::damaged("HEAD"))?.map(gix::Id::detach);
        Ok(id.map(|id| from_gix(&id)))
    }

    /// Returns the short name of the branch that is checked out, born or not; `None` if HEAD is detached.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn head_branch(&self) -> Result<Option<String>, GitError> {
        let name = self.local().head_name().map_err(GitError::damaged("HEAD"))?;
        Ok(name.and_then(|name| name.shorten().to_str().ok().map(str::to_owned)))
    }

    /// Returns every tag that leads to a commit, with that commit, sorted by name. Costs a look at each tag.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if the references cannot be listed; a single broken tag is skipped.
    pub fn tags(&self) -> Result<Vec<(String, CommitId)>, GitError> {
        self.references("refs/tags/")
    }

    /// Returns every local branch with its commit, sorted by name.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if the references cannot be listed; a single broken branch is skipped.
    pub fn branches(&self) -> Result<Vec<(String, CommitId)>, GitError> {
        self.references("refs/heads/")
    }

    /// Returns the commit of every branch of a remote that was fetched, as the references have it: no object is read.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if the references cannot be listed; a single broken branch is skipped.
    pub fn remote_tips(&self) -> Result<Vec<CommitId>, GitError> {
        let repo = self.local();
        let platform = repo.references().map_err(GitError::damaged("references"))?;
        let listed = platform.prefixed("refs/remotes/").map_err(GitError::damaged("references"))?;
        Ok(listed.filter_map(Result::ok).filter_map(|tip| tip.try_id().map(|id| from_gix(&id))).collect())
    }

    /// Returns the commit a tag leads to; `None` if there is no such tag or it leads to no commit.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn tag_commit(&self, name: &str) -> Result<Option<CommitId>, GitError> {
        let repo = self.local();
        match find_reference(&repo, &format!("refs/tags/{name}"))? {
            Some(id) => Ok(peel(&repo, id)?.ok()),
            None => Ok(None),
        }
    }

    fn references(&self, prefix: &str) -> Result<Vec<(String, CommitId)>, GitError> {
        let repo = self.local();
        let platform = repo.references().map_err(GitError::damaged("references"))?;
        let listed = platform
            .prefixed(prefix)
            .and_then(gix::reference::iter::Iter::peeled)
            .map_err(GitError::damaged("references"))?;
        let mut found: Vec<(String, CommitId)> = listed
            .filter_map(Result::ok)
            .filter_map(|reference| {
                let name = reference.name().as_bstr().to_str().ok()?.strip_prefix(prefix)?.to_owned();
                let id = reference.try_id()?.detach();
                let is_commit = repo.find_header(id).ok()?.kind() == gix::object::Kind::Commit;
                is_commit.then(|| (name, from_gix(&id)))
            })
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Asks Git itself; `None` if it does not know the revision either, or means several.
    fn rev_parse(&self, rev: &str) -> Option<gix::ObjectId> {
        let printed = self.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", rev], b"").ok()?;
        gix::ObjectId::from_hex(printed.trim_ascii()).ok()
    }

    fn unborn(&self) -> GitError {
        let branch = self.head_branch().ok().flatten().unwrap_or_else(|| "HEAD".to_owned());
        GitError::Unborn { branch }
    }

    /// Returns names of tags and branches that look like the name in `rev`; a hint must not fail, so errors give none.
    fn names_like(&self, rev: &str) -> Vec<String> {
        let repo = self.local();
        let Ok(platform) = repo.references() else { return Vec::new() };
        let mut names = Vec::new();
        for prefix in ["refs/tags/", "refs/heads/"] {
            let Ok(listed) = platform.prefixed(prefix) else { continue };
            names.extend(listed.filter_map(Result::ok).take(MAX_HINT_NAMES).filter_map(|reference| {
                let name = reference.name().as_bstr().to_str().ok()?;
                name.strip_prefix(prefix).map(str::to_owned)
            }));
        }
        let wanted = rev.split(['~', '^', ':']).next().unwrap_or(rev);
        nearest(wanted, names.iter().map(String::as_str))
    }
}

/// Looks `rev` up as the name of a tag or branch, full (`refs/tags/v1`), half (`tags/v1`) or short (`v1`).
fn find_named(repo: &gix::Repository, rev: &str) -> Result<Option<Revision>, GitError> {
    let prefixes: &[&str] = match rev {
        _ if rev.starts_with("refs/") => &[""],
        _ if is_half_name(repo, rev) => &["refs/", "refs/tags/", "refs/heads/"],
        _ => &["refs/tags/", "refs/heads/"],
    };
    for prefix in prefixes {
        let full_name = format!("{prefix}{rev}");
        let Some(id) = find_reference(repo, &full_name)? else { continue };
        let commit = peel(repo, id)?.map_err(|found| GitError::NotACommit { rev: shorten(rev), found })?;
        let kind = if let Some(name) = full_name.strip_prefix("refs/tags/") {
            RevisionKind::Tag { name: name.to_owned() }
        } else if let Some(name) = full_name.strip_prefix("refs/heads/") {
            RevisionKind::Branch { name: name.to_owned() }
        } else {
            RevisionKind::Commit
        };
        return Ok(Some(Revision { commit, kind }));
    }
    Ok(None)
}

/// Returns whether `refs/{rev}` could be a reference. A cheap look, because `gix` asks the file system in five places
/// before it says that a name does not exist, and nearly all names are short ones.
fn is_half_name(repo: &gix::Repository, rev: &str) -> bool {
    let full_name = format!("refs/{rev}");
    let is_file = |dir: &std::path::Path| dir.join(&full_name).is_file();
    if is_file(repo.common_dir()) || (repo.git_dir() != repo.common_dir() && is_file(repo.git_dir())) {
        return true;
    }
    match repo.refs.cached_packed_buffer() {
        Ok(Some(packed)) => !matches!(packed.try_find(full_name.as_str()), Ok(None)),
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Returns what a reference of exactly this full name points to, through symbolic references.
pub(super) fn find_reference(repo: &gix::Repository, full_name: &str) -> Result<Option<gix::ObjectId>, GitError> {
    let Ok(name) = gix::refs::FullName::try_from(full_name) else { return Ok(None) };
    let damaged = |source| GitError::damaged(format_args!("reference `{full_name}`"))(source);
    match repo.try_find_reference(name.as_ref()).map_err(damaged)? {
        Some(mut reference) => Ok(Some(reference.peel_to_id().map_err(damaged)?.detach())),
        None => Ok(None),
    }
}

/// Follows annotated tags to a commit; the inner error is the kind of object found instead.
pub(super) fn peel(repo: &gix::Repository, id: gix::ObjectId) -> Result<Result<CommitId, &'static str>, GitError> {
    let damaged = |source| GitError::damaged(format_args!("object {id}"))(source);
    // Most references name a commit, which its header says.
    if repo.find_header(id).map_err(damaged)?.kind() == gix::object::Kind::Commit {
        return Ok(Ok(from_gix(&id)));
    }
    let object = repo.find_object(id).and_then(gix::Object::peel_tags_to_end).map_err(damaged)?;
    Ok(match object.kind {
        gix::object::Kind::Commit => Ok(from_gix(&object.id)),
        other => Err(kind_name(other)),
    })
}

fn unknown(rev: &str, nearest: Vec<String>) -> GitError {
    GitError::UnknownRevision { rev: shorten(rev), nearest }
}

/// Returns whether `rev` could be the beginning of an object id; Git wants four digits at least.
fn is_abbreviation(rev: &str) -> bool {
    rev.len() >= 4 && rev.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shorten(rev: &str) -> String {
    rev.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
