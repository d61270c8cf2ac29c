//! `onenb ls`: lists the exports of a revision.

use super::args::split_repo;
use super::errors::{Exit, Failure};
use super::json::{Export, Exports, document};
use super::output::Context;
use super::render::{self, Align};
use crate::BoundExport;

const EXAMPLES: &str = "\
Examples:
  onenb ls
  onenb ls v1
  onenb ls working --json";

/// List the exports of a revision
///
/// Columns: export, size, suffix, start of the digest, commit that bound it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// A tag, branch or commit, or `working`; perhaps of another repository, as REPO@REV
    #[arg(value_name = "REV", default_value = "HEAD")]
    rev: String,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let (repo, rev) = split_repo(&args.rev, || workspace.repos());
    let exports = workspace.list(repo, rev)?;
    let body = Exports { exports: exports.iter().map(Export::from).collect() };
    ctx.print(&document(body), || table(&exports))?;
    if exports.is_empty() {
        ctx.talk.note(&format!("no exports in `{}`", args.rev));
        if rev != "working" {
            ctx.talk.note("hint: uncommitted ones are listed by `onenb ls working`");
        }
    }
    Ok(Exit::Success)
}

fn table(exports: &[BoundExport]) -> String {
    let rows: Vec<Vec<String>> = exports
        .iter()
        .map(|BoundExport { record, commit }| {
            vec![
                record.label(),
                render::size(record.size),
                record.suffix.to_string(),
                record.digest.short(),
                commit.map_or_else(|| "working".to_owned(), |commit| commit.short()),
            ]
        })
        .collect();
    render::table(&rows, &[Align::Left, Align::Right])
}
