//! `onenb status`: what is not committed, tagged or pushed, and what to do about it.

use std::fmt::Write as _;

use super::errors::{Exit, Failure};
use super::json::{State, document};
use super::output::Context;
use super::render::indent;
use super::{hooks, render};
use crate::format::record::ExportRecord;
use crate::{Dispute, RecordConflict, RunConflict, Status};

const EXAMPLES: &str = "\
Examples:
  onenb status
  onenb status --verbose
  onenb status --json";

/// Rows of one section that are shown without -v, so that everything fits on one screen.
const SHOWN: usize = 8;

/// Show what is not committed, tagged or pushed, and the next commands
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let status = workspace.repo()?.status()?;
    ctx.print(&document(State::from(&status)), || text(&status, ctx.talk.is_verbose()))?;
    Ok(Exit::Success)
}

/// One heading with its rows and the command that empties it.
struct Section {
    heading: &'static str,
    rows: Vec<Vec<String>>,
    next: &'static str,
}

fn text(status: &Status, all: bool) -> String {
    let mut out = format!("repository {}\n", render::one_line(&status.name));
    let mut is_clear = true;
    for section in sections(status) {
        if !section.rows.is_empty() {
            is_clear = false;
            out.push_str(&show(&section, all));
        }
    }
    if is_clear {
        out.push_str("every export is committed, tagged and pushed\n");
    }
    out.push_str(&hooks::summary(&status.hooks));
    out
}

fn show(section: &Section, all: bool) -> String {
    let shown = if all { section.rows.len() } else { SHOWN };
    let rows: Vec<Vec<String>> = section.rows.iter().take(shown).cloned().collect();
    let mut out = format!("\n{}:\n{}", section.heading, indent(&render::table(&rows, &[])));
    let more = section.rows.len().saturating_sub(shown);
    if more > 0 {
        let _ = writeln!(out, "  and {more} more, see `onenb status -v`");
    }
    let _ = writeln!(out, "  next: {}", section.next);
    out
}

fn sections(status: &Status) -> Vec<Section> {
    vec![
        Section {
            heading: "changed on both sides of the merge",
            rows: status.conflicts.iter().map(conflict).chain(status.run_conflicts.iter().map(run_conflict)).collect(),
            next: "`onenb take --ours NAME` or `onenb take --theirs NAME`, then `git commit`",
        },
        Section {
            heading: "bound to other data on each side of a merge, where the first parent's counts",
            rows: status.disputed.iter().map(dispute).collect(),
            next: "bind theirs as shown, or ours to keep it: `onenb bind MERGE SPEC`",
        },
        Section {
            heading: "records with problems",
            rows: status.problems.iter().map(|(path, reason)| vec![path.clone(), reason.clone()]).collect(),
            next: "export it again, or take the file of another commit: `git checkout REV -- FILE`",
        },
        Section { heading: "not committed", rows: uncommitted(status), next: "`git add .1nb`, then `git commit`" },
        Section {
            heading: "committed, but in no tag",
            rows: status.untagged.iter().map(|(commit, subject)| vec![commit.short(), subject.clone()]).collect(),
            next: "`git tag NAME`",
        },
        Section {
            heading: "tagged, but not pushed",
            rows: status.unpushed.iter().map(|tag| vec![tag.clone()]).collect(),
            next: "`onenb push`",
        },
        Section {
            heading: "older than their inputs",
            rows: status
                .stale
                .iter()
                .map(|row| vec![row.export.clone(), format!("read an older {}", row.input)])
                .collect(),
            next: "run the notebook again, then `onenb addnb`",
        },
        Section {
            heading: "tags that name another commit on the remote",
            rows: status
                .moved
                .iter()
                .map(|tag| vec![tag.tag.clone(), format!("{} here, {} there", tag.local.short(), tag.remote.short())])
                .collect(),
            next: "`git fetch --tags --force` takes theirs, `onenb push --force TAG` sends yours",
        },
    ]
}

fn conflict(conflict: &RecordConflict) -> Vec<String> {
    let side = |word: &str, record: Option<&ExportRecord>| match record {
        Some(record) => format!("{word} {} {}", record.digest.short(), render::size(record.size)),
        None => format!("{word} removed"),
    };
    vec![conflict.label(), side("ours", conflict.ours.as_ref()), side("theirs", conflict.theirs.as_ref())]
}

fn run_conflict(conflict: &RunConflict) -> Vec<String> {
    let names: Vec<String> = conflict.exports().iter().map(|(name, params)| format!("{name}{params}")).collect();
    vec![names.join(", "), format!("run again on both sides: {}", conflict.label())]
}

fn dispute(dispute: &Dispute) -> Vec<String> {
    let side = |word: &str, record: &ExportRecord| format!("{word} {}", record.digest.short());
    let Dispute { ours, theirs, fix, .. } = dispute;
    vec![ours.label(), side("ours", ours), side("theirs", theirs), format!("`{fix}`")]
}

fn uncommitted(status: &Status) -> Vec<Vec<String>> {
    let staged = |is_staged: bool| if is_staged { "staged" } else { "" }.to_owned();
    status
        .uncommitted
        .iter()
        .map(|row| vec![row.state.to_owned(), row.record.label(), render::size(row.record.size), staged(row.staged)])
        .collect()
}
