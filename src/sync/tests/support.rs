//! A store in memory and the shortest ways to push and read.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::sync::Arc;

use super::super::*;
use crate::backend::{Backend, Key, MemoryBackend};
use crate::error::Result;
use crate::format::name::{ExportName, Suffix};
use crate::format::pack::{Check, Frame};
use crate::format::params::Params;
use crate::format::recipe::{ChunkRef, Cut};
use crate::format::record::{ExportRecord, Producer};
use crate::format::remote_log::RepoIdentity;
use crate::format::run::RunRecord;
use crate::format::snapshot::Snapshot;
use crate::id::{CodeIdentity, CommitId};

/// Length of the chunks of this store.
pub(super) const CHUNK: usize = 10_000;
/// Shorter contents are inline.
const INLINE: usize = 1000;

#[derive(Debug, Default, Clone)]
pub(super) struct Store {
    pub(super) contents: BTreeMap<ContentDigest, Vec<u8>>,
    pub(super) chunks: HashMap<ChunkId, Vec<u8>>,
    pub(super) big_frames: Option<Vec<Frame>>,
}

pub(super) fn commit(number: u8) -> CommitId {
    CommitId::from_slice(&[number; 20]).expect("20 bytes")
}

/// A repository with its own first commit; all are called the same.
pub(super) fn repo(root: u8) -> RepoIdentity {
    RepoIdentity { name: "demo".to_owned(), root: Some(commit(root)) }
}

pub(super) use crate::testing::random as noise;

impl Store {
    fn add(&mut self, bytes: Vec<u8>) -> ContentDigest {
        let digest = ContentDigest::of(&bytes);
        self.chunks.extend(bytes.chunks(CHUNK).map(|chunk| (ChunkId::of(chunk), chunk.to_vec())));
        self.contents.insert(digest, bytes);
        digest
    }

    /// Adds contents and makes a tag of them, with one run of a notebook.
    pub(super) fn tag(&mut self, tag: &str, number: u8, exports: &[(&str, Vec<u8>)]) -> TagToPush {
        let notebook = noise(u64::from(number) + 1000, 3_000);
        let run = RunRecord {
            path: "a/report.ipynb".to_owned(),
            original: None,
            params: Params::empty(),
            size: notebook.len() as u64,
            notebook: self.add(notebook),
            code_identity: CodeIdentity::from_bytes([7; 32]),
            runs: vec![],
            exports: vec![],
            inputs: vec![],
        };
        let record = |(name, bytes): &(&str, Vec<u8>)| ExportRecord {
            name: ExportName::parse(name).expect("a good name"),
            params: Params::empty(),
            size: bytes.len() as u64,
            digest: self.add(bytes.clone()),
            suffix: Suffix::parse(".csv").expect("a good suffix"),
            media_type: "text/csv".to_owned(),
            producer: Producer::default(),
            inputs: vec![],
            value: None,
        };
        let exports = exports.iter().map(record).collect();
        TagToPush {
            tag: Some(tag.to_owned()),
            commit: commit(number),
            exports,
            runs: vec![run],
            members: vec![],
            force: false,
        }
    }

    /// The same data under another tag and commit.
    #[expect(clippy::unused_self, reason = "reads as a sibling of `tag`")]
    pub(super) fn retag(&self, old: &TagToPush, tag: &str, number: u8) -> TagToPush {
        TagToPush { tag: Some(tag.to_owned()), commit: commit(number), ..old.clone() }
    }

    /// From now on chunks come in frames of many.
    pub(super) fn frames_of_all(&mut self) {
        let mut all: Vec<_> = self.chunks.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        self.big_frames = Some(all.chunks(50).map(|chunks| Frame::chunks(chunks, 1)).collect());
    }
}

impl ChunkSource for Store {
    fn content(&self, digest: &ContentDigest) -> Result<Option<LocalContent>> {
        let Some(bytes) = self.contents.get(digest) else { return Ok(None) };
        if bytes.len() <= INLINE {
            return Ok(Some(LocalContent::Inline(bytes.clone())));
        }
        let chunk = |chunk: &[u8]| ChunkRef {
            id: ChunkId::of(chunk),
            len: u32::try_from(chunk.len()).expect("short"),
            cut: if chunk.len() == CHUNK { Cut::Max } else { Cut::End },
        };
        Ok(Some(LocalContent::Chunks { chunker: 1, chunks: bytes.chunks(CHUNK).map(chunk).collect() }))
    }

    fn frame_with(&self, id: &ChunkId) -> Result<Frame> {
        let big =
            self.big_frames.as_ref().and_then(|frames| frames.iter().find(|f| f.header().find_chunk(id).is_some()));
        let bytes = self.chunks.get(id).ok_or(SyncError::NoFrame { id: *id })?;
        Ok(big.cloned().unwrap_or_else(|| Frame::chunks(&[(*id, bytes)], 1)))
    }

    fn begins_with(&self, asked: &CommitId) -> Result<bool> {
        Ok(*asked == commit(1))
    }
}

