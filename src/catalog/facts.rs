//! Facts that no tree holds: pending exports, late bindings, pushes, and where branches started.
//!
//! The store keeps them as metadata objects; the caller decodes those and puts the facts here in whatever order it
//! reads them. Of several facts about one thing the one with the greatest (time, object id) counts.

use std::collections::BTreeSet;

use rusqlite::{Row, params};

use super::commits::{key_columns, record_column, record_text};
use super::error::CatalogError;
use super::runs::ParentBranch;
use super::transaction::{ReadTransaction, WriteTransaction, column, commit_column};
use crate::format::binding::{BranchStart, CommitBranch, Pending, PushLog};
use crate::format::name::ExportName;
use crate::format::record::{ExportKey, ExportRecord};
use crate::id::{CodeIdentity, CommitId, ContentDigest, ObjectId};

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
    /// When it was said, in microseconds since 1970, UTC.
    pub time_us: i64,
    /// The metadata object that says so; decides between equal times.
    pub object: ObjectId,
}

/// Rows that no later row of the same key overrules.
macro_rules! newest_of {
    ($table:literal, $columns:literal, $owner:literal, $more:literal) => {
        concat!(
            "SELECT ", $columns, " FROM ", $table, " AS p WHERE ",
            $more,
            " p.", $owner, " = ?1 AND NOT EXISTS (SELECT 1 FROM ",
            $table, " AS q WHERE q.", $owner, " = p.", $owner,
            " AND q.name = p.name AND q.params_hash = p.params_hash AND (q.time_us, q.object) > (p.time_us, p.object)) ",
            "ORDER BY p.name, p.params_hash"
        )
    };
}

