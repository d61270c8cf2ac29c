//! Pushing tags: plan, send, commit in the log, name.
//!
//! Packs, index segment, snapshots, the log's commit entry, tag records: each step is durable before the next one names
//! it. The commit entry is the moment of truth. Until it exists nothing of the push counts, and from then on anybody
//! who repeats the push only writes the tag records that are missing.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{RemoteBody, session_of_pack};
use super::log::LogState;
use super::packer::Packer;
use super::plan::{ChunkSource, LocalContent, Plan, Planned, place_of, plan};
use super::remote::Remote;
use super::resume::Session;
use super::tags::tag_key;
use super::upload::uploading;
use super::{Progress, SyncError};
use crate::backend::Key;
use crate::error::Result;
use crate::format::record::ExportRecord;
use crate::format::remote_log::{LogOp, RepoIdentity, SnapshotRef, TagMove};
use crate::format::run::RunRecord;
use crate::format::snapshot::needs_of;
use crate::format::snapshot::{Segment, Snapshot};
use crate::format::tables::{DataTables, TablesBuilder};
use crate::id::{CommitId, ContentDigest, SessionId};

/// How often a push starts over because garbage collection took what it builds on.
const MAX_RESTARTS: u32 = 4;

/// One tag, or one commit without a tag, to push.
#[derive(Debug, Clone, PartialEq)]
pub struct TagToPush {
    /// The tag; `None` uploads the commit's snapshot without naming it.
    pub tag: Option<String>,
    /// The commit.
    pub commit: CommitId,
    /// The exports of its snapshot.
    pub exports: Vec<ExportRecord>,
    /// The runs of its snapshot.
    pub runs: Vec<RunRecord>,
    /// Contents that these name: the members of directories, with what people call them.
    pub members: Vec<(ContentDigest, String)>,
    /// Whether a tag that names another commit there is moved, and a commit that is there is sent again after reading
    /// what it builds on.
    pub force: bool,
}

impl TagToPush {
    /// Returns every content that the tag needs, with what people call it.
    pub(super) fn needs(&self) -> impl Iterator<Item = (ContentDigest, String)> + use<'_> {
        needs_of(&self.exports, &self.runs).chain(self.members.iter().cloned())
    }
}

/// What to push.
#[derive(Debug, Clone, PartialEq)]
pub struct PushRequest {
    /// The repository, as it is known to a remote that is new.
    pub repo: RepoIdentity,
    /// The tags, each at most once.
    pub tags: Vec<TagToPush>,
    /// Only plan: nothing is written.
    pub dry_run: bool,
}

/// How the push of one tag ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagOutcome {
    /// It is on the remote now; in a dry run, it would be.
    Pushed,
    /// It was there before.
    AlreadyThere,
    /// Neither side has the data of these exports and notebooks.
    MissingLocally(Vec<String>),
    /// The remote's tag names another commit, and the push was not forced.
    Conflict {
        /// The commit there.
        remote_commit: CommitId,
    },
}

/// How a push went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushReport {
    /// Packs sent; in a dry run, how many there would be without compression.
    pub packs: u64,
    /// Bytes of packs sent; in a dry run, raw bytes that would be sent, small contents outside of packs included.
    pub bytes_sent: u64,
    /// Raw bytes of chunks that were there already.
    pub bytes_reused: u64,
    /// Requests made; in a dry run, those that a push would make, without retries and lost races.
    pub requests: u64,
    /// How each tag ended, in the order of the request.
    pub outcomes: Vec<TagOutcome>,
}

/// Pushes tags. Tags that conflict or miss data do not keep the others back.
///
/// # Errors
/// [`SyncError`] for the remote, and whatever the source answers. The remote then names nothing that is absent, and
/// repeating the push completes it.
pub fn push(
    remote: &Remote,
    request: &PushRequest,
    source: &dyn ChunkSource,
    progress: &mut dyn FnMut(Progress),
) -> Result<PushReport> {
    let before = remote.requests();
    let mut report = PushReport::default();
    if let [TagToPush { tag: Some(tag), commit, force: false, .. }] = request.tags.as_slice()
        && remote.is_current(tag, commit)?
    {
        report.outcomes = vec![TagOutcome::AlreadyThere];
        report.requests = remote.requests() - before;
        return Ok(report);
    }
    for _ in 0..MAX_RESTARTS {
        if push_once(remote, request, source, progress, &mut report)? {
            report.requests = remote.requests() - before;
            if request.dry_run {
                report.requests += requests_to_write(remote, request, &report);
            }
            return Ok(report);
        }
    }
    Err(SyncError::Busy { attempts: MAX_RESTARTS }.into())
}

