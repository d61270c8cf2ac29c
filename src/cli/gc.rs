//! `onenb gc`: frees the room of what nothing names any more.

use std::time::Duration;

use super::command::usage;
use super::errors::{Exit, Failure};
use super::json::{Collected, document};
use super::json_life::CollectedHere;
use super::output::Context;
use super::render;
use crate::error::Result;
use crate::{LocalGcOptions, LocalGcReport, RemoteGcOptions, RemoteGcReport};

const EXAMPLES: &str = "\
Examples:
  onenb gc --dry-run
  onenb gc
  onenb gc --prune 2d
  onenb gc --remote --dry-run
  onenb gc --remote";

/// Delete local data that nothing names any more; --remote: on the remote
///
/// What any reference, reflog, stash, index or work tree names stays, and so do late bindings, pins, and uncommitted
/// exports of the last 14 days. On a remote, what tags name, what they named before they were moved, and uploads of
/// branches and commits stay, until `onenb push --delete` and `--forget-history` let go of them. Safe beside exports
/// and pushes.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Clean the remote instead
    #[arg(long)]
    remote: bool,
    /// Only say what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How long uncommitted exports are kept that newer ones replaced: `now`, or like `36h`, `14d`, `2w`; with --remote
    /// `now` gives up unfinished pushes of the last day too
    #[arg(long, value_name = "WHEN")]
    prune: Option<String>,
}

pub(super) fn run(args: &Args, ctx: &Context) -> std::result::Result<Exit, Failure> {
    let keep = args.prune.as_deref().map(parse_age).transpose()?;
    if args.remote {
        if keep.is_some_and(|keep| !keep.is_zero()) {
            return Err(usage("with `--remote`, `--prune` takes only `now`", "gc").into());
        }
        let options = RemoteGcOptions { dry_run: args.dry_run, prune_now: keep.is_some() };
        let report = ctx.workspace().repo()?.gc_remote(options)?;
        ctx.conclude(&document(Collected::new(&report, args.dry_run)), || remote_note(&report, args.dry_run))?;
        return Ok(Exit::Success);
    }
    let defaults = LocalGcOptions::default();
    let options = LocalGcOptions { dry_run: args.dry_run, keep: keep.unwrap_or(defaults.keep) };
    let workspace = ctx.workspace();
    let mut progress = ctx.progress();
    let report = workspace.repo()?.gc(&options, &mut |news| progress.update(news))?;
    drop(progress);
    ctx.conclude(&document(CollectedHere::new(&report, args.dry_run)), || note(&report, args.dry_run))?;
    if report.damaged_packs > 0 {
        ctx.talk.warn(&format!(
            "{} cannot be read in full and stayed; see `onenb verify`",
            render::count(report.damaged_packs, "pack")
        ));
    }
    Ok(Exit::Success)
}

fn note(report: &LocalGcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would free" } else { "freed" };
    let contents = render::count(report.dropped_contents, "content");
    let (packs, kept) = (render::count(report.packs, "pack"), render::count(report.contents, "content"));
    let freed = render::size(report.freed_bytes);
    let text = format!("{verb} {freed}: {contents}, {packs}, {} of them rewritten; {kept} stay", report.rewritten);
    match report.busy_packs {
        0 => text,
        busy => format!("{text}; {} in use by other processes left alone", render::count(busy, "pack")),
    }
}

fn remote_note(report: &RemoteGcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would delete" } else { "deleted" };
    let objects = render::count(report.objects, "object");
    format!("{verb} {objects}, {} of them packs, {}", report.packs, render::size(report.bytes))
}

/// Reads `now`, or a whole number of minutes, hours, days or weeks.
fn parse_age(text: &str) -> Result<Duration> {
    if text == "now" {
        return Ok(Duration::ZERO);
    }
    let refused = || usage(format!("`{text}` is no age; write `now`, or like `36h`, `14d`, `2w`"), "gc");
    let unit = text.chars().next_back().ok_or_else(refused)?;
    let seconds: u64 = match unit {
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return Err(refused()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(refused)?;
    Ok(Duration::from_secs(number.checked_mul(seconds).ok_or_else(refused)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_or_refused() {
        assert_eq!(parse_age("now").expect("good"), Duration::ZERO);
        assert_eq!(parse_age("36h").expect("good"), Duration::from_hours(36));
        assert_eq!(parse_age("2w").expect("good"), Duration::from_hours(14 * 24));
        for bad in ["", "d", "14", "-1d", "1.5d", "14 d", "99999999999999999999d", "9999999999999999w", "3\u{e9}"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }
}
