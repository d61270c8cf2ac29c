//! Facts that no tree holds: pending exports, late bindings, pushes, and where branches started.
//!
//! The store keeps them as metadata objects; the caller decodes those and puts the facts here in the order it reads them.

use rusqlite::{Row, params};

use super::commits::{key_columns, record_column, record_text};
use super::error::CatalogError;
use super::transaction::{ReadTransaction, WriteTransaction, column, commit_column, digest_column, session_column};
use crate::format::record::{ExportKey, ExportRecord};
use crate::id::{CommitId, ContentDigest, SessionId};

/// The number of a pending export within one catalog file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PendingNo(i64);

/// An export that was made in a worktree and that no commit may have bound yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// The worktree, as the caller names it.
    pub worktree: String,
    /// What was exported.
    pub record: ExportRecord,
    /// Content of the script that made it, if a script did.
    pub script_digest: Option<ContentDigest>,
    /// When it was exported, in seconds since 1970, UTC.
    pub time_unix: i64,
}

/// A pending export with the number under which it can be marked as bound.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPending {
    /// Its number.
    pub number: PendingNo,
    /// What is pending.
    pub pending: Pending,
}

/// What a commit's tree cannot tell about an export.
#[derive(Debug, Clone, PartialEq)]
pub struct LateBinding {
    /// The commit it belongs to.
    pub commit: CommitId,
    /// The export.
    pub key: ExportKey,
    /// What the export is at that commit; `None` says that the commit does not have it.
    pub record: Option<ExportRecord>,
}

/// How far a push came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PushState {
    /// It was begun; whether the remote has it is unknown.
    Intended,
    /// The remote confirmed it.
    Confirmed,
}

/// One tag of one push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The tag.
    pub tag: String,
    /// The commit that the tag named.
    pub commit: CommitId,
    /// The remote's URL.
    pub remote: String,
    /// The push.
    pub session: SessionId,
    /// When, in seconds since 1970, UTC.
    pub time_unix: i64,
    /// How far it came.
    pub state: PushState,
}

/// Where a branch was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchStart {
    /// The branch.
    pub branch: String,
    /// The commit that it started at.
    pub commit: CommitId,
    /// The branch that was checked out then, if any.
    pub parent_branch: Option<String>,
    /// When, in seconds since 1970, UTC.
    pub time_unix: i64,
}

impl ReadTransaction {
    /// Returns what is pending in a worktree, sorted by key: the latest export of each key, unless a commit bound it.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn pending_of(&self, worktree: &str) -> Result<Vec<StoredPending>, CatalogError> {
        let sql = "SELECT seq, worktree, record, script_digest, time_unix FROM pending \
                   WHERE seq IN (SELECT max(seq) FROM pending WHERE worktree = ?1 GROUP BY name, params_hash) \
                   AND bound_commit IS NULL ORDER BY name, params_hash";
        self.all(sql, [worktree], |row| {
            let pending = Pending {
                worktree: column(row, 1)?,
                record: record_column(row, 2)?,
                script_digest: digest_column(row, 3)?,
                time_unix: column(row, 4)?,
            };
            Ok(StoredPending { number: PendingNo(column(row, 0)?), pending })
        })
    }

    /// Returns the late bindings of a commit, sorted by key; of several for one key the one put last.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn late_bindings_of(&self, commit: &CommitId) -> Result<Vec<LateBinding>, CatalogError> {
        let sql = "SELECT name, params_hash, record FROM late_bindings WHERE seq IN \
                   (SELECT max(seq) FROM late_bindings WHERE commit_id = ?1 GROUP BY name, params_hash) \
                   ORDER BY name, params_hash";
        self.all(sql, [commit.as_slice()], |row| {
            let has_record = column::<Option<String>>(row, 2)?.is_some();
            let record = has_record.then(|| record_column(row, 2)).transpose()?;
            Ok(LateBinding { commit: *commit, key: key_columns(row, 0)?, record })
        })
    }

    /// Returns whether any commit has a late binding.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn has_late_bindings(&self) -> Result<bool, CatalogError> {
        self.any("SELECT 1 FROM late_bindings LIMIT 1", [])
    }

    /// Returns the pushes to a remote, oldest first, then by tag.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn pushes_of(&self, remote: &str) -> Result<Vec<Push>, CatalogError> {
        let sql = "SELECT tag, commit_id, remote, session, time_unix, confirmed FROM pushes WHERE remote = ?1 \
                   ORDER BY time_unix, tag, commit_id, session";
        self.all(sql, [remote], push_columns)
    }

    /// Returns whether a remote confirmed that it has a tag at a commit.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn is_confirmed(&self, tag: &str, commit: &CommitId, remote: &str) -> Result<bool, CatalogError> {
        let sql = "SELECT 1 FROM pushes WHERE remote = ?1 AND tag = ?2 AND commit_id = ?3 AND confirmed = 1 LIMIT 1";
        self.any(sql, params![remote, tag, commit.as_slice()])
    }

    /// Returns where a branch of this name was created, newest first.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn branch_starts_of(&self, branch: &str) -> Result<Vec<BranchStart>, CatalogError> {
        let sql = "SELECT branch, commit_id, parent_branch, time_unix FROM branch_starts WHERE branch = ?1 \
                   ORDER BY time_unix DESC, commit_id";
        self.all(sql, [branch], |row| {
            Ok(BranchStart {
                branch: column(row, 0)?,
                commit: commit_column(row, 1)?,
                parent_branch: column(row, 2)?,
                time_unix: column(row, 3)?,
            })
        })
    }
}

