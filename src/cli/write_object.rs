//! `onenb write-object`: puts a content into the store without a name.

use std::path::PathBuf;

use super::errors::{Exit, Failure};
use super::input;
use super::json::{Object, Objects, document};
use super::output::Context;

const EXAMPLES: &str = "\
Examples:
  onenb write-object sales.csv
  cat sales.csv | onenb write-object -";

/// Store a content without a name and print its digest
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// File to read; `-` is stdin
    file: PathBuf,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let (digest, size) = repo.write_object(input::open(&args.file)?.as_mut())?;
    ctx.print(&document(Objects { objects: vec![Object { digest, size }] }), || format!("{digest}\n"))?;
    Ok(Exit::Success)
}
