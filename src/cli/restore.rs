//! `onenb restore`: makes an earlier export the working one again.

use super::args::{ParamArgs, parse_name};
use super::errors::{Exit, Failure};
use super::json::document;
use super::json_life::Restored;
use super::output::Context;

const EXAMPLES: &str = "\
Examples:
  onenb restore Sales
  onenb restore Report -p year=2023
  onenb restore Sales --digest 6437b3ac38";

/// Make an earlier export the working one again
///
/// Without --digest the newest that differs from the working one, so that twice goes back and forth.
/// `onenb log NAME --working` lists what there is; `onenb gc` keeps it for 14 days.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The export, NAME[?k=v&k2=v2]
    name: String,
    #[command(flatten)]
    params: ParamArgs,
    /// The start of the digest of the one that is wanted
    #[arg(long, value_name = "START")]
    digest: Option<String>,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let (name, params) = parse_name(&args.name, &args.params)?;
    let workspace = ctx.workspace();
    let record = workspace.repo()?.restore(&name, &params, args.digest.as_deref())?;
    ctx.conclude(&document(Restored::new(&record)), || {
        format!("restored {} to {}", record.label(), record.digest.short())
    })?;
    Ok(Exit::Success)
}
