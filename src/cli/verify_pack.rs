//! `onenb verify-pack`: decodes every frame of a pack file.

use std::path::PathBuf;

use super::errors::{Exit, Failure};
use super::json::{Pack, Packs, document};
use super::output::Context;
use super::show_pack::{damage_of, summary};
use crate::inspect_pack;

const EXAMPLES: &str = "\
Examples:
  onenb verify-pack 01JZ7K3QYV8M2N4P6R8T0W2Y4A.pack";

/// Decode every frame of a pack file and report damage; exit code 5 if there is any
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The pack file
    file: PathBuf,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let report = inspect_pack(&args.file, true)?;
    ctx.print(&document(Packs { packs: vec![Pack::from(&report)] }), || summary(&report))?;
    Ok(damage_of(&report))
}
