//! Facts that no tree holds: pending exports, late bindings, pushes, and where branches started.
//!
//! The store keeps them as metadata objects; the caller decodes those and puts the facts here in the order it reads them.

use std::collections::BTreeSet;

use rusqlite::{Row, params};

use super::commits::{key_columns, record_column, record_text};
use super::error::CatalogError;
use super::transaction::{ReadTransaction, WriteTransaction, column, commit_column};
use crate::format::binding::{BranchStart, Pending, PushLog};
use crate::format::record::{ExportKey, ExportRecord};
use crate::id::{CodeIdentity, CommitId, ContentDigest};

/// What a commit's tree cannot tell about an export.
#[derive(Debug, Clone, PartialEq)]
pub struct LateRow {
    /// The commit it belongs to.
    pub commit: CommitId,
    /// The export.
    pub key: ExportKey,
    /// What the export is at that commit; `None` says that the commit does not have it.
    pub record: Option<ExportRecord>,
    /// Whether a person asked for it, so that it counts for more than the commit's tree.
    pub explicit: bool,
}

impl ReadTransaction {
    /// Returns what was exported in a worktree, sorted by key: the latest export of each key, bound by now or not.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn pending_of(&self, worktree: &str) -> Result<Vec<Pending>, CatalogError> {
        let sql = "SELECT worktree, record, script, time_unix FROM pending \
                   WHERE seq IN (SELECT max(seq) FROM pending WHERE worktree = ?1 GROUP BY name, params_hash) \
                   ORDER BY name, params_hash";
        self.all(sql, [worktree], |row| {
            Ok(Pending {
                worktree: column(row, 0)?,
                record: record_column(row, 1)?,
                script: column::<Option<[u8; 32]>>(row, 2)?.map(CodeIdentity::from_bytes),
                time_unix: column(row, 3)?,
            })
        })
    }

    /// Returns the late bindings of a commit, sorted by key; of several for one key the one put last.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn late_bindings_of(&self, commit: &CommitId) -> Result<Vec<LateRow>, CatalogError> {
        let sql = "SELECT name, params_hash, record, explicit FROM late_bindings WHERE seq IN \
                   (SELECT max(seq) FROM late_bindings WHERE commit_id = ?1 GROUP BY name, params_hash) \
                   ORDER BY name, params_hash";
        self.all(sql, [commit.as_slice()], |row| {
            let has_record = column::<Option<String>>(row, 2)?.is_some();
            let record = has_record.then(|| record_column(row, 2)).transpose()?;
            Ok(LateRow { commit: *commit, key: key_columns(row, 0)?, record, explicit: column(row, 3)? })
        })
    }

    /// Returns whether some commit was bound this very record late.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn is_late_bound(&self, record: &ExportRecord) -> Result<bool, CatalogError> {
        let key = record.key();
        let sql = "SELECT 1 FROM late_bindings WHERE name = ?1 AND params_hash = ?2 AND record = ?3 LIMIT 1";
        self.any(sql, params![key.name.as_str(), key.params_hash.as_bytes(), record_text(record)])
    }

    /// Returns whether any commit has a late binding.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn has_late_bindings(&self) -> Result<bool, CatalogError> {
        self.any("SELECT 1 FROM late_bindings LIMIT 1", [])
    }

    /// Returns the last word on every tag of a remote, by tag.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn pushes_of(&self, remote: &str) -> Result<Vec<PushLog>, CatalogError> {
        let sql = "SELECT tag, commit_id, remote, time_unix FROM pushes WHERE remote = ?1 ORDER BY tag";
        self.all(sql, [remote], push_columns)
    }

    /// Returns whether some worktree ever exported a content. Reads all pending exports: for the way to an error only.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn was_exported(&self, digest: &ContentDigest) -> Result<bool, CatalogError> {
        self.any("SELECT 1 FROM pending WHERE instr(record, ?1) LIMIT 1", [digest.to_string()])
    }

    /// Returns whether a remote, as last heard, has a tag at a commit.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn is_confirmed(&self, tag: &str, commit: &CommitId, remote: &str) -> Result<bool, CatalogError> {
        let sql = "SELECT 1 FROM pushes WHERE remote = ?1 AND tag = ?2 AND commit_id = ?3 LIMIT 1";
        self.any(sql, params![remote, tag, commit.as_slice()])
    }

    /// Returns the commits that the tags of a remote name, as last heard.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn confirmed_commits(&self, remote: &str) -> Result<BTreeSet<CommitId>, CatalogError> {
        let sql = "SELECT DISTINCT commit_id FROM pushes WHERE remote = ?1 AND commit_id IS NOT NULL";
        Ok(self.all(sql, [remote], |row| commit_column(row, 0))?.into_iter().collect())
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
    pub fn put_pending(&self, pending: &Pending) -> Result<(), CatalogError> {
        let key = pending.record.key();
        let sql = "INSERT INTO pending (worktree, name, params_hash, record, script, time_unix) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.change(
            sql,
            params![
                pending.worktree,
                key.name.as_str(),
                key.params_hash.as_bytes(),
                record_text(&pending.record),
                pending.script.as_ref().map(CodeIdentity::as_bytes),
                pending.time_unix,
            ],
        )
        .map(drop)
    }

    /// Puts a late binding, which overrules the earlier ones of its commit and key.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_late_binding(&self, row: &LateRow) -> Result<(), CatalogError> {
        let LateRow { commit, key, record, explicit } = row;
        let sql =
            "INSERT INTO late_bindings (commit_id, name, params_hash, record, explicit) VALUES (?1, ?2, ?3, ?4, ?5)";
        let text = record.as_ref().map(record_text);
        self.change(sql, params![commit.as_slice(), key.name.as_str(), key.params_hash.as_bytes(), text, explicit])
            .map(drop)
    }

    /// Puts what a remote has for a tag; of several words on one tag the latest counts.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_push(&self, push: &PushLog) -> Result<(), CatalogError> {
        let sql = "INSERT INTO pushes (tag, commit_id, remote, time_unix) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (remote, tag) DO UPDATE SET commit_id = excluded.commit_id, time_unix = excluded.time_unix \
                   WHERE excluded.time_unix >= pushes.time_unix";
        let commit = push.commit.as_ref().map(CommitId::as_slice);
        self.change(sql, params![push.tag, commit, push.remote, push.time_unix]).map(drop)
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

fn push_columns(row: &Row<'_>) -> Result<PushLog, CatalogError> {
    Ok(PushLog {
        tag: column(row, 0)?,
        commit: column::<Option<Vec<u8>>>(row, 1)?.is_some().then(|| commit_column(row, 1)).transpose()?,
        remote: column(row, 2)?,
        time_unix: column(row, 3)?,
    })
}
