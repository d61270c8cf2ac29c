//! What the facade takes and gives: plain values, shared by the command line, Python and Rust callers.

use std::path::PathBuf;

use crate::backend::CloudContext;
use crate::format::config::StorageConfig;
use crate::format::name::{ExportName, Suffix};
use crate::format::params::Params;
use crate::format::record::{ExportRecord, Input};
use crate::format::run::{Receipt, RunExport, RunRecord};
pub use crate::format::spec::Spec;
use crate::format::table::TableSummary;
use crate::id::{ChunkId, CodeIdentity, CommitId, ContentDigest, PackId, RunId};
pub use crate::sync::OfflineNote;

/// What the front ends know of the machine; the library itself reads no environment and no home directory.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The user's configuration directory, `$XDG_CONFIG_HOME/onenb`.
    pub config_dir: Option<PathBuf>,
    /// The cache, `$XDG_CACHE_HOME/onenb`; may be deleted at any time.
    pub cache_dir: Option<PathBuf>,
    /// The machine's configuration, `/etc/onenb/config.toml`.
    pub system_config: Option<PathBuf>,
    /// A remote that the user approved for this process, `ONENB_REMOTE`.
    pub approved_remote: Option<String>,
    /// The running `onenb` program, which hooks will call.
    pub program: Option<PathBuf>,
    /// What the machine and its user say about clouds.
    pub cloud: CloudContext,
    /// Where it is written that a remote could not be reached and the cache answered.
    pub offline: OfflineNote,
    /// Whether Git runs us inside a hook, so that its environment names the repository.
    pub in_hook: bool,
}

/// Progress of long work. `total` is `None` while it is unknown.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What is being done, one verb in the -ing form.
    pub doing: &'static str,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, if known.
    pub total: Option<u64>,
}

/// Hears about progress; returns `false` to interrupt the work.
pub type ProgressFn<'a> = &'a mut dyn FnMut(Progress) -> bool;

/// How `init` sets a repository up.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// The repository's name; the work tree's folder name if absent.
    pub name: Option<String>,
    /// Where data is pushed; `None` keeps it local.
    pub storage: Option<StorageConfig>,
    /// Credential profile for that place, kept in the user's configuration.
    pub profile: Option<String>,
    /// Do not install hooks.
    pub no_hooks: bool,
}

/// What `init` did.
#[derive(Debug, Clone)]
pub struct InitReport {
    /// The repository's name.
    pub name: String,
    /// Files written and staged, below the work tree.
    pub staged: Vec<String>,
    /// Hook events installed.
    pub hooks: Vec<String>,
    /// Where data is pushed, for people.
    pub storage: String,
}

/// What is being exported and by whom.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Name of the export.
    pub name: ExportName,
    /// Its parameters.
    pub params: Params,
    /// File name suffix.
    pub suffix: Suffix,
    /// Notebook or script that makes it, as a path of this machine; `None` for the shell.
    pub producer: Option<PathBuf>,
    /// What was read before in the same run.
    pub inputs: Vec<Input>,
    /// The kernel session, for the receipt.
    pub run: Option<RunId>,
    /// Source text of the cell that exports, for the receipt.
    pub cell_source: Option<String>,
}

/// What an export became.
#[derive(Debug, Clone)]
pub struct ExportOutcome {
    /// The record that was written below `.1nb/exports`.
    pub record: ExportRecord,
    /// New bytes in the store, after deduplication and compression.
    pub stored_len: u64,
    /// The newest tag or commit (short) that has the identical content for this key.
    pub unchanged_since: Option<String>,
    /// The receipt to leave in the notebook, if a run was given.
    pub receipt: Option<Receipt>,
}

/// One export as a snapshot or the work tree has it.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundExport {
    /// The record.
    pub record: ExportRecord,
    /// The commit that bound it; `None` for `working`.
    pub commit: Option<CommitId>,
}

/// A tag whose local commit is not the one the remote has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTag {
    /// The tag.
    pub tag: String,
    /// The commit it names here.
    pub local: CommitId,
    /// The commit it names on the remote.
    pub remote: CommitId,
}

/// A resolved specification; [`crate::Workspace::open`] reads its content.
#[derive(Debug, Clone)]
pub struct ResolvedExport {
    /// Name or URL of the repository.
    pub repo: String,
    /// Revision as it was asked for.
    pub rev: String,
    /// The export.
    pub export: BoundExport,
    /// Set if the tag moved: the local one was read.
    pub moved: Option<MovedTag>,
    pub(super) place: super::read::Place,
}

