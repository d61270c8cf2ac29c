//! Garbage collection of a remote, safe beside pushers by the log alone.
//!
//! - What tags name, what they named before they were moved, and commits uploaded without a tag is kept; everything
//!   else goes.
//! - The plan is made from a state of the log and counts only if its `revoke` entry is the next one; whoever pushed
//!   in between makes it be thought over again. From that entry on no push can build on what it voids, and a push
//!   that it voids cannot be committed. Only then is anything deleted.
//! - Names go before what they name: snapshots, index segments, packs. A collection that stops anywhere is completed by
//!   the next.

use std::collections::BTreeSet;

use super::SyncError;
use super::health::RootOwner;
use super::index::{session_of_name, session_of_pack};
use super::log::LogState;
use super::remote::Remote;
use super::tags::tag_key;
use crate::backend::{Entry, Key};
use crate::error::{Classify as _, ErrorKind};
use crate::format::remote_log::LogOp;
use crate::id::SessionId;

/// How often others may push while a plan is made.
const MAX_PLANS: u32 = 16;

/// How a collection is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct GcOptions {
    /// Only plan: nothing is written or deleted.
    pub dry_run: bool,
    /// Unfinished pushes that began and sent their last pack before this time are given up, in milliseconds since 1970.
    /// It is a courtesy to those who are still sending and has no part in safety: a push that is given up fails and can
    /// be repeated.
    pub give_up_before_ms: u64,
}

/// What a collection did, or in a dry run would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Pushes of which nothing is needed any more, and those given up.
    pub pushes: u64,
    /// Packs deleted.
    pub packs: u64,
    /// Objects deleted, packs among them.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is void from a log entry on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    sessions: BTreeSet<SessionId>,
    /// Packs of pushes that go on for other packs of theirs.
    packs: BTreeSet<String>,
}

/// Collects what nothing names any more.
///
/// # Errors
/// [`SyncError::Busy`] if others keep pushing, [`SyncError::Backend`], or [`SyncError::Damaged`] and its like: a remote
/// whose snapshots cannot be read keeps everything.
pub fn gc(remote: &Remote, options: &GcOptions) -> Result<GcReport, SyncError> {
    if !options.dry_run {
        remote.check_writable()?;
    }
    for _ in 0..MAX_PLANS {
        let state = remote.refresh()?;
        let plan = plan(remote, &state, options)?;
        if options.dry_run {
            let mut after = state;
            after.void(plan.sessions.iter().copied(), plan.packs.iter().cloned());
            return sweep(remote, &after, Sweep::Count, options).map(|report| with_pushes(report, &plan));
        }
        // Readers would go on following older ones.
        remote.complete_records_of(&state)?;
        let Some(after) = announce(remote, &state, &plan)? else { continue };
        return sweep(remote, &after, Sweep::Delete, options).map(|report| with_pushes(report, &plan));
    }
    Err(SyncError::Busy { attempts: MAX_PLANS })
}

fn with_pushes(report: GcReport, plan: &Plan) -> GcReport {
    GcReport { pushes: plan.sessions.len() as u64, ..report }
}

/// Finds out what is void: pushes and packs that no root uses, as long as no listing of theirs is needed.
fn plan(remote: &Remote, state: &LogState, options: &GcOptions) -> Result<Plan, SyncError> {
    let (mut packs, mut sessions, mut digests) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (owner, root) in state.roots() {
        sessions.extend(session_of_snapshot(&root.key));
        let data = remote.snapshot(root).map_err(|error| of_root(owner, error))?.data;
        digests.extend(data.digests().copied());
        for pack in data.packs() {
            sessions.extend(session_of_pack(pack));
            packs.insert(pack.to_string());
        }
    }
    // A content is listed once, by the push that brought it first, and a small one lies in no pack. Clones find by the
    // index what commits without a tag have, so a listing stays as long as something kept has the content.
    for (session, key) in state.newest_first() {
        if !sessions.contains(&session)
            && let Some(segment) = remote.sound_segment(session, key)?
            && segment.data.digests().any(|digest| digests.contains(digest))
        {
            sessions.insert(session);
        }
    }
    let unused = state.committed.keys().filter(|session| !sessions.contains(session));
    let there = remote.list_all(&Key::parse("packs")?)?;
    // A push that goes on with an earlier attempt keeps its session; how late it still was at work its packs tell.
    let busy: BTreeSet<SessionId> = there
        .iter()
        .filter(|entry| time_of_pack(&entry.key).is_some_and(|time| time >= options.give_up_before_ms))
        .filter_map(|entry| session_of_pack(entry.key.as_str()))
        .collect();
    let given_up = state.open.iter().filter(|session| session.time_ms() < options.give_up_before_ms);
    let given_up = given_up.filter(|session| !busy.contains(session));
    let mut plan = Plan { sessions: unused.chain(given_up).copied().collect(), packs: BTreeSet::new() };
    for entry in there {
        let session = session_of_pack(entry.key.as_str()).filter(|session| state.committed.contains_key(session));
        let void = session.is_some_and(|session| !plan.sessions.contains(&session));
        if void && !packs.contains(entry.key.as_str()) && !state.dropped.contains(entry.key.as_str()) {
            plan.packs.insert(entry.key.to_string());
        }
    }
    Ok(plan)
}

