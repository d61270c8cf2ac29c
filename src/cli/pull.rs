//! `onenb pull`: fetches data from the remote into the local store.

use super::args::{ParamArgs, is_spec, warn_of_move};
use super::errors::{Exit, Failure};
use super::json::{Pulled, document};
use super::output::Context;
use super::render;
use crate::{PullSummary, PullTarget};

const EXAMPLES: &str = "\
Examples:
  onenb pull
  onenb pull v1
  onenb pull --all
  onenb pull 'v1:Report?year=2023'";

/// Fetch data from the remote into the local store
///
/// Reading does this by itself; pull when you will be offline.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// A revision, for all of its exports, or one export as REV:NAME[?k=v]
    #[arg(value_name = "REV|SPEC", default_value = "HEAD")]
    target: String,
    /// Everything that any tag names
    #[arg(long, conflicts_with_all = ["target", "param"])]
    all: bool,
    #[command(flatten)]
    params: ParamArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let target = if args.all {
        PullTarget::All
    } else if is_spec(&args.target) || !args.params.is_empty() {
        PullTarget::Export(workspace.parse_spec(&args.target, &args.params.parse()?)?)
    } else {
        PullTarget::Rev(args.target.clone())
    };
    let mut progress = ctx.progress();
    let summary = workspace.pull(&target, &mut |news| progress.update(news))?;
    drop(progress);
    warn_of_move(summary.moved.as_ref(), ctx);
    let what = if args.all { "every tag".to_owned() } else { format!("`{}`", args.target) };
    for tag in &summary.missing {
        ctx.talk.warn(&format!(
            "some data of `{tag}` is neither here nor on the remote; push it from the clone that has it: `onenb push {tag}`"
        ));
    }
    let exit = if summary.missing.is_empty() { Exit::Success } else { Exit::Missing };
    let PullSummary { exports, fetched, bytes_received, missing, .. } = summary.clone();
    let body = Pulled { exports, fetched, bytes_received, missing };
    ctx.conclude(&document(body), || {
        let exports = render::count(summary.exports as u64, "export");
        match summary.fetched {
            0 => format!("{exports} of {what} here already"),
            fetched => {
                let contents = render::count(fetched as u64, "content");
                format!("{exports} of {what} here now; fetched {contents}, {}", render::size(summary.bytes_received))
            }
        }
    })?;
    Ok(exit)
}
