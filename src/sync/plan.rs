//! The plan of a push: what must be sent, what the remote has already, and what nobody has.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::SyncError;
use super::index::{Found, RemoteBody, Wanted};
use super::log::LogState;
use super::push::TagToPush;
use super::remote::Remote;
use crate::error::Result;
use crate::format::pack::Frame;
use crate::format::recipe::ChunkRef;
use crate::format::tables::LocatedChunk;
use crate::id::{ChunkId, CommitId, ContentDigest, SessionId};

/// A content as the local store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalContent {
    /// Its bytes; at most [`crate::format::tables::MAX_INLINE_CONTENT_LEN`] of them.
    Inline(Vec<u8>),
    /// Its chunks.
    Chunks {
        /// Version of the chunker that cut them.
        chunker: u8,
        /// The chunks, in order.
        chunks: Vec<ChunkRef>,
    },
}

/// Where a push gets its data from: the local store, as far as a push needs it.
pub trait ChunkSource {
    /// Returns how a content is rebuilt, `None` if the store does not have it.
    ///
    /// # Errors
    /// What the store says; the push stops.
    fn content(&self, digest: &ContentDigest) -> Result<Option<LocalContent>>;

    /// Returns a frame that holds the chunk and stands alone: no bases elsewhere.
    ///
    /// # Errors
    /// What the store says; the push stops.
    fn frame_with(&self, chunk: &ChunkId) -> Result<Frame>;

    /// Returns whether the history of the repository that pushes begins with a commit, perhaps among others: it may
    /// have pushed here from another beginning. Not what it only fetched from elsewhere.
    ///
    /// # Errors
    /// What the repository says; the push stops.
    fn begins_with(&self, commit: &CommitId) -> Result<bool>;
}

/// A content that some tag of the push needs.
#[derive(Debug)]
pub(super) enum Planned {
    Local(LocalContent),
    Remote(RemoteBody),
}

/// What a push will do.
#[derive(Debug)]
pub(super) struct Plan {
    /// Every content that the snapshots name.
    pub(super) contents: BTreeMap<ContentDigest, Planned>,
    /// Contents that no segment lists yet.
    pub(super) unlisted: HashSet<ContentDigest>,
    /// Pushes whose segments list the others; the plan holds as long as none of them is void.
    pub(super) listed_by: BTreeSet<SessionId>,
    /// Chunks on the remote.
    pub(super) places: HashMap<ChunkId, LocatedChunk>,
    /// Chunks to send, in the order of the contents.
    pub(super) missing: Vec<ChunkRef>,
    /// Raw bytes that are on the remote already.
    pub(super) reused_bytes: u64,
}

impl Plan {
    /// Returns the raw bytes to send.
    pub(super) fn missing_bytes(&self) -> u64 {
        self.missing.iter().map(|chunk| u64::from(chunk.len)).sum()
    }

    /// Returns the bytes of small contents that the remote does not have; they travel in its tables.
    pub(super) fn unlisted_inline_bytes(&self) -> u64 {
        let len = |(digest, content): (&ContentDigest, &Planned)| match content {
            Planned::Local(LocalContent::Inline(bytes)) if self.unlisted.contains(digest) => bytes.len() as u64,
            _ => 0,
        };
        self.contents.iter().map(len).sum()
    }
}

/// Plans the push of some tags. The second value names, for each of them, the exports that neither side has; such tags
/// are left out of the plan.
pub(super) fn plan(
    remote: &Remote,
    state: &LogState,
    tags: &[&TagToPush],
    source: &dyn ChunkSource,
) -> Result<(Plan, Vec<Vec<String>>)> {
    let mut local = HashMap::new();
    let mut wanted = Wanted::default();
    for (digest, _) in tags.iter().flat_map(|tag| tag.needs()) {
        if local.contains_key(&digest) || wanted.absent.contains(&digest) {
            continue;
        }
        let Some(content) = source.content(&digest)? else {
            wanted.absent.insert(digest);
            continue;
        };
        if let LocalContent::Chunks { chunks, .. } = &content {
            wanted.chunks.extend(chunks.iter().map(|chunk| chunk.id));
        }
        wanted.local.insert(digest);
        local.insert(digest, content);
    }
    // Who insists may know that something is broken there.
    let doubts = tags.iter().any(|tag| tag.force);
    let mut found = remote.look_up(state, &wanted, doubts)?;
    if doubts {
        found.forget_lost(remote)?;
    }
    let has = |digest: &ContentDigest| local.contains_key(digest) || found.contents.contains_key(digest);
    let missing_of = |tag: &&TagToPush| {
        let needs = tag.needs().filter(|(digest, _)| !has(digest));
        needs.map(|(_, label)| label).collect::<Vec<_>>()
    };
    let missing: Vec<_> = tags.iter().map(missing_of).collect();
    let pushable = tags.iter().zip(&missing).filter(|(_, missing)| missing.is_empty()).map(|(tag, _)| *tag);
    Ok((assemble(pushable, local, found), missing))
}

fn assemble<'a>(
    tags: impl Iterator<Item = &'a TagToPush>,
    mut local: HashMap<ContentDigest, LocalContent>,
    mut found: Found,
) -> Plan {
    let mut contents = BTreeMap::new();
    for (digest, _) in tags.flat_map(TagToPush::needs) {
        if let Some(content) = local.remove(&digest) {
            contents.insert(digest, Planned::Local(content));
        } else if let Some(body) = found.contents.remove(&digest) {
            contents.insert(digest, Planned::Remote(body));
        }
    }
    let (mut missing, mut reused_bytes, mut seen) = (vec![], 0, HashSet::new());
    for content in contents.values() {
        let Planned::Local(LocalContent::Chunks { chunks, .. }) = content else { continue };
        for chunk in chunks.iter().filter(|chunk| seen.insert(chunk.id)) {
            if found.chunks.contains_key(&chunk.id) {
                reused_bytes += u64::from(chunk.len);
            } else {
                missing.push(*chunk);
            }
        }
    }
    // A content some of whose chunks are sent anew is listed anew: what older segments say of it no longer holds.
    let sent: HashSet<ChunkId> = missing.iter().map(|chunk: &ChunkRef| chunk.id).collect();
    let is_sent = |content: &Planned| match content {
        Planned::Local(LocalContent::Chunks { chunks, .. }) => chunks.iter().any(|chunk| sent.contains(&chunk.id)),
        _ => false,
    };
    let is_unlisted =
        |(digest, content): &(&ContentDigest, &Planned)| !found.listed.contains_key(*digest) || is_sent(content);
    let unlisted: HashSet<_> = contents.iter().filter(is_unlisted).map(|(digest, _)| *digest).collect();
    let listed = contents.keys().filter(|digest| !unlisted.contains(*digest));
    let listed_by = listed.filter_map(|digest| found.listed.get(digest).copied()).collect();
    Plan { contents, unlisted, listed_by, places: found.chunks, missing, reused_bytes }
}

/// Checks that a chunk of a plan has a place by now.
pub(super) fn place_of(places: &HashMap<ChunkId, LocatedChunk>, id: &ChunkId) -> Result<LocatedChunk, SyncError> {
    places.get(id).cloned().ok_or(SyncError::NoFrame { id: *id })
}
