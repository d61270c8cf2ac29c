//! `onenb repack`: compresses everything local anew.

use std::fmt::Write as _;

use super::errors::{Exit, Failure};
use super::json::document;
use super::json_life::Repacked;
use super::output::Context;
use super::render;
use crate::format::encoding::{Encoding, Encodings};
use crate::{RepackOptions, RepackReport};

const EXAMPLES: &str = "\
Examples:
  onenb repack --dry-run
  onenb repack
  onenb repack --level 19
  onenb repack --all";

/// Compress all local versions anew, so that they take less room
///
/// Every version is at hand now, so each is compressed against those that it is most like, on all cores at low
/// priority. Contents and their digests stay as they are. Safe beside exports and reads. What was repacked before is
/// left alone; stopped, it goes on where it was when run again; what a stopped --all wrote is dropped or brought to its
/// end. Where nothing is gained all stays as it is, and the next run tries again. Very small exports lie beside the
/// records and are never repacked.
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
    // Settings that cannot be used are none, and nothing of this depends on them.
    if let Some(note) = repo.encodings().ok().and_then(|settings| unlike(&settings, args.level)) {
        ctx.talk.note(&note);
    }
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

/// Says what the settings of `onenb tune` ask for and repacking does not do; `None` if there is no such thing.
fn unlike(settings: &Encodings, level: i32) -> Option<String> {
    let usual = Encoding::default();
    let highest = settings.iter().map(|(_, encoding)| encoding.level).max().filter(|highest| *highest > level);
    let is_unlike = |encoding: Encoding| encoding.frame_len < usual.frame_len || !encoding.delta;
    let shape = settings.iter().any(|(_, encoding)| is_unlike(encoding));
    let mut text = "the settings of `onenb tune` are for new data: ".to_owned();
    match (shape, highest) {
        (false, None) => return None,
        (true, None) => text.push_str("repacked, all is in frames of up to 1 MiB, with deltas"),
        (false, Some(highest)) => {
            let _ = write!(text, "`onenb repack --level {highest}` compresses as hard as they do");
        }
        (true, Some(highest)) => {
            let _ = write!(
                text,
                "repacked, all is in frames of up to 1 MiB, with deltas; `--level {highest}` compresses as hard as they do"
            );
        }
    }
    Some(text)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::kind::ContentKind;

    #[test]
    fn what_settings_ask_for_and_repacking_does_not_do_is_said() {
        let with = |encoding| {
            let mut settings = Encodings::default();
            settings.set(ContentKind::Csv, encoding).unwrap();
            unlike(&settings, 9).unwrap_or_default()
        };
        let usual = Encoding::default();
        assert_eq!(unlike(&Encodings::default(), 1), None);
        for harmless in [Encoding { level: 9, ..usual }, Encoding { shuffle: false, ..usual }] {
            assert_eq!(with(harmless), "");
        }
        for shaped in [Encoding { frame_len: 65_536, ..usual }, Encoding { delta: false, ..usual }] {
            assert!(with(shaped).contains("frames of up to 1 MiB") && !with(shaped).contains("--level"));
            let hard = with(Encoding { level: 19, ..shaped });
            assert!(hard.contains("frames of up to 1 MiB") && hard.contains("`--level 19`"), "{hard}");
        }
        assert!(with(Encoding { level: 12, ..usual }).contains("`onenb repack --level 12`"));
    }
}