impl ReadTransaction {
    /// Returns what was exported in a worktree and is not settled, sorted by key: the latest export of each key.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn pending_of(&self, worktree: &str) -> Result<Vec<Pending>, CatalogError> {
        let sql = newest_of!("pending", "p.worktree, p.record, p.script, p.time_us", "worktree", "p.settled = 0 AND");
        self.all(sql, [worktree], pending_columns)
    }

    /// Returns the latest export of each key in a worktree, settled or not, where a notebook or script made it.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn exported_by(&self, worktree: &str, producer: &str) -> Result<Vec<Pending>, CatalogError> {
        let sql = newest_of!("pending", "p.worktree, p.record, p.script, p.time_us", "worktree", "p.producer = ?2 AND");
        self.all(sql, [worktree, producer], pending_columns)
    }

    /// Returns all exports of a name that were made in a worktree, newest first.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn exports_of(&self, worktree: &str, name: &ExportName) -> Result<Vec<Pending>, CatalogError> {
        let sql = "SELECT worktree, record, script, time_us FROM pending WHERE worktree = ?1 AND name = ?2 \
                   ORDER BY time_us DESC, object DESC";
        self.all(sql, [worktree, name.as_str()], pending_columns)
    }

    /// Returns all exports that were made in a worktree, newest first.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn exports_of_all(&self, worktree: &str) -> Result<Vec<Pending>, CatalogError> {
        let sql = "SELECT worktree, record, script, time_us FROM pending WHERE worktree = ?1 \
                   ORDER BY time_us DESC, object DESC";
        self.all(sql, [worktree], pending_columns)
    }

    /// Returns the notebooks and scripts that ever exported something in a worktree.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn producers_of(&self, worktree: &str) -> Result<BTreeSet<String>, CatalogError> {
        let sql = "SELECT DISTINCT producer FROM pending WHERE worktree = ?1 AND producer IS NOT NULL";
        Ok(self.all(sql, [worktree], |row| column(row, 0))?.into_iter().collect())
    }

    /// Returns the late bindings of a commit, sorted by key; of several for one key the latest.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn late_bindings_of(&self, commit: &CommitId) -> Result<Vec<LateRow>, CatalogError> {
        let columns = newest_of!(
            "late_bindings",
            "p.name, p.params_hash, p.record, p.explicit, p.time_us, p.object",
            "commit_id",
            ""
        );
        self.all(columns, [commit.as_slice()], |row| {
            let has_record = column::<Option<String>>(row, 2)?.is_some();
            let record = has_record.then(|| record_column(row, 2)).transpose()?;
            Ok(LateRow {
                commit: *commit,
                key: key_columns(row, 0)?,
                record,
                explicit: column(row, 3)?,
                time_us: column(row, 4)?,
                object: column(row, 5).map(ObjectId::from_bytes)?,
            })
        })
    }

    /// Returns the time of the latest late binding of all, in microseconds since 1970, UTC.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn latest_late_binding(&self) -> Result<Option<i64>, CatalogError> {
        Ok(self.one("SELECT max(time_us) FROM late_bindings", [], |row| column(row, 0))?.flatten())
    }

    /// Returns whether some commit was bound this very record late at or after a time, in microseconds since 1970, UTC.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn is_late_bound_since(&self, record: &ExportRecord, time_us: i64) -> Result<bool, CatalogError> {
        let key = record.key();
        let sql = "SELECT 1 FROM late_bindings \
                   WHERE name = ?1 AND params_hash = ?2 AND record = ?3 AND time_us >= ?4 LIMIT 1";
        self.any(sql, params![key.name.as_str(), key.params_hash.as_bytes(), record_text(record), time_us])
    }

    /// Returns the commits that a key was bound to or unbound from late.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn late_bound_commits(&self, key: &ExportKey) -> Result<Vec<CommitId>, CatalogError> {
        let sql = "SELECT DISTINCT commit_id FROM late_bindings WHERE name = ?1 AND params_hash = ?2";
        self.all(sql, params![key.name.as_str(), key.params_hash.as_bytes()], |row| commit_column(row, 0))
    }

    /// Returns the commits that something was bound to or unbound from late after a time, in microseconds since 1970,
    /// UTC.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn late_bound_since(&self, time_us: i64) -> Result<Vec<CommitId>, CatalogError> {
        let sql = "SELECT DISTINCT commit_id FROM late_bindings WHERE time_us > ?1";
        self.all(sql, [time_us], |row| commit_column(row, 0))
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
        let sql = "SELECT tag, commit_id, remote, time_us FROM pushes WHERE remote = ?1 ORDER BY time_us, tag";
        self.all(sql, [remote], push_columns)
    }

    /// Returns the latest push of one tag to a remote.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn last_push_of(&self, remote: &str, tag: &str) -> Result<Option<PushLog>, CatalogError> {
        let sql = "SELECT tag, commit_id, remote, time_us FROM pushes WHERE remote = ?1 AND tag = ?2 \
                   ORDER BY time_us DESC, commit_id DESC LIMIT 1";
        self.one(sql, [remote, tag], push_columns)
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

    /// Returns the branch that a commit's branch came from, as was written down when the commit was made.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn parent_branch_of(&self, commit: &CommitId) -> Result<Option<ParentBranch>, CatalogError> {
        let sql = "SELECT parent_branch, parent_method FROM commit_branches WHERE commit_id = ?1 \
                   ORDER BY time_us DESC, object DESC LIMIT 1";
        self.one(sql, [commit.as_slice()], |row| Ok(ParentBranch { branch: column(row, 0)?, method: column(row, 1)? }))
    }

    /// Returns where a branch of this name was created, newest first.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn branch_starts_of(&self, branch: &str) -> Result<Vec<BranchStart>, CatalogError> {
        let sql = "SELECT branch, commit_id, parent_branch, time_us FROM branch_starts WHERE branch = ?1 \
                   ORDER BY time_us DESC, commit_id";
        self.all(sql, [branch], |row| {
            Ok(BranchStart {
                branch: column(row, 0)?,
                commit: commit_column(row, 1)?,
                parent_branch: column(row, 2)?,
                time_us: column(row, 3)?,
            })
        })
    }
}

