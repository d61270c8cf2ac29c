//! `onenb verify`: reads everything back and says what is damaged.

use std::fmt::Write as _;

use super::errors::{Exit, Failure};
use super::json::{Verified, document};
use super::output::Context;
use super::render;
use crate::VerifySummary;

const EXAMPLES: &str = "\
Examples:
  onenb verify
  onenb verify --json";

/// Read all data back and report damage
///
/// Changes no data; what it finds damaged is stored anew by the next export or pull. Exit code 5 if anything is damaged. Data that is only on the remote is listed, and is no damage.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let mut progress = ctx.progress();
    let summary = repo.verify(&mut |news| progress.update(news))?;
    drop(progress);
    ctx.print(&document(Verified::from(&summary)), || text(&summary))?;
    Ok(if summary.damaged.is_empty() { Exit::Success } else { Exit::Damage })
}

fn text(summary: &VerifySummary) -> String {
    let mut out = String::new();
    for damaged in &summary.damaged {
        let _ = writeln!(out, "damaged: {}", render::one_line(&damaged.object));
        if !damaged.exports.is_empty() {
            let _ = writeln!(out, "  needed by: {}", render::one_line(&damaged.exports.join(", ")));
        }
        let _ = writeln!(out, "  fix: {}", render::one_line(&damaged.fix));
    }
    if !summary.absent.is_empty() {
        let _ = writeln!(out, "not in the local store: {}", render::one_line(&summary.absent.join(", ")));
        out.push_str("  fetch with `onenb pull REV`\n");
    }
    let verdict = match summary.damaged.len() as u64 {
        0 => "no damage".to_owned(),
        damaged => format!("{} damaged", render::count(damaged, "object")),
    };
    let contents = render::count(summary.contents, "content");
    let _ = writeln!(out, "checked {contents} in {} of packs: {verdict}", render::size(summary.bytes));
    out
}
