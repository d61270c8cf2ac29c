//! The log: create-only numbered entries, and the state they add up to.
//!
//! - Entry `n` lies under `log/<16 hex digits of !n>`, so the first key of a listing is the newest entry. Numbers have
//!   no gaps: an entry is created only by who has seen its predecessor.
//! - The state is a fold over the entries in order; every reader gets the same one. Entries that break a rule count as
//!   empty, so nobody can commit a revoked push or move a tag without asking.
//! - A checkpoint is the state after some entry, written before an entry names it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::index::{session_of_name, session_of_pack};
use super::remote::Remote;
use super::{SyncError, cache};
use crate::backend::{Created, Key};
use crate::format::remote_log::{
    LogEntry, LogOp, MAX_SEALED_LEN, REMOTE_FORMAT, RepoIdentity, SnapshotRef, TagMove, seal, unseal,
};
use crate::id::{CommitId, SessionId, fresh_ulid};

/// Entries after which the next writer leaves a checkpoint.
const CHECKPOINT_EVERY: u64 = 64;
/// How often an append may lose its race; every loss means that another push got on.
const MAX_ATTEMPTS: u32 = 256;
const MAX_ENTRY_LEN: u64 = MAX_SEALED_LEN;
const CACHED_STATE: &str = "state";

/// What a tag names according to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TagState {
    /// The entry that said so.
    pub(super) number: u64,
    /// What it names; `None` if the tag was deleted.
    pub(super) snapshot: Option<SnapshotRef>,
    /// What it named before it was moved, oldest first.
    pub(super) history: Vec<SnapshotRef>,
}

/// A complete push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CommittedText")]
pub(super) struct Committed {
    /// The entry that said so. Which push is newer says this alone: the time in a session's id is that of some
    /// machine's clock.
    pub(super) number: u64,
    /// Key of its index segment.
    pub(super) index: String,
}

/// How checkpoints write it; those of format 2 knew only the key.
#[derive(Deserialize)]
#[serde(untagged)]
enum CommittedText {
    Now { number: u64, index: String },
    Before(String),
}

impl From<CommittedText> for Committed {
    fn from(text: CommittedText) -> Self {
        match text {
            CommittedText::Now { number, index } => Self { number, index },
            // All of them are older than any that has its number.
            CommittedText::Before(index) => Self { number: 0, index },
        }
    }
}

/// What all entries up to one add up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogState {
    format: u32,
    /// Id in the remote's marker.
    remote: String,
    /// Number of the next entry.
    pub(super) next: u64,
    /// Nonce of the newest entry.
    last: Option<String>,
    /// The repository of the first commit.
    pub(super) repo: Option<RepoIdentity>,
    /// Number of the newest entry that a checkpoint covers.
    checkpoint: Option<u64>,
    /// Tags ever pushed.
    pub(super) tags: BTreeMap<String, TagState>,
    /// Commits uploaded without a tag.
    pub(super) uploads: BTreeMap<CommitId, SnapshotRef>,
    /// Pushes begun and neither committed nor revoked.
    pub(super) open: BTreeSet<SessionId>,
    /// Complete pushes.
    pub(super) committed: BTreeMap<SessionId, Committed>,
    /// Void pushes.
    pub(super) revoked: BTreeSet<SessionId>,
    /// Void packs of pushes that are not void.
    pub(super) dropped: BTreeSet<String>,
}

impl LogState {
    pub(super) fn empty(remote: String) -> Self {
        Self {
            format: REMOTE_FORMAT,
            remote,
            next: 0,
            last: None,
            repo: None,
            checkpoint: None,
            tags: BTreeMap::new(),
            uploads: BTreeMap::new(),
            open: BTreeSet::new(),
            committed: BTreeMap::new(),
            revoked: BTreeSet::new(),
            dropped: BTreeSet::new(),
        }
    }

    /// Returns the snapshot that a tag names, if the tag is known and not deleted.
    pub(super) fn tag(&self, tag: &str) -> Option<&SnapshotRef> {
        self.tags.get(tag)?.snapshot.as_ref()
    }

    /// Applies the next entry.
    pub(super) fn apply(&mut self, entry: &LogEntry) {
        let number = self.next;
        self.next += 1;
        self.last = Some(entry.nonce.clone());
        // A number at or above the entry's own is a lie that would make readers skip entries.
        self.checkpoint = self.checkpoint.max(entry.checkpoint.filter(|covered| *covered < number));
        match &entry.op {
            LogOp::Begin { session } => {
                if !self.revoked.contains(session) && !self.committed.contains_key(session) {
                    self.open.insert(*session);
                }
            }
            LogOp::Commit { session, repo, tags, index, .. } => {
                if self.open.remove(session) && self.is_of(repo) {
                    self.repo.get_or_insert_with(|| repo.clone());
                    self.committed.insert(*session, Committed { number, index: index.clone() });
                    for tag_move in tags {
                        self.apply_move(number, tag_move);
                    }
                }
            }
            LogOp::Revoke { sessions, packs } => self.void(sessions.iter().copied(), packs.iter().cloned()),
            LogOp::Delete { tag } => {
                if let Some(state) = self.tags.get_mut(tag) {
                    *state = TagState { number, snapshot: None, history: vec![] };
                }
            }
            LogOp::DeleteUpload { commit } => drop(self.uploads.remove(commit)),
            LogOp::Forget { tag } => {
                if let Some(state) = self.tags.get_mut(tag) {
                    state.history.clear();
                }
            }
        }
    }

