//! The documents that `--json` prints. `docs/json.md` describes each with an example.
//!
//! - Every document is an object with `"version": 1`; keys are added without a new version, never renamed or removed.
//! - Ids are full hex, times RFC 3339 in UTC, sizes bytes, parameters typed as they are stored.

use serde::Serialize;

use crate::format::config::StorageConfig;
use crate::format::name::{ExportName, Suffix};
use crate::format::params::Params;
use crate::format::record::{ExportRecord, Input, Producer};
use crate::format::run::{RunExport, RunRecord};
use crate::id::{ChunkId, CodeIdentity, CommitId, ContentDigest, PackId, ParamsHash};
use crate::{
    BoundExport, Check, ChunkRow, Damaged, Dependency, HookReport, LogRow, MemberRow, MovedTag, NameStats, PackReport,
    PushOutcome, PushSummary, RemoteGcReport, Stats, Status, VerifySummary,
};

/// Version of all documents.
const VERSION: u32 = 1;

/// A body with its version in front.
#[derive(Debug, Serialize)]
pub(super) struct Document<T> {
    version: u32,
    #[serde(flatten)]
    body: T,
}

/// Puts the version in front of a body.
pub(super) fn document<T: Serialize>(body: T) -> Document<T> {
    Document { version: VERSION, body }
}

/// `ls`, `resolve`, `show`.
#[derive(Debug, Serialize)]
pub(super) struct Exports<'a> {
    pub(super) exports: Vec<Export<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Export<'a> {
    name: &'a ExportName,
    params: &'a Params,
    params_hash: ParamsHash,
    digest: ContentDigest,
    size: u64,
    suffix: &'a Suffix,
    media_type: &'a str,
    producer: &'a Producer,
    inputs: &'a [Input],
    /// `None` for `working`.
    commit: Option<CommitId>,
}

impl<'a> Export<'a> {
    pub(super) fn new(record: &'a ExportRecord, commit: Option<CommitId>) -> Self {
        Self {
            name: &record.name,
            params: &record.params,
            params_hash: record.params.hash(),
            digest: record.digest,
            size: record.size,
            suffix: &record.suffix,
            media_type: &record.media_type,
            producer: &record.producer,
            inputs: &record.inputs,
            commit,
        }
    }
}

impl<'a> From<&'a BoundExport> for Export<'a> {
    fn from(bound: &'a BoundExport) -> Self {
        Self::new(&bound.record, bound.commit)
    }
}

/// `export`.
#[derive(Debug, Serialize)]
pub(super) struct Exported<'a> {
    pub(super) exports: Vec<Export<'a>>,
    /// New bytes in the store.
    pub(super) stored: u64,
    pub(super) unchanged_since: Option<&'a str>,
}

/// `show --members`.
#[derive(Debug, Serialize)]
pub(super) struct Members<'a> {
    members: Vec<MemberJson<'a>>,
}

#[derive(Debug, Serialize)]
struct MemberJson<'a> {
    path: &'a str,
    kind: &'static str,
    size: u64,
    digest: Option<ContentDigest>,
    executable: bool,
    target: Option<&'a str>,
}

impl<'a> From<&'a [MemberRow]> for Members<'a> {
    fn from(rows: &'a [MemberRow]) -> Self {
        let member = |row: &'a MemberRow| MemberJson {
            path: &row.path,
            kind: row.kind,
            size: row.size,
            digest: row.digest,
            executable: row.executable,
            target: row.target.as_deref(),
        };
        Self { members: rows.iter().map(member).collect() }
    }
}

/// `log`.
#[derive(Debug, Serialize)]
pub(super) struct Runs<'a> {
    pub(super) runs: Vec<Run<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Run<'a> {
    commit: CommitId,
    time: String,
    #[serde(flatten)]
    executed: Executed<'a>,
    parent_branch: Option<&'a str>,
    parent_method: Option<&'a str>,
}

impl<'a> From<&'a LogRow> for Run<'a> {
    fn from(row: &'a LogRow) -> Self {
        Self {
            commit: row.commit,
            time: super::render::rfc3339(row.time_unix),
            executed: Executed {
                path: row.path.as_deref(),
                original: row.original.as_deref(),
                params: &row.params,
                params_hash: row.params.hash(),
                notebook: row.notebook.map(|(digest, _)| digest),
                size: row.notebook.map(|(_, size)| size),
                code_identity: row.code_identity,
                exports: &row.exports,
                inputs: &row.inputs,
            },
            parent_branch: row.parent_branch.as_deref(),
            parent_method: row.parent_method.as_deref(),
        }
    }
}

