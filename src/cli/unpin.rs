//! `onenb unpin`: takes a pin back.

use super::args::{ParamArgs, is_spec};
use super::errors::{Exit, Failure};
use super::json::document;
use super::json_life::{PinRow, Unpinned};
use super::output::Context;
use crate::error::{Error, ErrorKind, Result as Done};
use crate::id::ContentDigest;
use crate::{Repo, Workspace};

const EXAMPLES: &str = "\
Examples:
  onenb unpin v1:Sales
  onenb unpin 6437b3ac38";

/// Let `gc` delete what was pinned, unless something else names it
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The export, [REPO@]REV:NAME[?k=v&k2=v2], or the start of a digest that `onenb pin` lists
    what: String,
    #[command(flatten)]
    params: ParamArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let pin = repo.unpin(&digest_of(args, &workspace, repo)?)?;
    let document = document(Unpinned { unpinned: vec![PinRow::from(&pin)] });
    ctx.conclude(&document, || format!("unpinned {}", pin.spec))?;
    Ok(Exit::Success)
}

/// Finds the content by specification, or by the start of its digest among those that are pinned.
fn digest_of(args: &Args, workspace: &Workspace, repo: &Repo) -> Done<ContentDigest> {
    if is_spec(&args.what) {
        let spec = workspace.parse_spec(&args.what, &args.params.parse()?)?;
        return Ok(workspace.resolve(&spec)?.export.record.digest);
    }
    let start = args.what.to_ascii_lowercase();
    let pins = repo.pins()?.into_iter().map(|pin| pin.record.digest);
    let fitting: Vec<ContentDigest> = pins.filter(|digest| digest.to_string().starts_with(&start)).collect();
    match fitting.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::new(ErrorKind::NotFound, format!("no pinned content starts with `{}`", args.what))
            .with_hint("list what is pinned with `onenb pin`")),
        _ => Err(Error::new(ErrorKind::Conflict, format!("several pinned contents start with `{}`", args.what))
            .with_hint("give more of the digest")),
    }
}