/// Says what a damaged snapshot is needed for.
fn of_root(owner: RootOwner, error: SyncError) -> SyncError {
    match error.kind() {
        ErrorKind::Damaged => SyncError::RootDamaged { owner, source: Box::new(error) },
        _ => error,
    }
}

/// Returns when a pack was made: its name is a ULID like a session's.
fn time_of_pack(key: &Key) -> Option<u64> {
    session_of_name(key.file_name()).map(SessionId::time_ms)
}

/// Puts the plan into the log, unless somebody else was there since; `None` then.
fn announce(remote: &Remote, planned: &LogState, plan: &Plan) -> Result<Option<LogState>, SyncError> {
    if *plan == Plan::default() {
        return Ok(Some(planned.clone()));
    }
    let mut holds = true;
    let after = remote.append(|state| {
        holds = state.next == planned.next;
        let (sessions, packs) = (plan.sessions.iter().copied().collect(), plan.packs.iter().cloned().collect());
        Ok(holds.then_some(LogOp::Revoke { sessions, packs }))
    })?;
    Ok(holds.then_some(after))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sweep {
    Count,
    Delete,
}

/// Deletes what a state has no use for.
fn sweep(remote: &Remote, state: &LogState, what: Sweep, options: &GcOptions) -> Result<GcReport, SyncError> {
    let mut report = GcReport::default();
    let mut take = |entry: &Entry| -> Result<(), SyncError> {
        report.objects += 1;
        report.bytes += entry.len;
        report.packs += u64::from(session_of_pack(entry.key.as_str()).is_some());
        if what == Sweep::Delete { Ok(remote.backend().delete(&entry.key)?) } else { Ok(()) }
    };
    let current: BTreeSet<Key> =
        state.tags.iter().map(|(tag, named)| tag_key(tag, named.number)).collect::<Result<_, _>>()?;
    // Only records behind the current one of their tag: what lies before it somebody is writing just now.
    let mut passed: Option<String> = None;
    for entry in remote.list_all(&Key::parse("tags")?)? {
        let folder = entry.key.as_str().rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
        if current.contains(&entry.key) {
            passed = Some(folder);
        } else if passed.as_ref() == Some(&folder) {
            take(&entry)?;
        }
    }
    let roots: BTreeSet<&str> = state.roots().map(|(_, root)| root.key.as_str()).collect();
    for entry in remote.list_all(&Key::parse("snapshots")?)? {
        let done = |session: &SessionId| state.committed.contains_key(session) || state.revoked.contains(session);
        let void = session_of_snapshot(entry.key.as_str()).is_some_and(|session| done(&session));
        if void && !roots.contains(entry.key.as_str()) {
            take(&entry)?;
        }
    }
    for entry in remote.list_all(&Key::parse("index")?)? {
        let session = session_of_name(entry.key.file_name());
        let attempt = session.and_then(|session| state.committed.get(&session)).map(|push| push.index.as_str());
        let outdated = attempt.is_some_and(|counts| counts != entry.key.as_str());
        if outdated || session.is_some_and(|session| state.revoked.contains(&session)) {
            take(&entry)?;
        }
    }
    for entry in remote.list_all(&Key::parse("packs")?)? {
        let revoked = session_of_pack(entry.key.as_str()).is_some_and(|session| state.revoked.contains(&session));
        if revoked || state.dropped.contains(entry.key.as_str()) {
            take(&entry)?;
        }
    }
    let leftovers = remote.backend().sweep_leftovers(options.give_up_before_ms, what == Sweep::Delete)?;
    report.objects += leftovers.files;
    report.bytes += leftovers.bytes;
    Ok(report)
}

/// Returns the push that wrote a snapshot.
fn session_of_snapshot(key: &str) -> Option<SessionId> {
    session_of_name(key.strip_prefix("snapshots/")?.rsplit_once('/')?.1)
}