/// One execution of a notebook, as `log` and `addnb` show it. Exports of scripts and the shell have no notebook.
#[derive(Debug, Serialize)]
pub(super) struct Executed<'a> {
    path: Option<&'a str>,
    original: Option<&'a str>,
    params: &'a Params,
    params_hash: ParamsHash,
    notebook: Option<ContentDigest>,
    size: Option<u64>,
    code_identity: Option<CodeIdentity>,
    exports: &'a [RunExport],
    inputs: &'a [Input],
}

impl<'a> From<&'a RunRecord> for Executed<'a> {
    fn from(run: &'a RunRecord) -> Self {
        Self {
            path: Some(&run.path),
            original: run.original.as_deref(),
            params: &run.params,
            params_hash: run.params.hash(),
            notebook: Some(run.notebook),
            size: Some(run.size),
            code_identity: Some(run.code_identity),
            exports: &run.exports,
            inputs: &run.inputs,
        }
    }
}

/// `addnb`.
#[derive(Debug, Serialize)]
pub(super) struct Notebooks<'a> {
    pub(super) notebooks: Vec<Notebook<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Notebook<'a> {
    #[serde(flatten)]
    pub(super) run: Executed<'a>,
    pub(super) staged: &'a [String],
    pub(super) warnings: &'a [String],
}

/// `status`.
#[derive(Debug, Serialize)]
pub(super) struct State<'a> {
    name: &'a str,
    uncommitted: Vec<Uncommitted<'a>>,
    untagged: Vec<Untagged<'a>>,
    unpushed: &'a [String],
    stale: Vec<Stale<'a>>,
    moved: Vec<Moved<'a>>,
    conflicts: Vec<super::json_git::Conflicted<'a>>,
    disputed: Vec<super::json_git::Disputed<'a>>,
    problems: Vec<Problem<'a>>,
    hooks: Hooks<'a>,
}

#[derive(Debug, Serialize)]
struct Uncommitted<'a> {
    /// `new`, `changed` or `removed`.
    state: &'a str,
    staged: bool,
    #[serde(flatten)]
    export: Export<'a>,
}

#[derive(Debug, Serialize)]
struct Untagged<'a> {
    commit: CommitId,
    subject: &'a str,
}

#[derive(Debug, Serialize)]
struct Stale<'a> {
    export: &'a str,
    input: &'a str,
}

#[derive(Debug, Serialize)]
struct Moved<'a> {
    tag: &'a str,
    local: CommitId,
    remote: CommitId,
}

impl<'a> From<&'a MovedTag> for Moved<'a> {
    fn from(moved: &'a MovedTag) -> Self {
        Self { tag: &moved.tag, local: moved.local, remote: moved.remote }
    }
}

#[derive(Debug, Serialize)]
struct Problem<'a> {
    path: &'a str,
    reason: &'a str,
}

impl<'a> From<&'a Status> for State<'a> {
    fn from(status: &'a Status) -> Self {
        let uncommitted = status.uncommitted.iter().map(|row| Uncommitted {
            state: row.state,
            staged: row.staged,
            export: Export::new(&row.record, None),
        });
        let problems = status.problems.iter().map(|(path, reason)| Problem { path, reason });
        Self {
            name: &status.name,
            uncommitted: uncommitted.collect(),
            untagged: status.untagged.iter().map(|(commit, subject)| Untagged { commit: *commit, subject }).collect(),
            unpushed: &status.unpushed,
            stale: status.stale.iter().map(|row| Stale { export: &row.export, input: &row.input }).collect(),
            moved: status.moved.iter().map(Moved::from).collect(),
            conflicts: super::json_git::conflicts(status),
            disputed: status.disputed.iter().map(super::json_git::Disputed::from).collect(),
            problems: problems.collect(),
            hooks: Hooks::from(&status.hooks),
        }
    }
}

/// State of the hooks, alone in `hooks` and as a part of `status`.
#[derive(Debug, Serialize)]
pub(super) struct Hooks<'a> {
    current: bool,
    dead_path: Option<String>,
    events: Vec<HookEvent<'a>>,
}

#[derive(Debug, Serialize)]
struct HookEvent<'a> {
    event: &'a str,
    /// `installed`, `outdated` or `missing`.
    state: &'a str,
}