    /// Voids pushes, and packs of pushes that stay.
    pub(super) fn void(&mut self, sessions: impl Iterator<Item = SessionId>, packs: impl Iterator<Item = String>) {
        self.dropped.extend(packs);
        for session in sessions {
            self.open.remove(&session);
            self.committed.remove(&session);
            self.revoked.insert(session);
            let below = format!("packs/{session}/");
            self.dropped.retain(|pack| !pack.starts_with(&below));
        }
    }

    /// Returns the complete pushes, newest first, with the keys of their index segments.
    pub(super) fn newest_first(&self) -> Vec<(SessionId, &str)> {
        let mut all: Vec<_> = self.committed.iter().map(|(id, push)| (push.number, *id, push.index.as_str())).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.into_iter().map(|(_, id, index)| (id, index)).collect()
    }

    /// Returns which push in the order of the log wrote a snapshot; `None` if it is not complete.
    pub(super) fn age_of(&self, snapshot: &Key) -> Option<(u64, SessionId)> {
        let session = session_of_name(snapshot.file_name())?;
        Some((self.committed.get(&session)?.number, session))
    }

    /// Returns whether new snapshots may use a pack: its push is complete, and neither is void.
    pub(super) fn is_live(&self, pack: &str) -> bool {
        session_of_pack(pack).is_some_and(|session| self.committed.contains_key(&session))
            && !self.dropped.contains(pack)
    }

    /// Returns whether a repository may push here.
    pub(super) fn is_of(&self, repo: &RepoIdentity) -> bool {
        self.repo.as_ref().is_none_or(|first| first.is_same(repo))
    }

    fn apply_move(&mut self, number: u64, tag_move: &TagMove) {
        let snapshot = &tag_move.snapshot;
        match &tag_move.tag {
            None => drop(self.uploads.insert(snapshot.commit, snapshot.clone())),
            Some(tag) => {
                let old = self.tags.remove(tag);
                let mut history = old.as_ref().map(|old| old.history.clone()).unwrap_or_default();
                let before = old.and_then(|old| Some((old.number, old.snapshot?)));
                let state = match before {
                    Some((number, before)) if before.commit != snapshot.commit && !tag_move.force => {
                        TagState { number, snapshot: Some(before), history }
                    }
                    before => {
                        history.extend(before.map(|(_, before)| before).filter(|old| old.commit != snapshot.commit));
                        TagState { number, snapshot: Some(snapshot.clone()), history }
                    }
                };
                self.tags.insert(tag.clone(), state);
            }
        }
    }
}

/// How a state came to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// It was compared with the log before.
    SeenByUs,
    /// Another process left it in the cache.
    OnlyCached,
}

/// Returns the key of something numbered, newest first in a listing.
pub(super) fn numbered_key(folder: &str, number: u64) -> Result<Key, SyncError> {
    Ok(Key::parse(&format!("{folder}/{:016x}", !number))?)
}

/// Reads the number out of such a key.
pub(super) fn number_of(key: &Key) -> Option<u64> {
    let name = key.file_name();
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten().map(|inverted| !inverted)
}

impl Remote {
    /// Brings the state up to date and returns a copy of it. Two requests if nothing happened since this machine's
    /// cache.
    pub(super) fn refresh(&self) -> Result<LogState, SyncError> {
        let newest = self.newest_entry()?;
        let seen = self.state().take();
        let (known, trust) = match seen {
            Some(state) => (Some(state), Trust::SeenByUs),
            None => (self.cached_state(), Trust::OnlyCached),
        };
        let advanced = known.map(|state| self.advance(state, newest, trust)).transpose()?.flatten();
        let state = match advanced {
            Some(state) => state,
            None => self.read_from_start(newest)?,
        };
        *self.state() = Some(state.clone());
        Ok(state)
    }

    fn read_from_start(&self, newest: Option<u64>) -> Result<LogState, SyncError> {
        let remote = self.marker()?.id;
        let state = match newest {
            None => LogState::empty(remote),
            Some(newest) => self.state_from_checkpoint(newest, remote)?,
        };
        let broken =
            || SyncError::WrongObject { key: "log".to_owned(), reason: "an entry does not follow the one before it" };
        let state = self.advance(state, newest, Trust::SeenByUs)?.ok_or_else(broken)?;
        cache::write(self.cache_dir.as_ref(), CACHED_STATE, &seal(&state));
        Ok(state)
    }

