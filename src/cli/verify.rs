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
  onenb verify --remote v1
  onenb verify --repair
  onenb verify --remote --repair
  onenb verify --json";

/// Read all data back and report damage
///
/// Changes nothing without `--repair`; what it finds damaged is stored anew by the next export or pull. Exit code 5 if
/// anything is damaged. Data that is only on the remote is listed, and is no damage.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// With `--remote`: only what this revision needs
    #[arg(requires = "remote")]
    rev: Option<String>,
    /// Check the remote instead; exit code 3 if something cannot be read. Of REV: that every pack that its exports,
    /// notebooks and directories need is there; without REV everything of every tag is read
    #[arg(long)]
    remote: bool,
    /// Read so many contents of the remote in full, picked at random; of the others ask whether they are there
    #[arg(long, value_name = "N", requires = "remote")]
    sample: Option<usize>,
    /// Fetch from the remote what is damaged or missing here; with `--remote` send what is damaged or missing there and
    /// sound here. The exit code tells whether damage is left
    #[arg(long)]
    repair: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    if args.remote {
        // The check of pull requests asks for each pack once; it fetches data only if asked.
        let sample = args.sample.or((args.rev.is_some() && !args.repair).then_some(0));
        let summary = if args.repair {
            let mut progress = ctx.progress();
            repo.verify_remote_and_repair(args.rev.as_deref(), sample, &mut |news| progress.update(news))?
        } else {
            repo.verify_remote_data(args.rev.as_deref(), sample)?
        };
        ctx.print(&document(Verified::from(&summary)), || text(&summary, Place::Remote { read: sample }))?;
        return Ok(if summary.damaged.is_empty() { Exit::Success } else { Exit::Missing });
    }
    let mut progress = ctx.progress();
    let mut update = |news| progress.update(news);
    let summary = if args.repair { repo.verify_and_repair(&mut update)? } else { repo.verify(&mut update)? };
    drop(progress);
    ctx.print(&document(Verified::from(&summary)), || text(&summary, Place::Store))?;
    Ok(if summary.damaged.is_empty() { Exit::Success } else { Exit::Damage })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Store,
    /// The remote, with how many contents were read at most; `None` for all.
    Remote {
        read: Option<usize>,
    },
}

fn text(summary: &VerifySummary, place: Place) -> String {
    let mut out = String::new();
    for object in &summary.repaired {
        let _ = writeln!(out, "repaired: {}", render::one_line(object));
    }
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
        // Only what was read is known to be sound.
        0 if place == (Place::Remote { read: Some(0) }) => {
            "every pack is there; `--sample N` reads N of them in full".to_owned()
        }
        0 => "no damage".to_owned(),
        damaged => format!("{} damaged", render::count(damaged, "object")),
    };
    let contents = render::count(summary.contents, "content");
    let _ = match place {
        Place::Store => writeln!(out, "checked {contents} in {} of packs: {verdict}", render::size(summary.bytes)),
        Place::Remote { .. } => writeln!(out, "checked {contents} of the remote: {verdict}"),
    };
    out
}
