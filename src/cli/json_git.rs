//! The documents of commands about Git: `diff`, `take`, and the conflicts in `status`. Described in `docs/json.md`.

use serde::Serialize;

use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::ExportRecord;
use crate::format::run::RunRecord;
use crate::id::{CommitId, ContentDigest, ParamsHash};
use crate::{DiffRow, DiffSide, Dispute, RecordConflict, RunConflict, Status};

/// `diff`.
#[derive(Debug, Serialize)]
pub(super) struct Changes<'a> {
    changes: Vec<Changed<'a>>,
}

#[derive(Debug, Serialize)]
struct Changed<'a> {
    name: &'a ExportName,
    params: &'a Params,
    params_hash: ParamsHash,
    /// `added`, `removed` or `changed`.
    state: &'static str,
    old: Option<Content<'a>>,
    new: Option<Content<'a>>,
    /// Bytes of `new` that are chunks of `old` too; `None` where one of them is not in the local store.
    shared: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Content<'a> {
    digest: ContentDigest,
    size: u64,
    suffix: &'a str,
    rows: Option<u64>,
    columns: Option<&'a [String]>,
}

impl<'a> From<&'a DiffSide> for Content<'a> {
    fn from(side: &'a DiffSide) -> Self {
        Self {
            digest: side.record.digest,
            size: side.record.size,
            suffix: side.record.suffix.as_str(),
            rows: side.table.as_ref().map(|table| table.rows),
            columns: side.table.as_ref().map(|table| table.columns.as_slice()),
        }
    }
}

impl<'a> From<&'a [DiffRow]> for Changes<'a> {
    fn from(rows: &'a [DiffRow]) -> Self {
        let changed = |row: &'a DiffRow| {
            let state = match (&row.old, &row.new) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            };
            let record = &row.new.as_ref().or(row.old.as_ref())?.record;
            Some(Changed {
                name: &record.name,
                params: &record.params,
                params_hash: record.params.hash(),
                state,
                old: row.old.as_ref().map(Content::from),
                new: row.new.as_ref().map(Content::from),
                shared: row.shared,
            })
        };
        Self { changes: rows.iter().filter_map(changed).collect() }
    }
}

/// `take`.
#[derive(Debug, Serialize)]
pub(super) struct Taken<'a> {
    pub(super) taken: &'a [String],
}

/// One export that only the order of a merge's parents decided, in `status`.
#[derive(Debug, Serialize)]
pub(super) struct Disputed<'a> {
    merge: CommitId,
    export: String,
    ours: ConflictSide,
    theirs: ConflictSide,
    fix: &'a str,
}

impl<'a> From<&'a Dispute> for Disputed<'a> {
    fn from(dispute: &'a Dispute) -> Self {
        let side = |record: &ExportRecord| ConflictSide { digest: record.digest, size: record.size };
        Self {
            merge: dispute.merge,
            export: dispute.ours.label(),
            ours: side(&dispute.ours),
            theirs: side(&dispute.theirs),
            fix: &dispute.fix,
        }
    }
}

/// Everything in conflict: exports, then runs.
pub(super) fn conflicts(status: &Status) -> Vec<Conflicted<'_>> {
    let exports = status.conflicts.iter().map(Conflicted::from);
    exports.chain(status.run_conflicts.iter().map(Conflicted::from)).collect()
}

/// One export or run in conflict, in `status`.
#[derive(Debug, Serialize)]
pub(super) struct Conflicted<'a> {
    path: &'a str,
    /// `None` for a run.
    export: Option<String>,
    /// `None` for an export.
    run: Option<RunInConflict>,
    /// `None` where that side removed it. Of a run it is the executed notebook.
    ours: Option<ConflictSide>,
    theirs: Option<ConflictSide>,
}

#[derive(Debug, Serialize)]
struct RunInConflict {
    label: String,
    exports: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ConflictSide {
    digest: ContentDigest,
    size: u64,
}

impl<'a> From<&'a RecordConflict> for Conflicted<'a> {
    fn from(conflict: &'a RecordConflict) -> Self {
        let side = |record: &ExportRecord| ConflictSide { digest: record.digest, size: record.size };
        Self {
            path: &conflict.path,
            export: Some(conflict.label()),
            run: None,
            ours: conflict.ours.as_ref().map(side),
            theirs: conflict.theirs.as_ref().map(side),
        }
    }
}

impl<'a> From<&'a RunConflict> for Conflicted<'a> {
    fn from(conflict: &'a RunConflict) -> Self {
        let side = |run: &RunRecord| ConflictSide { digest: run.notebook, size: run.size };
        let exports = conflict.exports().into_iter().map(|(name, params)| format!("{name}{params}")).collect();
        Self {
            path: &conflict.path,
            export: None,
            run: Some(RunInConflict { label: conflict.label(), exports }),
            ours: conflict.ours.as_ref().map(side),
            theirs: conflict.theirs.as_ref().map(side),
        }
    }
}