    /// Applies the entries since a state; `None` if the log is not the one that the state is of: the place was emptied,
    /// replaced, or restored from a backup.
    fn advance(&self, mut state: LogState, newest: Option<u64>, trust: Trust) -> Result<Option<LogState>, SyncError> {
        let count = newest.map_or(0, |newest| newest + 1);
        if state.next > count {
            return Ok(None);
        }
        if state.next == count {
            let same = match (trust, newest) {
                (Trust::SeenByUs, _) => true,
                (Trust::OnlyCached, None) => false,
                (Trust::OnlyCached, Some(newest)) => Some(self.get_entry(newest)?.nonce) == state.last,
            };
            return Ok(same.then_some(state));
        }
        while state.next < count {
            let entry = self.get_entry(state.next)?;
            if entry.prev != state.last {
                return Ok(None);
            }
            state.apply(&entry);
        }
        cache::write(self.cache_dir.as_ref(), CACHED_STATE, &seal(&state));
        Ok(Some(state))
    }

    fn newest_entry(&self) -> Result<Option<u64>, SyncError> {
        let page = self.backend().list(&Key::parse("log")?, None, 1)?;
        let Some(entry) = page.first() else { return Ok(None) };
        match number_of(&entry.key) {
            Some(number) if number < u64::MAX => Ok(Some(number)),
            _ => Err(SyncError::WrongObject { key: entry.key.to_string(), reason: "its name is not a log number" }),
        }
    }

    fn cached_state(&self) -> Option<LogState> {
        let state =
            unseal("cached state", &cache::read(self.cache_dir.as_ref(), CACHED_STATE, MAX_SEALED_LEN)?).ok()?;
        Some(LogState { format: REMOTE_FORMAT, ..state })
    }

    fn state_from_checkpoint(&self, newest: u64, remote: String) -> Result<LogState, SyncError> {
        let Some(covered) = self.get_entry(newest)?.checkpoint.filter(|covered| *covered < newest) else {
            return Ok(LogState::empty(remote));
        };
        let key = numbered_key("checkpoints", covered)?;
        let bytes = self.get_named(&key, MAX_SEALED_LEN)?;
        let mut state: LogState =
            unseal("checkpoint", &bytes).map_err(|source| SyncError::Damaged { key: key.to_string(), source })?;
        state.format = REMOTE_FORMAT;
        if state.remote != remote || state.next != covered + 1 {
            return Err(SyncError::WrongObject { key: key.to_string(), reason: "it is of another log or entry" });
        }
        state.checkpoint = Some(covered);
        Ok(state)
    }

    pub(super) fn get_entry(&self, number: u64) -> Result<LogEntry, SyncError> {
        let key = numbered_key("log", number)?;
        let bytes = self.get_named(&key, MAX_ENTRY_LEN)?;
        unseal("log entry", &bytes).map_err(|source| SyncError::Damaged { key: key.to_string(), source })
    }

    /// Appends what `decide` makes of the newest state, which it is asked for again after every lost race. `None`
    /// appends nothing. Returns the state after the entry.
    pub(super) fn append(
        &self,
        mut decide: impl FnMut(&LogState) -> Result<Option<LogOp>, SyncError>,
    ) -> Result<LogState, SyncError> {
        self.check_writable()?;
        for _ in 0..MAX_ATTEMPTS {
            let mut state = self.refresh()?;
            let Some(op) = decide(&state)? else { return Ok(state) };
            self.leave_checkpoint(&mut state)?;
            let nonce = fresh_ulid().to_string();
            let prev = state.last.clone();
            let entry = LogEntry { format: REMOTE_FORMAT, nonce, prev, checkpoint: state.checkpoint, op };
            let key = numbered_key("log", state.next)?;
            // "Already exists" may be our own entry after a lost answer; only the nonce tells.
            let ours = match self.backend().create(&key, &seal(&entry))? {
                Created::Created => true,
                Created::AlreadyExists => self.get_entry(state.next)?.nonce == entry.nonce,
            };
            if ours {
                state.apply(&entry);
                cache::write(self.cache_dir.as_ref(), CACHED_STATE, &seal(&state));
                *self.state() = Some(state.clone());
                return Ok(state);
            }
        }
        Err(SyncError::Busy { attempts: MAX_ATTEMPTS })
    }

    /// Writes a checkpoint if the last one is long ago. Equal states give equal bytes, so it does not matter who does.
    fn leave_checkpoint(&self, state: &mut LogState) -> Result<(), SyncError> {
        let covered = state.checkpoint.map_or(0, |covered| covered + 1);
        if state.next - covered < CHECKPOINT_EVERY {
            return Ok(());
        }
        let newest = state.next - 1;
        self.backend().put(&numbered_key("checkpoints", newest)?, seal(&*state))?;
        state.checkpoint = Some(newest);
        Ok(())
    }
}
