//! `onenb rm`: removes an export from the next commit on.

use super::args::SpecArgs;
use super::errors::{Exit, Failure};
use super::json::{Removed, document};
use super::output::Context;

const EXAMPLES: &str = "\
Examples:
  onenb rm working:Sales
  onenb rm working:Report -p year=2023";

/// Remove an export's record and stage that
///
/// Commits and tags that have it keep it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let label = repo.remove(&args.spec.parse(&workspace)?)?;
    ctx.conclude(&document(Removed { removed: vec![&label] }), || {
        format!("removed {label}; `git commit` makes it so")
    })?;
    Ok(Exit::Success)
}