/// An export that was made in this work tree.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkingExport {
    /// Its record.
    pub record: ExportRecord,
    /// When it was made, microseconds since 1970.
    pub time_us: i64,
    /// Whether it is what `working` names.
    pub is_current: bool,
}

/// One notebook that `addnb` recorded.
#[derive(Debug, Clone)]
pub struct AddedNotebook {
    /// The run record.
    pub run: RunRecord,
    /// Files staged, below the work tree.
    pub staged: Vec<String>,
    /// What the user should know: unreadable parameters, missing receipts.
    pub warnings: Vec<String>,
}

/// What to push.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own that the user names")]
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Tags, branches or commits; empty means every tag that is not on the remote yet.
    pub revs: Vec<String>,
    /// Every tag, also confirmed ones.
    pub all: bool,
    /// Create the remote if it does not exist.
    pub create: bool,
    /// Only say what would be sent.
    pub dry_run: bool,
    /// Let tags move on the remote.
    pub force: bool,
    /// Tag, or revision uploaded without one, to delete on the remote.
    pub delete: Option<String>,
    /// Tag whose earlier commits the remote need not keep.
    pub forget_history: Option<String>,
}

/// What became of one revision of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// Its data and name are on the remote now.
    Pushed,
    /// They were there already.
    AlreadyThere,
    /// Its name, or what was uploaded without one, is deleted there; in a dry run, it would be.
    Deleted,
    /// It was deleted there before.
    AlreadyDeleted,
    /// Skipped because its data is neither here nor there: labels of the missing exports.
    Skipped(Vec<String>),
    /// Not sent: the remote has the tag for another commit, or its runs do not declare their parameters.
    Refused {
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
}

/// What a push did.
#[derive(Debug, Clone, Default)]
pub struct PushSummary {
    /// Where to, for people. Empty when storage is local.
    pub remote: String,
    /// Revisions with their outcomes.
    pub revs: Vec<(String, PushOutcome)>,
    /// Exports named by the pushed snapshots.
    pub exports: usize,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Packs sent.
    pub packs: u64,
    /// Requests made; in a dry run, those that a push would make.
    pub requests: u64,
    /// Whether this made the place a remote.
    pub is_created: bool,
    /// Whether the place is no remote yet, and there was nothing to make it one for.
    pub is_absent: bool,
    /// One line each.
    pub warnings: Vec<String>,
}

/// What a pull fetched.
#[derive(Debug, Clone, Default)]
pub struct PullSummary {
    /// Exports that are readable from the local store now.
    pub exports: usize,
    /// Contents that had to be fetched.
    pub fetched: usize,
    /// Bytes received.
    pub bytes_received: u64,
    /// Set if the remote has the tag for another commit: what the local one names was fetched.
    pub moved: Option<MovedTag>,
    /// Tags some of whose data is neither here nor on the remote; only a pull of all tags goes on without.
    pub missing: Vec<String>,
}

/// One row of `log`.
#[derive(Debug, Clone)]
pub struct LogRow {
    /// The commit that has the run.
    pub commit: CommitId,
    /// Its time, seconds since 1970 UTC.
    pub time_unix: i64,
    /// The notebook or script that ran; `None` for the shell.
    pub path: Option<String>,
    /// The notebook it was executed from, if that is another file.
    pub original: Option<String>,
    /// Content and length of the executed notebook; `None` for scripts and the shell.
    pub notebook: Option<(ContentDigest, u64)>,
    /// Parameters of the run.
    pub params: Params,
    /// What it exported.
    pub exports: Vec<RunExport>,
    /// Identity of its code, where it is known.
    pub code_identity: Option<CodeIdentity>,
    /// What it read.
    pub inputs: Vec<Input>,
    /// Branch it was made on started from this one, if known.
    pub parent_branch: Option<String>,
    /// How the parent branch was found: `config`, `captured`, `reflog`, `upstream`, `is-base`, `default`.
    pub parent_method: Option<String>,
}

/// An export in the work tree that no commit has yet.
#[derive(Debug, Clone)]
pub struct UncommittedExport {
    /// The record in the work tree; `None` for a record that was deleted.
    pub record: ExportRecord,
    /// `new`, `changed` or `removed` against HEAD.
    pub state: &'static str,
    /// Whether the record is staged.
    pub staged: bool,
}

