//! `onenb stats`: how much is stored and what saved it.

use super::errors::{Exit, Failure};
use super::json::{Figures, document};
use super::output::Context;
use super::render::{self, Align, percent, signed_size, size};
use crate::Stats;

const EXAMPLES: &str = "\
Examples:
  onenb stats
  onenb stats --json";

/// Show how much is stored, and what deduplication and compression saved
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let stats = workspace.repo()?.stats()?;
    let figures = Figures::from(&stats);
    let saved = [("deduplication", figures.saved.dedup), ("compression", figures.saved.compression)];
    ctx.print(&document(figures), || text(&stats, &saved))?;
    if stats.contents == 0 {
        ctx.talk.note("nothing is stored yet; `onenb export NAME FILE` puts a file in");
    }
    Ok(Exit::Success)
}

fn text(stats: &Stats, saved: &[(&str, i64)]) -> String {
    let mut rows = vec![
        vec!["exported".to_owned(), size(stats.raw), render::count(stats.contents, "content")],
        vec!["distinct".to_owned(), size(stats.unique), render::count(stats.chunks, "chunk")],
        vec!["stored".to_owned(), size(stats.stored), render::count(stats.packs, "pack")],
    ];
    rows.extend(
        saved
            .iter()
            .map(|(name, bytes)| vec![format!("saved by {name}"), signed_size(*bytes), percent(*bytes, stats.raw)]),
    );
    render::table(&rows, &[Align::Left, Align::Right])
}
