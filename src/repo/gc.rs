//! `gc`: frees the room of local data that nothing names any more.

use std::time::Duration;

use super::Repo;
use super::facts::now_us;
use super::roots::RootFinder;
use super::types::{Progress, ProgressFn};
use crate::error::{Error, ErrorKind, Result};
pub use crate::store::GcReport as LocalGcReport;
use crate::store::GcStep;

/// How long exports that no commit has, and that newer ones took the place of, are kept unless asked otherwise.
pub(super) const KEPT: Duration = Duration::from_hours(14 * 24);

/// How `gc` goes about it.
#[derive(Debug, Clone, Copy)]
pub struct LocalGcOptions {
    /// Only say what would be freed.
    pub dry_run: bool,
    /// Keep uncommitted exports that are younger than this, whatever took their place.
    pub keep: Duration,
}

impl Default for LocalGcOptions {
    fn default() -> Self {
        Self { dry_run: false, keep: KEPT }
    }
}

impl Repo {
    /// Frees the room of local data that nothing names. Safe beside exports and reads of any process.
    ///
    /// # Errors
    /// Whatever keeps it from being told what is needed, Conflict if another collection runs or an export does not end,
    /// Interrupted. Nothing that is needed is lost in any case.
    pub fn gc(&self, options: &LocalGcOptions, progress: ProgressFn<'_>) -> Result<LocalGcReport> {
        let Some(store) = self.store_if_present()? else { return Ok(LocalGcReport::default()) };
        let keep_us = i64::try_from(options.keep.as_micros()).unwrap_or(i64::MAX);
        let mut finder = RootFinder::new(self, now_us().saturating_sub(keep_us)).map_err(unsure)?;
        let mut roots = || finder.find().map_err(unsure);
        let mut report_step =
            |step: GcStep| progress(Progress { doing: step.doing, done: step.done, total: Some(step.total) });
        if options.dry_run {
            return Ok(store.plan_gc(&roots()?, &mut report_step).map_err(unsure)?.report());
        }
        self.check_writable()?;
        store.clear_scratch()?;
        store.gc(&mut roots, &mut report_step)
    }
}

/// Says why nothing is deleted where it cannot be told what is needed.
pub(super) fn unsure(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted | ErrorKind::ReadOnly => error,
        _ => error.context("nothing was deleted, because not all that is needed is known"),
    }
}
