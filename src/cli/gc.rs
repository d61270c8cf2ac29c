//! `onenb gc`: frees the room of what nothing names any more.

use super::errors::{Exit, Failure};
use super::json::{Collected, document};
use super::output::Context;
use super::render;
use crate::{RemoteGcOptions, RemoteGcReport};

const EXAMPLES: &str = "\
Examples:
  onenb gc --remote --dry-run
  onenb gc --remote";

/// Delete from the remote what no tag names any more
///
/// Safe while others push. What tags name, what they named before they were moved, and uploads of branches and commits stay, until `onenb push --delete` and `--forget-history` let go of them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Clean the remote
    #[arg(long, required = true)]
    remote: bool,
    /// Only say what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// `now` gives up unfinished pushes of the last day too
    #[arg(long, value_name = "WHEN", value_parser = ["now"])]
    prune: Option<String>,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let options = RemoteGcOptions { dry_run: args.dry_run, prune_now: args.prune.is_some() };
    let report = ctx.workspace().repo()?.gc_remote(options)?;
    ctx.conclude(&document(Collected::new(&report, args.dry_run)), || note(&report, args.dry_run))?;
    Ok(Exit::Success)
}

fn note(report: &RemoteGcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would delete" } else { "deleted" };
    let objects = render::count(report.objects, "object");
    format!("{verb} {objects}, {} of them packs, {}", report.packs, render::size(report.bytes))
}