impl WriteTransaction {
    /// Puts a pending export and the object that says so; the same fact twice is one.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_pending(&self, pending: &Pending, object: &ObjectId) -> Result<(), CatalogError> {
        let key = pending.record.key();
        let sql = "INSERT INTO pending \
                   (worktree, name, params_hash, record, script, time_us, object, producer) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
        self.change(
            sql,
            params![
                pending.worktree,
                key.name.as_str(),
                key.params_hash.as_bytes(),
                record_text(&pending.record),
                pending.script.as_ref().map(CodeIdentity::as_bytes),
                pending.time_us,
                object.as_bytes(),
                pending.record.producer.path,
            ],
        )
        .map(drop)
    }

    /// Remembers that commits have what was exported of some keys in a worktree, so that it is not looked at again.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn settle_pending(&self, worktree: &str, keys: &[ExportKey]) -> Result<(), CatalogError> {
        for key in keys {
            let sql = "UPDATE pending SET settled = 1 WHERE worktree = ?1 AND name = ?2 AND params_hash = ?3";
            self.change(sql, params![worktree, key.name.as_str(), key.params_hash.as_bytes()])?;
        }
        Ok(())
    }

    /// Puts a late binding; the same fact twice is one. Returns whether it is new.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_late_binding(&self, row: &LateRow) -> Result<bool, CatalogError> {
        let LateRow { commit, key, record, explicit, time_us, object } = row;
        let sql = "INSERT INTO late_bindings \
                   (commit_id, name, params_hash, record, explicit, time_us, object) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                   ON CONFLICT DO NOTHING";
        let (name, hash) = (key.name.as_str(), key.params_hash.as_bytes());
        let text = record.as_ref().map(record_text);
        let values = params![commit.as_slice(), name, hash, text, explicit, time_us, object.as_bytes()];
        Ok(self.change(sql, values)? > 0)
    }

    /// Puts what a remote has for a tag; of several words on one tag the latest counts.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_push(&self, push: &PushLog) -> Result<(), CatalogError> {
        let sql = "INSERT INTO pushes (tag, commit_id, remote, time_us) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (remote, tag) DO UPDATE SET commit_id = excluded.commit_id, time_us = excluded.time_us \
                   WHERE (excluded.time_us, coalesce(excluded.commit_id, x'')) \
                   >= (pushes.time_us, coalesce(pushes.commit_id, x''))";
        let commit = push.commit.as_ref().map(CommitId::as_slice);
        self.change(sql, params![push.tag, commit, push.remote, push.time_us]).map(drop)
    }

    /// Puts which branch a commit was made on; the same fact twice is one.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_commit_branch(&self, row: &CommitBranch, object: &ObjectId) -> Result<(), CatalogError> {
        let sql = "INSERT OR REPLACE INTO commit_branches \
                   (commit_id, time_us, object, branch, parent_branch, parent_method) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let CommitBranch { commit, branch, parent_branch, parent_method, time_us } = row;
        let (id, object) = (commit.as_slice(), object.as_bytes());
        self.change(sql, params![id, time_us, object, branch, parent_branch, parent_method]).map(drop)
    }

    /// Puts where a branch was created; the same fact twice is one.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_branch_start(&self, start: &BranchStart) -> Result<(), CatalogError> {
        let sql = "INSERT OR REPLACE INTO branch_starts (branch, commit_id, parent_branch, time_us) \
                   VALUES (?1, ?2, ?3, ?4)";
        self.change(sql, params![start.branch, start.commit.as_slice(), start.parent_branch, start.time_us]).map(drop)
    }
}

fn pending_columns(row: &Row<'_>) -> Result<Pending, CatalogError> {
    Ok(Pending {
        worktree: column(row, 0)?,
        record: record_column(row, 1)?,
        script: column::<Option<[u8; 32]>>(row, 2)?.map(CodeIdentity::from_bytes),
        time_us: column(row, 3)?,
    })
}

fn push_columns(row: &Row<'_>) -> Result<PushLog, CatalogError> {
    Ok(PushLog {
        tag: column(row, 0)?,
        commit: column::<Option<Vec<u8>>>(row, 1)?.is_some().then(|| commit_column(row, 1)).transpose()?,
        remote: column(row, 2)?,
        time_us: column(row, 3)?,
    })
}
