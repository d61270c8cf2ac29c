//! `onenb log`: the recorded runs, newest first.

use super::errors::{Exit, Failure};
use super::json::{Run, Runs, document};
use super::json_life::WorkingLog;
use super::output::Context;
use super::render::{self, Align};
use crate::error::Error;
use crate::format::name::ExportName;
use crate::{LogRow, WorkingExport};

const EXAMPLES: &str = "\
Examples:
  onenb log
  onenb log Report
  onenb log --nb report.ipynb --json
  onenb log Report --working";

/// List recorded runs, newest first
///
/// Columns: commit, its time in UTC, notebook and parameters, what it exported.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Only runs that made this export
    name: Option<String>,
    /// Only runs of this notebook
    #[arg(long, value_name = "FILE")]
    nb: Option<String>,
    /// Instead, what was exported under this name in this work tree and is still here, committed or not
    #[arg(long, requires = "name", conflicts_with = "nb")]
    working: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let name = args.name.as_deref().map(ExportName::parse).transpose().map_err(Error::from)?;
    let workspace = ctx.workspace();
    if let (true, Some(name)) = (args.working, &name) {
        let rows = workspace.repo()?.working_log(name)?;
        ctx.print(&document(WorkingLog::from(rows.as_slice())), || working_table(&rows))?;
        if rows.is_empty() {
            ctx.talk.note("no exports of that name were made here, or none is left");
        }
        return Ok(Exit::Success);
    }
    let rows = workspace.repo()?.log(name.as_ref(), args.nb.as_deref())?;
    ctx.print(&document(Runs { runs: rows.iter().map(Run::from).collect() }), || table(&rows, ctx))?;
    if rows.is_empty() {
        ctx.talk.note("no recorded runs; record one with `onenb addnb FILE` and commit");
    }
    Ok(Exit::Success)
}

fn working_table(rows: &[WorkingExport]) -> String {
    let cells = |row: &WorkingExport| {
        vec![
            if row.is_current { "*" } else { "" }.to_owned(),
            row.record.digest.short(),
            render::minute(row.time_us.div_euclid(1_000_000)),
            render::size(row.record.size),
            row.record.label(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    render::table(&rows, &[Align::Left, Align::Left, Align::Left, Align::Right])
}

fn table(rows: &[LogRow], ctx: &Context) -> String {
    let cells = |row: &LogRow| {
        let mut cells = vec![
            row.commit.short(),
            render::minute(row.time_unix),
            format!("{}{}", row.path.as_deref().unwrap_or("(shell)"), row.params),
            exports(row),
        ];
        if ctx.talk.is_verbose() {
            cells.push(parent(row));
        }
        cells
    };
    render::table(&rows.iter().map(cells).collect::<Vec<_>>(), &[])
}

fn exports(row: &LogRow) -> String {
    let labels: Vec<String> = row.exports.iter().map(|export| format!("{}{}", export.name, export.params)).collect();
    if labels.is_empty() { "no exports".to_owned() } else { labels.join(", ") }
}

fn parent(row: &LogRow) -> String {
    match (&row.parent_branch, &row.parent_method) {
        (Some(branch), Some(method)) => format!("from {branch} ({method})"),
        (Some(branch), None) => format!("from {branch}"),
        _ => String::new(),
    }
}
