//! What can go wrong with Git, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::{Classify, ErrorKind, kind_of_io};
use crate::id::CommitId;

/// A cause whose type stays behind this module's door.
pub(super) type Cause = Box<dyn StdError + Send + Sync>;

/// What went wrong with a Git repository.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GitError {
    /// Neither the directory nor any parent is a repository.
    #[error("`{}` is in no Git repository", path.display())]
    NotARepository {
        /// Where the search started.
        path: PathBuf,
    },
    /// The repository belongs to another user, and `safe.directory` does not name it.
    #[error("the repository of `{}` belongs to another user", path.display())]
    Unsafe {
        /// Where the search started.
        path: PathBuf,
        /// What was found out about the owner.
        source: Cause,
    },
    /// The repository keeps its references in the reftable format.
    #[error("`{}` keeps its references as reftable, which onenb cannot read yet", git_dir.display())]
    Reftable {
        /// The repository's directory.
        git_dir: PathBuf,
    },
    /// There is a repository, and it cannot be opened.
    #[error("the repository of `{}` cannot be opened", path.display())]
    Open {
        /// Where the search started.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The work needs a work tree.
    #[error("`{}` is a bare repository and has no work tree", git_dir.display())]
    NoWorkTree {
        /// The repository's directory.
        git_dir: PathBuf,
    },
    /// No reference or object goes by this name.
    #[error("no revision `{rev}`")]
    UnknownRevision {
        /// What was asked for, shortened.
        rev: String,
        /// Names of tags and branches that look like it, best first.
        nearest: Vec<String>,
    },
    /// The revision exists and names a tree, a blob or a range.
    #[error("`{rev}` names a {found}, not a commit")]
    NotACommit {
        /// What was asked for.
        rev: String,
        /// What it names.
        found: &'static str,
    },
    /// `HEAD` points to a branch that has no commit yet.
    #[error("the branch `{branch}` has no commit yet")]
    Unborn {
        /// The short name of the branch.
        branch: String,
    },
    /// An object that something names is not in the repository.
    #[error("object {id} is not in this repository")]
    MissingObject {
        /// The object.
        id: CommitId,
    },
    /// A clone was made without the trees of old commits.
    #[error("tree {tree} was left out of this partial clone")]
    Treeless {
        /// The first one that was missed.
        tree: CommitId,
    },
    /// Objects, references or the index cannot be read.
    #[error("could not read {what} of this repository")]
    Damaged {
        /// What was being read.
        what: String,
        /// Why it failed.
        source: Cause,
    },
    /// A repository holds more than this program is willing to read at once.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What was being read.
        what: String,
        /// The limit, in bytes or entries as `what` says.
        limit: u64,
    },
    /// The `git` program answered with an error.
    #[error("`git {command}` failed: {message}")]
    Program {
        /// The subcommand.
        command: String,
        /// What it said on stderr, without control characters.
        message: String,
    },
    /// The `git` program could not be run.
    #[error("could not run `git {command}`")]
    Spawn {
        /// The subcommand.
        command: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// Hooks cannot be installed where Git would look for them.
    #[error("hooks cannot live in `{}`: {reason}", path.display())]
    HookPlace {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A file under the repository's directory could not be read or written.
    #[error("could not {doing} `{}`", path.display())]
    File {
        /// The verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl GitError {
    /// What is damaged is put into words only if it is: this stands behind every object that is read.
    pub(super) fn damaged(what: impl fmt::Display) -> impl FnOnce(gix::Error) -> Self {
        move |source| Self::Damaged { what: what.to_string(), source: source.into() }
    }

    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

impl Classify for GitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotARepository { .. } => ErrorKind::NotARepository,
            Self::UnknownRevision { .. } | Self::NotACommit { .. } | Self::Unborn { .. } => ErrorKind::NotFound,
            Self::MissingObject { .. } | Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Reftable { .. } => ErrorKind::TooNew,
            Self::Spawn { source, .. } | Self::File { source, .. } => kind_of_io(source),
            Self::Unsafe { .. }
            | Self::Open { .. }
            | Self::Treeless { .. }
            | Self::NoWorkTree { .. }
            | Self::TooLarge { .. }
            | Self::Program { .. }
            | Self::HookPlace { .. } => ErrorKind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotARepository { .. } => {
                Some("make one with `git init`, or change to a directory that is in one".to_owned())
            }
            Self::Unsafe { path, .. } => {
                Some(format!("if you trust it, `git config --global --add safe.directory {}`", path.display()))
            }
            Self::Reftable { .. } => Some("convert it with `git refs migrate --ref-format=files`".to_owned()),
            Self::UnknownRevision { nearest, .. } if nearest.is_empty() => Some("list tags with `git tag`".to_owned()),
            Self::UnknownRevision { nearest, .. } => Some(format!("nearest names: `{}`", nearest.join("`, `"))),
            Self::Unborn { .. } => Some("make the first commit with `git commit`".to_owned()),
            Self::Treeless { .. } => Some("fetch all trees with `git fetch --refetch --filter=blob:none`".to_owned()),
            Self::MissingObject { .. } | Self::Damaged { .. } => {
                Some("see what is damaged with `git fsck`; fetch what is missing with `git fetch`".to_owned())
            }
            _ => None,
        }
    }
}
