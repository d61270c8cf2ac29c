//! The documents of commands about the life of local data: `gc`, `pin`, `restore`, `log --working`. Described in
//! `docs/json.md`.

use serde::Serialize;

use super::json::Export;
use super::render::rfc3339;
use crate::format::binding::Pin;
use crate::format::name::{ExportName, Suffix};
use crate::format::params::Params;
use crate::format::record::ExportRecord;
use crate::id::{ContentDigest, ParamsHash};
use crate::{LocalGcReport, RepackReport, WorkingExport};

/// `gc`.
#[derive(Debug, Serialize)]
pub(super) struct CollectedHere {
    contents: u64,
    dropped_contents: u64,
    packs: u64,
    rewritten: u64,
    copied: u64,
    freed: u64,
    busy_packs: u64,
    damaged_packs: u64,
    dry_run: bool,
}

impl CollectedHere {
    pub(super) fn new(report: &LocalGcReport, dry_run: bool) -> Self {
        Self {
            contents: report.contents,
            dropped_contents: report.dropped_contents,
            packs: report.packs,
            rewritten: report.rewritten,
            copied: report.copied_bytes,
            freed: report.freed_bytes,
            busy_packs: report.busy_packs,
            damaged_packs: report.damaged_packs,
            dry_run,
        }
    }
}

/// `repack`.
#[derive(Debug, Serialize)]
pub(super) struct Repacked {
    contents: u64,
    packs: u64,
    packs_bytes: u64,
    kept_packs: u64,
    busy_packs: u64,
    damaged_packs: u64,
    chunks: u64,
    raw: u64,
    before: u64,
    /// `None` for what was not done.
    after: Option<u64>,
    no_gain: bool,
    dry_run: bool,
}

impl Repacked {
    pub(super) fn new(report: &RepackReport, dry_run: bool) -> Self {
        Self {
            contents: report.contents,
            packs: report.packs,
            packs_bytes: report.packs_bytes,
            kept_packs: report.kept_packs,
            busy_packs: report.busy_packs,
            damaged_packs: report.damaged_packs,
            chunks: report.chunks,
            raw: report.raw_bytes,
            before: report.before_bytes,
            after: (!dry_run).then_some(report.after_bytes),
            no_gain: report.no_gain,
            dry_run,
        }
    }
}

/// `pin`.
#[derive(Debug, Serialize)]
pub(super) struct Pins<'a> {
    pub(super) pins: Vec<PinRow<'a>>,
}

/// `unpin`.
#[derive(Debug, Serialize)]
pub(super) struct Unpinned<'a> {
    pub(super) unpinned: Vec<PinRow<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct PinRow<'a> {
    pub(super) spec: &'a str,
    name: &'a ExportName,
    params: &'a Params,
    params_hash: ParamsHash,
    digest: ContentDigest,
    pub(super) size: u64,
    pub(super) time: String,
}

impl PinRow<'_> {
    pub(super) fn short(&self) -> String {
        self.digest.short()
    }
}

impl<'a> From<&'a Pin> for PinRow<'a> {
    fn from(pin: &'a Pin) -> Self {
        Self {
            spec: &pin.spec,
            name: &pin.record.name,
            params: &pin.record.params,
            params_hash: pin.record.params.hash(),
            digest: pin.record.digest,
            size: pin.record.size,
            time: rfc3339(pin.time_us.div_euclid(1_000_000)),
        }
    }
}

/// `restore`.
#[derive(Debug, Serialize)]
pub(super) struct Restored<'a> {
    restored: Vec<Export<'a>>,
}

impl<'a> Restored<'a> {
    pub(super) fn new(record: &'a ExportRecord) -> Self {
        Self { restored: vec![Export::new(record, None)] }
    }
}

/// `log NAME --working`.
#[derive(Debug, Serialize)]
pub(super) struct WorkingLog<'a> {
    working: Vec<WorkingRow<'a>>,
}

#[derive(Debug, Serialize)]
struct WorkingRow<'a> {
    name: &'a ExportName,
    params: &'a Params,
    params_hash: ParamsHash,
    digest: ContentDigest,
    size: u64,
    suffix: &'a Suffix,
    time: String,
    current: bool,
}

impl<'a> From<&'a [WorkingExport]> for WorkingLog<'a> {
    fn from(rows: &'a [WorkingExport]) -> Self {
        let row = |row: &'a WorkingExport| WorkingRow {
            name: &row.record.name,
            params: &row.record.params,
            params_hash: row.record.params.hash(),
            digest: row.record.digest,
            size: row.record.size,
            suffix: &row.record.suffix,
            time: rfc3339(row.time_us.div_euclid(1_000_000)),
            current: row.is_current,
        };
        Self { working: rows.iter().map(row).collect() }
    }
}