/// An export whose input has a newer content now.
#[derive(Debug, Clone)]
pub struct StaleExport {
    /// Label of the export.
    pub export: String,
    /// Label of the input that changed.
    pub input: String,
}

/// The state of the hooks.
#[derive(Debug, Clone)]
pub struct HookReport {
    /// Event and whether our block is in the file Git runs: `installed`, `outdated`, `missing`.
    pub events: Vec<(String, String)>,
    /// The recorded program if it no longer exists.
    pub dead_path: Option<PathBuf>,
}

impl HookReport {
    /// Returns whether every hook is installed and current.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.dead_path.is_none() && self.events.iter().all(|(_, state)| state == "installed")
    }
}

/// A side of a merge, in Git's words: while rebasing, `ours` is the branch that is being rebased onto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The branch that is checked out.
    Ours,
    /// The branch that is being merged.
    Theirs,
}

/// A record that both sides of an unfinished merge changed.
#[derive(Debug, Clone)]
pub struct RecordConflict {
    /// The record's path below the work tree.
    pub path: String,
    /// What our side has; `None` if it removed the export.
    pub ours: Option<ExportRecord>,
    /// What their side has; `None` if it removed the export.
    pub theirs: Option<ExportRecord>,
}

impl RecordConflict {
    /// Shows the export as people write it; the path where neither side can be read.
    #[must_use]
    pub fn label(&self) -> String {
        self.ours.as_ref().or(self.theirs.as_ref()).map_or_else(|| self.path.clone(), ExportRecord::label)
    }
}

/// A run record that both sides of an unfinished merge changed, because both ran the notebook again.
#[derive(Debug, Clone)]
pub struct RunConflict {
    /// The record's path below the work tree.
    pub path: String,
    /// What our side has; `None` if it removed the run.
    pub ours: Option<RunRecord>,
    /// What their side has; `None` if it removed the run.
    pub theirs: Option<RunRecord>,
}

impl RunConflict {
    /// Shows the notebook and its parameters; the record's path where neither side can be read.
    #[must_use]
    pub fn label(&self) -> String {
        let run = self.ours.as_ref().or(self.theirs.as_ref());
        run.map_or_else(|| self.path.clone(), |run| format!("{}{}", run.path, run.params))
    }

    /// Returns what the runs of both sides exported: each export once, in order.
    #[must_use]
    pub fn exports(&self) -> Vec<(ExportName, Params)> {
        let mut found: Vec<(ExportName, Params)> = Vec::new();
        for export in self.ours.iter().chain(&self.theirs).flat_map(|run| &run.exports) {
            if !found.iter().any(|(name, params)| *name == export.name && *params == export.params) {
                found.push((export.name.clone(), export.params.clone()));
            }
        }
        found
    }
}

/// An export that a merge has from its first parent only because that is the first: both sides bound it late.
#[derive(Debug, Clone)]
pub struct Dispute {
    /// The merge.
    pub merge: CommitId,
    /// What it has, from its first parent.
    pub ours: ExportRecord,
    /// What another parent has.
    pub theirs: ExportRecord,
    /// The command that takes the other one.
    pub fix: String,
}

/// One export that differs between two revisions.
#[derive(Debug, Clone)]
pub struct DiffRow {
    /// The export before; `None` if it was added.
    pub old: Option<DiffSide>,
    /// The export after; `None` if it was removed.
    pub new: Option<DiffSide>,
    /// Bytes of the new content that are chunks of the old one too; `None` where one of them is not in the local store.
    pub shared: Option<u64>,
}

/// One side of a difference.
#[derive(Debug, Clone)]
pub struct DiffSide {
    /// The export.
    pub record: ExportRecord,
    /// What kind of table it is, where it is one and its data is here.
    pub table: Option<TableSummary>,
}

/// What `status` says.
#[derive(Debug, Clone)]
pub struct Status {
    /// Name of the repository.
    pub name: String,
    /// Exports not in HEAD.
    pub uncommitted: Vec<UncommittedExport>,
    /// Commits (HEAD's history) with exports that no tag reaches: commit and subject.
    pub untagged: Vec<(CommitId, String)>,
    /// Tags with exports that this machine has not seen confirmed on the remote.
    pub unpushed: Vec<String>,
    /// Exports whose inputs changed.
    pub stale: Vec<StaleExport>,
    /// Tags that moved.
    pub moved: Vec<MovedTag>,
    /// Records that both sides of an unfinished merge changed.
    pub conflicts: Vec<RecordConflict>,
    /// Run records that both sides of an unfinished merge changed.
    pub run_conflicts: Vec<RunConflict>,
    /// Exports that only the order of a merge's parents decided.
    pub disputed: Vec<Dispute>,
    /// Damaged records and disputed receipts: path and reason.
    pub problems: Vec<(String, String)>,
    /// Hooks.
    pub hooks: HookReport,
}

