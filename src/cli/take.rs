//! `onenb take`: ends the conflict of an export's record by one side's word.

use super::args::{ParamArgs, parse_name};
use super::errors::{Exit, Failure};
use super::json::document;
use super::json_git::Taken;
use super::output::Context;
use crate::Side;

const EXAMPLES: &str = "\
Examples:
  onenb take --ours Sales
  onenb take --theirs 'Report?year=2023'";

/// End a merge conflict of an export by taking one side's version
///
/// Writes and stages the record; `git commit` or `git rebase --continue` goes on. While rebasing, `--ours` is the
/// branch that is being rebased onto, as everywhere in Git.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("side").required(true).args(["ours", "theirs"])))]
pub(super) struct Args {
    /// Take the version of the branch that is checked out
    #[arg(long)]
    ours: bool,
    /// Take the version of the branch that is being merged
    #[arg(long)]
    theirs: bool,
    /// The export, NAME[?k=v]; without parameters all its parameter sets that are in conflict
    name: String,
    #[command(flatten)]
    params: ParamArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let side = if args.ours { Side::Ours } else { Side::Theirs };
    let (name, params) = parse_name(&args.name, &args.params)?;
    let workspace = ctx.workspace();
    let labels = workspace.repo()?.take(side, &name, &params)?;
    ctx.conclude(&document(Taken { taken: &labels }), || {
        let word = if args.ours { "ours" } else { "theirs" };
        format!("took {word} of {} and staged it; go on with `git commit`", labels.join(", "))
    })?;
    Ok(Exit::Success)
}
