//! The store: contents and metadata objects in packs, found through an index that can always be rebuilt.
//!
//! ```text
//! format                      versions; the first file written
//! packs/data/<ULID>.pack      sealed; .open while one process appends to it under a lock
//! packs/meta/<ULID>.pack      recipes and other objects
//! index/{data,meta}/*.seg     sorted keys of sealed packs; derived
//! damaged/                    notes about frames that did not verify; derived
//! encoding.toml               how new chunks are encoded, where that is not the default
//! locks/                      store.lock: writers share, gc excludes; index.lock: one merge at a time
//! ```
//!
//! - What a call acknowledged is durable: chunks first, then the recipe that names them. Nothing names what is not
//!   there.
//! - A read gives the exact bytes or a typed error; every chunk is checked against its id when it leaves.
//! - Many processes write at once, each to its own open pack, and see each other's acknowledged data: a lookup that
//!   misses looks at the directories again before it gives up.
//! - A store is opened per process. After a fork the child starts afresh and never touches its parent's pack or locks.
//! - This module knows no exports, notebooks, Git or SQL. Layout: `docs/format/store.md`.

mod ahead;
mod anchors;
mod appender;
mod batch;
mod chunker;
mod delta;
mod encodings;
mod error;
mod gate;
mod gc;
mod ingest;
mod inventory;
mod layout;
mod notes;
mod objects;
mod parent;
mod pool;
mod reader;
mod recode;
mod repack;
mod segment;
mod shelf;
mod stamp;
mod sweep;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

pub use batch::ContentBatch;
pub use chunker::{CHUNKER_VERSION, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, Rest, next_cut};
pub use encodings::Scratch;
pub use error::StoreError;
pub use gate::WriteHold;
pub use gc::{GcPlan, GcReport, GcStep};
pub use ingest::{ContentWriter, StoredContent, WriteOptions};
pub use objects::{NewObject, ObjectCursor, ObjectKind, StoredObject};
pub use reader::ContentReader;
pub use repack::{RepackOptions, RepackPlan, RepackReport};
pub use stamp::ObjectsStamp;
pub use transfer::Inserted;
pub use verify::{Damage, StoreStats, VerifyReport};

use crate::format::pack::PackClass;
use crate::fs::FileLock;
use crate::id::{ContentDigest, RecipeId};
use layout::{Access, Layout};
use reader::FrameCache;
use shelf::Shelf;

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Never write, not even a missing `format` file.
    pub read_only: bool,
    /// When packs are sealed.
    pub limits: PackLimits,
}

/// When an open pack is sealed: at the first of these that it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLimits {
    /// Length of a data pack in bytes, below 4 GiB.
    pub data_len: u64,
    /// Frames in a data pack.
    pub data_frames: usize,
    /// Length of a metadata pack in bytes, below 4 GiB.
    pub meta_len: u64,
    /// Frames in a metadata pack.
    pub meta_frames: usize,
}

impl Default for PackLimits {
    fn default() -> Self {
        Self { data_len: 64 * 1024 * 1024, data_frames: 1024, meta_len: 8 * 1024 * 1024, meta_frames: 16 * 1024 }
    }
}

/// An open store. Cheap to open, safe to share between threads, safe to keep across a fork.
pub struct Store {
    layout: Arc<Layout>,
    limits: PackLimits,
    generations: Generation,
}

/// What one process keeps of a store. A forked child appends a generation of its own and so never waits for a lock that
/// a thread of its parent held at the moment of the fork.
struct Generation {
    process: u32,
    live: Arc<Live>,
    next: OnceLock<Box<Generation>>,
}

/// The state of a store in this process.
struct Live {
    layout: Arc<Layout>,
    data: Shelf,
    meta: Shelf,
    /// Writes under way in this process.
    active: AtomicUsize,
    /// Readers that read ahead.
    ahead: AtomicUsize,
    /// The frames that the last reader of a short content decoded: the next one often lies in the same.
    recent: Mutex<FrameCache>,
    /// What readers of this one go on with in a forked child, by its process.
    heir: OnceLock<(u32, Arc<Live>)>,
}

/// A write under way: collection of garbage waits for it. When the last one ends, what was appended and never committed
/// is taken back.
struct ActiveWrite {
    live: Arc<Live>,
    process: u32,
    _lock: FileLock,
}

impl Drop for ActiveWrite {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        let active = &self.live.active;
        if active.fetch_sub(1, Ordering::SeqCst) == 1 {
            let idle = || active.load(Ordering::SeqCst) == 0;
            self.live.data.cut_uncommitted(idle);
            self.live.meta.cut_uncommitted(idle);
        }
    }
}

