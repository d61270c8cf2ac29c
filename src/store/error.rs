//! What can go wrong in a store.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::error::{Classify, ErrorKind, kind_of_io};
use crate::format::FormatError;
use crate::id::{ChunkId, ContentDigest, ObjectId, PackId, RecipeId};

/// An error of the store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No such content here.
    #[error("content {digest} is not in the store")]
    UnknownContent {
        /// The content.
        digest: ContentDigest,
    },
    /// No such object here.
    #[error("object {id} is not in the store")]
    UnknownObject {
        /// The object.
        id: ObjectId,
    },
    /// No pack has a chunk.
    #[error("chunk {chunk} is in no local pack")]
    ChunkMissing {
        /// The chunk.
        chunk: ChunkId,
    },
    /// The bytes of a chunk are not what its id says.
    #[error("chunk {chunk} is damaged")]
    ChunkDamaged {
        /// The chunk.
        chunk: ChunkId,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A recipe, or a node of its tree, is not what its id says.
    #[error("the recipe of content {digest} is damaged")]
    RecipeDamaged {
        /// The content.
        digest: ContentDigest,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A node of a recipe tree is in no pack.
    #[error("recipe node {node} of content {digest} is in no local pack")]
    RecipeNodeMissing {
        /// The content.
        digest: ContentDigest,
        /// The node.
        node: RecipeId,
    },
    /// A metadata object is not what its id says.
    #[error("object {id} is damaged")]
    ObjectDamaged {
        /// The object.
        id: ObjectId,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A pack cannot be read where it should hold something.
    #[error("pack {pack} is damaged at byte {offset}")]
    PackDamaged {
        /// The pack.
        pack: PackId,
        /// Position of the frame or structure in bytes.
        offset: u64,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A frame, recipe or object handed in from outside is not what it says.
    #[error("data from outside is refused")]
    Refused {
        /// What is wrong with it.
        source: FormatError,
    },
    /// A recipe handed in from outside names a chunk that is not here.
    #[error("content {digest} cannot be stored without chunk {chunk}")]
    Incomplete {
        /// The content.
        digest: ContentDigest,
        /// A chunk that is missing.
        chunk: ChunkId,
    },
    /// A content has more chunks than a recipe can name.
    #[error("the content is too long: it has more than {max} chunks")]
    TooManyChunks {
        /// The most that a recipe can name.
        max: usize,
    },
    /// The directory holds something else.
    #[error("`{}` is not a store: {reason}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The settings of the store cannot be used.
    #[error("the settings in `{}` cannot be used", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The store is newer than this program.
    #[error("the store has version {found}, and this program knows versions up to {known}")]
    TooNew {
        /// The version needed.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The store can only be read.
    #[error("the store in `{}` cannot be written: {reason}", path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A writer was used in another process than the one that made it.
    #[error("a content begun before a fork cannot be finished after it")]
    Forked,
    /// A sync failed while this content was being written; its bytes may be gone.
    #[error("the disk failed while the content was being written")]
    Unsynced,
    /// The operating system refused.
    #[error("could not {doing} `{}`", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_path_buf(), source }
    }
}

impl Classify for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownContent { .. } | Self::UnknownObject { .. } => ErrorKind::NotFound,
            Self::ChunkDamaged { source, .. }
            | Self::RecipeDamaged { source, .. }
            | Self::ObjectDamaged { source, .. }
            | Self::PackDamaged { source, .. }
            | Self::Refused { source } => match source.kind() {
                ErrorKind::TooNew => ErrorKind::TooNew,
                _ => ErrorKind::Damaged,
            },
            Self::ChunkMissing { .. } | Self::RecipeNodeMissing { .. } | Self::Incomplete { .. } => ErrorKind::Damaged,
            Self::Settings { source, .. } if source.kind() == ErrorKind::TooNew => ErrorKind::TooNew,
            Self::Settings { .. }
            | Self::NotAStore { .. }
            | Self::Forked
            | Self::Unsynced
            | Self::TooManyChunks { .. } => ErrorKind::Failed,
            Self::TooNew { .. } => ErrorKind::TooNew,
            Self::ReadOnly { .. } => ErrorKind::ReadOnly,
            Self::Io { source, .. } => kind_of_io(source),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownContent { .. } | Self::UnknownObject { .. } => "fetch it with `onenb pull`",
            Self::Refused { .. } | Self::Incomplete { .. } => "check the remote with `onenb verify --remote`",
            Self::Settings { source, .. } if source.kind() == ErrorKind::TooNew => return source.hint(),
            Self::Settings { .. } => "go back to the defaults with `onenb tune --undo`",
            Self::TooManyChunks { .. } => "export it in several parts",
            Self::TooNew { .. } => "a newer onenb wrote this; upgrade with `pip install --upgrade onenb`",
            _ if self.kind() == ErrorKind::Damaged => "list all damage with `onenb verify`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
