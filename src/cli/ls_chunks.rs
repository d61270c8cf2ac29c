//! `onenb ls-chunks`: where a content was cut.

use super::errors::{Exit, Failure};
use super::json::{Chunk, Chunks, document};
use super::output::Context;
use super::render::{self, Align};
use crate::id::ContentDigest;

const EXAMPLES: &str = "\
Examples:
  onenb ls-chunks $(onenb hash-object sales.csv)";

/// List the chunks of a stored content
///
/// Columns: offset, length, why it ends there, id.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Its digest, 64 hex digits
    digest: ContentDigest,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let chunks = workspace.repo()?.chunks(&args.digest)?;
    ctx.print(&document(Chunks { chunks: chunks.iter().map(Chunk::from).collect() }), || {
        let rows: Vec<Vec<String>> = chunks
            .iter()
            .map(|row| vec![row.offset.to_string(), row.len.to_string(), row.cut.to_owned(), row.id.to_string()])
            .collect();
        render::table(&rows, &[Align::Right, Align::Right])
    })?;
    Ok(Exit::Success)
}