impl<'a> From<&'a HookReport> for Hooks<'a> {
    fn from(report: &'a HookReport) -> Self {
        Self {
            current: report.is_current(),
            dead_path: report.dead_path.as_ref().map(|path| path.to_string_lossy().into_owned()),
            events: report.events.iter().map(|(event, state)| HookEvent { event, state }).collect(),
        }
    }
}

/// `hooks install|uninstall|status`.
#[derive(Debug, Serialize)]
pub(super) struct HooksReport<'a> {
    pub(super) hooks: Hooks<'a>,
}

/// `stats`.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    raw: u64,
    unique: u64,
    stored: u64,
    pub(super) saved: Saved,
    contents: u64,
    chunks: u64,
    packs: u64,
    exports: Vec<ExportFigures>,
}

/// What one export has in the store.
#[derive(Debug, Serialize)]
struct ExportFigures {
    name: String,
    versions: u64,
    raw: u64,
    stored: u64,
}

/// Where `raw - stored` went. Negative where a small store costs more than it saves.
#[derive(Debug, Serialize)]
pub(super) struct Saved {
    pub(super) dedup: i64,
    pub(super) delta: i64,
    pub(super) compression: i64,
}

impl From<&Stats> for Figures {
    fn from(stats: &Stats) -> Self {
        let less = |from: u64, to: u64| i64::try_from(i128::from(from) - i128::from(to)).unwrap_or(i64::MAX);
        Self {
            raw: stats.raw,
            unique: stats.unique,
            stored: stats.stored,
            saved: Saved {
                dedup: less(stats.raw, stats.unique),
                delta: less(stats.delta_saved, 0),
                compression: less(stats.unique, stats.stored + stats.delta_saved),
            },
            contents: stats.contents,
            chunks: stats.chunks,
            packs: stats.packs,
            exports: stats
                .names
                .iter()
                .map(|NameStats { name, versions, raw, stored }| ExportFigures {
                    name: name.clone(),
                    versions: *versions,
                    raw: *raw,
                    stored: *stored,
                })
                .collect(),
        }
    }
}

/// `verify`.
#[derive(Debug, Serialize)]
pub(super) struct Verified<'a> {
    contents: u64,
    bytes: u64,
    damaged: Vec<DamagedObject<'a>>,
    absent: &'a [String],
    repaired: &'a [String],
}

#[derive(Debug, Serialize)]
struct DamagedObject<'a> {
    object: &'a str,
    exports: &'a [String],
    fix: &'a str,
}

impl<'a> From<&'a Damaged> for DamagedObject<'a> {
    fn from(damaged: &'a Damaged) -> Self {
        Self { object: &damaged.object, exports: &damaged.exports, fix: &damaged.fix }
    }
}

impl<'a> From<&'a VerifySummary> for Verified<'a> {
    fn from(summary: &'a VerifySummary) -> Self {
        Self {
            contents: summary.contents,
            bytes: summary.bytes,
            damaged: summary.damaged.iter().map(DamagedObject::from).collect(),
            absent: &summary.absent,
            repaired: &summary.repaired,
        }
    }
}

/// `push`.
#[derive(Debug, Serialize)]
pub(super) struct Pushed<'a> {
    /// `None` where storage is local.
    remote: Option<&'a str>,
    revs: Vec<PushedRev<'a>>,
    exports: usize,
    packs: u64,
    bytes_sent: u64,
    requests: u64,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct PushedRev<'a> {
    rev: &'a str,
    /// `pushed`, `already_there`, `skipped` or `refused`.
    outcome: &'static str,
    /// Exports whose data is neither here nor there, for `skipped`.
    missing: &'a [String],
    /// What is wrong, for `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// What to do about it, for `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> From<&'a PushSummary> for Pushed<'a> {
    fn from(summary: &'a PushSummary) -> Self {
        let revs = summary.revs.iter().map(|(rev, result)| {
            let plain = |outcome| PushedRev { rev, outcome, missing: &[], reason: None, hint: None };
            match result {
                PushOutcome::Pushed => plain("pushed"),
                PushOutcome::AlreadyThere => plain("already_there"),
                PushOutcome::Deleted => plain("deleted"),
                PushOutcome::AlreadyDeleted => plain("already_deleted"),
                PushOutcome::Skipped(missing) => PushedRev { missing, ..plain("skipped") },
                PushOutcome::Refused { reason, hint } => {
                    PushedRev { reason: Some(reason), hint: Some(hint), ..plain("refused") }
                }
            }
        });
        Self {
            remote: Some(summary.remote.as_str()).filter(|remote| !remote.is_empty()),
            revs: revs.collect(),
            exports: summary.exports,
            packs: summary.packs,
            bytes_sent: summary.bytes_sent,
            requests: summary.requests,
            warnings: &summary.warnings,
        }
    }
}

