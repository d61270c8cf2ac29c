//! `repack`: compresses everything local anew, harder and with every version at hand.

use super::Repo;
use super::facts::now_us;
use super::gc::{KEPT, unsure};
use super::roots::RootFinder;
use super::types::{Progress, ProgressFn};
use crate::error::{Error, ErrorKind, Result};
use crate::store::GcStep;
pub use crate::store::{RepackOptions, RepackReport};

impl Repo {
    /// Compresses all contents of the store anew. Nothing goes that a recipe names; what `gc` would free lies apart
    /// afterwards. Safe beside exports, reads and pushes.
    ///
    /// # Errors
    /// Damaged metadata, whatever keeps `gc` from being told what is needed, Conflict if a collection runs or an export
    /// does not end, Interrupted, a full disk. All contents are there in any case, and the next run goes on.
    pub fn repack(&self, options: &RepackOptions, progress: ProgressFn<'_>) -> Result<RepackReport> {
        let Some(store) = self.store_if_present()? else { return Ok(RepackReport::default()) };
        self.check_writable()?;
        let mut finder = self.root_finder()?;
        let mut roots = || finder.find().map_err(unsure);
        store.repack(options, &mut roots, &mut |step| progress(to_progress(step))).map_err(with_next_step)
    }

    /// Says what [`Repo::repack`] would compress anew.
    ///
    /// # Errors
    /// As for [`Repo::repack`].
    pub fn plan_repack(&self, options: &RepackOptions, progress: ProgressFn<'_>) -> Result<RepackReport> {
        let Some(store) = self.store_if_present()? else { return Ok(RepackReport::default()) };
        let roots = self.root_finder()?.find().map_err(unsure)?;
        Ok(store.plan_repack(options, &roots, &mut |step| progress(to_progress(step)))?.report())
    }

    fn root_finder(&self) -> Result<RootFinder> {
        let keep_us = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        RootFinder::new(self, now_us().saturating_sub(keep_us)).map_err(unsure)
    }
}

/// Says what is left where the disk is full.
fn with_next_step(error: Error) -> Error {
    match error.kind() {
        ErrorKind::DiskFull => error
            .context("repacking did not come to its end; all data is there as before")
            .with_hint("it needs room for a second copy while it runs: make room, then run `onenb repack` again"),
        _ => error,
    }
}

fn to_progress(step: GcStep) -> Progress {
    Progress { doing: step.doing, done: step.done, total: Some(step.total) }
}
