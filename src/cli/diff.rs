//! `onenb diff`: the exports that two revisions have otherwise.

use super::errors::{Exit, Failure};
use super::json::document;
use super::json_git::Changes;
use super::output::Context;
use super::render;
use crate::{DiffRow, DiffSide};

const EXAMPLES: &str = "\
Examples:
  onenb diff v1 v2
  onenb diff HEAD working
  onenb diff main topic --json";

/// List the exports that two revisions have otherwise, with sizes and shared bytes
///
/// Of CSV, Parquet and npy files also rows and columns. Either revision may be `working`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Revision before
    old: String,
    /// Revision after
    new: String,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let rows = workspace.repo()?.diff(&args.old, &args.new)?;
    ctx.print(&document(Changes::from(rows.as_slice())), || table(&rows))?;
    if rows.is_empty() {
        ctx.talk.note("both have the same exports");
    }
    Ok(Exit::Success)
}

fn table(rows: &[DiffRow]) -> String {
    render::table(&rows.iter().filter_map(cells).collect::<Vec<_>>(), &[])
}

fn cells(row: &DiffRow) -> Option<Vec<String>> {
    let (state, side) = match (&row.old, &row.new) {
        (None, Some(new)) => ("added", new),
        (Some(old), None) => ("removed", old),
        (_, Some(new)) => ("changed", new),
        (None, None) => return None,
    };
    let both = |value: fn(&DiffSide) -> Option<String>| match (&row.old, &row.new) {
        (Some(old), Some(new)) if value(old) != value(new) => {
            let text = |side| value(side).unwrap_or_else(|| "?".to_owned());
            format!("{} to {}", text(old), text(new))
        }
        _ => value(side).unwrap_or_default(),
    };
    let shared = row.shared.map(|bytes| format!("{} shared", render::size(bytes))).unwrap_or_default();
    Some(vec![
        state.to_owned(),
        side.record.label(),
        both(|side| Some(render::size(side.record.size))),
        shared,
        both(|side| side.table.as_ref().map(|table| render::count(table.rows, "row"))),
        columns(row),
    ])
}

/// Names the columns that came and went.
fn columns(row: &DiffRow) -> String {
    let (Some(old), Some(new)) = (&row.old, &row.new) else { return String::new() };
    let (Some(old), Some(new)) = (&old.table, &new.table) else { return String::new() };
    let only = |here: &[String], there: &[String], sign: &str| -> Vec<String> {
        here.iter()
            .filter(|name| !there.contains(name))
            .map(|name| format!("{sign}{}", render::one_line(name)))
            .collect()
    };
    let changes = [only(&new.columns, &old.columns, "+"), only(&old.columns, &new.columns, "-")].concat();
    changes.join(" ")
}