/// Returns how many requests a push makes after the plan: one a pack, the index, a snapshot for each commit, a record
/// for each tag, the marker unless it was read, and two log entries with a look at the newest before each.
fn requests_to_write(remote: &Remote, request: &PushRequest, planned: &PushReport) -> u64 {
    let pushed = request.tags.iter().zip(&planned.outcomes).filter(|(_, outcome)| **outcome == TagOutcome::Pushed);
    let pushed: Vec<&TagToPush> = pushed.map(|(tag, _)| tag).collect();
    if pushed.is_empty() {
        return 0;
    }
    let commits: BTreeSet<CommitId> = pushed.iter().map(|tag| tag.commit).collect();
    let named = pushed.iter().filter(|tag| tag.tag.is_some()).count();
    planned.packs + 1 + (commits.len() + named) as u64 + u64::from(!remote.knows_marker()) + 4
}

/// One attempt; `false` means that it has to start over.
fn push_once(
    remote: &Remote,
    request: &PushRequest,
    source: &dyn ChunkSource,
    progress: &mut dyn FnMut(Progress),
    report: &mut PushReport,
) -> Result<bool> {
    let state = match remote.refresh() {
        // What the first push would send can be told before there is a remote.
        Err(SyncError::NotCreated) if request.dry_run => LogState::empty(String::new()),
        other => other?,
    };
    let repo = identity(&state, &request.repo, source)?;
    check_repo(&state, &repo)?;
    let mut outcomes: Vec<_> = request.tags.iter().map(|tag| judge(&state, tag)).collect();
    if !request.dry_run {
        complete_records(remote, &state, request, &outcomes)?;
    }
    let open = |outcomes: &[Option<TagOutcome>]| -> Vec<usize> {
        outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_none()).map(|(number, _)| number).collect()
    };
    let tag_of = |number: &usize| request.tags.get(*number);
    let asked = open(&outcomes);
    let tags: Vec<_> = asked.iter().filter_map(tag_of).collect();
    let (plan, missing) = plan(remote, &state, &tags, source)?;
    for (number, missing) in asked.iter().zip(missing).filter(|(_, missing)| !missing.is_empty()) {
        set(&mut outcomes, *number, TagOutcome::MissingLocally(missing));
    }
    report.bytes_reused = plan.reused_bytes;
    let numbers = open(&outcomes);
    let tags: Vec<_> = numbers.iter().filter_map(tag_of).collect();
    if request.dry_run || tags.is_empty() {
        report.packs = plan.missing_bytes().div_ceil(remote.pack_len as u64);
        report.bytes_sent += plan.missing_bytes() + plan.unlisted_inline_bytes();
        report.outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or(TagOutcome::Pushed)).collect();
        return Ok(true);
    }
    let Some(ends) = send_and_commit(remote, (&state, &repo), &tags, plan, source, progress, report)? else {
        return Ok(false);
    };
    for (number, end) in numbers.into_iter().zip(ends) {
        set(&mut outcomes, number, end);
    }
    report.outcomes = outcomes.into_iter().flatten().collect();
    Ok(true)
}

fn set(outcomes: &mut [Option<TagOutcome>], number: usize, outcome: TagOutcome) {
    if let Some(slot) = outcomes.get_mut(number) {
        *slot = Some(outcome);
    }
}

/// Says how a tag ends without being pushed; `None` if it is to be pushed.
fn judge(state: &LogState, tag: &TagToPush) -> Option<TagOutcome> {
    if tag.force {
        return None;
    }
    match &tag.tag {
        None => state.uploads.contains_key(&tag.commit).then_some(TagOutcome::AlreadyThere),
        Some(name) => match state.tag(name) {
            None => None,
            Some(there) if there.commit == tag.commit => Some(TagOutcome::AlreadyThere),
            Some(there) => Some(TagOutcome::Conflict { remote_commit: there.commit }),
        },
    }
}