/// `pull`.
#[derive(Debug, Serialize)]
pub(super) struct Pulled {
    pub(super) exports: usize,
    pub(super) fetched: usize,
    pub(super) bytes_received: u64,
    pub(super) missing: Vec<String>,
}

/// `gc --remote`.
#[derive(Debug, Serialize)]
pub(super) struct Collected {
    pushes: u64,
    packs: u64,
    objects: u64,
    bytes: u64,
    dry_run: bool,
}

impl Collected {
    pub(super) fn new(report: &RemoteGcReport, dry_run: bool) -> Self {
        let RemoteGcReport { pushes, packs, objects, bytes } = *report;
        Self { pushes, packs, objects, bytes, dry_run }
    }
}

/// `get` and `nb get`.
#[derive(Debug, Serialize)]
pub(super) struct Files {
    pub(super) files: Vec<WrittenFile>,
}

#[derive(Debug, Serialize)]
pub(super) struct WrittenFile {
    pub(super) path: String,
    pub(super) size: u64,
}

/// `deps`.
#[derive(Debug, Serialize)]
pub(super) struct Dependencies<'a> {
    pub(super) dependencies: Vec<DependencyRow<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct DependencyRow<'a> {
    depth: usize,
    #[serde(flatten)]
    input: &'a Input,
    /// The content at HEAD now, where it differs.
    now: Option<ContentDigest>,
}

impl<'a> From<&'a Dependency> for DependencyRow<'a> {
    fn from(dependency: &'a Dependency) -> Self {
        Self { depth: dependency.depth, input: &dependency.input, now: dependency.now }
    }
}

/// `doctor` and `remote check`.
#[derive(Debug, Serialize)]
pub(super) struct Checks<'a> {
    pub(super) checks: Vec<CheckRow<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct CheckRow<'a> {
    name: &'a str,
    ok: bool,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Check> for CheckRow<'a> {
    fn from(check: &'a Check) -> Self {
        Self { name: &check.name, ok: check.ok, message: &check.message, hint: check.hint.as_deref() }
    }
}

/// `init`.
#[derive(Debug, Serialize)]
pub(super) struct Initialised<'a> {
    pub(super) name: &'a str,
    pub(super) storage: &'a str,
    pub(super) staged: &'a [String],
    pub(super) hooks: &'a [String],
}

/// `config`.
#[derive(Debug, Serialize)]
pub(super) struct Settings<'a> {
    pub(super) settings: Vec<Setting<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Setting<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    pub(super) origin: &'a str,
}

/// `remote show|add|set`.
#[derive(Debug, Serialize)]
pub(super) struct Remotes<'a> {
    pub(super) remotes: Vec<Remote<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Remote<'a> {
    url: &'a str,
    endpoint_url: Option<&'a str>,
    region: Option<&'a str>,
    /// `tracked`, `local` or `user`.
    origin: &'a str,
    approved: bool,
}

impl<'a> Remote<'a> {
    pub(super) fn new(storage: &'a StorageConfig, origin: &'a str, approved: bool) -> Self {
        Self {
            url: &storage.url,
            endpoint_url: storage.endpoint_url.as_deref(),
            region: storage.region.as_deref(),
            origin,
            approved,
        }
    }
}

/// `remote approve`.
#[derive(Debug, Serialize)]
pub(super) struct Approved<'a> {
    pub(super) approved: Vec<&'a str>,
}

/// `rm`.
#[derive(Debug, Serialize)]
pub(super) struct Removed<'a> {
    pub(super) removed: Vec<&'a str>,
}

/// `bind`.
#[derive(Debug, Serialize)]
pub(super) struct Bound<'a> {
    pub(super) bound: Vec<&'a str>,
}

/// `unbind`.
#[derive(Debug, Serialize)]
pub(super) struct Unbound<'a> {
    pub(super) unbound: Vec<&'a str>,
}

/// `reindex`.
#[derive(Debug, Serialize)]
pub(super) struct Reindexed {
    pub(super) commits: u64,
}

/// `hash-object` and `write-object`.
#[derive(Debug, Serialize)]
pub(super) struct Objects {
    pub(super) objects: Vec<Object>,
}

#[derive(Debug, Serialize)]
pub(super) struct Object {
    pub(super) digest: ContentDigest,
    pub(super) size: u64,
}

