//! `onenb resolve`: which commit and content a specification means.

use super::args::SpecArgs;
use super::errors::{Exit, Failure};
use super::json::{Export, Exports, document};
use super::output::Context;

const EXAMPLES: &str = "\
Examples:
  onenb resolve v1:Sales
  onenb resolve main:Report -p year=2023 --json";

/// Print commit and content digest of an export
///
/// `COMMIT DIGEST` on one line, `working` in the place of COMMIT for the work tree. Nothing on stdout and exit code 3
/// if there is no such export.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let export = args.spec.resolve(&workspace, ctx)?.export;
    let body = Exports { exports: vec![Export::from(&export)] };
    ctx.print(&document(body), || {
        let commit = export.commit.map_or_else(|| "working".to_owned(), |commit| commit.to_string());
        format!("{commit} {}\n", export.record.digest)
    })?;
    Ok(Exit::Success)
}