/// Writes the tag records that an interrupted push left out.
fn complete_records(
    remote: &Remote,
    state: &LogState,
    request: &PushRequest,
    outcomes: &[Option<TagOutcome>],
) -> Result<(), SyncError> {
    let there = request.tags.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Some(TagOutcome::AlreadyThere));
    let there: Vec<&str> = there.filter_map(|(tag, _)| tag.tag.as_deref()).collect();
    if there.is_empty() {
        return Ok(());
    }
    // One listing answers for a thousand tags; a single tag came here because its record was not found.
    let records = if there.len() > 1 { remote.tag_record_keys()? } else { BTreeSet::new() };
    for tag in there {
        let number = state.tags.get(tag).map_or(0, |named| named.number);
        if !records.contains(&tag_key(tag, number)?) {
            remote.write_tag_record(state, tag)?;
        }
    }
    Ok(())
}

/// Sends the data of a plan and names it. `None` means that the plan no longer holds.
fn send_and_commit(
    remote: &Remote,
    (state, repo): (&LogState, &RepoIdentity),
    tags: &[&TagToPush],
    mut plan: Plan,
    source: &dyn ChunkSource,
    progress: &mut dyn FnMut(Progress),
    report: &mut PushReport,
) -> Result<Option<Vec<TagOutcome>>> {
    let session = Session::start(remote, state)?;
    let mut places = std::mem::take(&mut plan.places);
    for (id, place) in &session.places {
        places.entry(*id).or_insert_with(|| place.clone());
    }
    let sent = uploading(remote.backend(), |uploads| {
        let mut packer = Packer::new(uploads, remote.pack_len, session.id, places, progress);
        packer.send(&plan.missing, source)?;
        plan.places = packer.places;
        Ok(())
    })?;
    report.packs += sent.packs;
    report.bytes_sent += sent.bytes;
    let index = write_segment(remote, &session, &plan)?;
    let (snapshots, packs) = write_snapshots(remote, &session, &repo.name, tags, &plan)?;
    let written = Written { session: session.id, snapshots, packs, listed_by: plan.listed_by, index };
    let ends = commit(remote, repo, tags, &written)?;
    if ends.is_some() {
        session.end(remote);
    }
    Ok(ends)
}

/// What a push has put on the remote and not named yet.
struct Written {
    session: SessionId,
    snapshots: BTreeMap<CommitId, SnapshotRef>,
    packs: BTreeSet<String>,
    /// Pushes that list what this one's segment does not.
    listed_by: BTreeSet<SessionId>,
    index: String,
}

/// Says as which repository to push: the one that the remote knows already, if its first commit is also ours. Which of
/// several beginnings of a history is the first depends on the branch.
fn identity(state: &LogState, ours: &RepoIdentity, source: &dyn ChunkSource) -> Result<RepoIdentity> {
    match &state.repo {
        Some(there @ RepoIdentity { root: Some(root), .. }) if !there.is_same(ours) && source.begins_with(root)? => {
            Ok(there.clone())
        }
        _ => Ok(ours.clone()),
    }
}

/// Refuses a remote that belongs to another repository: tags of both would hide each other.
fn check_repo(state: &LogState, repo: &RepoIdentity) -> Result<(), SyncError> {
    match &state.repo {
        Some(there) if !there.is_same(repo) => {
            Err(SyncError::OtherRepo { there: there.to_string(), here: repo.to_string() })
        }
        _ => Ok(()),
    }
}

/// Appends the commit entry and writes the tag records.
fn commit(
    remote: &Remote,
    repo: &RepoIdentity,
    tags: &[&TagToPush],
    written: &Written,
) -> Result<Option<Vec<TagOutcome>>> {
    let Written { session, snapshots, packs, listed_by, index } = written;
    let session = *session;
    let builds_on: Vec<_> = packs.iter().filter(|pack| session_of_pack(pack) != Some(session)).collect();
    let packs: Vec<_> = packs.iter().cloned().collect();
    let (mut ends, mut holds) = (vec![], true);
    let state = remote.append(|state| {
        if state.revoked.contains(&session) {
            return Err(SyncError::Revoked { session });
        }
        check_repo(state, repo)?;
        holds = builds_on.iter().all(|pack| state.is_live(pack))
            && listed_by.iter().all(|lister| state.committed.contains_key(lister));
        // Others may have pushed the same tags meanwhile; whoever is first in the log wins.
        ends = tags.iter().map(|tag| judge(state, tag).unwrap_or(TagOutcome::Pushed)).collect();
        let moves = tags.iter().zip(&ends).filter(|(_, end)| **end == TagOutcome::Pushed).filter_map(|(tag, _)| {
            let snapshot = snapshots.get(&tag.commit)?.clone();
            Some(TagMove { tag: tag.tag.clone(), snapshot, force: tag.force })
        });
        let (tags, packs) = (moves.collect(), packs.clone());
        let op = LogOp::Commit { session, repo: repo.clone(), tags, packs, index: index.clone() };
        Ok(holds.then_some(op))
    })?;
    if !holds {
        return Ok(None);
    }
    for (tag, end) in tags.iter().zip(&ends) {
        if let (Some(name), TagOutcome::Pushed | TagOutcome::AlreadyThere) = (&tag.tag, end) {
            remote.write_tag_record(&state, name)?;
        }
    }
    Ok(Some(ends))
}