impl Generation {
    fn start(layout: &Arc<Layout>, limits: PackLimits) -> Self {
        Self { process: std::process::id(), live: Live::start(layout, limits), next: OnceLock::new() }
    }
}

impl Live {
    fn start(layout: &Arc<Layout>, limits: PackLimits) -> Arc<Self> {
        Arc::new(Self {
            layout: Arc::clone(layout),
            data: Shelf::new(Arc::clone(layout), PackClass::Data, limits),
            meta: Shelf::new(Arc::clone(layout), PackClass::Meta, limits),
            active: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
            recent: Mutex::default(),
            heir: OnceLock::new(),
        })
    }

    /// Returns the state of the same store in a forked child, without waiting for a lock of this one.
    fn in_child(&self) -> Arc<Self> {
        let process = std::process::id();
        let (owner, heir) = self.heir.get_or_init(|| (process, Self::start(&self.layout, self.data.limits)));
        if *owner == process { Arc::clone(heir) } else { heir.in_child() }
    }
}

impl ActiveWrite {
    /// Begins a write: takes the lock that writers share.
    fn begin(live: &Arc<Live>) -> Result<Self, StoreError> {
        live.layout.create_dirs(PackClass::Meta)?;
        let lock = gate::enter(live)?;
        live.active.fetch_add(1, Ordering::SeqCst);
        Ok(Self { live: Arc::clone(live), process: std::process::id(), _lock: lock })
    }

    /// Fails in a forked child, where the threads and locks of this write do not exist.
    fn check_process(&self) -> Result<(), StoreError> {
        if self.process == std::process::id() { Ok(()) } else { Err(StoreError::Forked) }
    }
}

impl Store {
    /// Opens the store in a directory and creates it if it is missing. Where nothing can be created, the store is
    /// opened for reading only; a missing one then looks empty.
    ///
    /// # Errors
    /// [`StoreError::TooNew`], [`StoreError::NotAStore`] or [`StoreError::Io`].
    pub fn open(root: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let access = if options.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let layout = Arc::new(Layout::open(root, access)?);
        let generations = Generation::start(&layout, options.limits);
        Ok(Self { layout, limits: options.limits, generations })
    }

    /// Returns whether this store can only be read: asked for, unwritable place, or newer format.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.layout.require_writable().is_err()
    }

    /// Starts writing a content. Nothing is visible before [`ContentWriter::finish`].
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn writer(&self, options: &WriteOptions) -> Result<ContentWriter, StoreError> {
        ContentWriter::start(self.live(), options)
    }

    /// Stores bytes that are at hand.
    ///
    /// # Errors
    /// As [`Store::writer`] and [`ContentWriter::finish`].
    pub fn put_content(&self, bytes: &[u8], options: &WriteOptions) -> Result<StoredContent, StoreError> {
        let mut writer = self.writer(options)?;
        writer.push(bytes)?;
        writer.finish()
    }

    /// Opens a content for reading.
    ///
    /// # Errors
    /// [`StoreError::UnknownContent`] if it is not here, or an error of kind `Damaged`.
    pub fn open_content(&self, digest: &ContentDigest) -> Result<ContentReader, StoreError> {
        ContentReader::open(Arc::clone(self.live()), digest)
    }

    /// Returns the length in bytes of a content that is here; `None` if it is not.
    ///
    /// # Errors
    /// An error of kind `Damaged`, or [`StoreError::Io`].
    pub fn contains(&self, digest: &ContentDigest) -> Result<Option<u64>, StoreError> {
        match self.live().recipe(digest) {
            Ok((recipe, _)) => Ok(Some(recipe.len())),
            Err(StoreError::UnknownContent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the recipe of a content that is here; `None` if it is not.
    ///
    /// # Errors
    /// An error of kind `Damaged`, or [`StoreError::Io`].
    pub fn recipe_id(&self, digest: &ContentDigest) -> Result<Option<RecipeId>, StoreError> {
        match self.live().recipe(digest) {
            Ok((_, id)) => Ok(Some(id)),
            Err(StoreError::UnknownContent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Throws the index away and builds it again from the packs.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn rebuild_index(&self) -> Result<(), StoreError> {
        let live = self.live();
        let _active = ActiveWrite::begin(live)?;
        live.data.rebuild_index()?;
        live.meta.rebuild_index()
    }

    fn live(&self) -> &Arc<Live> {
        let process = std::process::id();
        let mut generation = &self.generations;
        while generation.process != process {
            generation = generation.next.get_or_init(|| Box::new(Generation::start(&self.layout, self.limits)));
        }
        &generation.live
    }
}