/// One damaged object.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// The object, for people.
    pub object: String,
    /// Labels of the exports that need it, with a revision each.
    pub exports: Vec<String>,
    /// What to do.
    pub fix: String,
}

/// What `verify` found.
#[derive(Debug, Clone, Default)]
pub struct VerifySummary {
    /// Exports checked (distinct contents).
    pub contents: u64,
    /// Bytes of packs read.
    pub bytes: u64,
    /// Damage.
    pub damaged: Vec<Damaged>,
    /// Labels of exports whose data is not in the local store (perhaps on the remote): no damage.
    pub absent: Vec<String>,
    /// With repair: what was damaged before and is not any more.
    pub repaired: Vec<String>,
}

/// What `stats` says; all in bytes unless said.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Sum of the lengths of all contents.
    pub raw: u64,
    /// Raw bytes of distinct chunks.
    pub unique: u64,
    /// Bytes in the store's packs.
    pub stored: u64,
    /// What delta frames are smaller than their chunks.
    pub delta_saved: u64,
    /// Number of contents.
    pub contents: u64,
    /// Number of distinct chunks.
    pub chunks: u64,
    /// Number of packs.
    pub packs: u64,
    /// What each export has of it, the largest first.
    pub names: Vec<NameStats>,
}

/// What one export has in a store, all its versions and parameter sets together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameStats {
    /// The export's name.
    pub name: String,
    /// Number of different contents.
    pub versions: u64,
    /// Sum of their lengths in bytes.
    pub raw: u64,
    /// Its share of the packs in bytes.
    pub stored: u64,
}

/// What `reindex` counted.
#[derive(Debug, Clone, Default)]
pub struct ReindexSummary {
    /// Commits indexed.
    pub commits: u64,
}

/// One finding of `doctor`.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it is fine.
    pub ok: bool,
    /// What was seen.
    pub message: String,
    /// The next command, where there is one.
    pub hint: Option<String>,
}

/// What a hook has to say.
#[derive(Debug, Clone, Default)]
pub struct HookOutcome {
    /// Lines for stderr, without the leading `onenb: `.
    pub lines: Vec<String>,
    /// Whether Git must stop.
    pub refuse: bool,
}

/// One chunk of a content, for `ls-chunks`.
#[derive(Debug, Clone)]
pub struct ChunkRow {
    /// The chunk.
    pub id: ChunkId,
    /// Where it starts in the content.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// Why it ends there: `content`, `max` or `end`.
    pub cut: &'static str,
}

/// One frame of a pack, for `show-pack`.
#[derive(Debug, Clone)]
pub struct FrameRow {
    /// Where the frame starts in the pack.
    pub offset: u64,
    /// `chunks`, `object` or `marker`.
    pub kind: &'static str,
    /// `raw` or `zstd`.
    pub codec: &'static str,
    /// Decoded length of the payload.
    pub raw_len: u64,
    /// Stored length of the payload.
    pub stored_len: u64,
    /// Number of chunks or keys.
    pub keys: usize,
}

/// What `show-pack` and `verify-pack` say of one pack file.
#[derive(Debug, Clone)]
pub struct PackReport {
    /// The pack.
    pub id: PackId,
    /// `data` or `metadata`.
    pub class: &'static str,
    /// Whether it has its footer.
    pub sealed: bool,
    /// Its frames.
    pub frames: Vec<FrameRow>,
    /// Damage found, one line each.
    pub damaged: Vec<String>,
}

/// One input of an export and its state now, for `deps`.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The input as it was read.
    pub input: Input,
    /// Distance from the export asked for: 1 for direct inputs.
    pub depth: usize,
    /// The content the same name has at HEAD now, if it differs.
    pub now: Option<ContentDigest>,
}

/// What `pull` should fetch.
#[derive(Debug, Clone)]
pub enum PullTarget {
    /// All exports of a revision.
    Rev(String),
    /// One export.
    Export(Spec),
    /// All exports of every tag.
    All,
}
