//! What the store's metadata packs tell the catalog: pending exports, late bindings, pushes, branch starts.
//!
//! The catalog remembers how far it has read. A late binding for a commit that is indexed already makes that commit and
//! all of a later generation be forgotten, because every descendant may inherit something else now.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Repo;
use crate::catalog::{CatalogError, LateRow, ReadTransaction, WriteTransaction};
use crate::error::Result;
use crate::format::binding::{BranchStart, CommitBranch, LateBinding, Pending, PushLog, Unbinding};
use crate::format::record::{ExportKey, ExportRecord};
use crate::id::CommitId;
use crate::store::{NewObject, ObjectCursor, ObjectKind, ObjectsStamp, StoredObject};

/// One key's late word at one commit.
#[derive(Debug, Clone)]
pub(super) struct Late {
    /// The record, or `None` if the key is unbound.
    pub(super) record: Option<ExportRecord>,
    /// Whether a person asked for it, so that it counts for more than the tree.
    pub(super) forced: bool,
}

/// Returns the time for a new object, microseconds since 1970 UTC: later than any that this process asked for before.
pub(super) fn now_us() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let later = |last: i64| Some(clock.max(last.saturating_add(1)));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).unwrap_or_default();
    clock.max(last.saturating_add(1))
}

/// What the packs looked like when this process last read them all, and the catalog's cursor then.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Option<(ObjectsStamp, Vec<u8>)>>);

impl Repo {
    /// Returns the cursor with which the catalog would have heard of every object, where that shows without a look at
    /// the store. The caller compares it, because another process may empty the catalog.
    pub(super) fn heard_of_all(&self) -> Option<Vec<u8>> {
        // Never waits: a child that was forked while a thread held the lock would do so for ever.
        let heard = self.0.heard.0.try_lock().ok()?;
        heard.as_ref().filter(|(stamp, _)| stamp.still_holds()).map(|(_, cursor)| cursor.clone())
    }

    /// Lets the catalog read every metadata object that is new since the last time.
    pub(super) fn catch_up(&self) -> Result<()> {
        let catalog = self.catalog()?;
        let Some(store) = self.store_if_present()? else { return Ok(()) };
        let stamp = ObjectsStamp::take(self.store_dir())?;
        let known = self.view(ReadTransaction::cursor)?.unwrap_or_default();
        let cursor = ObjectCursor::from_bytes(&known).unwrap_or_default();
        let (objects, next) = store.objects_since(&cursor)?;
        let heard = if objects.is_empty() && next == cursor {
            known
        } else {
            catalog.write(|tx| {
                objects.iter().try_for_each(|object| take_in(tx, object))?;
                tx.set_cursor(&next.to_bytes())
            })?;
            next.to_bytes()
        };
        if let Ok(mut last) = self.0.heard.0.try_lock() {
            *last = Some((stamp, heard));
        }
        Ok(())
    }

    /// Makes objects durable and known to the catalog.
    pub(super) fn remember(&self, objects: &[(ObjectKind, Vec<u8>)]) -> Result<()> {
        let new: Vec<NewObject> = objects
            .iter()
            .map(|(kind, bytes)| NewObject { kind: *kind, bytes: bytes.clone(), aliases: vec![] })
            .collect();
        self.store()?.put_objects(&new)?;
        Ok(())
    }

    /// Returns the time for a late binding: later than all that this store knows of, also after the clock was set back.
    pub(super) fn late_time_us(&self) -> Result<i64> {
        let latest = self.facts(ReadTransaction::latest_late_binding)?.unwrap_or_default();
        Ok(now_us().max(latest.saturating_add(1)))
    }

    /// Returns what was bound to or unbound from a commit afterwards.
    pub(super) fn late_changes(tx: &ReadTransaction, commit: CommitId) -> Result<Vec<(ExportKey, Late)>> {
        let rows = tx.late_bindings_of(&commit)?;
        Ok(rows.into_iter().map(|row| (row.key, Late { record: row.record, forced: row.explicit })).collect())
    }
}

fn take_in(tx: &WriteTransaction, object: &StoredObject) -> Result<(), CatalogError> {
    // One unreadable object must not hide the others; `verify` names it.
    match object.kind {
        ObjectKind::PENDING => {
            if let Ok(pending) = Pending::from_bytes(&object.bytes) {
                tx.put_pending(&pending, &object.id)?;
            }
        }
        ObjectKind::LATE_BINDING => {
            if let Ok(late) = LateBinding::from_bytes(&object.bytes) {
                let LateBinding { commit, record, explicit, time_us } = late;
                let (key, object) = (record.key(), object.id);
                take_in_late(tx, &LateRow { commit, key, record: Some(record), explicit, time_us, object })?;
            }
        }
        ObjectKind::UNBINDING => {
            if let Ok(unbinding) = Unbinding::from_bytes(&object.bytes) {
                let Unbinding { commit, name, params_hash, time_us } = unbinding;
                let (key, object) = (ExportKey { name, params_hash }, object.id);
                take_in_late(tx, &LateRow { commit, key, record: None, explicit: true, time_us, object })?;
            }
        }
        ObjectKind::PUSH_LOG => {
            if let Ok(push) = PushLog::from_bytes(&object.bytes) {
                tx.put_push(&push)?;
            }
        }
        ObjectKind::BRANCH_START => {
            if let Ok(start) = BranchStart::from_bytes(&object.bytes) {
                tx.put_branch_start(&start)?;
            }
        }
        ObjectKind::COMMIT_BRANCH => {
            if let Ok(row) = CommitBranch::from_bytes(&object.bytes) {
                tx.put_commit_branch(&row, &object.id)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn take_in_late(tx: &WriteTransaction, row: &LateRow) -> Result<(), CatalogError> {
    // A pack that was rewritten tells the same facts again.
    if !tx.put_late_binding(row)? {
        return Ok(());
    }
    match tx.commit(&row.commit)? {
        Some(known) => tx.forget_commits_from(known.generation),
        // A person may bind to a commit from before `.1nb`, which was not walked at all, and its descendants inherit
        // from it. Where all was walked, a commit that is not known has no descendants here.
        None if row.explicit && tx.has_cut_history()? => tx.forget_commits(),
        None => Ok(()),
    }
}