impl WriteTransaction {
    /// Puts a pending export, which supersedes the earlier ones of its key in its worktree.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_pending(&self, pending: &Pending) -> Result<PendingNo, CatalogError> {
        let key = pending.record.key();
        let sql = "INSERT INTO pending (worktree, name, params_hash, record, script_digest, time_unix) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.insert(
            sql,
            params![
                pending.worktree,
                key.name.as_str(),
                key.params_hash.as_bytes(),
                record_text(&pending.record),
                pending.script_digest.as_ref().map(ContentDigest::as_bytes),
                pending.time_unix,
            ],
        )
        .map(PendingNo)
    }

    /// Notes that a commit bound a pending export. One that was exported since stays pending.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn mark_bound(&self, number: PendingNo, commit: &CommitId) -> Result<(), CatalogError> {
        self.change("UPDATE pending SET bound_commit = ?2 WHERE seq = ?1", params![number.0, commit.as_slice()])
            .map(drop)
    }

    /// Puts a late binding, which overrules the earlier ones of its commit and key.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_late_binding(&self, binding: &LateBinding) -> Result<(), CatalogError> {
        let LateBinding { commit, key, record } = binding;
        let sql = "INSERT INTO late_bindings (commit_id, name, params_hash, record) VALUES (?1, ?2, ?3, ?4)";
        let text = record.as_ref().map(record_text);
        self.change(sql, params![commit.as_slice(), key.name.as_str(), key.params_hash.as_bytes(), text]).map(drop)
    }

    /// Puts one tag of a push. What was once confirmed stays so, in whatever order the facts arrive.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_push(&self, push: &Push) -> Result<(), CatalogError> {
        let sql = "INSERT INTO pushes (tag, commit_id, remote, session, time_unix, confirmed) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (remote, tag, commit_id, session) DO UPDATE SET \
                   time_unix = max(time_unix, excluded.time_unix), confirmed = max(confirmed, excluded.confirmed)";
        let confirmed = push.state == PushState::Confirmed;
        let (commit, session) = (push.commit.as_slice(), push.session.to_bytes());
        self.change(sql, params![push.tag, commit, push.remote, session, push.time_unix, confirmed]).map(drop)
    }

    /// Puts where a branch was created; the same fact twice is one.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_branch_start(&self, start: &BranchStart) -> Result<(), CatalogError> {
        let sql = "INSERT OR REPLACE INTO branch_starts (branch, commit_id, parent_branch, time_unix) \
                   VALUES (?1, ?2, ?3, ?4)";
        self.change(sql, params![start.branch, start.commit.as_slice(), start.parent_branch, start.time_unix]).map(drop)
    }
}

fn push_columns(row: &Row<'_>) -> Result<Push, CatalogError> {
    let confirmed: bool = column(row, 5)?;
    Ok(Push {
        tag: column(row, 0)?,
        commit: commit_column(row, 1)?,
        remote: column(row, 2)?,
        session: session_column(row, 3)?,
        time_unix: column(row, 4)?,
        state: if confirmed { PushState::Confirmed } else { PushState::Intended },
    })
}
