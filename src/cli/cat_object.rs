//! `onenb cat-object`: writes a stored content to stdout.

use super::cat::RangeArgs;
use super::errors::{Exit, Failure};
use super::output::Context;
use crate::id::ContentDigest;

const EXAMPLES: &str = "\
Examples:
  onenb cat-object $(onenb hash-object sales.csv)";

/// Write a stored content to stdout
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Its digest, 64 hex digits
    digest: ContentDigest,
    #[command(flatten)]
    range: RangeArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let reader = workspace.repo()?.open_object(&args.digest)?;
    args.range.write(reader, ctx)
}
