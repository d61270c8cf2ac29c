//! `onenb reindex`: rebuilds the catalog from Git and the packs.

use super::errors::{Exit, Failure};
use super::json::{Reindexed, document};
use super::output::Context;
use super::render;

const EXAMPLES: &str = "\
Examples:
  onenb reindex";

/// Rebuild the catalog from Git and the packs
///
/// The catalog is only an index: every answer is the same before and after.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let summary = workspace.repo()?.reindex()?;
    let body = Reindexed { commits: summary.commits };
    ctx.conclude(&document(body), || format!("indexed {}", render::count(summary.commits, "commit")))?;
    Ok(Exit::Success)
}
