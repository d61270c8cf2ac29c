//! `onenb unbind`: takes an export away from a commit.

use super::args::{ParamArgs, parse_name};
use super::errors::{Exit, Failure};
use super::json::{Unbound, document};
use super::output::Context;

const EXAMPLES: &str = "\
Examples:
  onenb unbind HEAD Sales
  onenb unbind v1 'Report?year=2023'";

/// Take an export away from a commit afterwards
///
/// Refused once a pushed tag has the commit, unless --force.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The commit
    rev: String,
    /// The export, NAME[?k=v&k2=v2]
    name: String,
    #[command(flatten)]
    params: ParamArgs,
    /// Also if a pushed tag has the commit
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let (name, params) = parse_name(&args.name, &args.params)?;
    let workspace = ctx.workspace();
    let label = workspace.repo()?.unbind(&args.rev, &name, &params, args.force)?;
    ctx.conclude(&document(Unbound { unbound: vec![&label] }), || format!("unbound {label} from {}", args.rev))?;
    Ok(Exit::Success)
}