/// `ls-chunks`.
#[derive(Debug, Serialize)]
pub(super) struct Chunks {
    pub(super) chunks: Vec<Chunk>,
}

#[derive(Debug, Serialize)]
pub(super) struct Chunk {
    id: ChunkId,
    offset: u64,
    size: u64,
    /// `content`, `max` or `end`.
    cut: &'static str,
}

impl From<&ChunkRow> for Chunk {
    fn from(row: &ChunkRow) -> Self {
        Self { id: row.id, offset: row.offset, size: row.len, cut: row.cut }
    }
}

/// `show-pack` and `verify-pack`.
#[derive(Debug, Serialize)]
pub(super) struct Packs<'a> {
    pub(super) packs: Vec<Pack<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Pack<'a> {
    id: PackId,
    class: &'static str,
    sealed: bool,
    frames: Vec<Frame>,
    damaged: &'a [String],
}

#[derive(Debug, Serialize)]
struct Frame {
    offset: u64,
    kind: &'static str,
    codec: &'static str,
    raw: u64,
    stored: u64,
    keys: usize,
}

impl<'a> From<&'a PackReport> for Pack<'a> {
    fn from(report: &'a PackReport) -> Self {
        let frames = report.frames.iter().map(|frame| Frame {
            offset: frame.offset,
            kind: frame.kind,
            codec: frame.codec,
            raw: frame.raw_len,
            stored: frame.stored_len,
            keys: frame.keys,
        });
        Self {
            id: report.id,
            class: report.class,
            sealed: report.sealed,
            frames: frames.collect(),
            damaged: &report.damaged,
        }
    }
}

/// `params-hash`.
#[derive(Debug, Serialize)]
pub(super) struct HashedParams<'a> {
    pub(super) params: &'a Params,
    pub(super) params_hash: ParamsHash,
    pub(super) cbor: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json, to_value};

    use super::*;

    /// Returns the keys of an object, in order.
    fn keys(json: &Json) -> Vec<&str> {
        json.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    }

    fn record() -> ExportRecord {
        ExportRecord {
            name: ExportName::parse("Report").expect("good"),
            params: Params::from_assignments(["big=18446744073709551616", "scale=1.0", "year=2023"]).expect("good"),
            digest: ContentDigest::of(b"abc"),
            size: 3,
            suffix: Suffix::parse(".csv").expect("good"),
            media_type: "text/csv".to_owned(),
            producer: Producer::default(),
            inputs: Vec::new(),
            value: Some(json!(1)),
        }
    }

    #[test]
    fn an_export_row_has_the_keys_that_the_page_shows() {
        let record = record();
        let row = to_value(Export::new(&record, None)).expect("JSON");
        let page: Json = include_str!("../../docs/json.md")
            .split("```json\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .and_then(|text| serde_json::from_str(text).ok())
            .expect("the page starts with export rows");
        let shown = page.pointer("/exports/0").expect("a row");
        assert_eq!(keys(&row), keys(shown));
        assert!(row.get("commit").is_some_and(Json::is_null));
    }

    #[test]
    fn the_version_comes_first_and_numbers_keep_their_type() {
        let record = record();
        let body = Exports { exports: vec![Export::new(&record, None)] };
        let text = serde_json::to_string(&document(body)).expect("JSON");
        assert!(text.starts_with(r#"{"version":1,"exports":[{"name":"Report","params":{"#), "{text}");
        assert!(text.contains(r#""params":{"big":18446744073709551616,"scale":1.0,"year":2023}"#), "{text}");
    }

    #[test]
    fn what_was_saved_adds_up_also_where_it_is_negative() {
        for (raw, unique, stored, delta_saved) in [(1000, 400, 100, 250), (10, 10, 300, 0), (0, 0, 0, 0)] {
            let stats = Stats { raw, unique, stored, delta_saved, ..Stats::default() };
            let saved = Figures::from(&stats).saved;
            let sum = i128::from(saved.dedup) + i128::from(saved.delta) + i128::from(saved.compression);
            assert_eq!(sum, i128::from(raw) - i128::from(stored));
        }
    }

    #[test]
    fn flattened_rows_keep_numbers_as_numbers() {
        let record = record();
        let row = Uncommitted { state: "new", staged: false, export: Export::new(&record, None) };
        let text = serde_json::to_string(&row).expect("JSON");
        assert!(text.starts_with(r#"{"state":"new","staged":false,"name":"Report","#), "{text}");
        assert!(text.contains(r#""year":2023"#), "{text}");
    }
}
