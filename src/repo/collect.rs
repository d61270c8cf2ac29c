//! `gc --remote`: deletes what no tag of the remote names any more.

use std::time::Duration;

use super::Repo;
use super::facts::now_us;
use crate::error::{Error, ErrorKind, Result};
pub use crate::sync::GcReport as RemoteGcReport;
use crate::sync::{self, GcOptions};

/// Unfinished pushes younger than this may still be running, and are left alone unless asked.
const GRACE: Duration = Duration::from_hours(24);

/// How `gc --remote` goes about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoteGcOptions {
    /// Only say what would be deleted.
    pub dry_run: bool,
    /// Give up unfinished pushes of any age; one that is still running fails and can be repeated.
    pub prune_now: bool,
}

impl Repo {
    /// Deletes from the remote what neither a tag, nor the history of a tag, nor an upload without a tag names.
    ///
    /// # Errors
    /// `Failed` without a remote, Auth for one that is not approved, Damaged if what a tag names cannot be read.
    pub fn gc_remote(&self, options: RemoteGcOptions) -> Result<RemoteGcReport> {
        let Some((remote, _)) = self.remote()? else {
            return Err(Error::new(ErrorKind::Failed, "storage is local: there is no remote to clean")
                .with_hint("choose a remote with `onenb remote set URL`"));
        };
        let now_ms = u64::try_from(now_us()).unwrap_or_default() / 1000;
        let grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let give_up_before_ms = if options.prune_now { u64::MAX } else { now_ms.saturating_sub(grace_ms) };
        Ok(sync::gc(&remote, &GcOptions { dry_run: options.dry_run, give_up_before_ms })?)
    }
}
