//! `onenb is-ancestor`: whether one revision comes before another, for scripts.

use super::errors::{Exit, Failure};
use super::output::Context;
use crate::error::{Error, ErrorKind};

const EXAMPLES: &str = "\
Examples:
  onenb is-ancestor v1 HEAD
  onenb is-ancestor v1 v2";

/// Tell by the exit code whether one revision is another or comes before it
///
/// 0 yes, 1 no, 3 where a shallow clone does not reach far enough to tell. A tag may be the remote's alone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The earlier revision
    ancestor: String,
    /// The later one
    descendant: String,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    match workspace.repo()?.is_ancestor(&args.ancestor, &args.descendant)? {
        Some(true) => Ok(Exit::Success),
        Some(false) => Ok(Exit::Findings),
        None => Err(Error::new(ErrorKind::NotFound, "the history of this shallow clone does not reach far enough")
            .with_hint("fetch more of it with `git fetch --unshallow`")
            .into()),
    }
}
