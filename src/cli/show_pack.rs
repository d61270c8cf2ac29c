//! `onenb show-pack`: what is in a pack file.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::errors::{Exit, Failure};
use super::json::{Pack, Packs, document};
use super::output::Context;
use super::render::{self, Align};
use crate::{PackReport, inspect_pack};

const EXAMPLES: &str = "\
Examples:
  onenb show-pack 01JZ7K3QYV8M2N4P6R8T0W2Y4A.pack";

/// List the frames of a pack file
///
/// Columns: offset, kind, codec, decoded length, stored length, number of chunks or keys.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The pack file
    file: PathBuf,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let report = inspect_pack(&args.file, false)?;
    ctx.print(&document(Packs { packs: vec![Pack::from(&report)] }), || text(&report))?;
    Ok(damage_of(&report))
}

fn text(report: &PackReport) -> String {
    let rows: Vec<Vec<String>> = report
        .frames
        .iter()
        .map(|frame| {
            vec![
                frame.offset.to_string(),
                frame.kind.to_owned(),
                frame.codec.to_owned(),
                frame.raw_len.to_string(),
                frame.stored_len.to_string(),
                frame.keys.to_string(),
            ]
        })
        .collect();
    let (left, right) = (Align::Left, Align::Right);
    format!("{}{}", summary(report), render::table(&rows, &[right, left, left, right, right, right]))
}

/// Says what the pack is and what is wrong with it, for `show-pack` and `verify-pack`.
pub(super) fn summary(report: &PackReport) -> String {
    let state = if report.sealed { "sealed" } else { "open" };
    let frames = render::count(report.frames.len() as u64, "frame");
    let mut out = format!("{} pack {}, {state}, {frames}\n", report.class, report.id);
    for damage in &report.damaged {
        let _ = writeln!(out, "damaged: {}", render::one_line(damage));
    }
    out
}

/// Returns how a command about this pack ends.
pub(super) fn damage_of(report: &PackReport) -> Exit {
    if report.damaged.is_empty() { Exit::Success } else { Exit::Damage }
}
