//! `onenb repack`: compresses everything local anew.

use super::errors::{Exit, Failure};
use super::json::document;
use super::json_life::Repacked;
use super::output::Context;
use super::render;
use crate::{RepackOptions, RepackReport};

const EXAMPLES: &str = "\
Examples:
  onenb repack --dry-run
  onenb repack
  onenb repack --level 19
  onenb repack --all";

/// Compress all local versions anew, so that they take less room
///
/// Every version is at hand now, so each is compressed against those that it is most like, on all cores at low priority. Contents and their digests stay as they are. Safe beside exports and reads. What was repacked before is left alone; stopped, it goes on where it was when run again; what a stopped --all wrote is dropped or brought to its end. Where nothing is gained all stays as it is, and the next run tries again. Very small exports lie beside the records and are never repacked.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Only say what would be compressed anew
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How hard to compress, 1 to 19; 19 takes twenty times as long as 9
    #[arg(long, value_name = "LEVEL", default_value_t = RepackOptions::default().level, value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
    /// Compress anew what was repacked before as well
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let options = RepackOptions { level: args.level, all: args.all };
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let mut progress = ctx.progress();
    let report = if args.dry_run {
        repo.plan_repack(&options, &mut |news| progress.update(news))?
    } else {
        crate::fs::lower_priority();
        repo.repack(&options, &mut |news| progress.update(news))?
    };
    drop(progress);
    ctx.conclude(&document(Repacked::new(&report, args.dry_run)), || note(&report, args.dry_run))?;
    if report.damaged_packs > 0 {
        let packs = render::count(report.damaged_packs, "pack");
        ctx.talk.warn(&format!("{packs} cannot be read in full and stayed; see `onenb verify`"));
        return Ok(Exit::Damage);
    }
    Ok(Exit::Success)
}

fn note(report: &RepackReport, dry_run: bool) -> String {
    let packs = render::count(report.packs, "pack");
    let stored = render::size(report.before_bytes);
    let left = render::size(report.after_bytes);
    let is_kept = report.busy_packs + report.damaged_packs > 0;
    let mut text = match (report.packs, dry_run) {
        _ if report.no_gain => {
            format!("compressed anew it would be no smaller: the packs stay as they were, {left} stored")
        }
        (0, false) if is_kept => format!("could not repack what is left, {left} stored"),
        (0, _) => format!("nothing to repack, {left} stored"),
        (_, true) => format!(
            "would compress {} anew: {packs} of {}, {} unpacked",
            render::count(report.chunks, "chunk"),
            render::size(report.packs_bytes),
            render::size(report.raw_bytes)
        ),
        (_, false) => format!("repacked {packs}: {stored} stored before, {} now", render::size(report.after_bytes)),
    };
    if report.kept_packs > 0 {
        text = format!("{text}; {} repacked before", render::count(report.kept_packs, "pack"));
    }
    if report.busy_packs > 0 {
        text = format!("{text}; {} in use by other processes left alone", render::count(report.busy_packs, "pack"));
    }
    text
}
