//! Git: finding a repository, reading its history, staging files, and living in its hooks.
//!
//! - The only module that names `gix`, which reads; the `git` program stages and answers what `gix` cannot.
//! - Everything a repository says is hostile: objects are read up to a limit, tree walks are bounded and iterative,
//!   paths and names that are not UTF-8 are skipped, and a repository of another owner is refused as Git refuses it.
//! - Object ids of every kind (commits, trees, blobs) are [`CommitId`]s; paths inside trees are `String`s with `/`.
//! - Shallow boundaries, replacement objects (`git replace`) and the deprecated `info/grafts` shape the history.
//! - Opening reads configuration and nothing else, because hooks run on each commit. What is kept across calls is named
//!   by its content (unpacked objects) or looked at again (references), so one [`GitRepo`] serves many threads, for
//!   long.
//! - This module knows nothing of exports, records or notebooks, and never runs `git push` or touches a remote.
//!
//! [`CommitId`]: crate::id::CommitId

mod branches;
mod conflicts;
mod discover;
mod error;
mod grafts;
mod handles;
mod hooks;
mod nearest;
mod objects;
mod program;
mod revisions;
mod roots;
#[cfg(test)]
mod testing;
mod walk;
mod worktree;

use std::path::PathBuf;

pub use branches::BranchBirth;
pub use conflicts::Conflict;
pub use discover::Environment;
pub use error::GitError;
pub use hooks::{EventState, HookEvent, HookReport, HookStatus};
pub use nearest::nearest;
pub use objects::{Change, CommitInfo, TreeFile};
pub use program::{clean_command, is_run_by_pre_commit};
pub use revisions::{Revision, RevisionKind};
pub use roots::{NewFiles, SeenHistory, WorkTree};
pub use worktree::Operation;

/// What `.1nb/.gitattributes` holds: records are compared byte for byte, so no line ending of theirs may change.
///
/// The file lies inside `.1nb`, so that the user's own attributes stay untouched.
pub const ATTRIBUTES_TEXT: &str = "* -text\n";

/// An opened Git repository, as seen from one of its work trees.
///
/// Invariant: the three paths are absolute. `Send` and `Sync`.
#[derive(Debug)]
pub struct GitRepo {
    inner: gix::ThreadSafeRepository,
    idle: handles::Idle,
    grafts: grafts::Grafts,
    environment: Environment,
    git_dir: PathBuf,
    common_dir: PathBuf,
    work_dir: Option<PathBuf>,
}
