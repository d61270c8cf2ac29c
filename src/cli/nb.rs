//! `onenb nb`: commands about notebooks.

use clap::Subcommand;

use super::args::{ParamArgs, merge, split_at_path, split_repo};
use super::command::usage;
use super::errors::{Exit, Failure};
use super::get::OutArgs;
use super::output::Context;
use crate::error::Error;
use crate::format::params::Params;

const EXAMPLES: &str = "\
Examples:
  onenb nb get v1:report.ipynb -o report-v1.ipynb
  onenb nb get 'v1:report.ipynb?year=2023' -o report-2023.ipynb";

/// Read recorded notebooks back
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write an executed notebook, as it was recorded, into a file
    Get(GetArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
struct GetArgs {
    /// The notebook and its parameters, [REPO@]REV:PATH[?k=v]
    #[arg(value_name = "REV:PATH")]
    notebook: String,
    #[command(flatten)]
    params: ParamArgs,
    #[command(flatten)]
    out: OutArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    match &args.action {
        Action::Get(args) => get(args, ctx),
    }
}

fn get(args: &GetArgs, ctx: &Context) -> Result<Exit, Failure> {
    let Some((place, path, query)) = split_at_path(&args.notebook) else {
        return Err(usage(format!("`{}` is not REV:PATH", args.notebook), "nb get").into());
    };
    let query = Params::from_query(query).map_err(Error::from)?;
    let params = merge(&query, &args.params.parse()?)?;
    let workspace = ctx.workspace();
    let (repo, rev) = split_repo(place, || workspace.repos());
    let name = path.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".."));
    let Some(name) = name else {
        return Err(usage(format!("`{path}` is no file name"), "nb get").into());
    };
    args.out.write(name, ctx, || workspace.notebook(repo, rev, path, &params))
}
