//! `onenb remote`: where data is pushed, and which places the user trusts.

use clap::Subcommand;

use super::args::StorageArgs;
use super::doctor;
use super::errors::{Exit, Failure};
use super::json::{Approved, Remote, Remotes, document};
use super::output::Context;
use super::render;

const EXAMPLES: &str = "\
Examples:
  onenb remote set /srv/data
  onenb remote approve
  onenb remote add other /srv/other-data";

/// Show, set or approve where data is pushed
///
/// A remote that only the repository names is neither read nor written before you approve it once on this machine.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register another repository's remote under a name, to read from it without a clone
    Add {
        /// Name of that repository, as in NAME@v1:Sales
        name: String,
        #[command(flatten)]
        storage: StorageArgs,
    },
    /// Choose the remote of this repository; stages .1nb/config.toml
    Set {
        #[command(flatten)]
        storage: StorageArgs,
        /// Only on this machine, tracked nowhere
        #[arg(long)]
        local: bool,
    },
    /// Show the remote in force
    Show,
    /// Trust the remote of this repository, or URL, on this machine
    Approve {
        /// A remote
        url: Option<String>,
    },
    /// Ask the remote whether it can be read and written; exit code 1 if not
    Check,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    match &args.action {
        Action::Add { name, storage } => {
            let storage = storage.parse()?;
            workspace.remote_add(name, &storage)?;
            let body = Remotes { remotes: vec![Remote::new(&storage, "user", true)] };
            ctx.conclude(&document(body), || format!("registered {} as `{name}`", storage.url))?;
        }
        Action::Set { storage, local } => {
            let storage = storage.parse()?;
            workspace.repo()?.remote_set(&storage, *local)?;
            let origin = if *local { "local" } else { "tracked" };
            let body = Remotes { remotes: vec![Remote::new(&storage, origin, true)] };
            ctx.conclude(&document(body), || match local {
                true => format!("data goes to {} on this machine", storage.url),
                false => format!("data goes to {}; staged .1nb/config.toml, `git commit` it", storage.url),
            })?;
        }
        Action::Show => show(ctx)?,
        Action::Approve { url } => {
            let approved = workspace.remote_approve(url.as_deref())?;
            ctx.conclude(&document(Approved { approved: vec![&approved] }), || {
                format!("approved {approved} on this machine")
            })?;
        }
        Action::Check => return doctor::report(&workspace.repo()?.remote_check()?, ctx),
    }
    Ok(Exit::Success)
}

fn show(ctx: &Context) -> Result<(), Failure> {
    let workspace = ctx.workspace();
    let remote = workspace.repo()?.remote_show()?;
    let remotes = remote.iter().map(|(storage, origin, approved)| Remote::new(storage, origin, *approved));
    ctx.print(&document(Remotes { remotes: remotes.collect() }), || {
        remote.as_ref().map_or_else(String::new, |(storage, origin, approved)| {
            let approved = if *approved { "approved" } else { "not approved, `onenb remote approve` does that" };
            render::table(&[vec![storage.url.clone(), format!("({origin})"), approved.to_owned()]], &[])
        })
    })?;
    if remote.is_none() {
        ctx.talk.note("storage is local; choose a remote with `onenb remote set URL`");
    }
    Ok(())
}
