//! `onenb remote`: where data is pushed, and which places the user trusts.

use clap::Subcommand;

use super::args::{StorageArgs, storage_of};
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
        #[command(flatten)]
        storage: ApproveArgs,
    },
    /// Ask the remote whether it can be read; exit code 1 if not
    Check,
}

#[derive(Debug, clap::Args)]
struct ApproveArgs {
    /// A remote
    url: Option<String>,
    /// Its endpoint, which is part of what you approve
    #[arg(long, value_name = "URL", requires = "url")]
    endpoint_url: Option<String>,
    /// Its region
    #[arg(long, requires = "url")]
    region: Option<String>,
    /// Trust everything below this URL that names no endpoint of its own, as in `s3://acme-`
    #[arg(long, value_name = "URL", conflicts_with_all = ["url", "endpoint_url", "region"])]
    prefix: Option<String>,
}

fn approve(args: &ApproveArgs, ctx: &Context) -> Result<(), Failure> {
    let workspace = ctx.workspace();
    if let Some(prefix) = &args.prefix {
        workspace.remote_approve_prefix(prefix)?;
        ctx.conclude(&document(Approved { approved: vec![prefix] }), || {
            format!("approved everything below {prefix} on this machine")
        })?;
        return Ok(());
    }
    let options = (args.endpoint_url.as_ref(), args.region.as_ref());
    let storage = args.url.as_deref().map(|url| storage_of(url, options)).transpose()?;
    let approved = workspace.remote_approve(storage.as_ref())?;
    ctx.conclude(&document(Approved { approved: vec![&approved.url] }), || {
        format!("approved {} on this machine", approved.place())
    })?;
    Ok(())
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    match &args.action {
        Action::Add { name, storage } => {
            let (storage, profile) = (storage.parse()?, storage.profile());
            workspace.remote_add(name, &storage, profile)?;
            let body = Remotes { remotes: vec![Remote::new(&storage, "user", true)] };
            ctx.conclude(&document(body), || format!("registered {} as `{name}`", storage.url))?;
        }
        Action::Set { storage, local } => {
            let (storage, profile) = (storage.parse()?, storage.profile());
            workspace.repo()?.remote_set(&storage, profile, *local)?;
            let origin = if *local { "local" } else { "tracked" };
            let body = Remotes { remotes: vec![Remote::new(&storage, origin, true)] };
            ctx.conclude(&document(body), || match local {
                true => format!("data goes to {} on this machine", storage.url),
                false => format!("data goes to {}; staged .1nb/config.toml, `git commit` it", storage.url),
            })?;
        }
        Action::Show => show(ctx)?,
        Action::Approve { storage } => approve(storage, ctx)?,
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