impl ChunkSink for Store {
    fn has_content(&self, digest: &ContentDigest) -> Result<bool> {
        Ok(self.contents.contains_key(digest))
    }

    fn has_chunk(&self, chunk: &ChunkId) -> Result<bool> {
        Ok(self.chunks.contains_key(chunk))
    }

    fn insert_frame(&mut self, frame: Frame) -> Result<()> {
        let raw = frame.decode(Check::Chunks)?;
        for key in frame.header().keys() {
            let id = ChunkId::from_bytes(key.id);
            let (offset, len) = frame.header().find_chunk(&id).expect("its own key");
            self.chunks.insert(id, raw[offset..offset + len].to_vec());
        }
        Ok(())
    }

    fn finish_content(&mut self, digest: &ContentDigest, content: LocalContent) -> Result<()> {
        let bytes = match content {
            LocalContent::Inline(bytes) => bytes,
            LocalContent::Chunks { chunks, .. } => {
                chunks.iter().flat_map(|chunk| self.chunks[&chunk.id].clone()).collect()
            }
        };
        assert_eq!(ContentDigest::of(&bytes), *digest);
        self.contents.insert(*digest, bytes);
        Ok(())
    }
}

/// A source that lets something happen elsewhere before it gives its first frame.
pub(super) struct Meddling<'a> {
    pub(super) store: &'a Store,
    pub(super) act: &'a dyn Fn(),
}

impl ChunkSource for Meddling<'_> {
    fn content(&self, digest: &ContentDigest) -> Result<Option<LocalContent>> {
        self.store.content(digest)
    }

    fn frame_with(&self, chunk: &ChunkId) -> Result<Frame> {
        (self.act)();
        self.store.frame_with(chunk)
    }

    fn begins_with(&self, commit: &CommitId) -> Result<bool> {
        self.store.begins_with(commit)
    }
}

/// Opens a remote, and makes the place one.
pub(super) fn open<B: Backend + 'static>(place: &Arc<B>) -> Remote {
    let remote = open_uncreated(place);
    remote.create().expect("creates");
    remote
}

pub(super) fn open_uncreated<B: Backend + 'static>(place: &Arc<B>) -> Remote {
    Remote::open(Box::new(Arc::clone(place)), RemoteOptions::default())
}

/// Pushes tags and checks that progress only grows.
pub(super) fn push_tags(remote: &Remote, source: &dyn ChunkSource, tags: &[TagToPush]) -> Result<PushReport> {
    let request = PushRequest { repo: repo(1), tags: tags.to_vec(), dry_run: false };
    let last = Cell::new(Progress::default());
    push(remote, &request, source, &mut |progress| {
        assert!(progress.done_bytes <= progress.total_bytes);
        last.set(progress);
    })
}

pub(super) fn read_all(remote: &Remote, snapshot: &Snapshot, digest: &ContentDigest) -> Vec<u8> {
    let mut bytes = vec![];
    remote.open_content(&snapshot.data, digest).expect("opens").read_to_end(&mut bytes).expect("reads");
    bytes
}

/// Asserts that the remote has exactly these tags with exactly their data.
pub(super) fn assert_same(remote: &Remote, store: &Store, tags: &[TagToPush]) {
    let mut expected: Vec<_> =
        tags.iter().map(|tag| RemoteTag { tag: tag.tag.clone().expect("a tag"), commit: tag.commit }).collect();
    expected.sort_by(|a, b| a.tag.cmp(&b.tag));
    assert_eq!(remote.tags().expect("lists"), expected);
    for tag in tags {
        let name = tag.tag.as_deref().expect("a tag");
        let (_, snapshot) = remote.snapshot_of_tag(name).expect("reads").expect("is there");
        let mut exports = tag.exports.clone();
        exports.sort_by_key(ExportRecord::key);
        assert_eq!((snapshot.exports.as_slice(), &snapshot.runs), (exports.as_slice(), &tag.runs));
        for (digest, label) in snapshot.needs() {
            assert_eq!(Some(&read_all(remote, &snapshot, &digest)), store.contents.get(&digest), "{name}:{label}");
        }
    }
}

/// Returns the keys of every object.
pub(super) fn names(place: &dyn Backend) -> Vec<String> {
    let folders = ["checkpoints", "index", "log", "packs", "snapshots", "tags"];
    let mut names: Vec<_> = folders
        .iter()
        .flat_map(|folder| place.list(&Key::parse(folder).expect("a key"), None, 10_000).expect("lists"))
        .map(|entry| entry.key.to_string())
        .collect();
    if place.head(&Key::parse("onenb.json").expect("a key")).expect("answers").is_some() {
        names.push("onenb.json".to_owned());
    }
    names
}

/// Copies every object, as a backup would.
pub(super) fn copy_of(place: &MemoryBackend) -> Arc<MemoryBackend> {
    let copy = MemoryBackend::new();
    for name in names(place) {
        let key = Key::parse(&name).expect("a key");
        copy.put(&key, place.get(&key, u64::MAX).expect("is there")).expect("puts");
    }
    Arc::new(copy)
}
