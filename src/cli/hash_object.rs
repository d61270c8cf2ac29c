//! `onenb hash-object`: the digest of a file.

use std::path::PathBuf;

use super::errors::{Exit, Failure};
use super::input;
use super::json::{Object, Objects, document};
use super::output::Context;
use crate::hash_reader;

const EXAMPLES: &str = "\
Examples:
  onenb hash-object sales.csv
  cat sales.csv | onenb hash-object -";

/// Print the content digest of a file: its BLAKE3, 64 hex digits
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// File to read; `-` is stdin
    file: PathBuf,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let (digest, size) = hash_reader(input::open(&args.file)?.as_mut())?;
    ctx.print(&document(Objects { objects: vec![Object { digest, size }] }), || format!("{digest}\n"))?;
    Ok(Exit::Success)
}