/// Writes what is new in this push for later pushes to find.
fn write_segment(remote: &Remote, session: &Session, plan: &Plan) -> Result<String, SyncError> {
    let mut tables = TablesBuilder::new();
    for digest in plan.contents.keys().filter(|digest| plan.unlisted.contains(*digest)) {
        add_content(&mut tables, plan, *digest)?;
    }
    // A chunk sent can belong to a listed content only, whose earlier copy was revoked.
    for chunk in &plan.missing {
        tables.add_chunk(place_of(&plan.places, &chunk.id)?);
    }
    let key = format!("index/{}.seg", session.name);
    let segment = Segment { session: session.id, data: tables.finish() };
    remote.backend().put(&Key::parse(&key)?, segment.to_bytes())?;
    Ok(key)
}

/// Writes one snapshot for each commit and returns where they are and which packs they use.
fn write_snapshots(
    remote: &Remote,
    session: &Session,
    repo_name: &str,
    tags: &[&TagToPush],
    plan: &Plan,
) -> Result<(BTreeMap<CommitId, SnapshotRef>, BTreeSet<String>), SyncError> {
    let (mut places, mut packs) = (BTreeMap::new(), BTreeSet::new());
    for tag in tags {
        if places.contains_key(&tag.commit) {
            continue;
        }
        let snapshot = make_snapshot(repo_name, tag, plan)?;
        packs.extend(snapshot.data.packs().iter().map(ToString::to_string));
        let bytes = snapshot.to_bytes();
        let key = format!("snapshots/{}/{}", tag.commit, session.name);
        let digest = ContentDigest::of(&bytes);
        remote.backend().put(&Key::parse(&key)?, bytes)?;
        places.insert(tag.commit, SnapshotRef { commit: tag.commit, key, digest });
    }
    Ok((places, packs))
}

fn make_snapshot(repo_name: &str, tag: &TagToPush, plan: &Plan) -> Result<Snapshot, SyncError> {
    let mut snapshot = Snapshot {
        repo_name: repo_name.to_owned(),
        commit: tag.commit,
        exports: tag.exports.clone(),
        runs: tag.runs.clone(),
        data: DataTables::default(),
    };
    snapshot.exports.sort_by_cached_key(ExportRecord::key);
    snapshot.runs.sort_by_cached_key(RunRecord::record_path);
    let mut tables = TablesBuilder::new();
    let digests: BTreeSet<_> = tag.needs().map(|(digest, _)| digest).collect();
    for digest in digests {
        add_content(&mut tables, plan, digest)?;
    }
    snapshot.data = tables.finish();
    Ok(snapshot)
}

fn add_content(tables: &mut TablesBuilder, plan: &Plan, digest: ContentDigest) -> Result<(), SyncError> {
    match plan.contents.get(&digest) {
        None => return Err(SyncError::NoContent { digest }),
        Some(Planned::Local(LocalContent::Inline(bytes)) | Planned::Remote(RemoteBody::Inline(bytes))) => {
            tables.add_inline(digest, bytes);
        }
        Some(Planned::Local(LocalContent::Chunks { chunker, chunks })) => {
            let places = chunks.iter().map(|chunk| Ok((place_of(&plan.places, &chunk.id)?, chunk.cut)));
            tables.add_chunked(digest, *chunker, places.collect::<Result<Vec<_>, SyncError>>()?);
        }
        Some(Planned::Remote(RemoteBody::Chunks { chunker, chunks })) => {
            tables.add_chunked(digest, *chunker, chunks.iter().cloned());
        }
    }
    Ok(())
}
