//! `onenb bind`: gives a commit an export that it should have had.

use std::path::Path;

use super::args::{ParamArgs, is_spec};
use super::command::usage;
use super::errors::{Exit, Failure};
use super::json::{Bound, document};
use super::output::Context;
use crate::error::Error;
use crate::format::name::ExportName;

const EXAMPLES: &str = "\
Examples:
  onenb bind HEAD~2 working:Sales
  onenb bind v1 sales.csv --name Sales
  onenb bind v1 report.csv --name Report -p year=2023";

/// Bind an export or a file to a commit afterwards
///
/// Repairs history, and brings data of other tools in. Refused once a pushed tag has the commit, unless --force.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The commit
    rev: String,
    /// An export as REV:NAME[?k=v], or a file; an existing file wins
    #[arg(value_name = "SPEC|FILE")]
    from: String,
    /// Name of the export, for a file; its name without suffix if absent
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    params: ParamArgs,
    /// Also if a pushed tag has the commit
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let file = Path::new(&args.from);
    let label = if file.exists() || !is_spec(&args.from) {
        let name = args.name.as_deref().map(ExportName::parse).transpose().map_err(Error::from)?;
        repo.bind_file(&args.rev, file, name, args.params.parse()?, args.force)?
    } else if args.name.is_some() {
        return Err(usage("`--name` is for files; an export keeps its name", "bind").into());
    } else {
        let spec = workspace.parse_spec(&args.from, &args.params.parse()?)?;
        repo.bind_export(&args.rev, &workspace.resolve(&spec)?, args.force)?
    };
    ctx.conclude(&document(Bound { bound: vec![&label] }), || format!("bound {label} to {}", args.rev))?;
    Ok(Exit::Success)
}
