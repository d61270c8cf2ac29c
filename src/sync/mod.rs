//! Remotes: sending snapshots with their data, and reading them back from the remote alone.
//!
//! - Order of a push: packs, index segment, snapshots, the log's commit entry, tag records. A crash in between leaves
//!   garbage; it never leaves a name of something absent. Repeating the push completes it.
//! - The create-only numbered log decides who was first; nothing on a remote is ever changed in place.
//! - Everything read from a remote is hostile: bounded, checksummed, and each chunk verified against its id.
//! - A tag reads with three requests before its data: list, tag record, snapshot. Frames that a reader used come from
//!   the
//!   [`ReadCache`] next time; tags and snapshots only if nobody answers, and then the [`OfflineNote`] says so.
//! - This module knows neither Git nor the local store; [`ChunkSource`] and [`ChunkSink`] stand for the latter. Layout
//!   and order: `docs/format/remote.md`.

mod cache;
mod content;
mod fetch;
mod gc;
mod health;
mod index;
mod log;
mod packer;
mod plan;
mod push;
mod read_cache;
mod remote;
mod resume;
mod tags;
#[cfg(test)]
mod tests;
mod upload;
mod verify;

use thiserror::Error;

pub use content::RemoteContent;
pub use fetch::{ChunkSink, FetchReport, fetch};
pub use gc::{GcOptions, GcReport, gc};
pub use health::{Root, RootOwner};
pub use plan::{ChunkSource, LocalContent};
pub use push::{PushReport, PushRequest, TagOutcome, TagToPush, push};
pub use read_cache::{OfflineNote, ReadCache};
pub use remote::{Remote, RemoteOptions};
pub use tags::RemoteTag;
pub use verify::{Finding, Problem, VerifyDepth, verify_contents, verify_tag};

use crate::backend::BackendError;
use crate::error::{Classify, ErrorKind};
use crate::format::FormatError;
use crate::id::{ChunkId, ContentDigest, SessionId};

/// How far a push or a fetch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Raw bytes of the chunks handled so far.
    pub done_bytes: u64,
    /// Raw bytes of all chunks to handle.
    pub total_bytes: u64,
}

/// What can go wrong between here and a remote.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The place is no remote yet.
    #[error("there is no onenb remote at this place yet")]
    NotCreated,
    /// An object of the remote is not what it should be.
    #[error("object `{key}` of the remote is damaged")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The remote's format does not allow what was asked.
    #[error("this remote cannot be used")]
    Format(#[source] FormatError),
    /// The remote names an object that is not there.
    #[error("the remote names `{key}`, which is not there")]
    Absent {
        /// Its key.
        key: String,
    },
    /// A snapshot that must stay readable is not.
    #[error("the snapshot of {owner} cannot be read")]
    RootDamaged {
        /// Why it must stay.
        owner: RootOwner,
        /// What is wrong with it.
        source: Box<SyncError>,
    },
    /// An object is sound, but it is not the one that was named.
    #[error("object `{key}` of the remote is not the one that was named: {reason}")]
    WrongObject {
        /// Its key.
        key: String,
        /// How that shows.
        reason: &'static str,
    },
    /// A snapshot does not have a content.
    #[error("the snapshot has no content {digest}")]
    NoContent {
        /// The content.
        digest: ContentDigest,
    },
    /// The local store promised a chunk and gave a frame without it.
    #[error("the local store has no usable frame for chunk {}", id.short())]
    NoFrame {
        /// The chunk.
        id: ChunkId,
    },
    /// There is no such tag on the remote.
    #[error("no tag `{tag}` on the remote")]
    NoTag {
        /// The tag.
        tag: String,
    },
    /// Others kept adding to the log, or garbage collection kept removing what we build on.
    #[error("the remote is too busy: other pushes came first {attempts} times")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// Garbage collection ended our push, which took too long.
    #[error("push {session} was revoked before it was complete")]
    Revoked {
        /// The push.
        session: SessionId,
    },
    /// The place belongs to another repository.
    #[error("this remote belongs to the repository {there}, and this one is {here}")]
    OtherRepo {
        /// The repository of the first push.
        there: String,
        /// The one that pushes now.
        here: String,
    },
    /// A read position that is before the start.
    #[error("a seek led to before the first byte")]
    BadSeek,
}

impl SyncError {
    /// Returns whether nobody answered, so that what is cached is the best there is.
    fn is_unreachable(&self) -> bool {
        matches!(self, Self::Backend(BackendError::Unreachable { .. }))
    }
}

impl Classify for SyncError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Backend(error) => error.kind(),
            Self::Damaged { source, .. } => match source.kind() {
                ErrorKind::TooNew => ErrorKind::TooNew,
                _ => ErrorKind::Damaged,
            },
            Self::Format(source) => source.kind(),
            Self::Absent { .. } | Self::WrongObject { .. } | Self::NoFrame { .. } | Self::RootDamaged { .. } => {
                ErrorKind::Damaged
            }
            Self::NotCreated | Self::NoContent { .. } | Self::NoTag { .. } => ErrorKind::NotFound,
            Self::Busy { .. } | Self::Revoked { .. } => ErrorKind::Failed,
            Self::OtherRepo { .. } => ErrorKind::Conflict,
            Self::BadSeek => ErrorKind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Backend(error) => error.hint(),
            Self::NotCreated => Some("create it with `onenb push --create`".to_owned()),
            Self::Damaged { source, .. } | Self::Format(source) => source
                .hint()
                .or_else(|| Some("list what is readable with `onenb verify --remote REV`".to_owned())),
            Self::Absent { .. } | Self::WrongObject { .. } => Some(
                "list what is readable with `onenb verify --remote REV`, and send it again with `onenb push --force REV`"
                    .to_owned(),
            ),
            Self::RootDamaged { owner, .. } => Some(owner.remedy()),
            Self::OtherRepo { .. } => Some(
                "give each repository a directory or key prefix of its own: `onenb remote set URL/NAME`".to_owned(),
            ),
            Self::NoFrame { .. } => Some("look for damage with `onenb verify`".to_owned()),
            Self::Busy { .. } | Self::Revoked { .. } => Some("repeat `onenb push`".to_owned()),
            _ => None,
        }
    }
}
