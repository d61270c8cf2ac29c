//! `onenb stats`: how much is stored and what saved it.

use super::errors::{Exit, Failure};
use super::json::{Figures, document};
use super::output::Context;
use super::render::{self, Align, percent, signed_size, size};
use crate::{NameStats, Stats};

/// Longest bar, in characters.
const BAR_LEN: u64 = 20;
/// Most exports that are shown; `--json` has all.
const MAX_NAMES: usize = 20;

const EXAMPLES: &str = "\
Examples:
  onenb stats
  onenb stats --json";

/// Show how much is stored, what saved the rest, and which exports need it
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let stats = workspace.repo()?.stats()?;
    let figures = Figures::from(&stats);
    let saved = [
        ("deduplication", figures.saved.dedup),
        ("deltas", figures.saved.delta),
        ("compression", figures.saved.compression),
    ];
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
    let mut text = render::table(&rows, &[Align::Left, Align::Right]);
    if !stats.names.is_empty() {
        text.push('\n');
        text.push_str(&names(&stats.names));
    }
    text
}

/// Draws what each export has, the largest first.
fn names(all: &[NameStats]) -> String {
    let largest = all.first().map_or(1, |name| name.stored.max(1));
    let mut rows: Vec<Vec<String>> = all
        .iter()
        .take(MAX_NAMES)
        .map(|name| {
            let len = (name.stored * BAR_LEN).div_ceil(largest);
            let bar = "█".repeat(usize::try_from(len).unwrap_or_default());
            let of = format!("of {}", size(name.raw));
            vec![name.name.clone(), render::count(name.versions, "version"), size(name.stored), of, bar]
        })
        .collect();
    if all.len() > MAX_NAMES {
        rows.push(vec![format!("and {} more", all.len() - MAX_NAMES)]);
    }
    render::table(&rows, &[Align::Left, Align::Right, Align::Right, Align::Left])
}
